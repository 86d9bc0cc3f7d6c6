//! Retries, time-outs, panics, cancellations.

use std::num::NonZeroU32;
use std::time::Duration;

use engine::{Cancelling, Pipeline};
use jobstore::{AttemptOutcome, Outcome};
use pipeline_core::config::{OnCrash, RetryPolicy};
use pipeline_core::{Chain, Emitter, Fetcher, HumanDuration, StageContext, StageError, fetcher};

use crate::world::{World, cron, same};

fn retry(max_attempts: u32, on_crash: OnCrash) -> RetryPolicy {
    RetryPolicy {
        max_attempts: NonZeroU32::new(max_attempts).unwrap(),
        backoff: HumanDuration(Duration::from_secs(100)),
        on_crash,
        ..RetryPolicy::default()
    }
}

fn at_nine(world: &World) -> Pipeline {
    world.pipeline("books").scheduled(cron("0 9 * * *", "UTC"))
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_with_growing_pauses_and_are_one_run() {
    let world = World::new("2026-01-01 08:59").await;
    world.script.fails("books", 2);
    let process = world.start([at_nine(&world).retry(retry(3, OnCrash::Rerun))]).await;
    world.until("2026-01-01 09:30").await;
    let starts = world.script.starts();
    let seconds: Vec<i64> =
        starts.iter().map(|start| (start.at - start.scheduled_for).num_seconds()).collect();
    assert_eq!(seconds[0], 0);
    assert!((80..=120).contains(&seconds[1]), "100 s ± 20 %: {seconds:?}");
    assert!((160..=240).contains(&(seconds[2] - seconds[1])), "200 s ± 20 %: {seconds:?}");
    let runs = process.handle.runs(jobstore::RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].record.outcome, Some(Outcome::Succeeded));
    let outcomes: Vec<_> = runs[0].attempts.iter().map(|attempt| attempt.outcome.unwrap()).collect();
    assert_eq!(outcomes, [AttemptOutcome::Failed, AttemptOutcome::Failed, AttemptOutcome::Succeeded]);
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_its_retry_counts_as_running_and_holds_no_slot() {
    let mut world = World::new("2026-01-01 08:59").await;
    world.settings.max_concurrent_runs = 1;
    world.script.fails("books", 1);
    let books = world.pipeline("books").scheduled(cron("* 9 * * *", "UTC")).retry(retry(2, OnCrash::Rerun));
    let other = world.pipeline("other").scheduled(cron("1 9 * * *", "UTC"));
    let process = world.start([books, other]).await;
    world.until("2026-01-01 09:01:15").await;
    process.stop().await;
    let lines = world.lines_of(&["fired", "skipped", "attempt_started"]);
    same(
        &lines,
        "
        2026-01-01 09:00:00 fired pipeline_books 01-01T09:00:00 schedule
        2026-01-01 09:00:00 attempt_started pipeline_books 01-01T09:00:00 #1 late 0s
        2026-01-01 09:01:00 skipped pipeline_books 01-01T09:01:00
        2026-01-01 09:01:00 fired pipeline_other 01-01T09:01:00 schedule
        2026-01-01 09:01:00 attempt_started pipeline_other 01-01T09:01:00 #1 late 0s
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_the_outcome_with_its_error() {
    let world = World::new("2026-01-01 08:59").await;
    world.script.fails("books", 9);
    let process = world.start([at_nine(&world)]).await;
    world.until("2026-01-01 09:01").await;
    let runs = process.handle.runs(jobstore::RunFilter::default()).await.unwrap();
    assert_eq!(runs[0].record.outcome, Some(Outcome::Failed));
    let error = runs[0].record.error.as_deref().unwrap();
    assert!(error.contains("test.Scripted") && error.contains("told to fail"), "{error}");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_past_its_timeout_is_cut_off() {
    let world = World::new("2026-01-01 08:59").await;
    world.script.takes("books", "1h");
    let process = world.start([at_nine(&world).timeout(Duration::from_secs(90))]).await;
    world.until("2026-01-01 09:05").await;
    same(
        &world.lines_of(&["finished"]),
        "2026-01-01 09:01:30 finished pipeline_books 01-01T09:00:00 #1 timed_out",
    );
    assert!(process.handle.live().is_empty(), "its slot is free");
    process.stop().await;
}

struct Panics;

impl Fetcher for Panics {
    async fn fetch(&mut self, _: &StageContext, _: &mut Emitter) -> Result<(), StageError> {
        panic!("oh no");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_run_only() {
    let world = World::new("2026-01-01 08:59").await;
    let every_minute = || cron("* * * * *", "UTC");
    let panics = || Ok(Chain::new().stage("test.Panics", fetcher(Panics)));
    let process = world
        .start([
            Pipeline::new("bad", panics).scheduled(every_minute()),
            Pipeline::new("worse", || panic!("not even a chain")).scheduled(every_minute()),
            Pipeline::new("broken", || Err("no such class".to_owned())).scheduled(every_minute()),
            world.pipeline("good").scheduled(every_minute()),
        ])
        .await;
    world.until("2026-01-01 09:01:30").await;
    let runs = process.handle.runs(jobstore::RunFilter::default()).await.unwrap();
    let of = |name: &str| {
        let runs = runs.iter().filter(|run| run.record.pipeline == name);
        runs.map(|run| (run.record.outcome.unwrap(), run.record.error.clone().unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    for (name, part) in [("bad", "oh no"), ("worse", "not even a chain"), ("broken", "no such class")] {
        let found = of(name);
        assert_eq!(found.len(), 2, "{name}");
        assert!(found.iter().all(|(outcome, error)| *outcome == Outcome::Failed && error.contains(part)));
    }
    assert!(of("good").iter().all(|(outcome, _)| *outcome == Outcome::Succeeded));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_person_cancels_what_runs_and_what_waits() {
    let mut world = World::new("2026-01-01 08:59").await;
    world.settings.max_concurrent_runs = 1;
    world.script.takes("books", "1h");
    let process =
        world.start([at_nine(&world), world.pipeline("other").scheduled(cron("5 9 * * *", "UTC"))]).await;
    world.until("2026-01-01 09:10").await;
    let runs = process.handle.runs(jobstore::RunFilter::default()).await.unwrap();
    let id = |name: &str| runs.iter().find(|run| run.record.pipeline == name).unwrap().record.id;
    let anna = || Some("anna".to_owned());
    assert_eq!(process.handle.cancel_run(id("other"), anna()).await.unwrap(), Cancelling::Done);
    assert_eq!(process.handle.cancel_run(id("books"), anna()).await.unwrap(), Cancelling::Requested);
    world.until("2026-01-01 09:11").await;
    for name in ["books", "other"] {
        let run = process.handle.run(id(name)).await.unwrap().record;
        assert_eq!(run.outcome, Some(Outcome::Cancelled), "{name}");
    }
    let again = process.handle.cancel_run(id("books"), anna()).await.unwrap_err();
    assert!(again.to_string().ends_with("is over already: cancelled"), "{again}");
    assert!(process.handle.live().is_empty());
    process.stop().await;
}
