//! A week with everything in it.

use crate::world::{World, at, cron, every, same};

#[tokio::test(start_paused = true)]
async fn a_daily_job_fires_each_day_at_its_local_time_over_a_change_of_clocks() {
    let world = World::new("2026-03-27 12:00").await;
    let process =
        world.start([world.pipeline("books").scheduled(cron("30 2 * * *", "Europe/Stockholm"))]).await;
    world.until("2026-03-31 12:00").await;
    process.stop().await;
    same(
        &world.lines(),
        "
        2026-03-27 12:00:00 registered pipeline_books next 03-28T01:30:00
        2026-03-27 12:00:00 started
        2026-03-28 01:30:00 fired pipeline_books 03-28T01:30:00 schedule
        2026-03-28 01:30:00 attempt_started pipeline_books 03-28T01:30:00 #1 late 0s
        2026-03-28 01:30:00 finished pipeline_books 03-28T01:30:00 #1 succeeded
        2026-03-29 01:00:00 fired pipeline_books 03-29T01:00:00 schedule
        2026-03-29 01:00:00 attempt_started pipeline_books 03-29T01:00:00 #1 late 0s
        2026-03-29 01:00:00 finished pipeline_books 03-29T01:00:00 #1 succeeded
        2026-03-30 00:30:00 fired pipeline_books 03-30T00:30:00 schedule
        2026-03-30 00:30:00 attempt_started pipeline_books 03-30T00:30:00 #1 late 0s
        2026-03-30 00:30:00 finished pipeline_books 03-30T00:30:00 #1 succeeded
        2026-03-31 00:30:00 fired pipeline_books 03-31T00:30:00 schedule
        2026-03-31 00:30:00 attempt_started pipeline_books 03-31T00:30:00 #1 late 0s
        2026-03-31 00:30:00 finished pipeline_books 03-31T00:30:00 #1 succeeded
        2026-03-31 12:00:00 stopping
        2026-03-31 12:00:00 stopped
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn an_interval_keeps_its_anchor_over_restarts() {
    let world = World::new("2026-01-01 12:00").await;
    let daily = || world.pipeline("books").scheduled(every("24h"));
    for day in 1..=4 {
        // A deploy every day, one hour before the fire.
        let process = world.start([daily()]).await;
        world.until(&format!("2026-01-{:02} 11:00", day + 1)).await;
        process.stop().await;
    }
    same(
        &world.lines_of(&["fired", "registered", "kept"]),
        "
        2026-01-01 12:00:00 registered pipeline_books next 01-02T12:00:00
        2026-01-02 11:00:00 kept pipeline_books next 01-02T12:00:00
        2026-01-02 12:00:00 fired pipeline_books 01-02T12:00:00 schedule
        2026-01-03 11:00:00 kept pipeline_books next 01-03T12:00:00
        2026-01-03 12:00:00 fired pipeline_books 01-03T12:00:00 schedule
        2026-01-04 11:00:00 kept pipeline_books next 01-04T12:00:00
        2026-01-04 12:00:00 fired pipeline_books 01-04T12:00:00 schedule
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn in_autumn_a_fixed_job_fires_once_and_a_wildcard_job_in_both_passes() {
    let world = World::new("2026-10-24 23:10").await;
    let process = world
        .start([
            world.pipeline("fixed").scheduled(cron("30 2 * * *", "Europe/Stockholm")),
            world.pipeline("wild").scheduled(cron("*/30 2 * * *", "Europe/Stockholm")),
        ])
        .await;
    world.until("2026-10-25 03:00").await;
    process.stop().await;
    same(
        &world.lines_of(&["fired"]),
        "
        2026-10-25 00:00:00 fired pipeline_wild 10-25T00:00:00 schedule
        2026-10-25 00:30:00 fired pipeline_fixed 10-25T00:30:00 schedule
        2026-10-25 00:30:00 fired pipeline_wild 10-25T00:30:00 schedule
        2026-10-25 01:00:00 fired pipeline_wild 10-25T01:00:00 schedule
        2026-10-25 01:30:00 fired pipeline_wild 10-25T01:30:00 schedule
        ",
    );
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_the_start_and_never_the_identity_of_a_fire() {
    let world = World::new("2026-01-01 00:30").await;
    let hourly = cron("0 * * * *", "UTC").with_jitter(std::time::Duration::from_secs(600));
    let process = world.start([world.pipeline("books").scheduled(hourly)]).await;
    world.until("2026-01-01 06:30").await;
    process.stop().await;
    let starts = world.script.starts();
    assert_eq!(starts.len(), 6);
    for (start, hour) in starts.iter().zip(1..) {
        assert_eq!(start.scheduled_for, at(&format!("2026-01-01 0{hour}:00")));
        let delay = (start.at - start.scheduled_for).num_seconds();
        assert!((0..600).contains(&delay), "{delay}");
    }
    assert!(starts.iter().any(|start| start.at != start.scheduled_for), "some are delayed");
}
