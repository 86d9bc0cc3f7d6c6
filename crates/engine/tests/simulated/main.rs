//! The engine in simulated time: the ordered list of events is the assertion.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod attempts;
mod clock;
mod crash;
mod fenced;
mod file;
mod flaky;
mod misfire;
mod outage;
mod overlap;
mod week;
mod world;
mod year;
