//! The sending half: the messages of sinks, and alerts.

use std::sync::Arc;

use ::discord::alert::{AlertConfig, Alerts};
use ::discord::delivery::{Delivery, DeliveryConfig};
use ::discord::sink::{DiscordService, DiscordSink};
use ::discord::{ApiBase, Secret};
use engine::{EventKind, Events, Handle, Observed};
use jobstore::{JobStore, Owner};
use pipeline_core::Definition;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::alerts::{self, SharedAlerts};
use super::outbox::StoreOutbox;
use crate::settings::Settings;

/// What sends, before it is started.
pub(super) struct Sending {
    outbox: Arc<StoreOutbox>,
    known: Arc<SharedAlerts>,
    service: DiscordService,
    delivery: Delivery,
    alerts: Option<Alerts>,
    has_bot: bool,
}

impl Sending {
    /// Makes it. A token that cannot even be sent is as good as none: an error in the log, and everything else goes on.
    pub(super) fn new(
        token: Option<Secret>,
        api_base: &ApiBase,
        settings: &Settings,
    ) -> Result<Self, String> {
        let clock = settings.clock();
        let outbox = Arc::new(StoreOutbox::new(clock.clone()));
        let make = |token: Option<Secret>| {
            let service = DiscordService::new(outbox.clone(), token.is_some());
            let config =
                DeliveryConfig { api_base: api_base.clone(), ..DeliveryConfig::new(token, clock.clone()) };
            let delivery = Delivery::new(config, service.clone()).map_err(|error| error.to_string());
            delivery.map(|delivery| (service, delivery))
        };
        let (service, delivery, token) = match make(token.clone()) {
            Ok((service, delivery)) => (service, delivery, token),
            Err(error) => {
                tracing::error!("DISCORD_TOKEN: {error}");
                let (service, delivery) = make(None)?;
                (service, delivery, None)
            }
        };
        let has_bot = token.is_some();
        let known = Arc::new(SharedAlerts::default());
        let alerts = match token {
            Some(token) => {
                let (api_base, clock) = (api_base.clone(), clock.clone());
                let config = AlertConfig { token, api_base, clock, store: known.clone() };
                Some(Alerts::new(config).map_err(|error| error.to_string())?)
            }
            None => None,
        };
        Ok(Self { outbox, known, service, delivery, alerts, has_bot })
    }

    /// What the sinks of runs need.
    pub(super) fn service(&self) -> &DiscordService {
        &self.service
    }

    /// Connects it with the job store; `owner` is the engine's name.
    pub(super) fn connect(&self, store: Arc<dyn JobStore>, owner: Owner) {
        self.known.connect(store.clone());
        self.outbox.connect(store, owner);
    }

    /// Starts to send, until `stop`.
    pub(super) fn start(self, handle: &Handle, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let Self { outbox: _, known: _, service, delivery, alerts, has_bot } = self;
        let (events, watched, stopped) = (handle.subscribe(), handle.clone(), stop.clone());
        let watching = async move {
            let told = CancellationToken::new();
            let telling = async {
                if let Some(alerts) = &alerts {
                    alerts.run(told.clone()).await;
                }
            };
            // The last run's end is noted before the alerts are saved.
            let watching = async {
                watch(events, &watched, &service, alerts.as_ref(), &stopped).await;
                told.cancel();
            };
            tokio::join!(watching, telling);
        };
        let (events, watched, stopped) = (handle.subscribe(), handle.clone(), stop.clone());
        let delivering = async move {
            if has_bot || stopped.run_until_cancelled(wanted(events, &watched)).await.is_some() {
                delivery.run(stopped).await;
            }
        };
        vec![tokio::spawn(watching), tokio::spawn(delivering)]
    }
}

/// Follows the ends of runs: their messages may be sent, and channels are told of failures.
async fn watch(
    mut events: Events,
    handle: &Handle,
    service: &DiscordService,
    alerts: Option<&Alerts>,
    stop: &CancellationToken,
) {
    let mut changes = handle.store().changes();
    loop {
        // What has happened is told before the end.
        let observed = tokio::select! {
            biased;
            observed = events.next() => observed,
            () = stop.cancelled() => return,
            // Somebody may want messages to be sent again.
            () = changes.changed() => {
                service.hurry();
                continue;
            }
        };
        match observed {
            None => return,
            Some(Observed::Event(event)) => {
                if matches!(event.kind, EventKind::Finished { .. }) {
                    service.wake();
                }
                if let Some(alerts) = alerts {
                    alerts::tell(&event, handle, alerts);
                } else if matches!(event.kind, EventKind::Started { .. } | EventKind::Reloaded { .. }) {
                    warn_of_deaf_channels(handle);
                }
            }
            Some(Observed::Lost(count)) => {
                service.wake();
                if alerts.is_some() {
                    tracing::warn!(
                        "{count} events came too fast: failures among them are told of by no alert"
                    );
                }
            }
        }
    }
}

fn warn_of_deaf_channels(handle: &Handle) {
    let pipelines = handle.pipelines();
    let mut configs = pipelines.iter().filter_map(|pipeline| pipeline.config.as_ref());
    if configs.any(|config| config.on_failure.discord_channel_id.is_some()) {
        tracing::warn!("DISCORD_TOKEN is not set, so no channel can be told of failures");
    }
}

/// Waits until the file has a stage that sends through a webhook, or asks to.
async fn wanted(mut events: Events, handle: &Handle) {
    let is_sink = |class: &String| class == DiscordSink::CLASS || DiscordSink::ALIASES.contains(&&**class);
    let has_sink = || handle.pipelines().iter().any(|pipeline| pipeline.stages.iter().any(is_sink));
    while !has_sink() {
        loop {
            match events.next().await {
                None => return std::future::pending().await,
                Some(Observed::Event(event)) if !matches!(event.kind, EventKind::Reloaded { .. }) => {}
                Some(_) => break,
            }
        }
    }
}
