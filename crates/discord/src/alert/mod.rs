//! Alerts: a channel is told when a pipeline fails, once for each failure with a counter, and once when it recovers.
//!
//! [`Alerts::notify`] takes what a run came to and returns at once; whatever Discord does is the business of
//! [`Alerts::run`]. What is known of each failing pipeline is small, so nothing is ever dropped for want of room. It is
//! kept in an [`AlertStore`]: processes that share one count together, and each thing is told by one of them.

mod book;
mod config;
mod ledger;
mod render;
mod store;
mod worker;

pub use book::{AlertKind, RunNotice};
pub use config::AlertConfig;
pub use store::{AlertStore, FileAlertStore, MemoryAlertStore};
pub use worker::Alerts;
