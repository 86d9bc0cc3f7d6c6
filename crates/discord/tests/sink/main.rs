//! The sink and the delivery against a mock Discord.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod alerts;
mod delivery;
#[path = "../bot/logs.rs"]
mod logs;
mod messages;
mod runs;
mod support;
