//! The bot against a mock Discord and a made-up scheduler.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod commands;
mod gateway;
mod isolation;
mod lists;
mod logs;
mod scheduler;
mod support;
