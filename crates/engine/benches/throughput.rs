//! Lateness and CPU a fire with many one-second jobs on a durable store, all of them due at the same instant; then
//! start-up, idle CPU and memory with many jobs due tomorrow.
//!
//! `cargo bench -p engine --bench throughput -- [URL]`: the store is a new SQLite file, or an empty database. `JOBS` are
//! the sizes of the first part (`100,1000,10000`), `TOMORROW` those of the second (`10000`); `0` leaves a part out.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot unwrap has failed")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use engine::{Deps, Engine, EventKind, NewJob, Observed, Pipeline, Pipelines, Settings, Shutdown};
use jobstore::{JobStore, OpenOptions, StoreUrl};
use pipeline_core::config::Overlap;
use pipeline_core::{
    Chain, Clock, Emitter, Fetcher, StageContext, StageError, Stopwatch, SystemClock, fetcher,
};
use schedule::{Schedule, Zone};
use tokio::sync::mpsc;

struct Noop(mpsc::UnboundedSender<Duration>);

impl Fetcher for Noop {
    async fn fetch(&mut self, ctx: &StageContext, _: &mut Emitter) -> Result<(), StageError> {
        let late = (ctx.now() - ctx.identity().scheduled_for).to_std().unwrap_or_default();
        self.0.send(late).map_err(|_| StageError::fatal("nobody counts"))
    }
}

#[expect(clippy::print_stdout, reason = "what a measurement is for")]
fn print(line: &str) {
    println!("{line}");
}

/// User and system time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A store of its own for each measurement: a new file, or a namespace in the database that was named.
async fn store(folder: &std::path::Path, namespace: &str) -> Arc<dyn JobStore> {
    let url = std::env::args().skip(1).find(|argument| argument != "--bench");
    let url =
        url.map_or_else(|| StoreUrl::file(folder.join("jobs.db")), |url| StoreUrl::parse(&url).unwrap());
    jobstore::open(&url, OpenOptions::new(namespace, SystemClock.now())).await.unwrap()
}

fn sizes(variable: &str, default: &str) -> Vec<usize> {
    let text = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    text.split(',').map(|size| size.trim().parse().unwrap()).filter(|size| *size > 0).collect()
}

/// `jobs` pipelines, each once a second, for some seconds.
async fn measure(jobs: usize, seconds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), &format!("seconds-{jobs}")).await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let each_second = Schedule::interval(Duration::from_secs(1), Zone::UTC).unwrap();
    let pipelines = (0..jobs).map(|n| {
        let sender = sender.clone();
        let chain = move || Ok(Chain::new().stage("bench.Noop", fetcher(Noop(sender.clone()))));
        Pipeline::new(format!("p{n:05}"), chain).scheduled(each_second.clone()).overlap(Overlap::Queue)
    });
    let pipelines = Pipelines::new(pipelines).unwrap();
    let deps = Deps {
        settings: Settings { max_concurrent_runs: jobs, ..Settings::default() },
        ..Deps::new(store.clone(), pipelines)
    };
    let engine = Engine::new(deps);
    let handle = engine.handle();
    let mut events = handle.subscribe();
    let shutdown = Shutdown::default();
    let registering = Stopwatch::start();
    let engine = tokio::spawn(engine.run(shutdown.clone()));
    loop {
        match events.next().await.unwrap() {
            Observed::Event(event) if matches!(event.kind, EventKind::Started { .. }) => break,
            _ => {}
        }
    }
    drop(events);
    let registered = registering.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    while receiver.try_recv().is_ok() {}
    let before = cpu();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = cpu() - before;
    let mut late = Vec::new();
    while let Ok(one) = receiver.try_recv() {
        late.push(one);
    }
    let rss = resident();
    shutdown.drain.cancel();
    engine.await.unwrap().unwrap();
    late.sort_unstable();
    let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    print(&format!(
        "{jobs} jobs: {} fires in {seconds} s, late p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, CPU {:.1} µs a fire, registered in {registered:?}, {rss} MiB",
        late.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        used.as_micros() as f64 / late.len() as f64,
    ));
}

async fn many_jobs_due_tomorrow(jobs: usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), &format!("tomorrow-{jobs}")).await;
    let pipeline = Pipeline::new("books", || Ok(Chain::new())).scheduled(Schedule::manual(Zone::UTC));
    let pipelines = Pipelines::new([pipeline]).unwrap();
    let control = engine::Control::new(store.clone(), Arc::new(SystemClock), pipelines.clone());
    let tomorrow: DateTime<Utc> = SystemClock.now() + chrono::TimeDelta::days(1);
    let adding = Stopwatch::start();
    let new = |n: usize| NewJob {
        pipeline: "books".into(),
        id: Some(format!("job-{n}").into()),
        schedule: Schedule::at(tomorrow, Zone::UTC),
        requested_by: None,
    };
    control.add_jobs((0..jobs).map(new)).await.unwrap();
    print(&format!("{jobs} jobs added in {:?}", adding.elapsed()));
    let engine = Engine::new(Deps::new(store.clone(), pipelines));
    let handle = engine.handle();
    let mut events = handle.subscribe();
    let shutdown = Shutdown::default();
    let starting = Stopwatch::start();
    let engine = tokio::spawn(engine.run(shutdown.clone()));
    loop {
        match events.next().await.unwrap() {
            Observed::Event(event) if matches!(event.kind, EventKind::Started { .. }) => break,
            _ => {}
        }
    }
    let ready = starting.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = cpu();
    tokio::time::sleep(Duration::from_secs(20)).await;
    print(&format!("ready in {ready:?}, idle CPU {:?} in 20 s, {} MiB", cpu() - before, resident()));
    shutdown.drain.cancel();
    engine.await.unwrap().unwrap();
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for jobs in sizes("JOBS", "100,1000,10000") {
            measure(jobs, 10).await;
        }
        for jobs in sizes("TOMORROW", "10000") {
            many_jobs_due_tomorrow(jobs).await;
        }
    });
}
