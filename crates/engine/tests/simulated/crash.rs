//! Processes that die, and processes that stop.

use std::num::NonZeroU32;
use std::time::Duration;

use engine::{Pipeline, Stopped};
use jobstore::{AttemptOutcome, Outcome, RunFilter};
use pipeline_core::config::{OnCrash, RetryPolicy};

use crate::world::{World, cron, same};

fn slow(world: &World, max_attempts: u32, on_crash: OnCrash) -> Pipeline {
    world.script.takes("books", "10m");
    let max_attempts = NonZeroU32::new(max_attempts).unwrap();
    world.pipeline("books").scheduled(cron("0 9 * * *", "UTC")).retry(RetryPolicy {
        max_attempts,
        on_crash,
        ..RetryPolicy::default()
    })
}

async fn world() -> World {
    let mut world = World::new("2026-01-01 08:59").await;
    world.settings.lease = Duration::from_secs(30);
    world
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_process_died_runs_again_when_the_lease_has_ended() {
    let world = world().await;
    let process = world.start([slow(&world, 1, OnCrash::Rerun)]).await;
    world.until("2026-01-01 09:05").await;
    process.kill().await;
    world.lines();
    let process = world.start([slow(&world, 1, OnCrash::Rerun)]).await;
    world.until("2026-01-01 09:30").await;
    let lines = world.lines_of(&["fired", "rescued", "attempt_started", "finished"]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].ends_with("rescued books #1 queued"), "{lines:?}");
    let start = world.script.starts()[1].clone();
    assert_eq!(start.attempt, 2);
    let silent = (start.at - crate::world::at("2026-01-01 09:05")).num_seconds();
    assert!((20..=45).contains(&silent), "after the lease and not much later: {silent}");
    assert!(lines[2].ends_with("finished pipeline_books 01-01T09:00:00 #2 succeeded"), "{lines:?}");
    let run = &process.handle.runs(RunFilter::default()).await.unwrap()[0];
    let outcomes: Vec<_> = run.attempts.iter().map(|attempt| attempt.outcome.unwrap()).collect();
    assert_eq!(outcomes, [AttemptOutcome::Crashed, AttemptOutcome::Succeeded]);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn crashes_use_up_the_attempts_and_one_more_where_there_is_one_only() {
    for (max_attempts, expected) in [(1, 2), (2, 2), (3, 3)] {
        let world = world().await;
        for _ in 0..6 {
            let process = world.start([slow(&world, max_attempts, OnCrash::Rerun)]).await;
            world.clock_on("2m").await;
            process.kill().await;
        }
        assert_eq!(world.script.starts().len(), expected, "max_attempts: {max_attempts}");
        let run = world.only_run().await;
        assert_eq!(run.outcome, Some(Outcome::Abandoned), "max_attempts: {max_attempts}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_must_not_be_repeated_is_abandoned() {
    let world = world().await;
    let process = world.start([slow(&world, 3, OnCrash::Abandon)]).await;
    world.until("2026-01-01 09:05").await;
    process.kill().await;
    let process = world.start([slow(&world, 3, OnCrash::Abandon)]).await;
    world.until("2026-01-01 09:07").await;
    assert_eq!(world.script.starts().len(), 1);
    assert_eq!(world.only_run().await.outcome, Some(Outcome::Abandoned));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_chains_end_within_the_grace() {
    let world = world().await;
    let process = world.start([slow(&world, 1, OnCrash::Rerun)]).await;
    world.until("2026-01-01 09:09:45").await;
    assert_eq!(process.stop().await, Stopped::Drained);
    same(
        &world.lines_of(&["stopping", "finished", "stopped"]),
        "
        2026-01-01 09:09:45 stopping
        2026-01-01 09:10:00 finished pipeline_books 01-01T09:00:00 #1 succeeded
        2026-01-01 09:10:00 stopped
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_after_the_grace_runs_again_at_the_next_start_and_uses_up_no_retry() {
    let world = world().await;
    let process = world.start([slow(&world, 1, OnCrash::Rerun)]).await;
    world.until("2026-01-01 09:02").await;
    assert_eq!(process.stop().await, Stopped::Drained);
    world.until("2026-01-01 09:03").await;
    let process = world.start([slow(&world, 1, OnCrash::Rerun)]).await;
    world.until("2026-01-01 09:20").await;
    process.stop().await;
    same(
        &world.lines_of(&["interrupted", "attempt_started", "finished", "stopped"]),
        "
        2026-01-01 09:00:00 attempt_started pipeline_books 01-01T09:00:00 #1 late 0s
        2026-01-01 09:02:30 interrupted pipeline_books 01-01T09:00:00 #1
        2026-01-01 09:02:30 stopped
        2026-01-01 09:03:00 attempt_started pipeline_books 01-01T09:00:00 #2 late 30s
        2026-01-01 09:13:00 finished pipeline_books 01-01T09:00:00 #2 succeeded
        2026-01-01 09:20:00 stopped
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_cuts_off_at_once() {
    let world = world().await;
    let process = world.start([slow(&world, 1, OnCrash::Rerun)]).await;
    world.until("2026-01-01 09:02").await;
    process.drain();
    world.until("2026-01-01 09:02:05").await;
    process.cut_off();
    assert_eq!(process.ended().await, Stopped::CutOff);
    assert_eq!(world.clock_text(), "2026-01-01 09:02:05");
    assert_eq!(world.only_run().await.state, jobstore::RunState::Queued, "no deploy loses a run");
}
