//! A year of the example's kinds of pipelines in seconds, with all that can happen in one.

use std::collections::BTreeSet;

use engine::{Pipeline, Pipelines};
use jobstore::{Outcome, RunFilter};
use schedule::Schedule;

use crate::world::{World, at, cron, every};

const ZONE: &str = "Europe/Stockholm";

/// Market hours, a daily batch, a six-hour interval, and one that runs at each start.
fn pipelines(world: &World, daily: &str) -> Vec<Pipeline> {
    vec![
        world.pipeline("market").scheduled(cron("0 9-17/4 * * 1-5", ZONE)),
        world.pipeline("daily").scheduled(cron(daily, ZONE)),
        world.pipeline("six").scheduled(every("6h")),
        world.pipeline("once"),
    ]
}

/// The nominal instants of a schedule in a span of time.
fn nominal(schedule: &Schedule, from: &str, to: &str) -> BTreeSet<chrono::DateTime<chrono::Utc>> {
    schedule.fires(at(from)).take_while(|fire| *fire <= at(to)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_year_with_restarts_crashes_changes_of_clocks_and_of_the_file() {
    let world = World::new("2026-01-01 00:00").await;
    let mut daily = "30 2 * * *";
    let mut process = world.start(pipelines(&world, daily)).await;
    for month in 1..=12 {
        let (year, next) = if month == 12 { (2027, 1) } else { (2026, month + 1) };
        // In the middle of the month: a deploy, a crash or an edit of the file, in turn.
        world.until(&format!("2026-{month:02}-15 12:30")).await;
        match month % 4 {
            0 => {
                process.stop().await;
                process = world.start(pipelines(&world, daily)).await;
            }
            1 => {
                process.kill().await;
                process = world.start(pipelines(&world, daily)).await;
            }
            2 => {
                daily = if daily == "30 2 * * *" { "45 2 * * *" } else { "30 2 * * *" };
                process.handle.reload(Pipelines::new(pipelines(&world, daily)).unwrap()).await.unwrap();
            }
            // Three days without a scheduler.
            _ => {
                process.stop().await;
                world.until(&format!("2026-{month:02}-18 12:45")).await;
                process = world.start(pipelines(&world, daily)).await;
            }
        }
        world.until(&format!("{year}-{next:02}-01 00:00")).await;
    }
    process.stop().await;

    let runs = world.store.runs(RunFilter::default()).await.unwrap();
    let of = |name: &str| -> Vec<&jobstore::RunRecord> {
        runs.iter().filter(|run| run.pipeline == name).collect()
    };
    // Every fire of the year is in exactly one row.
    let interval = every("6h").with_anchor(at("2026-01-01 00:00"));
    for (name, schedule) in [("market", cron("0 9-17/4 * * 1-5", ZONE)), ("six", interval)] {
        let expected = nominal(&schedule, "2026-01-01 00:00", "2027-01-01 00:00");
        let rows = of(name);
        let counted: i64 = rows.iter().map(|run| run.count.unwrap_or(1)).sum();
        assert_eq!(counted as usize, expected.len(), "{name}");
        let single: BTreeSet<_> = rows
            .iter()
            .filter(|run| run.outcome == Some(Outcome::Succeeded))
            .map(|run| run.scheduled_for)
            .collect();
        assert!(single.is_subset(&expected), "{name}: only planned instants");
        // Three downtimes of three days, in March, July and November.
        let missed: i64 = rows
            .iter()
            .filter(|run| run.outcome == Some(Outcome::Missed))
            .map(|run| run.count.unwrap())
            .sum();
        assert_eq!(single.len() + missed as usize, expected.len(), "{name}");
        assert!((1..=36).contains(&missed), "{name}: {missed}");
    }
    // The daily job fires each day, also on the days of the changes of clocks and when its hour was moved.
    let days: BTreeSet<_> = of("daily").iter().map(|run| run.scheduled_for.date_naive()).collect();
    let lost_in_downtimes = 3 * 3;
    assert!(days.len() >= 365 - lost_in_downtimes, "{}", days.len());
    for (day, instant) in [("spring", "2026-03-29 01:00"), ("autumn", "2026-10-25 00:45")] {
        let runs: Vec<_> = of("daily")
            .into_iter()
            .filter(|run| run.scheduled_for.date_naive() == at(instant).date_naive())
            .collect();
        assert_eq!(runs.len(), 1, "{day}");
    }
    let starts = 1 + [1, 3, 4, 5, 7, 8, 9, 11, 12].len();
    assert_eq!(of("once").len(), starts, "once at each start");
    assert!(of("once").iter().all(|run| run.outcome == Some(Outcome::Succeeded)));
}
