//! PostgreSQL stops, starts again, freezes, or breaks all connections.

use test_support::cluster::{PostgresCluster, Shutdown};
use test_support::postgres::PostgresDatabase;
use test_support::process::{Program, Running};

use crate::marks::{check, marks, noting, starts};
use crate::world::{free_port, get, lives, program, runs, until};

/// Two jobs each second, one that is caught up as a whole and one whose latest fire is; and a run by hand.
fn each_second(url: &str, lease: &str, work: &str) -> (Program, u16) {
    let all = "interval: 1s, misfire: {catch_up: all, max: 1000}";
    let port = free_port();
    let program = program(&[
        noting("latest", "interval: 1s", "sleep 0.1", "    overlap: queue\n"),
        noting("all", all, "sleep 0.1", "    overlap: queue\n"),
        noting("long", "manual: true", work, ""),
    ])
    .variable("SCHEDULER_DB_URL", url)
    .variable("SCHEDULER_LEASE", lease)
    .variable("SCHEDULER_HTTP_ADDR", format!("127.0.0.1:{port}"));
    (program, port)
}

const JOBS: [&str; 2] = ["pipeline_latest", "pipeline_all"];

/// Waits until each of the jobs has started so often more.
fn go_on(program: &Program, more: usize) {
    for job in JOBS {
        let before = starts(program, job).len();
        until("the jobs go on", || (starts(program, job).len() >= before + more).then_some(()));
    }
}

fn begin(program: &Program, long_starts: usize) -> (Running, String) {
    let mut running = program.start(&[]);
    running.wait_for("is ready");
    let id = program.run(&["jobs", "run", "long"]).expect(0).stdout.trim().to_owned();
    until("the long run starts", || (starts(program, "long").len() == long_starts).then_some(()));
    go_on(program, 2);
    (running, id)
}

fn ready(port: u16) -> Option<()> {
    (get(port, "/readyz")?.0 == 200).then_some(())
}

/// Waits until it says that it is not ready, and why; nobody shall restart it for that.
fn away(port: u16) {
    let (_, why) = until("it is not ready", || get(port, "/readyz").filter(|(status, _)| *status == 503));
    assert_eq!(why, "the job store cannot be reached\n");
    assert_eq!(get(port, "/healthz").unwrap().0, 200);
}

fn stop(running: Running) -> String {
    running.signal("TERM");
    let ended = running.finish().expect(0);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended.stderr
}

/// One line tells of the beginning, one of the end, and between them nobody complains.
#[track_caller]
fn told_once(log: &str) {
    let lines: Vec<&str> = log.lines().collect();
    let found = |part: &str| -> Vec<usize> {
        lines.iter().enumerate().filter(|(_, line)| line.contains(part)).map(|(at, _)| at).collect()
    };
    let (lost, back) = (found("nothing new starts until it is back"), found("the job store is back after"));
    assert_eq!((lost.len(), back.len()), (1, 1), "{log}");
    let loud = |line: &&&str| line.contains("ERROR") || line.contains("WARN");
    let complaints: Vec<_> = lines[lost[0] + 1..back[0]].iter().filter(loud).collect();
    assert!(complaints.is_empty(), "{complaints:#?}\n{log}");
}

fn survives_a_restart(how: Shutdown) {
    let Some(cluster) = PostgresCluster::start() else { return };
    let (program, port) = each_second(&cluster.url(), "30s", "sleep 9");
    let (running, long) = begin(&program, 1);
    until("it is ready", || ready(port));
    cluster.stop(how);
    away(port);
    // What was running goes on, and ends, while nothing is there that could be told of it; nothing else starts.
    let begun = marks(&program).iter().filter(|mark| mark.start).count();
    let ended = |job: &str| marks(&program).iter().any(|mark| !mark.start && mark.fire.0 == job);
    until("the long run has ended", || ended("long").then_some(()));
    away(port);
    assert_eq!(marks(&program).iter().filter(|mark| mark.start).count(), begun, "something new was started");
    cluster.start_again();
    until("it is ready again", || ready(port));
    go_on(&program, 3);
    let shown = program.run(&["runs", "show", &long, "--json"]).expect(0).json();
    assert_eq!((&shown["outcome"], &shown["attempt"]), (&"succeeded".into(), &1.into()), "{shown}");
    let log = stop(running);
    told_once(&log);
    check(&program, &runs(&program), &JOBS, true);
    // One is caught up as a whole, of the other only the latest fire.
    let missed = program.run(&["runs", "list", "--outcome", "missed", "--json"]).expect(0).json();
    let missed: Vec<_> = missed.as_array().unwrap().iter().map(|run| run["pipeline"].clone()).collect();
    assert_eq!(missed, ["latest"], "{log}");
}

#[test]
fn a_server_that_is_stopped_and_started_again() {
    survives_a_restart(Shutdown::Fast);
}

#[test]
fn a_server_that_crashes_and_recovers() {
    survives_a_restart(Shutdown::Immediate);
}

/// Another scheduler may reach the server when this one does not: its runs stop before their leases end.
#[test]
fn an_outage_longer_than_the_lease_stops_what_runs_and_it_runs_again() {
    let Some(cluster) = PostgresCluster::start() else { return };
    let (program, port) = each_second(&cluster.url(), "4s", "test $SCRAPER_ATTEMPT = 2 || sleep 300");
    let (running, long) = begin(&program, 1);
    let child = starts(&program, "long")[0].child.clone();
    cluster.stop(Shutdown::Immediate);
    away(port);
    until("the child is gone", || (!lives(&child)).then_some(()));
    assert_eq!(starts(&program, "long").len(), 1);
    cluster.start_again();
    until("it is ready again", || ready(port));
    let shown = until("it has run again", || {
        let shown = program.run(&["runs", "show", &long, "--json"]).expect(0).json();
        (shown["state"] == "finished").then_some(shown)
    });
    assert_eq!((&shown["outcome"], &shown["attempt"]), (&"succeeded".into(), &2.into()), "{shown}");
    go_on(&program, 2);
    let log = stop(running);
    assert!(log.contains("its lease ends and cannot be renewed"), "{log}");
    check(&program, &runs(&program), &JOBS, false);
}

/// A server that takes connections and then says nothing, as on a machine that swaps or is suspended.
#[test]
fn a_server_that_freezes() {
    let Some(cluster) = PostgresCluster::start() else { return };
    let (program, port) = each_second(&cluster.url(), "30s", "sleep 5");
    let (running, _) = begin(&program, 1);
    cluster.signal("STOP");
    away(port);
    cluster.signal("CONT");
    until("it is ready again", || ready(port));
    go_on(&program, 3);
    told_once(&stop(running));
    check(&program, &runs(&program), &JOBS, true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_broken_again_and_again() {
    const BREAK: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let Some(database) = PostgresDatabase::create().await else { return };
    let (program, port) = each_second(&database.url(), "30s", "sleep 5");
    let (running, _) = begin(&program, 1);
    for _ in 0..15 {
        let seen = marks(&program).len();
        until("commands go on", || (marks(&program).len() > seen).then_some(()));
        // Several at a time, so that those that were just made are hit as well.
        for _ in 0..5 {
            database.execute(BREAK).await;
        }
    }
    go_on(&program, 2);
    until("it is ready", || ready(port));
    stop(running);
    check(&program, &runs(&program), &JOBS, true);
}
