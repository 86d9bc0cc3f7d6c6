//! Replays the corpora of the fuzz targets, so that what a fuzzer once found stays found.

#[path = "../../../tests/fuzz/fuzz_targets/check_cron.rs"]
mod check_cron;
#[path = "../../../tests/fuzz/fuzz_targets/check_texts.rs"]
mod check_texts;

use std::path::Path;
use std::time::Duration;

/// No input may take longer, unoptimised and on a busy machine.
const LONGEST: Duration = Duration::from_secs(5);

#[expect(clippy::disallowed_methods, reason = "an endless search is found by real time")]
fn replay(target: &str, check: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs = 0;
    for entry in entries {
        let path = entry.expect("a directory entry").path();
        let data = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let started = std::time::Instant::now();
        check(&data);
        assert!(started.elapsed() < LONGEST, "{} took {:?}", path.display(), started.elapsed());
        inputs += 1;
    }
    inputs
}

#[test]
fn cron_expressions() {
    assert!(replay("cron", check_cron::check) > 100);
}

#[test]
fn other_texts() {
    assert!(replay("texts", check_texts::check) > 50);
}
