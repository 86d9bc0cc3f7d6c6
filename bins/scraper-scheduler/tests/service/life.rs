//! From the start to the end, however it comes.

use crate::world::{file, json, lines, lives, program, runs, shell, until};

/// Notes its run and attempt, then takes its time.
fn slow(schedule: &str, more: &str) -> String {
    shell(
        "slow",
        schedule,
        "echo \"$SCRAPER_RUN_ID $SCRAPER_ATTEMPT $$ $SCRAPER_SCHEDULED_FOR\" >> starts; sleep 30",
        more,
    )
}

#[test]
fn it_registers_fires_and_stops_in_order() {
    let fast = shell(
        "fast",
        "interval: 1s",
        "echo \"$SCRAPER_JOB_ID $SCRAPER_SCHEDULED_FOR $SCRAPER_ATTEMPT\" >> fires",
        "",
    );
    let once = shell("once", "", "echo started >> once", "");
    let program = program(&[fast, once]);
    let running = program.start(&[]);
    until("it has fired three times", || (lines(&program, "fires").len() >= 3).then_some(()));
    running.signal("TERM");
    let ended = running.finish().expect(0);
    assert!(ended.stdout.contains("pipeline_fast"), "the table of jobs: {}", ended.stdout);
    for part in ["registered pipeline_fast", "fired pipeline_fast", "succeeded in", "stopped"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    assert_eq!(lines(&program, "once"), ["started"]);
    let runs = runs(&program);
    let fast: Vec<_> = runs.iter().filter(|run| run["pipeline"] == "fast").collect();
    assert!(fast.iter().all(|run| run["outcome"] == "succeeded" && run["attempt"] == 1), "{runs:?}");
    // What the commands were told is what the history says.
    for (line, run) in lines(&program, "fires").iter().zip(&fast) {
        assert_eq!(*line, format!("pipeline_fast {} 1", run["scheduled_for"].as_str().unwrap()));
    }
    assert_eq!(runs.iter().filter(|run| run["reason"] == "startup").count(), 1);
}

#[test]
fn after_a_kill_the_next_process_takes_the_run_over_at_once() {
    let program = program(&[slow("manual: true", "")]).variable("SCHEDULER_LEASE", "1h");
    let first = program.start(&[]);
    until("it is there", || program.run(&["health"]).code.eq(&0).then_some(()));
    let id = program.run(&["jobs", "run", "slow"]).expect(0).stdout.trim().to_owned();
    until("the run has started", || (lines(&program, "starts").len() == 1).then_some(()));
    first.signal("KILL");
    first.finish().expect(128 + 9);
    let child = lines(&program, "starts")[0].split(' ').nth(2).unwrap().to_owned();
    until("the child has died with its process", || (!lives(&child)).then_some(()));
    let second = program.start(&[]);
    until("the run has started again", || (lines(&program, "starts").len() == 2).then_some(()));
    let starts = lines(&program, "starts");
    assert!(
        starts[0].starts_with(&format!("{id} 1 ")) && starts[1].starts_with(&format!("{id} 2 ")),
        "{starts:?}"
    );
    program.run(&["runs", "cancel", &id]).expect(0);
    let run = until("it is cancelled", || {
        let run = json(&program, &["runs", "show", &id]);
        (run["state"] == "finished").then_some(run)
    });
    assert_eq!(run["outcome"], "cancelled");
    let outcomes: Vec<&str> = run["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["crashed", "cancelled"]);
    let child = starts[1].split(' ').nth(2).unwrap().to_owned();
    until("the second child is gone, too", || (!lives(&child)).then_some(()));
    second.signal("TERM");
    second.finish().expect(0);
}

#[test]
fn a_second_signal_stops_at_once_and_the_run_is_queued_again() {
    let program = program(&[slow("manual: true", "")]);
    let mut running = program.start(&[]);
    running.wait_for("is ready");
    program.run(&["jobs", "run", "slow"]).expect(0);
    until("the run has started", || (lines(&program, "starts").len() == 1).then_some(()));
    running.signal("INT");
    running.wait_for("a second signal stops at once");
    running.signal("INT");
    running.finish().expect(1);
    let runs = runs(&program);
    assert_eq!(
        (&runs[0]["state"], &runs[0]["attempts"][0]["outcome"]),
        (&"queued".into(), &"interrupted".into())
    );
    let child = lines(&program, "starts")[0].split(' ').nth(2).unwrap().to_owned();
    until("no child is left", || (!lives(&child)).then_some(()));
}

#[test]
fn a_run_that_the_grace_cuts_off_is_queued_again_and_the_exit_code_is_0() {
    let program = program(&[slow("manual: true", "")]).variable("SCHEDULER_SHUTDOWN_GRACE", "200ms");
    let mut running = program.start(&[]);
    running.wait_for("is ready");
    program.run(&["jobs", "run", "slow"]).expect(0);
    until("the run has started", || (lines(&program, "starts").len() == 1).then_some(()));
    running.signal("TERM");
    let ended = running.finish().expect(0);
    assert!(ended.stderr.contains("was cut off"), "{}", ended.stderr);
    assert_eq!(runs(&program)[0]["state"], "queued");
}

#[test]
fn two_schedulers_on_one_file_start_each_fire_once() {
    let fast = shell("fast", "interval: 1s", "echo \"$SCRAPER_SCHEDULED_FOR\" >> fires", "");
    let program = program(&[fast]);
    let mut one = program.start(&[]);
    one.wait_for("is ready");
    let mut other = program.start(&[]);
    other.wait_for("is ready");
    until("it has fired six times", || (lines(&program, "fires").len() >= 6).then_some(()));
    one.signal("TERM");
    other.signal("TERM");
    one.finish().expect(0);
    other.finish().expect(0);
    let mut fires = lines(&program, "fires");
    let count = fires.len();
    fires.sort();
    fires.dedup();
    assert_eq!(fires.len(), count, "none twice");
    assert_eq!(runs(&program).iter().filter(|run| run["outcome"] == "succeeded").count(), count);
}

#[test]
fn a_changed_file_is_reloaded_and_a_broken_one_changes_nothing() {
    let one = shell("one", "cron: \"0 0 1 1 *\"", "true", "");
    let two = shell("two", "cron: \"0 0 1 1 *\"", "true", "");
    let program = program(std::slice::from_ref(&one));
    let mut running = program.start(&[]);
    running.wait_for("is ready");
    let ids = || -> Vec<String> {
        let jobs = json(&program, &["jobs", "list"]);
        jobs.as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(), ["pipeline_one"]);
    // Renamed into place, as editors and configuration management do.
    program.write("new.yml", file(&[one.clone(), two.clone()]));
    std::fs::rename(program.folder().join("new.yml"), program.folder().join("pipelines.yml")).unwrap();
    running.wait_for("registered pipeline_two");
    until("the job is there", || (ids() == ["pipeline_one", "pipeline_two"]).then_some(()));
    // A write caught half-way, and a mistake.
    program.write("pipelines.yml", "");
    running.wait_for("was not reloaded");
    program.write("pipelines.yml", file(&[one.replace("0 0 1 1 *", "0 0 31 2 *")]));
    running.wait_for("31");
    assert_eq!(ids(), ["pipeline_one", "pipeline_two"]);
    // By signal.
    program.write("pipelines.yml", file(&[two]));
    running.signal("HUP");
    running.wait_for("removed pipeline_one");
    until("the job is gone", || (ids() == ["pipeline_two"]).then_some(()));
    running.signal("TERM");
    running.finish().expect(0);
}
