//! The bot against a mock Discord and a made-up scheduler.

mod commands;
mod gateway;
mod isolation;
mod lists;
mod logs;
mod scheduler;
mod support;
