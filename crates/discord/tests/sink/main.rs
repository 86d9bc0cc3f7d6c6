//! The sink and the delivery against a mock Discord.

mod delivery;
#[path = "../bot/logs.rs"]
mod logs;
mod messages;
mod runs;
mod support;
