//! Any bytes as every other text that is read: durations, dates, zones, triggers, blocks.
#![no_main]

#[path = "check_texts.rs"]
mod check_texts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check_texts::check(data));
