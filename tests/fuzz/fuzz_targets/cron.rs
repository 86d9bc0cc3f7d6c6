//! Any bytes as a cron expression: an error or an answer, at once.
#![no_main]

#[path = "check_cron.rs"]
mod check_cron;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check_cron::check(data));
