//! Discord, in two independent halves.
//!
//! * [`bot`]: people steer a scheduler by slash commands. The bot knows the scheduler only as a [`SchedulerControl`].
//!
//! [`SchedulerControl`]: bot::SchedulerControl

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
