//! Runs chains that end in a sink, and a delivery that sends what they leave.

use std::sync::Arc;
use std::time::Duration;

use discord::Secret;
use discord::delivery::{Delivery, DeliveryConfig};
use discord::outbox::{MemoryOutbox, Outbox};
use discord::sink::{DiscordService, DiscordSink};
use mock_discord::{MockConfig, MockDiscord};
use pipeline_core::{
    BuildContext, Chain, Definition, Emitter, Fetcher, ParsedItem, Record, RunContext, RunIdentity,
    RunOptions, RunReport, Services, StageContext, StageError, SystemClock, Value, fetcher,
};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Emits items, and fails afterwards where it is told to.
pub(crate) struct Items {
    pub(crate) items: Vec<ParsedItem>,
    pub(crate) fails: bool,
}

impl Fetcher for Items {
    async fn fetch(&mut self, _: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        for item in self.items.drain(..) {
            out.emit(item).await;
        }
        if self.fails { Err(StageError::fatal("it broke")) } else { Ok(()) }
    }
}

pub(crate) fn item(topic: &str, fields: &[(&str, &str)]) -> ParsedItem {
    let content: Record = fields.iter().map(|(k, v)| ((*k).to_owned(), Value::from(*v))).collect();
    ParsedItem { topic: topic.into(), content, discovered_at: chrono::DateTime::UNIX_EPOCH }
}

pub(crate) fn numbered(count: usize, width: usize) -> Vec<ParsedItem> {
    (0..count).map(|i| item("shop.book", &[("n", &i.to_string()), ("text", &"x".repeat(width))])).collect()
}

pub(crate) struct World {
    pub(crate) mock: MockDiscord,
    pub(crate) outbox: Arc<MemoryOutbox>,
    pub(crate) service: DiscordService,
    pub(crate) shutdown: CancellationToken,
    pub(crate) delivering: JoinHandle<()>,
    run: std::sync::atomic::AtomicU32,
}

pub(crate) fn delivery(mock: &MockDiscord, service: &DiscordService, token: Option<&str>) -> Delivery {
    let mut config = DeliveryConfig::new(token.map(Secret::from), Arc::new(SystemClock));
    config.api_base = mock.api_base().parse().unwrap();
    config.gather = Duration::from_millis(50);
    Delivery::new(config, service.clone()).unwrap()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(MockConfig::default(), Some("mock-token")).await
    }

    pub(crate) async fn with(mock: MockConfig, token: Option<&str>) -> Self {
        crate::logs::capture();
        let mock = MockDiscord::start(mock).await.unwrap();
        let outbox = Arc::new(MemoryOutbox::new(Arc::new(SystemClock)));
        let service = DiscordService::new(outbox.clone(), token.is_some());
        let shutdown = CancellationToken::new();
        let delivery = delivery(&mock, &service, token);
        let stop = shutdown.clone();
        let delivering = tokio::spawn(async move { delivery.run(stop).await });
        Self { mock, outbox, service, shutdown, delivering, run: 0.into() }
    }

    /// Runs items through a sink with these kwargs.
    pub(crate) async fn run(&self, kwargs: serde_json::Value, items: Vec<ParsedItem>) -> RunReport {
        self.attempt(kwargs, Items { items, fails: false }, None).await
    }

    pub(crate) async fn attempt(
        &self,
        kwargs: serde_json::Value,
        items: Items,
        timeout: Option<Duration>,
    ) -> RunReport {
        let mut services = Services::default();
        services.insert(self.service.clone());
        let build = BuildContext { pipeline: "books".into(), stage: 2, services: services.clone() };
        let sink = DiscordSink::build(serde_json::from_value(kwargs).unwrap(), &build).unwrap();
        let n = self.run.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut options = RunOptions::new(RunIdentity {
            run_id: format!("run-{n}"),
            pipeline: "books".into(),
            job_id: "pipeline_books".into(),
            scheduled_for: chrono::DateTime::UNIX_EPOCH,
            attempt: 1,
        });
        options.services = services;
        let chain = Chain::new().stage("test.Items", fetcher(items)).stage(DiscordSink::CLASS, sink);
        chain.run(RunContext::new(options), timeout).await
    }

    /// Waits until nothing waits to be sent.
    pub(crate) async fn empty(&self) {
        let waiting = async {
            while self.outbox.next_at().await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, waiting).await.expect("the outbox empties");
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LONG, self.delivering).await.expect("the delivery ends").unwrap();
    }
}

pub(crate) fn channel(id: u64) -> serde_json::Value {
    json!({"channel_id": id})
}
