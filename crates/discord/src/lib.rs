//! Discord, in two independent halves.
//!
//! * [`bot`]: people steer a scheduler by slash commands. The bot knows the scheduler only as a [`SchedulerControl`].
//!
//! [`SchedulerControl`]: bot::SchedulerControl

pub mod bot;
mod http;
mod lock;
mod message;
mod text;
mod window;

pub use http::{ApiBase, BadBase, Secret};
