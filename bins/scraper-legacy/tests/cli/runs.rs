//! Runs, and how they end.

use std::path::Path;

use crate::{FAILS, ITEMS, legacy};

/// A stage that writes the time at which it started and ended into files of this name.
fn stamps(name: &str, seconds: &str) -> String {
    format!(
        "{{class: exec.CommandFetcher, kwargs: {{command: [sh, -c, 'date +%s%N > {name}.start; sleep {seconds}; date +%s%N > {name}.end']}}}}"
    )
}

fn stamp(folder: &Path, name: &str) -> u128 {
    std::fs::read_to_string(folder.join(name)).unwrap().trim().parse().unwrap()
}

#[test]
fn success_exits_with_0_and_failure_with_1_after_the_others_have_finished() {
    let program = legacy(&format!("pipelines:\n  bad: {{chain: [{FAILS}]}}\n  good: {{chain: [{ITEMS}]}}\n"));
    let finished = program.run(&[]).expect(1);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(lines[0].starts_with("bad   failed     0."), "{}", finished.stdout);
    assert!(
        lines[0].contains("stage 1 (exec.CommandFetcher)") && lines[0].contains("no luck"),
        "{}",
        finished.stdout
    );
    assert!(lines[1].starts_with("good  succeeded  0."), "{}", finished.stdout);
    assert_eq!(lines.len(), 2);
    assert!(finished.stderr.contains("ERROR"), "{}", finished.stderr);
    program.run(&["pipelines.yml", "good"]).expect(0);
    program.run(&["pipelines.yml", "bad"]).expect(1);
}

#[test]
fn pipelines_run_side_by_side_up_to_the_concurrency() {
    let file = format!(
        "pipelines:\n  a: {{chain: [{}]}}\n  b: {{chain: [{}]}}\n",
        stamps("a", "0.5"),
        stamps("b", "0.5")
    );
    let program = legacy(&file);
    program.run(&[]).expect(0);
    let stamp_of = |name: &str| stamp(program.folder(), name);
    assert!(
        stamp_of("a.start") < stamp_of("b.end") && stamp_of("b.start") < stamp_of("a.end"),
        "side by side"
    );
    program.run(&["--concurrency", "1"]).expect(0);
    let one_behind_the_other =
        stamp_of("a.end") <= stamp_of("b.start") || stamp_of("b.end") <= stamp_of("a.start");
    assert!(one_behind_the_other);
}

#[test]
fn a_limit_group_is_kept() {
    let group = "limit_group: {name: site, max: 1}";
    let file = format!(
        "pipelines:\n  a: {{{group}, chain: [{}]}}\n  b: {{{group}, chain: [{}]}}\n",
        stamps("a", "0.2"),
        stamps("b", "0.2")
    );
    let program = legacy(&file);
    program.run(&[]).expect(0);
    let stamp_of = |name: &str| stamp(program.folder(), name);
    assert!(stamp_of("a.end") <= stamp_of("b.start") || stamp_of("b.end") <= stamp_of("a.start"));
}

#[test]
fn after_is_an_order_and_a_condition() {
    let file = format!(
        "pipelines:\n  last: {{after: [first, second], chain: [{}]}}\n  second: {{after: [first], chain: [{}]}}\n  first: {{chain: [{}]}}\n",
        stamps("last", "0"),
        stamps("second", "0.1"),
        stamps("first", "0.1")
    );
    let program = legacy(&file);
    program.run(&[]).expect(0);
    let stamp_of = |name: &str| stamp(program.folder(), name);
    assert!(stamp_of("first.end") <= stamp_of("second.start"));
    assert!(stamp_of("second.end") <= stamp_of("last.start"));
    let program = legacy(&format!(
        "pipelines:\n  c: {{after: [b], chain: [{ITEMS}]}}\n  b: {{after: [a], chain: [{ITEMS}]}}\n  a: {{chain: [{FAILS}]}}\n  \
         d: {{after: [off], chain: [{ITEMS}]}}\n  off: {{enabled: false, chain: [{ITEMS}]}}\n"
    ));
    let summary = program.run(&["--summary", "json"]).expect(1).json();
    let outcomes: Vec<(&str, &str)> = summary
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["pipeline"].as_str().unwrap(), one["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(outcomes, [("c", "skipped"), ("b", "skipped"), ("a", "failed"), ("d", "skipped")]);
    // Who names a pipeline wants it now.
    program.run(&["pipelines.yml", "b", "d", "off"]).expect(0);
}

#[test]
fn a_failed_run_is_tried_again() {
    let program = legacy(
        "pipelines:\n  a:\n    retry: {max_attempts: 3, backoff: 10ms}\n    chain:\n      - class: exec.CommandFetcher\n        \
         kwargs: {command: [sh, -c, 'echo $SCRAPER_ATTEMPT $SCRAPER_RUN_ID $SCRAPER_PIPELINE $SCRAPER_JOB_ID $SCRAPER_SCHEDULED_FOR >> log; test $SCRAPER_ATTEMPT = 3']}\n",
    );
    let summary = program.run(&["--summary", "json"]).expect(0).json();
    assert_eq!(
        (&summary[0]["outcome"], &summary[0]["note"]),
        (&"succeeded".into(), &"attempt 3 of 3".into())
    );
    let log = program.read("log");
    let lines: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
    let attempts: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    assert!(lines.iter().all(|line| line[1..] == lines[0][1..]), "one run: {log}");
    assert_eq!(&lines[0][2..4], ["a", "a"]);
    assert!(lines[0][4].ends_with('Z'), "{log}");
}

#[test]
fn a_timeout_ends_the_attempt_and_its_command() {
    let program = legacy(
        "pipelines:\n  a:\n    timeout: 300ms\n    chain:\n      - class: exec.CommandFetcher\n        \
         kwargs: {command: [sh, -c, 'echo $$ > pid; sleep 600; true']}\n",
    );
    let summary = program.run(&["--summary", "json"]).expect(1).json();
    assert_eq!(summary[0]["outcome"], "timed_out");
    assert_eq!(summary[0]["error"], "pipeline `a`: timed out after 300ms");
    assert!(!Path::new("/proc").join(program.read("pid").trim()).exists(), "the command lives on");
}

#[test]
fn a_dry_run_leaves_nothing() {
    let program = legacy(
        "pipelines:\n  a:\n    chain:\n      - class: items.ItemsFetcher\n        kwargs: {topic: t, items: [{n: 1}, {n: 2}]}\n      \
         - class: diff.DiffParser\n        kwargs: {key: [n]}\n",
    );
    let summary = program.run(&["--dry-run", "--summary", "json"]).expect(0).json();
    assert_eq!(summary[0]["stages"][1]["items_out"], 4, "two items, and two that say they are new");
    assert_eq!(program.files(), ["pipelines.yml"]);
    program.run(&["--state-dir", "memory"]).expect(0);
    assert_eq!(program.files(), ["memory", "memory/a.db", "pipelines.yml"]);
    // A dry run reads what is kept, and leaves it as it is.
    let kept = std::fs::read(program.folder().join("memory/a.db")).unwrap();
    let summary = program.run(&["--dry-run", "--state-dir", "memory", "--summary", "json"]).expect(0).json();
    assert_eq!(summary[0]["stages"][1]["items_out"], 2, "nothing is new");
    assert_eq!(program.files(), ["memory", "memory/a.db", "pipelines.yml"]);
    assert_eq!(std::fs::read(program.folder().join("memory/a.db")).unwrap(), kept);
}
