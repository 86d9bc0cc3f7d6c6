//! The tutorial does what it says, as far as this program goes.

use test_support::guide::{blocks, follow};

#[test]
fn the_tutorial_does_what_it_says() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tutorial.md"));
    let blocks = blocks(&document.expect("the tutorial is there"));
    // The summary and the log are the other program's matter, which a test of its own covers.
    let program = env!("CARGO_BIN_EXE_scraper-scheduler");
    follow(&blocks, program, &[("RUST_LOG", "warn")], &["scraper-legacy"]);
}
