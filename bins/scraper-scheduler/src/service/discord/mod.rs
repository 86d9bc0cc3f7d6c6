//! Discord beside the engine: the bot, the messages of sinks, alerts.

mod alerts;
mod bot;
mod control;
mod convert;
mod outbox;
mod progress;
mod sending;
mod snapshot;
mod wiring;

pub(crate) use wiring::Discord;
