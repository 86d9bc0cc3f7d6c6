//! The wall clock is set while the monotonic one goes on: forwards is downtime, backwards fires nothing again.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobstore::{Outcome, RunFilter};
use pipeline_core::Clock;
use schedule::{CatchUp, MisfirePolicy, Schedule};

use crate::world::{World, cron, every};

/// Every five minutes, caught up as a whole.
fn each_five(schedule: Schedule) -> Schedule {
    schedule.with_misfire(MisfirePolicy { catch_up: CatchUp::All, max: 1_000, ..MisfirePolicy::default() })
}

/// All that is recorded of a job, in order; fires that were missed among it.
async fn recorded(world: &World, job: &str) -> Vec<DateTime<Utc>> {
    let runs = world.store.runs(RunFilter::default()).await.unwrap();
    let mut fires = BTreeMap::new();
    for run in runs.iter().filter(|run| run.job_id.as_ref().is_some_and(|id| id.as_str() == job)) {
        assert_eq!(run.outcome, Some(Outcome::Succeeded), "{run:?}");
        assert!(fires.insert(run.scheduled_for, run.id).is_none(), "twice: {run:?}");
    }
    fires.into_keys().collect()
}

/// Half an hour, a step of the clock, and then so many hours as measured by a watch.
async fn stepped(by: TimeDelta, hours: i64) {
    let world = World::new("2026-03-10 09:01").await;
    let process = world
        .start([
            world.pipeline("cron").scheduled(each_five(cron("*/5 * * * *", "UTC"))),
            world.pipeline("interval").scheduled(each_five(every("5m"))),
        ])
        .await;
    world.clock_on("30m2s").await;
    let before: Vec<_> =
        [recorded(&world, "pipeline_cron").await, recorded(&world, "pipeline_interval").await]
            .map(|fires| fires.len())
            .into();
    assert_eq!(before, [6, 6], "{by}");
    world.clock.step(by);
    for _ in 0..hours * 60 {
        world.clock_on("1m").await;
    }
    let now = world.clock.now();
    process.stop().await;
    for job in ["pipeline_cron", "pipeline_interval"] {
        let fires = recorded(&world, job).await;
        for pair in fires.windows(2) {
            assert_eq!(pair[1] - pair[0], TimeDelta::minutes(5), "{job}, {by}: lost or out of place");
        }
        // Up to the highest that the clock has ever shown, and not further.
        let highest = now.max(crate::world::at("2026-03-10 09:31"));
        let last = *fires.last().unwrap();
        assert!(last <= highest && highest - last < TimeDelta::minutes(6), "{job}, {by}: {last}");
    }
    // The loop took each of them in order, whatever the clock did.
    let mut starts: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    for start in world.script.starts() {
        starts.entry(start.job).or_default().push(start.scheduled_for);
    }
    assert!(starts.values().all(|instants| instants.is_sorted_by(|one, next| one < next)), "{by}");
}

#[tokio::test(start_paused = true)]
async fn no_step_loses_or_repeats_a_fire() {
    for by in [
        TimeDelta::minutes(7),
        TimeDelta::minutes(-7),
        TimeDelta::hours(-1),
        TimeDelta::days(1),
        TimeDelta::days(-1),
        // Less than what is late, and less than a period.
        TimeDelta::milliseconds(700),
        TimeDelta::seconds(-90),
    ] {
        stepped(by, 3).await;
    }
    // The clock gets back to where it was.
    stepped(TimeDelta::days(-1), 26).await;
}

/// Leases on a file of this machine are judged by its clock: after a step they look as if they had ended long ago, or
/// lasted for ever.
#[tokio::test(start_paused = true)]
async fn a_step_takes_no_run_from_a_process_that_lives() {
    let steps = [("forwards", TimeDelta::hours(1)), ("backwards", TimeDelta::hours(-1))];
    // Before the holder renews its lease, and before the other one looks for leases that have ended.
    for ((name, by), wait) in steps.into_iter().flat_map(|step| [(step, "12s"), (step, "16s")]) {
        let mut world = World::new("2026-03-10 08:59").await;
        world.settings.lease = Duration::from_secs(30);
        world.settings.longest_silence = Duration::from_secs(10);
        world.script.takes("books", "90m");
        let pipeline = || world.pipeline("books").scheduled(cron("0 9 10 3 *", "UTC"));
        let one = world.start([pipeline()]).await;
        world.clock_on("65s").await;
        let other = world.start([pipeline()]).await;
        world.clock_on(wait).await;
        world.clock.step(by);
        // Long enough for what takes ninety minutes by the clock that was set.
        world.clock_on("3h").await;
        let starts = world.script.starts();
        assert_eq!(starts.len(), 1, "{name}, {wait}: {starts:?}");
        let run = world.only_run().await;
        assert_eq!((run.outcome, run.attempt), (Some(Outcome::Succeeded), 1), "{name}, {wait}");
        one.stop().await;
        other.stop().await;
    }
}

/// A run whose process has died is still found, some time after a step.
#[tokio::test(start_paused = true)]
async fn after_a_step_the_runs_of_the_dead_are_found_as_before() {
    let mut world = World::new("2026-03-10 08:59").await;
    world.settings.lease = Duration::from_secs(30);
    world.settings.longest_silence = Duration::from_secs(10);
    world.script.takes("books", "10m");
    let pipeline = || world.pipeline("books").scheduled(cron("0 9 10 3 *", "UTC"));
    let one = world.start([pipeline()]).await;
    world.clock_on("65s").await;
    let other = world.start([pipeline()]).await;
    world.clock_on("12s").await;
    world.clock.step(TimeDelta::days(1));
    one.kill().await;
    world.clock_on("20m").await;
    other.stop().await;
    let run = world.only_run().await;
    assert_eq!((run.outcome, run.attempt), (Some(Outcome::Succeeded), 2));
    let starts = world.script.starts();
    let waited = (starts[1].at - starts[0].at - TimeDelta::days(1)).num_seconds();
    assert!(waited < 120, "{waited}");
}

/// A timeout is measured by a watch, whatever the clock shows.
#[tokio::test(start_paused = true)]
async fn a_step_neither_shortens_nor_lengthens_a_timeout() {
    for by in [TimeDelta::hours(1), TimeDelta::days(1), TimeDelta::hours(-1), TimeDelta::zero()] {
        let mut world = World::new("2026-03-10 08:59").await;
        world.settings.longest_silence = Duration::from_secs(10);
        world.script.takes("books", "48h");
        let books = world.pipeline("books").scheduled(cron("0 9 10 3 *", "UTC"));
        let process = world.start([books.timeout(Duration::from_secs(90))]).await;
        world.clock_on("60s").await;
        let watch = tokio::time::Instant::now();
        world.clock_on("30s").await;
        world.clock.step(by);
        while !process.handle.live().is_empty() {
            world.settle().await;
        }
        let took = watch.elapsed().as_secs();
        assert!((90..91).contains(&took), "{by}: {took} s");
        world.settle().await;
        assert_eq!(world.only_run().await.outcome, Some(Outcome::TimedOut), "{by}");
        process.stop().await;
    }
}
