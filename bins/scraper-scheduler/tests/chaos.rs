//! Real processes are killed at random, over and over; a checker outside the store counts what was started.
//!
//! Each fire's command appends to a log when it starts and when it ends. Afterwards: one row and one outcome for each
//! (job, instant), none missing, attempts that never overlap, and a second start only where a kill explains it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(
    clippy::disallowed_methods,
    reason = "the checker has a clock of its own, apart from the program's"
)]
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::postgres::PostgresDatabase;

const BINARY: &str = env!("CARGO_BIN_EXE_scraper-scheduler");

/// A small generator with a fixed seed: a failing run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    database: String,
}

impl Fixture {
    fn new(database: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let log = path.join("starts.log");
        // One short line a write: appends of that size do not mix.
        let script = format!(
            "#!/bin/sh\n\
             say() {{ echo \"$1 $SCRAPER_JOB_ID $SCRAPER_SCHEDULED_FOR $SCRAPER_ATTEMPT $(date +%s%N)\" >> '{log}'; }}\n\
             say start\nsleep 0.15\nsay end\n",
            log = log.display()
        );
        std::fs::write(path.join("work.sh"), script).unwrap();
        let job = |name: &str| {
            format!(
                "  {name}:\n    schedule: {{interval: 1s, misfire: {{catch_up: all, max: 1000}}}}\n    overlap: queue\n    retry: {{max_attempts: 50}}\n    \
                 chain:\n      - class: exec.CommandFetcher\n        kwargs: {{command: [sh, '{}']}}\n",
                path.join("work.sh").display()
            )
        };
        let file = format!("pipelines:\n{}{}{}", job("one"), job("two"), job("three"));
        std::fs::write(path.join("pipelines.yml"), file).unwrap();
        let database = database.unwrap_or_else(|| path.join("jobs.db").display().to_string());
        Self { folder, database }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .current_dir(self.folder.path())
            .args(["--config", "pipelines.yml", "--database-url", &self.database])
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("SCHEDULER_LEASE", "3s")
            .stdin(Stdio::null());
        command
    }

    fn start(&self) -> Child {
        let mut child = self.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let mut log = std::fs::File::create(self.path().join(format!("log-{}", child.id()))).unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut log));
        child
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn runs(&self) -> Vec<Value> {
        let output = self.command(&["runs", "list", "--json", "--limit", "0"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn log(&self) -> String {
        let entries = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("log-"));
        let mut lines: Vec<String> = logs
            .flat_map(|path| {
                let text = std::fs::read_to_string(path).unwrap();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        lines.sort();
        lines.split_off(lines.len().saturating_sub(80)).join("\n")
    }
}

/// The identity of a fire: its job and its nominal instant.
type Fire = (String, chrono::DateTime<chrono::Utc>);

/// A line of the commands' own log.
struct Mark {
    start: bool,
    fire: Fire,
    attempt: u32,
    nanos: u128,
}

fn marks(path: &Path) -> Vec<Mark> {
    let text = std::fs::read_to_string(path.join("starts.log")).unwrap_or_default();
    let mark = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, job, instant, attempt, nanos] = words[..] else { panic!("a mixed line: {line}") };
        Mark {
            start: what == "start",
            fire: (job.to_owned(), instant.parse().unwrap()),
            attempt: attempt.parse().unwrap(),
            nanos: nanos.parse().unwrap(),
        }
    };
    text.lines().map(mark).collect()
}

fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Asks a scheduler to stop, once it has come so far that it can be asked.
fn terminate(mut child: Child, fixture: &Fixture) {
    let log = fixture.path().join(format!("log-{}", child.id()));
    let ready = || std::fs::read_to_string(&log).unwrap_or_default().contains(" is ready");
    wait_until("the scheduler is ready", Duration::from_secs(20), ready);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "a scheduler that was asked to stop ended with {status}");
}

/// Whether a run ended as it should: it succeeded, or found one running and one waiting already; what a shutdown
/// cut off waits for the next scheduler.
fn is_well(run: &Value) -> bool {
    run["state"] == "queued" || run["outcome"] == "succeeded" || run["outcome"] == "skipped"
}

