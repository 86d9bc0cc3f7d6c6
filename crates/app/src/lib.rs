//! What both binaries share: settings, logging, checking a file, the one-shot run, fixtures.

pub mod fixture;
pub mod notify;
