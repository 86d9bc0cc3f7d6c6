//! What tests of several crates share.

pub mod cluster;
pub mod guide;
pub mod http;
pub mod postgres;
pub mod process;
