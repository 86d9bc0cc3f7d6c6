//! scraper-scheduler
fn main() {}
