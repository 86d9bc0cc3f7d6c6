//! The service with a Discord that works, lies, hangs, refuses or is not there: real processes, and a mock on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod alerts;
mod bot;
mod outbox;
mod sink;
mod support;
mod trouble;
#[path = "../service/world.rs"]
#[expect(dead_code, reason = "these tests need only some of it")]
mod world;
