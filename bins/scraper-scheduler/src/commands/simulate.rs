//! `simulate --from A --to B`

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use engine::Pipeline;
use jobstore::{Outcome, RunFilter};
use pipeline_core::config::Overlap;
use pipeline_core::duration;
use schedule::Schedule;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Table, utc};
use crate::pipelines;
use crate::settings::Settings;
use crate::store;

/// More fires than this are not lived through.
const MOST: u64 = 20_000_000;
/// So many busiest minutes are named.
const BUSIEST: usize = 10;
/// So many recorded runs say how long a pipeline takes.
const RECORDED: usize = 50;

/// The span of time to live through.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// From this time on (exclusive); without an offset it is local time in the zone
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Up to this time (inclusive)
    #[arg(long, value_name = "TIME")]
    to: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What would happen.
#[derive(Debug, Serialize, PartialEq)]
struct Simulation {
    from: String,
    to: String,
    fires: u64,
    jobs: Vec<JobResult>,
    busiest_minutes: Vec<Minute>,
    most_at_a_time: usize,
}

#[derive(Debug, Serialize, PartialEq)]
struct JobResult {
    job: String,
    pipeline: String,
    fires: u64,
    first: Option<String>,
    last: Option<String>,
    /// How long its runs take, from those recorded; absent where none is.
    typical_seconds: Option<f64>,
    /// Fires that would come while a run still goes on.
    overlaps: u64,
    /// What becomes of those.
    overlap: &'static str,
}

#[derive(Debug, Serialize, PartialEq)]
struct Minute {
    at: String,
    fires: u64,
}

/// A job to live through.
struct Actor {
    job: String,
    pipeline: String,
    schedule: Schedule,
    overlap: Overlap,
    most: usize,
    typical: Option<Duration>,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let instant = |name: &str, text: &str| {
        schedule::instant::parse(text, settings.timezone)
            .map_err(|error| Failure::usage(format!("{name}: {error}")))
    };
    let (from, to) = (instant("--from", &args.from)?, instant("--to", &args.to)?);
    if to <= from {
        return Err(Failure::usage("--to must be after --from"));
    }
    let file = pipelines::load(settings)?;
    let store = store::query(settings).await.ok();
    let mut actors = Vec::new();
    for pipeline in file.pipelines.iter().filter(|pipeline| pipeline.enabled) {
        let Some(schedule) = &pipeline.schedule else { continue };
        let typical = match &store {
            Some(store) => typical(store.as_ref(), &pipeline.name).await,
            None => None,
        };
        actors.push(actor(pipeline, schedule, from, typical));
    }
    let total: u64 = actors.iter().map(|actor| actor.schedule.count(from, to)).sum();
    if total > MOST {
        return Err(Failure::usage(format!(
            "there are {total} fires in this span, more than {MOST}: shorten it"
        )));
    }
    let simulation = simulate(&actors, from, to);
    if args.json { output::json(&simulation) } else { print(&simulation) }
}

fn actor(pipeline: &Pipeline, schedule: &Schedule, from: DateTime<Utc>, typical: Option<Duration>) -> Actor {
    Actor {
        job: pipeline.job_id().to_string(),
        pipeline: pipeline.name.to_string(),
        schedule: schedule.clone().with_anchor(from),
        overlap: pipeline.overlap,
        most: match pipeline.overlap {
            Overlap::Allow => pipeline.max_instances as usize,
            Overlap::Skip | Overlap::Queue | Overlap::Replace => 1,
        },
        typical,
    }
}

