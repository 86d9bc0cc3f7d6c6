//! Measures what a promise is made about, against the mock: how soon commands are acknowledged, how many requests each
//! shape of a 429 costs, and how much memory messages take while Discord is away.
//!
//! `cargo run --release -p discord --example figures [acknowledge] [limits] [memory]`

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use discord::Secret;
use discord::bot::{
    BotConfig, ControlError, CronPreview, JobFires, JobInfo, PipelineInfo, Requester, RunInfo, RunOutcome,
    RunPhase, RunProgress, Scheduled, SchedulerControl, Snapshot, StartedRun, run_bot,
};
use discord::delivery::{Delivery, DeliveryConfig};
use discord::outbox::MemoryOutbox;
use discord::sink::{DiscordService, DiscordSink};
use mock_discord::{Fault, Interaction, LimitShape, MockConfig, MockDiscord, Rule};
use pipeline_core::{
    BuildContext, Chain, Definition, Emitter, Fetcher, ParsedItem, Record, RunContext, RunIdentity,
    RunOptions, Services, StageContext, StageError, SystemClock, Value, fetcher,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SHAPES: [LimitShape; 6] = [
    LimitShape::User,
    LimitShape::Shared,
    LimitShape::Global,
    LimitShape::BodyOnly,
    LimitShape::Proxy,
    LimitShape::Silent,
];

#[tokio::main]
async fn main() -> Outcome<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    if wants("acknowledge") {
        acknowledge(false).await?;
        acknowledge(true).await?;
    }
    if wants("limits") {
        limits().await?;
    }
    if wants("memory") {
        memory().await?;
    }
    Ok(())
}

fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// A scheduler with 1000 pipelines, each of whose runs succeeds at once.
struct Instantly(Arc<Snapshot>, AtomicU32);

#[async_trait]
impl SchedulerControl for Instantly {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.clone()
    }
    fn check_cron(&self, _: &str, _: &str) -> Result<CronPreview, String> {
        Ok(CronPreview::default())
    }
    async fn run(&self, _: &str, _: &Requester) -> Result<StartedRun, ControlError> {
        let n = self.1.fetch_add(1, Ordering::Relaxed);
        let done = RunProgress { phase: RunPhase::Finished(RunOutcome::Succeeded), ..RunProgress::default() };
        let (_, progress) = tokio::sync::watch::channel(done);
        Ok(StartedRun { run_id: n.to_string(), progress })
    }
    async fn schedule(&self, _: &str, _: &str, _: &Requester) -> Result<Scheduled, ControlError> {
        Ok(Scheduled::default())
    }
    async fn remove(&self, _: &str, _: &Requester) -> Result<(), ControlError> {
        Ok(())
    }
    async fn pause(&self, _: &str, _: &Requester) -> Result<(), ControlError> {
        Ok(())
    }
    async fn resume(&self, _: &str, _: &Requester) -> Result<Option<DateTime<Utc>>, ControlError> {
        Ok(None)
    }
    async fn cancel(&self, _: &str, _: &Requester) -> Result<(), ControlError> {
        Ok(())
    }
    async fn jobs(&self) -> Result<Vec<JobInfo>, ControlError> {
        Ok(Vec::new())
    }
    async fn history(&self, _: Option<&str>, _: usize) -> Result<Vec<RunInfo>, ControlError> {
        Ok(Vec::new())
    }
    async fn next(&self, _: &str, _: usize) -> Result<Vec<JobFires>, ControlError> {
        Ok(Vec::new())
    }
}

/// 100 commands in a second, alone or beside threads that compute without end.
async fn acknowledge(busy: bool) -> Outcome<()> {
    let mock = MockDiscord::start(MockConfig { global_limit: None, ..MockConfig::default() }).await?;
    let pipeline = |i: usize| PipelineInfo {
        name: format!("pipeline-{i:04}"),
        enabled: true,
        ..PipelineInfo::default()
    };
    let snapshot = Snapshot { pipelines: (0..1000).map(pipeline).collect(), ..Snapshot::default() };
    let mut config = BotConfig::new("mock-token");
    config.api_base = mock.api_base().parse()?;
    config.gateway_url = Some(mock.gateway_url());
    let stop = CancellationToken::new();
    let bot = tokio::spawn(run_bot(config, Arc::new(Instantly(Arc::new(snapshot), 0.into())), stop.clone()));
    if !mock.ready(Duration::from_secs(20)).await {
        return Err("the bot does not connect".into());
    }
    let computing: Vec<_> = (0..if busy { 2 } else { 0 })
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut n = 0_u64;
                while !stop.is_cancelled() {
                    n = std::hint::black_box(n.wrapping_mul(3).wrapping_add(1));
                }
            })
        })
        .collect();
    let mut tickets = Vec::new();
    let start = Instant::now();
    for i in 0..100_u32 {
        tokio::time::sleep_until(start + Duration::from_millis(10) * i).await;
        let name = format!("pipeline-{i:04}");
        let interaction = match i % 4 {
            0 => Interaction::command("jobs", &[]),
            1 => Interaction::autocomplete("run", &[("pipeline_name", &name[..10])]),
            _ => Interaction::command("run", &[("pipeline_name", &name)]),
        };
        tickets.push(mock.interact(interaction));
    }
    let mut times = Vec::new();
    for ticket in &tickets {
        let ack = mock.acknowledged(ticket, Duration::from_secs(5)).await.ok_or("not acknowledged")?;
        times.push(ack.elapsed);
    }
    times.sort();
    let machine = if busy { "beside two threads that compute" } else { "alone" };
    say(&format!(
        "acknowledge, 100 commands in a second, {machine}: p50 {:.1?}, p99 {:.1?}, max {:.1?}, late {}",
        times[49],
        times[98],
        times[99],
        mock.late()
    ))?;
    stop.cancel();
    bot.await?;
    for thread in computing {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}

