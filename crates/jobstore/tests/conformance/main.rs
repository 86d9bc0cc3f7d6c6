//! One suite that every store passes: SQLite in memory, a SQLite file, PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod harness;

mod changes;
mod claims;
mod fires;
mod jobs;
mod messages;
mod overlap;
mod records;
mod rescue;
mod several;
mod stage_state;
