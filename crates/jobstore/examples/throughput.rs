//! Measures a job store: how long registration takes, what a fire costs, how late fires are.
//!
//! ```text
//! cargo run --release -p jobstore --example throughput -- sqlite:///bench.db 1000 10
//! ```
//! Arguments: the database URL (an empty one), how many one-second jobs, for how many seconds.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures real time and says what it found"
)]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made stops")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use jobstore::{
    AttemptEnd, AttemptKey, ClaimedRun, DueJob, End, Expect, FirePlan, FirePlanner, JobEdit, JobId, JobPut,
    JobSource, JobState, JobStore, NextFire, OpenOptions, Outcome, Owner, PipelineSet, PlannedRun, Reason,
    RunPolicy, StoreUrl, Turn,
};

/// Fires every second; what is late is fired late.
struct EverySecond;

impl FirePlanner for EverySecond {
    fn plan(&self, job: &DueJob, now: DateTime<Utc>) -> FirePlan {
        let next = job.next_fire_at + TimeDelta::seconds(1);
        FirePlan {
            runs: vec![PlannedRun {
                scheduled_for: job.next_fire_at,
                reason: Reason::Schedule,
                available_at: now,
                deadline_at: None,
                policy: RunPolicy::default(),
            }],
            missed: None,
            next: NextFire::At { next_fire_at: next, due_at: next },
        }
    }
}

struct Bench {
    store: Arc<dyn JobStore>,
    planner: Arc<EverySecond>,
    owner: Owner,
    pipelines: Arc<PipelineSet>,
    jobs: usize,
}

impl Bench {
    async fn turn(&self, now: DateTime<Utc>, ends: Vec<AttemptEnd>) -> jobstore::TurnResult {
        let turn = Turn {
            now,
            owner: self.owner.clone(),
            pipelines: self.pipelines.clone(),
            ends,
            free_slots: 2 * self.jobs,
            fire_limit: 20_000,
            lease: Duration::from_secs(30),
            sweep: true,
        };
        self.store.turn(Arc::new(turn), self.planner.clone()).await.unwrap()
    }

    fn end(&self, run: ClaimedRun, at: DateTime<Utc>) -> AttemptEnd {
        AttemptEnd {
            key: AttemptKey { run: run.id, attempt: run.attempt, owner: self.owner.clone() },
            at,
            end: End::Finish(Outcome::Succeeded),
            error: None,
            note: None,
            stages: Some(r#"[{"class":"x.X","items_in":1,"items_out":1,"errors":0,"busy_ms":1}]"#.to_owned()),
            messages: Vec::new(),
        }
    }

    /// Registers the jobs, their first fires spread over the second that begins at `first`.
    async fn register(&self, first: DateTime<Utc>) -> Duration {
        let step = 1_000_000 / i64::try_from(self.jobs).unwrap();
        let edits = (0..self.jobs)
            .map(|n| {
                let at = first + TimeDelta::microseconds(step * i64::try_from(n).unwrap());
                JobEdit::Put(Box::new(JobPut {
                    id: JobId::new(format!("pipeline_bench_{n:06}")),
                    pipeline: format!("bench_{n:06}"),
                    source: JobSource::Config,
                    state: JobState::Scheduled,
                    paused: None,
                    trigger: r#"{"interval":"1s"}"#.to_owned(),
                    timezone: "Europe/Stockholm".to_owned(),
                    spec: r#"{"anchor":1800000000000000,"misfire":{"catch_up":"latest"}}"#.to_owned(),
                    next_fire_at: Some(at),
                    due_at: Some(at),
                    error: None,
                    requested_by: None,
                    expect: Expect::Absent,
                }))
            })
            .collect();
        let begun = Instant::now();
        self.store.edit_jobs(edits, Utc::now()).await.unwrap();
        begun.elapsed()
    }

    /// Turns of a full second each, one after the other: what a fire costs, and how many there could be.
    async fn flat_out(&self, first: DateTime<Utc>, turns: i64) -> Vec<AttemptEnd> {
        let mut ends = Vec::new();
        let mut fires = 0;
        let (begun, used) = (Instant::now(), cpu());
        for second in 1..=turns {
            let now = first + TimeDelta::seconds(second);
            let result = self.turn(now, std::mem::take(&mut ends)).await;
            fires += result.fired.len();
            ends = result.started.into_iter().map(|run| self.end(run, now)).collect();
        }
        let (took, cost) = (begun.elapsed(), cpu() - used);
        let each = |duration: Duration| duration.as_secs_f64() * 1e6 / fires as f64;
        println!(
            "flat out: {fires} fires in {turns} turns, {:.0} fires/s, {:.1} µs each, {:.1} µs CPU of this process each",
            fires as f64 / took.as_secs_f64(),
            each(took),
            each(cost),
        );
        ends
    }

    /// In real time: how late each fire is started.
    async fn real_time(&self, seconds: u64, mut ends: Vec<AttemptEnd>) {
        let (begun, used) = (Instant::now(), cpu());
        let mut late: Vec<f64> = Vec::new();
        let mut turns = 0;
        while begun.elapsed() < Duration::from_secs(seconds) {
            let now = Utc::now();
            let result = self.turn(now, std::mem::take(&mut ends)).await;
            turns += 1;
            let done = Utc::now();
            for run in result.started {
                late.push((done - run.scheduled_for).as_seconds_f64() * 1e3);
                ends.push(self.end(run, done));
            }
            let wake = result.next_wake.unwrap_or(done).max(done);
            // A few milliseconds of fires share a commit.
            let pause = (wake - done).to_std().unwrap_or_default().max(Duration::from_millis(3));
            tokio::time::sleep(pause).await;
        }
        let cost = cpu() - used;
        late.sort_by(f64::total_cmp);
        let at = |q: f64| late[((late.len() - 1) as f64 * q) as usize];
        println!(
            "real time: {} fires in {turns} turns, late p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, {:.1} µs CPU of this process each",
            late.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            cost.as_secs_f64() * 1e6 / late.len() as f64,
        );
    }
}

/// The processor time that this process has used.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// The memory that this process holds, in MB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "sqlite::memory:".to_owned());
    let jobs: usize = arguments.next().map_or(1000, |n| n.parse().unwrap());
    let seconds: u64 = arguments.next().map_or(10, |n| n.parse().unwrap());

    let url = StoreUrl::parse(&url).unwrap();
    let begun = Instant::now();
    let store = jobstore::open(&url, OpenOptions::new("bench", Utc::now())).await.unwrap();
    println!("{url}: opened in {:.1} ms, {:.1} MB", begun.elapsed().as_secs_f64() * 1e3, memory());
    let bench = Bench {
        store,
        planner: Arc::new(EverySecond),
        owner: Owner::from("bench"),
        pipelines: Arc::new((0..jobs).map(|n| format!("bench_{n:06}")).collect()),
        jobs,
    };
    let now = Utc::now();
    let first = now - TimeDelta::seconds(30);
    let took = bench.register(first).await;
    println!("registered {jobs} jobs in {:.1} ms, {:.1} MB", took.as_secs_f64() * 1e3, memory());
    let mut ends = bench.flat_out(first, 20).await;
    // Whatever is overdue until now is fired before the clock is watched.
    loop {
        let result = bench.turn(Utc::now(), std::mem::take(&mut ends)).await;
        ends = result.started.into_iter().map(|run| bench.end(run, Utc::now())).collect();
        if ends.len() < jobs / 10 {
            break;
        }
    }
    bench.real_time(seconds, ends).await;
    println!("at the end {:.1} MB", memory());
    bench.store.close().await;
}