struct Items(usize);

impl Fetcher for Items {
    async fn fetch(&mut self, _: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        for i in 0..self.0 {
            let text = "a description of some length, as shops have them ".repeat(6);
            let mut content: Record = [("n", i64::try_from(i).unwrap_or(0))].into_iter().collect();
            content.insert("text", Value::from(text.as_str()));
            out.emit(ParsedItem { topic: "shop.book".into(), content, discovered_at: DateTime::UNIX_EPOCH })
                .await;
        }
        Ok(())
    }
}

fn service() -> (Arc<MemoryOutbox>, DiscordService) {
    let outbox = Arc::new(MemoryOutbox::new(Arc::new(SystemClock)));
    (outbox.clone(), DiscordService::new(outbox, true))
}

fn delivery(base: &str, service: &DiscordService) -> Outcome<Delivery> {
    let mut config = DeliveryConfig::new(Some(Secret::from("mock-token")), Arc::new(SystemClock));
    config.api_base = base.parse()?;
    config.gather = Duration::from_millis(100);
    Ok(Delivery::new(config, service.clone())?)
}

/// Runs a chain of so many items into a sink for channel 1.
async fn run(service: &DiscordService, count: usize) -> Outcome<()> {
    let mut services = Services::default();
    services.insert(service.clone());
    let build = BuildContext { pipeline: "books".into(), stage: 2, services: services.clone() };
    let sink = DiscordSink::build(serde_json::from_str(r#"{"channel_id": 1}"#)?, &build)?;
    let mut options = RunOptions::new(RunIdentity {
        run_id: "run".into(),
        pipeline: "books".into(),
        job_id: "pipeline_books".into(),
        scheduled_for: DateTime::UNIX_EPOCH,
        attempt: 1,
    });
    options.services = services;
    let chain = Chain::new().stage("figures.Items", fetcher(Items(count))).stage(DiscordSink::CLASS, sink);
    let report = chain.run(RunContext::new(options), None).await;
    match report.error {
        Some(error) => Err(error.to_string().into()),
        None => Ok(()),
    }
}

/// What each shape of a 429, answered to every request, costs in 10 s.
async fn limits() -> Outcome<()> {
    for shape in SHAPES {
        let mock = MockDiscord::start(MockConfig::default()).await?;
        mock.fault(Rule::on("POST", "/channels/**", Fault::RateLimit(shape, 1.0)));
        let (_, service) = service();
        let stop = CancellationToken::new();
        let delivery = delivery(&mock.api_base(), &service)?;
        run(&service, 20).await?;
        let ending = stop.clone();
        let delivering = tokio::spawn(async move { delivery.run(ending).await });
        tokio::time::sleep(Duration::from_secs(10)).await;
        say(&format!("429 of shape {shape:?} to every message: {} requests in 10 s", mock.requests().len()))?;
        stop.cancel();
        delivering.await?;
    }
    Ok(())
}

/// The resident memory of this process, in MiB.
fn resident() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib / 1024.0)
}

/// 100,000 items while Discord is away, and how long it takes to send them when it is back.
async fn memory() -> Outcome<()> {
    let mock = MockDiscord::start(MockConfig::default()).await?;
    let base = mock.api_base();
    let port = base.rsplit(':').next().ok_or("no port")?.parse()?;
    drop(mock);
    let (outbox, service) = service();
    let sending = delivery(&base, &service)?;
    let stop = CancellationToken::new();
    let ending = stop.clone();
    let delivering = tokio::spawn(async move { sending.run(ending).await });
    run(&service, 1000).await?;
    let before = resident()?;
    let start = Instant::now();
    for _ in 0..10 {
        run(&service, 10_000).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = start.elapsed();
    let after = resident()?;
    say(&format!(
        "memory, Discord away: {} messages wait, resident {before:.1} MiB before and {after:.1} MiB after, in {took:.1?}",
        outbox.counts().waiting
    ))?;
    let mock = MockDiscord::start(MockConfig { rest_port: port, ..MockConfig::default() }).await?;
    let start = Instant::now();
    while outbox.counts().waiting > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let items: usize = mock
        .sent()
        .iter()
        .map(|m| match m.files.first() {
            Some(file) => file.bytes.iter().filter(|b| **b == b'\n').count(),
            None => m.content().matches("New item").count(),
        })
        .sum();
    say(&format!(
        "memory, Discord back: {items} items in {} messages after {:.1?}, resident {:.1} MiB",
        mock.sent().len(),
        start.elapsed(),
        resident()?
    ))?;
    stop.cancel();
    delivering.await?;
    Ok(())
}
