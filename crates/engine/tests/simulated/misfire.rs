//! Fires that are seen too late.

use std::time::Duration;

use engine::Pipeline;
use schedule::{CatchUp, MisfirePolicy};

use crate::world::{World, cron, every, same};

fn hourly(world: &World, misfire: MisfirePolicy) -> Pipeline {
    world.pipeline("books").scheduled(cron("0 * * * *", "UTC").with_misfire(misfire))
}

/// What a restart tells after a downtime from 08:30 to 12:20.
async fn after_downtime(misfire: MisfirePolicy) -> Vec<String> {
    let world = World::new("2026-01-01 08:30").await;
    let process = world.start([hourly(&world, misfire)]).await;
    process.stop().await;
    world.until("2026-01-01 12:20").await;
    world.lines();
    let process = world.start([hourly(&world, misfire)]).await;
    world.until("2026-01-01 13:10").await;
    process.stop().await;
    world.lines_of(&["fired", "missed", "attempt_started", "finished"])
}

#[tokio::test(start_paused = true)]
async fn latest_runs_the_newest_missed_fire_once() {
    same(
        &after_downtime(MisfirePolicy::default()).await,
        "
        2026-01-01 12:20:00 missed pipeline_books 01-01T11:00:00 ×3 01-01T09:00:00–01-01T11:00:00
        2026-01-01 12:20:00 fired pipeline_books 01-01T12:00:00 catch_up
        2026-01-01 12:20:00 attempt_started pipeline_books 01-01T12:00:00 #1 late 1200s
        2026-01-01 12:20:00 finished pipeline_books 01-01T12:00:00 #1 succeeded
        2026-01-01 13:00:00 fired pipeline_books 01-01T13:00:00 schedule
        2026-01-01 13:00:00 attempt_started pipeline_books 01-01T13:00:00 #1 late 0s
        2026-01-01 13:00:00 finished pipeline_books 01-01T13:00:00 #1 succeeded
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn all_runs_the_newest_ones_one_after_another_whatever_the_overlap() {
    let misfire = MisfirePolicy { catch_up: CatchUp::All, max: 3, ..MisfirePolicy::default() };
    let world = World::new("2026-01-01 08:30").await;
    world.script.takes("books", "5m");
    world.start([hourly(&world, misfire)]).await.stop().await;
    world.until("2026-01-01 12:20").await;
    world.lines();
    let process = world.start([hourly(&world, misfire)]).await;
    world.until("2026-01-01 12:50").await;
    process.stop().await;
    same(
        &world.lines_of(&["fired", "missed", "skipped", "attempt_started", "finished"]),
        "
        2026-01-01 12:20:00 missed pipeline_books 01-01T09:00:00 ×1 01-01T09:00:00–01-01T09:00:00
        2026-01-01 12:20:00 fired pipeline_books 01-01T10:00:00 catch_up
        2026-01-01 12:20:00 fired pipeline_books 01-01T11:00:00 catch_up
        2026-01-01 12:20:00 fired pipeline_books 01-01T12:00:00 catch_up
        2026-01-01 12:20:00 attempt_started pipeline_books 01-01T10:00:00 #1 late 8400s
        2026-01-01 12:25:00 finished pipeline_books 01-01T10:00:00 #1 succeeded
        2026-01-01 12:25:00 attempt_started pipeline_books 01-01T11:00:00 #1 late 5100s
        2026-01-01 12:30:00 finished pipeline_books 01-01T11:00:00 #1 succeeded
        2026-01-01 12:30:00 attempt_started pipeline_books 01-01T12:00:00 #1 late 1800s
        2026-01-01 12:35:00 finished pipeline_books 01-01T12:00:00 #1 succeeded
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn skip_runs_none_of_them() {
    let misfire = MisfirePolicy { catch_up: CatchUp::Skip, ..MisfirePolicy::default() };
    same(
        &after_downtime(misfire).await,
        "
        2026-01-01 12:20:00 missed pipeline_books 01-01T12:00:00 ×4 01-01T09:00:00–01-01T12:00:00
        2026-01-01 13:00:00 fired pipeline_books 01-01T13:00:00 schedule
        2026-01-01 13:00:00 attempt_started pipeline_books 01-01T13:00:00 #1 late 0s
        2026-01-01 13:00:00 finished pipeline_books 01-01T13:00:00 #1 succeeded
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn a_fire_beyond_its_grace_is_missed_also_when_it_has_waited_for_a_slot() {
    let grace = MisfirePolicy { grace: Some(Duration::from_secs(600)), ..MisfirePolicy::default() };
    let mut world = World::new("2026-01-01 08:30").await;
    world.settings.max_concurrent_runs = 1;
    world.script.takes("long", "15m");
    let long = world.pipeline("long").scheduled(cron("59 8 * * *", "UTC"));
    let process = world.start([long, hourly(&world, grace)]).await;
    world.until("2026-01-01 09:30").await;
    process.stop().await;
    same(
        &world.lines_of(&["fired", "missed", "attempt_started", "finished"]),
        "
        2026-01-01 08:59:00 fired pipeline_long 01-01T08:59:00 schedule
        2026-01-01 08:59:00 attempt_started pipeline_long 01-01T08:59:00 #1 late 0s
        2026-01-01 09:00:00 fired pipeline_books 01-01T09:00:00 schedule
        2026-01-01 09:10:00 missed pipeline_books 01-01T09:00:00 ×1 01-01T09:00:00–01-01T09:00:00
        2026-01-01 09:14:00 finished pipeline_long 01-01T08:59:00 #1 succeeded
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn a_year_of_missed_seconds_is_counted_and_not_listed() {
    let world = World::new("2026-01-01 00:00").await;
    let each_second = || world.pipeline("books").scheduled(every("1s"));
    world.start([each_second()]).await.stop().await;
    world.until("2027-01-01 00:00").await;
    world.lines();
    let watch = pipeline_core::Stopwatch::start();
    let process = world.start([each_second()]).await;
    assert!(watch.elapsed() < Duration::from_secs(5), "{:?}", watch.elapsed());
    world.settle().await;
    process.stop().await;
    let lines = world.lines_of(&["missed", "fired"]);
    assert!(lines[0].contains("missed pipeline_books 12-31T23:59:58 ×31535998 "), "{lines:?}");
    assert!(lines[1].contains("fired pipeline_books 12-31T23:59:59 catch_up"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_forwards_is_downtime_and_a_step_backwards_fires_nothing_again() {
    let world = World::new("2026-01-01 08:30").await;
    let process = world.start([hourly(&world, MisfirePolicy::default())]).await;
    world.until("2026-01-01 09:10").await;
    world.clock.step(chrono::TimeDelta::hours(3));
    world.settle().await;
    world.clock.step(chrono::TimeDelta::hours(-2));
    world.until("2026-01-01 13:10").await;
    process.stop().await;
    same(
        &world.lines_of(&["fired", "missed"]),
        "
        2026-01-01 09:00:00 fired pipeline_books 01-01T09:00:00 schedule
        2026-01-01 12:10:00 missed pipeline_books 01-01T11:00:00 ×2 01-01T10:00:00–01-01T11:00:00
        2026-01-01 12:10:00 fired pipeline_books 01-01T12:00:00 catch_up
        2026-01-01 13:00:00 fired pipeline_books 01-01T13:00:00 schedule
        ",
    );
}
