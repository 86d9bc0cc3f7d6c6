//! One suite that every store passes: SQLite in memory, a SQLite file, PostgreSQL.

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
