//! The parts of the service around the engine: signals, reloads, HTTP, notices, Discord.

pub(crate) mod deps;
pub(crate) mod discord;
pub(crate) mod http;
pub(crate) mod notices;
mod prometheus;
pub(crate) mod reload;
pub(crate) mod signals;
pub(crate) mod welcome;