/// Kills schedulers at random for a while, lets one finish what is left, and checks all.
fn survive(fixture: &Fixture, schedulers: usize, kills: usize) {
    let mut random = Random(0x5eed);
    let mut children: Vec<Child> = (0..schedulers).map(|_| fixture.start()).collect();
    let mut killed_at = Vec::new();
    for _ in 0..kills {
        let seen = marks(fixture.path()).len();
        // Somewhere after the next few marks: in the middle of fires, claims, starts and ends.
        let more = 1 + random.below(6) as usize;
        wait_until("commands go on", Duration::from_secs(40), || marks(fixture.path()).len() >= seen + more);
        std::thread::park_timeout(Duration::from_millis(random.below(120)));
        let victim = random.below(schedulers as u64) as usize;
        children[victim].kill().unwrap();
        children[victim].wait().unwrap();
        killed_at
            .push(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos());
        children[victim] = fixture.start();
    }
    // What was left behind is taken up when the leases have ended.
    let backlog = |runs: &[Value]| {
        let old = runs.iter().filter(|run| run["state"] != "finished");
        old.filter(|run| run["attempt"].as_u64().unwrap_or(0) > 1).count()
    };
    wait_until("nothing is left behind", Duration::from_secs(40), || backlog(&fixture.runs()) == 0);
    for child in children {
        terminate(child, fixture);
    }

    let runs = fixture.runs();
    let marks = marks(fixture.path());
    let context = || format!("\n--- log of the schedulers ---\n{}", fixture.log());

    let mut rows = BTreeMap::new();
    for run in runs.iter().filter(|run| run["outcome"] != "missed") {
        let instant = run["scheduled_for"].as_str().unwrap().parse().unwrap();
        let fire: Fire = (run["job_id"].as_str().unwrap().to_owned(), instant);
        assert!(rows.insert(fire.clone(), run).is_none(), "two rows for {fire:?}{}", context());
    }
    for mark in &marks {
        assert!(rows.contains_key(&mark.fire), "{:?} was started without a row{}", mark.fire, context());
    }

    // None lost: the instants of each job follow each other by one second.
    let mut by_job: BTreeMap<&str, BTreeSet<chrono::DateTime<chrono::Utc>>> = BTreeMap::new();
    for (job, instant) in rows.keys() {
        by_job.entry(job).or_default().insert(*instant);
    }
    assert_eq!(by_job.len(), 3, "{}", context());
    for (job, instants) in by_job {
        let instants: Vec<_> = instants.into_iter().collect();
        for pair in instants.windows(2) {
            let gap = (pair[1] - pair[0]).num_milliseconds();
            assert_eq!(gap, 1000, "{job} lost a fire between {} and {}{}", pair[0], pair[1], context());
        }
    }

    for (fire, run) in &rows {
        assert!(is_well(run), "{fire:?}: {run}{}", context());
    }

    let mut starts: BTreeMap<&Fire, Vec<&Mark>> = BTreeMap::new();
    for mark in &marks {
        starts.entry(&mark.fire).or_default().push(mark);
    }
    for (fire, marks) in starts {
        let first: Vec<_> = marks.iter().filter(|mark| mark.start).collect();
        for pair in first.windows(2) {
            assert!(
                pair[0].attempt < pair[1].attempt,
                "{fire:?}: the same attempt started twice{}",
                context()
            );
            let explained = killed_at.iter().any(|at| *at <= pair[1].nanos);
            assert!(explained, "{fire:?}: a second start that no kill explains{}", context());
        }
        for end in marks.iter().filter(|mark| !mark.start) {
            let overlap = first.iter().find(|start| start.attempt > end.attempt && start.nanos < end.nanos);
            assert!(overlap.is_none(), "{fire:?}: attempts overlapped{}", context());
        }
    }
}

#[test]
fn killed_on_sqlite() {
    survive(&Fixture::new(None), 1, 25);
}

#[test]
fn two_schedulers_killed_on_one_sqlite_file() {
    survive(&Fixture::new(None), 2, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_schedulers_killed_on_postgresql() {
    let Some(database) = PostgresDatabase::create().await else { return };
    let url = database.url();
    tokio::task::spawn_blocking(move || survive(&Fixture::new(Some(url)), 3, 20)).await.unwrap();
}

/// A scheduler is frozen beyond its lease, with its command; another takes over; what the first does when it
/// wakes changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_frozen_beyond_its_lease_writes_nothing_more() {
    let Some(database) = PostgresDatabase::create().await else { return };
    let url = database.url();
    tokio::task::spawn_blocking(move || {
        let fixture = Fixture::new(Some(url));
        let first = fixture.start();
        let frozen = rustix::process::Pid::from_child(&first);
        let started = || marks(fixture.path()).iter().filter(|mark| mark.start).count();
        wait_until("runs start", Duration::from_secs(20), || started() >= 3);
        rustix::process::kill_process(frozen, rustix::process::Signal::STOP).unwrap();
        let second = fixture.start();
        let before = started();
        // Leases of 3 s end; the second scheduler goes on with everything.
        wait_until("the other takes over", Duration::from_secs(40), || started() >= before + 15);
        rustix::process::kill_process(frozen, rustix::process::Signal::CONT).unwrap();
        let before = started();
        wait_until("both go on", Duration::from_secs(40), || started() >= before + 10);
        terminate(first, &fixture);
        terminate(second, &fixture);
        let mut seen = BTreeSet::new();
        for run in fixture.runs().iter().filter(|run| run["outcome"] != "missed") {
            let fire = format!("{} {}", run["job_id"], run["scheduled_for"]);
            assert!(seen.insert(fire.clone()), "two rows for {fire}");
            assert!(is_well(run), "{run}\n{}", fixture.log());
        }
        let mut starts: BTreeMap<(Fire, u32), usize> = BTreeMap::new();
        for mark in marks(fixture.path()).into_iter().filter(|mark| mark.start) {
            *starts.entry((mark.fire, mark.attempt)).or_default() += 1;
        }
        assert!(starts.values().all(|count| *count == 1), "an attempt was started twice");
    })
    .await
    .unwrap();
}
