//! The service while the world around it is in trouble: the database away, the disk full, the process frozen. What was
//! started is known from what the stages themselves wrote down, apart from the store.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]
#![cfg(unix)]

mod companions;
mod database;
mod disk;
mod frozen;
mod marks;
#[path = "../service/world.rs"]
mod world;
