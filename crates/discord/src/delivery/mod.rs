//! Sends what waits in the outbox: at its own pace, in order, each message at least once, and never again what Discord has
//! refused for good.

mod batch;
mod courier;
mod pace;
mod reason;
mod send;
mod verdict;
mod worker;

pub(crate) use verdict::Verdict;
pub use worker::{BadToken, Delivery, DeliveryConfig, Drained};
