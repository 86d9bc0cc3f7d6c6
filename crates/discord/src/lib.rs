//! Discord, in two independent halves.
//!
//! * [`bot`]: people steer a scheduler by slash commands. The bot knows the scheduler only as a [`SchedulerControl`].
//! * [`sink`], [`outbox`] and [`delivery`]: items of pipelines become messages, wait, and are sent; [`alert`] tells of
//!   failures. They work without the bot, and the bot without them.
//!
//! No run ever waits for Discord, unless it is told to, and nothing that Discord does ends the program.
//!
//! [`SchedulerControl`]: bot::SchedulerControl

pub mod alert;
pub mod bot;
pub mod delivery;
mod fingerprint;
mod http;
mod lock;
mod message;
pub mod outbox;
pub mod sink;
mod text;
mod window;

pub use http::{ApiBase, BadBase, Secret};
