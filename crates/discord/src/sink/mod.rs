//! The sink: items become messages, and wait in the outbox until the delivery has sent them.

mod embed;
mod kwargs;
mod participant;
mod payload;
mod render;
mod service;
mod stage;
mod target;
mod template;

pub(crate) use payload::{Form, Payload};
pub use service::DiscordService;
pub use stage::DiscordSink;
pub(crate) use target::Target;
