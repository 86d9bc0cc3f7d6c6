//! Runs of one pipeline that would overlap, limits, slots.

use std::num::NonZeroU32;

use engine::Pipeline;
use pipeline_core::config::{LimitGroup, Overlap};

use crate::world::{World, cron, same};

/// A pipeline that fires every ten minutes and takes 15.
fn slow(world: &World, overlap: Overlap) -> Pipeline {
    world.script.takes("books", "15m");
    world.pipeline("books").scheduled(cron("*/10 * * * *", "UTC")).overlap(overlap)
}

/// What happens from 09:05 to 09:48.
async fn lived(overlap: Overlap) -> Vec<String> {
    let world = World::new("2026-01-01 09:05").await;
    let process = world.start([slow(&world, overlap)]).await;
    world.until("2026-01-01 09:48").await;
    let lines = world.lines_of(&["fired", "skipped", "attempt_started", "finished"]);
    process.kill().await;
    lines
}

#[tokio::test(start_paused = true)]
async fn skip() {
    same(
        &lived(Overlap::Skip).await,
        "
        2026-01-01 09:10:00 fired pipeline_books 01-01T09:10:00 schedule
        2026-01-01 09:10:00 attempt_started pipeline_books 01-01T09:10:00 #1 late 0s
        2026-01-01 09:20:00 skipped pipeline_books 01-01T09:20:00
        2026-01-01 09:25:00 finished pipeline_books 01-01T09:10:00 #1 succeeded
        2026-01-01 09:30:00 fired pipeline_books 01-01T09:30:00 schedule
        2026-01-01 09:30:00 attempt_started pipeline_books 01-01T09:30:00 #1 late 0s
        2026-01-01 09:40:00 skipped pipeline_books 01-01T09:40:00
        2026-01-01 09:45:00 finished pipeline_books 01-01T09:30:00 #1 succeeded
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn queue() {
    same(
        &lived(Overlap::Queue).await,
        "
        2026-01-01 09:10:00 fired pipeline_books 01-01T09:10:00 schedule
        2026-01-01 09:10:00 attempt_started pipeline_books 01-01T09:10:00 #1 late 0s
        2026-01-01 09:20:00 fired pipeline_books 01-01T09:20:00 schedule
        2026-01-01 09:25:00 finished pipeline_books 01-01T09:10:00 #1 succeeded
        2026-01-01 09:25:00 attempt_started pipeline_books 01-01T09:20:00 #1 late 300s
        2026-01-01 09:30:00 fired pipeline_books 01-01T09:30:00 schedule
        2026-01-01 09:40:00 finished pipeline_books 01-01T09:20:00 #1 succeeded
        2026-01-01 09:40:00 fired pipeline_books 01-01T09:40:00 schedule
        2026-01-01 09:40:00 attempt_started pipeline_books 01-01T09:30:00 #1 late 600s
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn replace() {
    same(
        &lived(Overlap::Replace).await,
        "
        2026-01-01 09:10:00 fired pipeline_books 01-01T09:10:00 schedule
        2026-01-01 09:10:00 attempt_started pipeline_books 01-01T09:10:00 #1 late 0s
        2026-01-01 09:20:00 fired pipeline_books 01-01T09:20:00 schedule replaces 1
        2026-01-01 09:20:00 finished pipeline_books 01-01T09:10:00 #1 cancelled
        2026-01-01 09:20:00 attempt_started pipeline_books 01-01T09:20:00 #1 late 0s
        2026-01-01 09:30:00 fired pipeline_books 01-01T09:30:00 schedule replaces 1
        2026-01-01 09:30:00 finished pipeline_books 01-01T09:20:00 #1 cancelled
        2026-01-01 09:30:00 attempt_started pipeline_books 01-01T09:30:00 #1 late 0s
        2026-01-01 09:40:00 fired pipeline_books 01-01T09:40:00 schedule replaces 1
        2026-01-01 09:40:00 finished pipeline_books 01-01T09:30:00 #1 cancelled
        2026-01-01 09:40:00 attempt_started pipeline_books 01-01T09:40:00 #1 late 0s
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn allow_runs_so_many_beside_one_another_and_skips_the_rest() {
    let world = World::new("2026-01-01 09:05").await;
    let pipeline = Pipeline { max_instances: 2, ..slow(&world, Overlap::Allow) };
    world.script.takes("books", "25m");
    let process = world.start([pipeline]).await;
    world.until("2026-01-01 09:48").await;
    same(
        &world.lines_of(&["fired", "skipped", "attempt_started", "finished"]),
        "
        2026-01-01 09:10:00 fired pipeline_books 01-01T09:10:00 schedule
        2026-01-01 09:10:00 attempt_started pipeline_books 01-01T09:10:00 #1 late 0s
        2026-01-01 09:20:00 fired pipeline_books 01-01T09:20:00 schedule
        2026-01-01 09:20:00 attempt_started pipeline_books 01-01T09:20:00 #1 late 0s
        2026-01-01 09:30:00 skipped pipeline_books 01-01T09:30:00
        2026-01-01 09:35:00 finished pipeline_books 01-01T09:10:00 #1 succeeded
        2026-01-01 09:40:00 fired pipeline_books 01-01T09:40:00 schedule
        2026-01-01 09:40:00 attempt_started pipeline_books 01-01T09:40:00 #1 late 0s
        2026-01-01 09:45:00 finished pipeline_books 01-01T09:20:00 #1 succeeded
        ",
    );
    process.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_run_waits_over_a_shutdown() {
    let world = World::new("2026-01-01 09:05").await;
    let process = world.start([slow(&world, Overlap::Queue)]).await;
    world.until("2026-01-01 09:24:50").await;
    // The first run ends within the grace; the waiting one is not started any more.
    process.stop().await;
    world.until("2026-01-01 09:28").await;
    let process = world.start([slow(&world, Overlap::Queue)]).await;
    world.until("2026-01-01 09:29").await;
    same(
        &world.lines_of(&["fired", "skipped", "attempt_started", "finished", "stopped"]),
        "
        2026-01-01 09:10:00 fired pipeline_books 01-01T09:10:00 schedule
        2026-01-01 09:10:00 attempt_started pipeline_books 01-01T09:10:00 #1 late 0s
        2026-01-01 09:20:00 fired pipeline_books 01-01T09:20:00 schedule
        2026-01-01 09:25:00 finished pipeline_books 01-01T09:10:00 #1 succeeded
        2026-01-01 09:25:00 stopped
        2026-01-01 09:28:00 attempt_started pipeline_books 01-01T09:20:00 #1 late 480s
        ",
    );
    process.kill().await;
}

#[tokio::test(start_paused = true)]
async fn by_hand_a_pipeline_that_runs_is_refused() {
    let world = World::new("2026-01-01 09:05").await;
    let process = world.start([slow(&world, Overlap::Skip)]).await;
    let queued = process.handle.run_now("books", Some("anna".into())).await.unwrap();
    world.settle().await;
    let refused = process.handle.run_now("books", None).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("pipeline 'books' is already running (run {})", queued.run.id));
    // A run by hand counts for the overlap of the fires, too.
    world.until("2026-01-01 09:15").await;
    same(
        &world.lines_of(&["fired", "skipped", "requested"]),
        "
        2026-01-01 09:05:00 requested books 01-01T09:05:00 manual
        2026-01-01 09:10:00 skipped pipeline_books 01-01T09:10:00
        ",
    );
    process.kill().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_than_slots_and_none_is_lost() {
    let mut world = World::new("2026-01-01 08:59").await;
    world.settings.max_concurrent_runs = 2;
    let pipelines = (0..5).map(|n| {
        let name = format!("p{n}");
        world.script.takes(&name, "1m");
        world.pipeline(&name).scheduled(cron("0 9 * * *", "UTC"))
    });
    let process = world.start(pipelines).await;
    world.until("2026-01-01 09:10").await;
    process.stop().await;
    let starts = world.script.starts();
    let minutes: Vec<i64> =
        starts.iter().map(|start| (start.at - start.scheduled_for).num_minutes()).collect();
    assert_eq!(minutes, [0, 0, 1, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_group_is_shared_by_pipelines_and_schedulers() {
    let world = World::new("2026-01-01 08:59").await;
    let pipelines = || {
        (0..4).map(|n| {
            let name = format!("p{n}");
            world.script.takes(&name, "1m");
            let group = LimitGroup { name: "site".into(), max: NonZeroU32::new(1).unwrap() };
            Pipeline { limit_group: Some(group), ..world.pipeline(&name).scheduled(cron("0 9 * * *", "UTC")) }
        })
    };
    let one = world.start(pipelines()).await;
    let other = world.start(pipelines()).await;
    world.until("2026-01-01 09:10").await;
    one.stop().await;
    other.stop().await;
    let mut starts: Vec<_> = world.script.starts().iter().map(|start| start.at).collect();
    starts.sort_unstable();
    assert_eq!(starts.len(), 4, "each fire was started once");
    for pair in starts.windows(2) {
        assert!((pair[1] - pair[0]).num_milliseconds() >= 60_000, "{starts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_schedulers_on_one_store_start_each_fire_once() {
    let world = World::new("2026-01-01 08:59").await;
    let pipelines = || (0..10).map(|n| world.pipeline(&format!("p{n}")).scheduled(cron("* * * * *", "UTC")));
    let one = world.start(pipelines()).await;
    let other = world.start(pipelines()).await;
    world.until("2026-01-01 09:09:30").await;
    one.stop().await;
    other.stop().await;
    let mut fires: Vec<_> =
        world.script.starts().into_iter().map(|start| (start.pipeline, start.scheduled_for)).collect();
    let started = fires.len();
    fires.sort();
    fires.dedup();
    assert_eq!((started, fires.len()), (100, 100));
}