/// The median time of the newest recorded runs.
async fn typical(store: &dyn jobstore::JobStore, pipeline: &str) -> Option<Duration> {
    let filter = RunFilter {
        pipeline: Some(pipeline.to_owned()),
        outcomes: vec![Outcome::Succeeded],
        limit: RECORDED,
        ..RunFilter::default()
    };
    // Without recorded runs the simulation is still right about the fires.
    let runs = store.runs(filter).await.unwrap_or_default();
    let took = |run: &jobstore::RunRecord| (run.finished_at? - run.attempt_started_at?).to_std().ok();
    let mut times: Vec<Duration> = runs.iter().filter_map(took).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// Lives through all fires in the order of time.
fn simulate(actors: &[Actor], from: DateTime<Utc>, to: DateTime<Utc>) -> Simulation {
    let mut jobs: Vec<JobResult> = actors.iter().map(result).collect();
    let mut next: BinaryHeap<Reverse<(DateTime<Utc>, usize)>> = actors
        .iter()
        .enumerate()
        .filter_map(|(index, actor)| Some(Reverse((actor.schedule.next_after(from)?, index))))
        .collect();
    let mut busy: Vec<Vec<DateTime<Utc>>> = vec![Vec::new(); actors.len()];
    let mut running: BinaryHeap<Reverse<DateTime<Utc>>> = BinaryHeap::new();
    let mut minutes = Busiest::default();
    let (mut fires, mut most_at_a_time) = (0, 0);
    while let Some(Reverse((at, index))) = next.pop() {
        if at > to {
            break;
        }
        let (actor, job) = (&actors[index], &mut jobs[index]);
        fires += 1;
        job.fires += 1;
        job.first.get_or_insert_with(|| shown(actor, at));
        job.last = Some(shown(actor, at));
        minutes.add(at);
        while running.peek().is_some_and(|Reverse(end)| *end <= at) {
            running.pop();
        }
        if let Some(typical) = actor.typical.and_then(|typical| TimeDelta::from_std(typical).ok()) {
            busy[index].retain(|end| *end > at);
            if busy[index].len() >= actor.most {
                job.overlaps += 1;
            } else {
                busy[index].push(at + typical);
                running.push(Reverse(at + typical));
            }
        }
        most_at_a_time = most_at_a_time.max(running.len());
        if let Some(following) = actor.schedule.next_after(at) {
            next.push(Reverse((following, index)));
        }
    }
    Simulation {
        from: utc(from),
        to: utc(to),
        fires,
        jobs,
        busiest_minutes: minutes.finish(),
        most_at_a_time,
    }
}

fn result(actor: &Actor) -> JobResult {
    JobResult {
        job: actor.job.clone(),
        pipeline: actor.pipeline.clone(),
        fires: 0,
        first: None,
        last: None,
        typical_seconds: actor.typical.map(|typical| typical.as_secs_f64()),
        overlaps: 0,
        overlap: match actor.overlap {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Replace => "replace",
            Overlap::Allow => "allow",
        },
    }
}

fn shown(actor: &Actor, at: DateTime<Utc>) -> String {
    schedule::instant::format(at, actor.schedule.zone())
}

/// The minutes with the most fires, in memory that does not grow with the span: fires come in the order of time.
#[derive(Default)]
struct Busiest {
    current: Option<(i64, u64)>,
    best: BTreeMap<(u64, Reverse<i64>), ()>,
}

impl Busiest {
    fn add(&mut self, at: DateTime<Utc>) {
        let minute = at.timestamp().div_euclid(60);
        match &mut self.current {
            Some((current, count)) if *current == minute => *count += 1,
            _ => {
                self.close();
                self.current = Some((minute, 1));
            }
        }
    }

    fn close(&mut self) {
        if let Some((minute, count)) = self.current.take() {
            self.best.insert((count, Reverse(minute)), ());
            if self.best.len() > BUSIEST {
                self.best.pop_first();
            }
        }
    }

    fn finish(mut self) -> Vec<Minute> {
        self.close();
        let minute = |((fires, Reverse(minute)), ()): (&(u64, Reverse<i64>), &())| {
            let at = DateTime::from_timestamp(*minute * 60, 0).unwrap_or_default();
            Minute { at: utc(at), fires: *fires }
        };
        self.best.iter().rev().map(minute).collect()
    }
}

fn print(simulation: &Simulation) -> Result<(), Failure> {
    output::line(format!("{} fires from {} to {}", simulation.fires, simulation.from, simulation.to))?;
    let mut table = Table::new(&["JOB", "FIRES", "FIRST", "LAST", "TYPICALLY TAKES", "OVERLAPS"]);
    for job in &simulation.jobs {
        let typical = job.typical_seconds.map(|seconds| duration::format(Duration::from_secs_f64(seconds)));
        let overlaps = match (job.typical_seconds, job.overlaps) {
            (None, _) => "unknown".to_owned(),
            (_, 0) => "none".to_owned(),
            (_, count) => format!("{count} ({})", job.overlap),
        };
        table.row([
            job.job.clone(),
            job.fires.to_string(),
            job.first.clone().unwrap_or_else(|| "-".to_owned()),
            job.last.clone().unwrap_or_else(|| "-".to_owned()),
            typical.unwrap_or_else(|| "unknown".to_owned()),
            overlaps,
        ]);
    }
    output::line(table.render())?;
    output::line("Busiest minutes:")?;
    for minute in &simulation.busiest_minutes {
        output::line(format!(
            "  {}  {} fire{}",
            minute.at,
            minute.fires,
            if minute.fires == 1 { "" } else { "s" }
        ))?;
    }
    if simulation.most_at_a_time > 0 {
        output::line(format!("Runs at a time, by what is recorded: {} at most", simulation.most_at_a_time))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use schedule::{Cron, Zone};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn every_minute(cron: &str, typical: Option<u64>) -> Actor {
        Actor {
            job: format!("pipeline_{cron}"),
            pipeline: cron.to_owned(),
            schedule: Schedule::cron(Cron::parse(cron).unwrap(), Zone::UTC),
            overlap: Overlap::Skip,
            most: 1,
            typical: typical.map(Duration::from_secs),
        }
    }

    #[test]
    fn fires_minutes_and_overlaps_are_counted() {
        let actors = [every_minute("* * * * *", Some(90)), every_minute("*/5 * * * *", None)];
        let simulation = simulate(&actors, at("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00Z"));
        assert_eq!(simulation.fires, 72);
        assert_eq!((simulation.jobs[0].fires, simulation.jobs[1].fires), (60, 12));
        // A run of 90 s lets every second fire pass.
        assert_eq!(simulation.jobs[0].overlaps, 30);
        assert_eq!(simulation.most_at_a_time, 1);
        assert_eq!(simulation.busiest_minutes.len(), BUSIEST);
        assert_eq!(simulation.busiest_minutes[0], Minute { at: "2026-01-01T00:05:00Z".into(), fires: 2 });
        assert_eq!(simulation.jobs[1].last.as_deref(), Some("2026-01-01T01:00:00+00:00"));
    }
}
