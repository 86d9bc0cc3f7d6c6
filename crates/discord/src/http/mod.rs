//! The HTTP layer that both halves stand on. It sends one request and tells what came of it; whoever calls decides what
//! to do then. (twilight's client repeats a 429 without end inside its future, which no caller can afford.)

mod answer;
mod base;
mod client;
mod secret;

pub(crate) use answer::{Answer, Limits};
pub use base::{ApiBase, BadBase};
pub(crate) use client::{Body, Client, Method, SendError, Upload};
pub use secret::Secret;
