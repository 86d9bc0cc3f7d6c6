//! Discord for a program that ends: what pipelines want to tell is sent while they run, and a little longer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use discord::alert::{AlertConfig, AlertKind, Alerts, FileAlertStore, RunNotice};
use discord::delivery::{Delivery, DeliveryConfig, Drained};
use discord::outbox::MemoryOutbox;
use discord::sink::{DiscordService, DiscordSink};
use discord::{ApiBase, Secret};
use pipeline_core::config::Pipeline;
use pipeline_core::{Definition, Registry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::notify::Notice;
use crate::setup::Setup;

/// What the environment says of Discord.
#[derive(Debug, Clone)]
pub struct DiscordSettings {
    /// The bot's token, where there is one.
    pub token: Option<Secret>,
    /// Discord's REST interface.
    pub api_base: ApiBase,
}

impl DiscordSettings {
    /// Reads `DISCORD_TOKEN` and `DISCORD_API_BASE`.
    ///
    /// # Errors
    /// Where the base is no address.
    pub fn read(environment: &Environment) -> Result<Self, String> {
        let api_base = match environment.setting("DISCORD_API_BASE") {
            Some(text) => text.parse().map_err(|error| format!("DISCORD_API_BASE: {error}"))?,
            None => ApiBase::default(),
        };
        Ok(Self { token: environment.setting("DISCORD_TOKEN").map(Secret::from), api_base })
    }
}

/// Registers the sink.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<DiscordSink>();
}

/// The sending half of Discord, for a one-shot run. Messages live as long as the process.
pub(crate) struct Sending {
    outbox: Arc<MemoryOutbox>,
    service: DiscordService,
    delivery: Arc<Delivery>,
    alerts: Option<Alerts>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Sending {
    /// Starts sending, where one of these pipelines may want that.
    ///
    /// # Errors
    /// Where the environment's settings cannot be used.
    pub(crate) fn start(
        pipelines: &[&Pipeline],
        setup: &Setup,
        state_dir: &Path,
    ) -> Result<Option<Self>, String> {
        let is_sink = |class: &str| class == DiscordSink::CLASS || DiscordSink::ALIASES.contains(&class);
        let has_sink = pipelines.iter().any(|p| p.chain.iter().any(|stage| is_sink(&stage.class)));
        let has_alerts = pipelines.iter().any(|p| p.on_failure.discord_channel_id.is_some());
        if !has_sink && !has_alerts {
            return Ok(None);
        }
        let settings = DiscordSettings::read(&setup.environment)?;
        let outbox = Arc::new(MemoryOutbox::new(setup.clock.clone()));
        let service = DiscordService::new(outbox.clone(), settings.token.is_some());
        let mut config = DeliveryConfig::new(settings.token.clone(), setup.clock.clone());
        config.api_base = settings.api_base.clone();
        let delivery = Arc::new(Delivery::new(config, service.clone()).map_err(|error| error.to_string())?);
        let alerts = match settings.token.filter(|_| has_alerts) {
            Some(token) => {
                let store = Arc::new(FileAlertStore::new(state_dir.join("alerts.json")));
                let (api_base, clock) = (settings.api_base, setup.clock.clone());
                let config = AlertConfig { token, api_base, clock, store };
                Some(Alerts::new(config).map_err(|error| error.to_string())?)
            }
            None => {
                if has_alerts {
                    tracing::warn!("DISCORD_TOKEN is not set, so no channel can be told of failures");
                }
                None
            }
        };
        let stop = CancellationToken::new();
        let mut tasks = Vec::new();
        if has_sink {
            let (delivery, stop) = (delivery.clone(), stop.clone());
            tasks.push(tokio::spawn(async move { delivery.run(stop).await }));
        }
        Ok(Some(Self { outbox, service, delivery, alerts, stop, tasks }))
    }

    /// What the sinks of runs need.
    pub(crate) fn service(&self) -> &DiscordService {
        &self.service
    }

    /// Tells a pipeline's channel of its failure, or that it is over.
    pub(crate) fn ended(&self, pipeline: &Pipeline, notice: &Notice) {
        let (Some(alerts), Some(channel)) = (&self.alerts, pipeline.on_failure.discord_channel_id) else {
            return;
        };
        let kind = match notice.outcome.as_str() {
            "succeeded" => AlertKind::Succeeded,
            "failed" => AlertKind::Failed,
            "timed_out" => AlertKind::TimedOut,
            _ => return,
        };
        alerts.notify(
            channel,
            RunNotice {
                pipeline: notice.pipeline.clone(),
                run_id: notice.run_id.clone(),
                kind,
                error: notice.error.clone(),
                at: notice.finished_at,
            },
        );
    }

    /// Waits until everything has left, for no longer than this.
    pub(crate) async fn drain(self, limit: Duration) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!("sending to Discord ended with a fault: {error}");
            }
        }
        let alerts = async {
            match &self.alerts {
                Some(alerts) if !alerts.is_quiet() => alerts.drain(limit).await,
                _ => true,
            }
        };
        let (drained, told) = tokio::join!(self.delivery.drain(limit), alerts);
        let counts = self.outbox.counts();
        if drained == Drained::Waiting && counts.waiting > 0 {
            tracing::warn!("{} messages to Discord could not be sent and are lost", counts.waiting);
        }
        if counts.dead > 0 {
            tracing::warn!("{} messages were refused by Discord", counts.dead);
        }
        if !told {
            tracing::warn!("not every channel could be told of failures");
        }
    }
}
