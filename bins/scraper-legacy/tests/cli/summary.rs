//! The summary, and what else goes where.

use crate::{FAILS, ITEMS, legacy};

#[test]
fn json_has_the_documented_keys_and_nothing_else_is_on_stdout() {
    let program = legacy(&format!("pipelines:\n  z: {{chain: [{ITEMS}]}}\n  a: {{chain: [{FAILS}]}}\n"));
    let summary = program.run(&["--summary", "json"]).expect(1).json();
    let summary = summary.as_array().unwrap();
    assert_eq!(summary.len(), 2);
    for one in summary {
        let keys: Vec<&str> = one.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["pipeline", "outcome", "note", "started_at", "duration_ms", "stages", "error"]);
        for stage in one["stages"].as_array().unwrap() {
            let keys: Vec<&str> = stage.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["class", "items_in", "items_out", "errors", "busy_ms"]);
        }
    }
    assert_eq!(summary[0]["pipeline"], "z", "in the order of the file");
    assert_eq!(summary[0]["stages"][0]["items_out"], 2);
    assert_eq!(summary[0]["error"], serde_json::Value::Null);
    assert!(summary[0]["started_at"].as_str().unwrap().ends_with('Z'));
    assert!(
        summary[1]["error"].as_str().unwrap().starts_with("pipeline `a`, stage 1 (exec.CommandFetcher): ")
    );
}

#[test]
fn none_says_nothing_on_stdout() {
    let program = legacy(&format!("pipelines: {{a: {{chain: [{ITEMS}]}}}}"));
    assert_eq!(program.run(&["--summary", "none"]).expect(0).stdout, "");
    let finished = program.run(&["--summary", "none", "--log-level", "off"]).expect(0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
}

#[test]
fn log_lines_are_json_where_that_is_asked_for() {
    let program = legacy(&format!("pipelines: {{a: {{chain: [{FAILS}]}}}}"));
    let finished = program.run(&["--log-format", "json"]).expect(1);
    let lines: Vec<serde_json::Value> =
        finished.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
    let failed = lines.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(failed["pipeline"], "a");
    assert!(failed["message"].as_str().unwrap().starts_with("failed in 0."), "{failed}");
    assert!(!finished.stderr.contains('\u{1b}'), "no colours without a terminal");
}

#[test]
fn levels_come_from_the_option_then_from_rust_log() {
    let file = format!("pipelines: {{a: {{chain: [{ITEMS}]}}}}");
    let silent = legacy(&file).variable("RUST_LOG", "error");
    assert_eq!(silent.run(&[]).expect(0).stderr, "");
    assert!(silent.run(&["--log-level", "info"]).expect(0).stderr.contains("succeeded"));
    legacy(&file).variable("RUST_LOG", "a=b=c").run(&[]).expect(2);
}
