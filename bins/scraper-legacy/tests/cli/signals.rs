//! Signals: the first one stops cleanly, the second one at once.

use std::path::Path;

use crate::{ENDLESS, ITEMS, legacy};

#[test]
fn the_first_signal_stops_cleanly() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let program = legacy(&format!(
            "pipelines:\n  a: {{chain: [{ENDLESS}]}}\n  b: {{after: [a], chain: [{ITEMS}]}}\n"
        ));
        let mut running = program.start(&["--summary", "json"]);
        running.wait_for("running");
        running.signal(signal);
        let finished = running.finish().expect(code);
        let summary = finished.json();
        assert_eq!(summary[0]["outcome"], "cancelled");
        assert_eq!(summary[1]["outcome"], "cancelled");
        assert_eq!(summary[1]["started_at"], serde_json::Value::Null);
        assert!(!Path::new("/proc").join(program.read("pid").trim()).exists(), "the command lives on");
        assert_eq!(program.files(), ["pid", "pipelines.yml"], "nothing half-written is left");
    }
}

#[test]
fn the_second_signal_cuts_off() {
    // A command that does not want to end is given 5 s; the second signal does not wait for that.
    let stubborn = "{class: exec.CommandFetcher, kwargs: {command: [sh, -c, 'trap \"\" TERM; echo $$ > pid; echo running >&2; while :; do sleep 1; done']}}";
    let program = legacy(&format!("pipelines: {{a: {{chain: [{stubborn}]}}}}"));
    let mut running = program.start(&[]);
    running.wait_for("running");
    running.signal("TERM");
    running.wait_for("SIGTERM: stopping");
    running.signal("INT");
    let finished = running.finish();
    assert!([130, 143].contains(&finished.code), "{finished:?}");
    let process = Path::new("/proc").join(program.read("pid").trim());
    let is_gone = || {
        !process.exists()
            || std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z "))
    };
    let watch = pipeline_core::Stopwatch::start();
    while !is_gone() {
        assert!(watch.elapsed() < std::time::Duration::from_secs(20), "the command lives on");
        std::thread::yield_now();
    }
}
