//! The job store goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use jobstore::{Outcome, RunFilter};

use crate::flaky::{Flaky, Mood};
use crate::world::{World, cron, every, same};

async fn world(start: &str) -> (World, Arc<Flaky>) {
    let mut world = World::new(start).await;
    world.settings.lease = Duration::from_secs(30);
    world.settings.longest_silence = Duration::from_secs(10);
    let flaky = Flaky::new(world.store.clone());
    world.store = flaky.clone();
    (world, flaky)
}

/// A store that is not well from 09:01 to 09:30, while a run is in flight. Returns what was told of these kinds, to the
/// minute.
async fn half_an_hour_without(mood: Mood, kinds: &[&str]) -> (World, Vec<String>) {
    let (world, store) = world("2026-01-01 08:59").await;
    world.script.takes("books", "90s");
    let process = world
        .start([
            world.pipeline("books").scheduled(cron("0 9 * * *", "UTC")),
            world.pipeline("often").scheduled(every("10m")),
        ])
        .await;
    world.until("2026-01-01 09:01").await;
    store.is(mood);
    world.until("2026-01-01 09:30").await;
    assert!(process.handle.status().store_away);
    store.is(Mood::Well);
    world.until("2026-01-01 09:31").await;
    assert!(!process.handle.status().store_away);
    process.stop().await;
    let lines = world.lines_of(kinds);
    let lines = lines.iter().map(|line| line[..16].to_owned() + &line[19..]).collect();
    (world, lines)
}

#[tokio::test(start_paused = true)]
async fn runs_in_flight_go_on_their_outcomes_are_written_later_and_no_fire_is_lost() {
    let (world, lines) =
        half_an_hour_without(Mood::Away, &["fired", "missed", "store_lost", "store_back", "finished"]).await;
    same(
        &lines,
        "
        2026-01-01 09:00 fired pipeline_books 01-01T09:00:00 schedule
        2026-01-01 09:01 store_lost
        2026-01-01 09:30 store_back
        2026-01-01 09:30 finished pipeline_books 01-01T09:00:00 #1 succeeded
        2026-01-01 09:30 missed pipeline_often 01-01T09:19:00 ×2 01-01T09:09:00–01-01T09:19:00
        2026-01-01 09:30 fired pipeline_often 01-01T09:29:00 catch_up
        2026-01-01 09:30 finished pipeline_often 01-01T09:29:00 #1 succeeded
        ",
    );
    let starts: Vec<_> = world.script.starts().iter().map(|start| start.pipeline.clone()).collect();
    assert_eq!(starts, ["books", "often"], "nothing new starts while it is away");
}

#[tokio::test(start_paused = true)]
async fn commits_whose_answers_are_lost_are_found_again() {
    let (world, store) = world("2026-01-01 08:59").await;
    world.script.takes("books", "5s");
    let process = world.start([world.pipeline("books").scheduled(cron("* 9 * * *", "UTC"))]).await;
    // The claim is made, its answer lost; then the end is written, its answer lost.
    for minute in 0..6 {
        for (second, mood) in [(59, Mood::Mute), (1, Mood::Well), (4, Mood::Mute), (9, Mood::Well)] {
            let hour_minute = if second == 59 { minute - 1 } else { minute };
            let at =
                crate::world::at("2026-01-01 09:00") + chrono::TimeDelta::seconds(hour_minute * 60 + second);
            world.until(&at.to_rfc3339()).await;
            store.is(mood);
        }
    }
    world.until("2026-01-01 09:05:30").await;
    process.stop().await;
    let starts = world.script.starts();
    let mut fires: Vec<_> = starts.iter().map(|start| (start.scheduled_for, start.attempt)).collect();
    fires.dedup();
    assert_eq!(fires.len(), 6, "each fire once: {starts:?}");
    assert!(starts.iter().all(|start| start.attempt == 1), "{starts:?}");
    let runs = world.store.runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 6);
    assert!(runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded) && run.attempt == 1), "{runs:?}");
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_nobody_sweeps_leases_before_others_could_renew_theirs() {
    let (world, store) = world("2026-01-01 08:59").await;
    world.script.takes("books", "10m");
    let pipeline = || world.pipeline("books").scheduled(cron("0 9 * * *", "UTC"));
    let one = world.start([pipeline()]).await;
    let other = world.start([pipeline()]).await;
    world.until("2026-01-01 09:01").await;
    store.is(Mood::Away);
    // Longer than the lease: it has ended when the store is back, and its holder is alive.
    world.until("2026-01-01 09:05").await;
    store.is(Mood::Well);
    world.until("2026-01-01 09:20").await;
    one.stop().await;
    other.stop().await;
    let starts = world.script.starts();
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_eq!(world.only_run().await.outcome, Some(Outcome::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_an_outage_does_not_hang() {
    let (world, store) = world("2026-01-01 08:59").await;
    world.script.takes("books", "10m");
    let process = world.start([world.pipeline("books").scheduled(cron("0 9 * * *", "UTC"))]).await;
    world.until("2026-01-01 09:01").await;
    store.is(Mood::Away);
    world.until("2026-01-01 09:02").await;
    process.stop().await;
    let took = world.clock_text();
    assert!(("2026-01-01 09:02:30".."2026-01-01 09:02:45").contains(&took.as_str()), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_can_only_be_read_is_away_until_it_can_be_written() {
    let (world, lines) = half_an_hour_without(Mood::Full, &["store_lost", "store_back", "finished"]).await;
    same(
        &lines,
        "
        2026-01-01 09:01 store_lost
        2026-01-01 09:30 store_back
        2026-01-01 09:30 finished pipeline_books 01-01T09:00:00 #1 succeeded
        2026-01-01 09:30 finished pipeline_often 01-01T09:29:00 #1 succeeded
        ",
    );
    assert_eq!(world.script.starts().len(), 2, "nothing new starts while it is full");
}
