//! The command line while a scheduler is running: it notices within a second.

use crate::world::{json, lines, program, shell, until};

#[test]
fn what_is_asked_on_the_command_line_happens_in_the_scheduler() {
    let say = shell("say", "manual: true", "echo hello >> said; echo {}", "");
    let fail = shell("fail", "manual: true", "exit 3", "");
    let program = program(&[say, fail]);
    let mut running = program.start(&[]);
    running.wait_for("is ready");

    let waited = program.run(&["jobs", "run", "say", "--wait"]).expect(0);
    assert!(waited.stderr.contains("succeeded"), "{}", waited.stderr);
    assert_eq!(lines(&program, "said"), ["hello"]);
    let shown = json(&program, &["runs", "show", waited.stdout.trim()]);
    assert_eq!(shown["stages"][0]["class"], "exec.CommandFetcher");
    assert!(shown["requested_by"].as_str().unwrap().starts_with("cli"));

    let failed = program.run(&["jobs", "run", "pipeline_fail", "--wait"]).expect(1);
    assert!(failed.stderr.contains("failed"), "{}", failed.stderr);
    let shown = json(&program, &["runs", "show", failed.stdout.trim()]);
    assert_eq!((&shown["outcome"], &shown["job_id"]), (&"failed".into(), &"pipeline_fail".into()));
    assert!(shown["error"].as_str().unwrap().contains('3'), "{shown}");
    let listed = json(&program, &["runs", "list", "--outcome", "failed"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);

    program.run(&["jobs", "add", "say", "--interval", "1s", "--id", "often"]).expect(0);
    until("the job that was added has fired", || (lines(&program, "said").len() >= 3).then_some(()));
    program.run(&["jobs", "pause", "often"]).expect(0);
    assert_eq!(json(&program, &["jobs", "show", "often"])["state"], "paused");
    program.run(&["jobs", "remove", "often"]).expect(0);
    let jobs = json(&program, &["jobs", "list"]);
    assert_eq!(jobs.as_array().unwrap().len(), 2);

    running.signal("TERM");
    running.finish().expect(0);
}

#[test]
fn a_waiting_run_is_cancelled_at_once_and_a_running_one_is_stopped() {
    let slow = shell("slow", "manual: true", "echo x >> starts; sleep 30", "");
    let other = shell("other", "manual: true", "true", "");
    let program = program(&[slow, other]).variable("SCHEDULER_MAX_CONCURRENT_RUNS", "1");
    let mut running = program.start(&[]);
    running.wait_for("is ready");
    let slow = program.run(&["jobs", "run", "slow"]).expect(0).stdout.trim().to_owned();
    until("the run has started", || (lines(&program, "starts").len() == 1).then_some(()));
    let other = program.run(&["jobs", "run", "other"]).expect(0).stdout.trim().to_owned();
    program.run(&["runs", "cancel", &other]).expect(0);
    assert_eq!(json(&program, &["runs", "show", &other])["outcome"], "cancelled");
    program.run(&["runs", "cancel", &slow]).expect(0);
    until("it has stopped", || {
        (json(&program, &["runs", "show", &slow])["outcome"] == "cancelled").then_some(())
    });
    running.signal("TERM");
    running.finish().expect(0);
}
