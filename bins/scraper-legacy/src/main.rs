//! scraper-legacy
fn main() {}
