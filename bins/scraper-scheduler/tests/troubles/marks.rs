//! What the commands of the pipelines write down themselves, and whether the store tells the same.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use test_support::process::Program;

use crate::world::{lines, shell};

/// A pipeline whose command notes its start and its end, with `work` in between.
pub(crate) fn noting(name: &str, schedule: &str, work: &str, more: &str) -> String {
    let note = |what: &str| {
        format!("echo {what} $SCRAPER_JOB_ID $SCRAPER_SCHEDULED_FOR $SCRAPER_ATTEMPT $$ >> marks")
    };
    shell(name, schedule, &format!("{}; {work}; {}", note("start"), note("end")), more)
}

/// A job and a nominal instant.
pub(crate) type Fire = (String, DateTime<Utc>);

/// A line that a command wrote.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) start: bool,
    pub(crate) fire: Fire,
    pub(crate) attempt: u64,
    /// The process id of the command.
    pub(crate) child: String,
}

/// All lines so far, in their order.
pub(crate) fn marks(program: &Program) -> Vec<Mark> {
    let read = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, job, instant, attempt, child] = words[..] else { panic!("a mixed line: {line}") };
        Mark {
            start: what == "start",
            fire: (job.to_owned(), instant.parse().unwrap()),
            attempt: attempt.parse().unwrap(),
            child: child.to_owned(),
        }
    };
    lines(program, "marks").iter().map(read).collect()
}

/// The starts of a job so far.
pub(crate) fn starts(program: &Program, job: &str) -> Vec<Mark> {
    marks(program).into_iter().filter(|mark| mark.start && mark.fire.0 == job).collect()
}

/// Compares what was started with what the store tells, for jobs that fire each second: one row for each instant or its
/// place in a row of missed ones, none lost, none twice; one outcome each; one start of each attempt, and none without
/// a row; where `once`, no second attempts.
pub(crate) fn check(program: &Program, runs: &[Value], jobs: &[&str], once: bool) {
    let marks = marks(program);
    let mut rows: BTreeMap<Fire, &Value> = BTreeMap::new();
    let mut instants: BTreeMap<&str, Vec<DateTime<Utc>>> = BTreeMap::new();
    let at = |value: &Value| value.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    for run in runs {
        let job = run["job_id"].as_str().or(run["pipeline"].as_str()).unwrap();
        let covered = instants.entry(job).or_default();
        if run["outcome"] == "missed" {
            let (first, last, count) = (at(&run["first"]), at(&run["last"]), run["count"].as_i64().unwrap());
            assert_eq!((last - first).num_seconds() + 1, count, "{run}");
            covered.extend((0..count).map(|n| first + TimeDelta::seconds(n)));
            continue;
        }
        let instant = at(&run["scheduled_for"]);
        covered.push(instant);
        assert!(rows.insert((job.to_owned(), instant), run).is_none(), "two rows: {run}");
        match run["state"].as_str().unwrap() {
            // A shutdown leaves it to the next scheduler.
            "queued" => {}
            "finished" => assert!(["succeeded", "skipped"].iter().any(|o| run["outcome"] == *o), "{run}"),
            other => panic!("{other} after the end: {run}"),
        }
    }
    for job in jobs {
        let mut covered = instants.remove(job).unwrap_or_else(|| panic!("{job} has no rows"));
        covered.sort();
        for pair in covered.windows(2) {
            assert_eq!((pair[1] - pair[0]).num_milliseconds(), 1000, "{job}: {} and {}", pair[0], pair[1]);
        }
    }
    let mut attempts = BTreeSet::new();
    for mark in &marks {
        assert!(rows.contains_key(&mark.fire), "without a row: {mark:?}");
        assert!(attempts.insert((mark.start, mark.fire.clone(), mark.attempt)), "started twice: {mark:?}");
        assert!(!once || mark.attempt == 1, "a second attempt: {mark:?}");
    }
    for (fire, run) in rows.iter().filter(|(_, run)| run["outcome"] == "succeeded") {
        let last = run["attempt"].as_u64().unwrap();
        assert!(attempts.contains(&(true, fire.clone(), last)), "never started: {run}");
        assert!(attempts.contains(&(false, fire.clone(), last)), "never ended: {run}");
    }
}
