//! The service as a child process: signals, restarts, reloads, control from outside.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod control;
mod discord;
mod http;
mod life;
mod world;
