//! What sinks and delivery share within a process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};

use super::target::Target;
use crate::http::Secret;
use crate::lock::lock;
use crate::outbox::Outbox;

/// Connects the sinks of a program with its outbox and its delivery. The program makes one, puts it among the services of
/// its builds and runs, and hands it to the [`Delivery`](crate::delivery::Delivery). Cheap to clone.
#[derive(Clone)]
pub struct DiscordService(Arc<Inner>);

struct Inner {
    outbox: Arc<dyn Outbox>,
    has_bot: bool,
    /// The URLs of webhooks, by their targets.
    webhooks: Mutex<HashMap<(String, String), Secret>>,
    /// Woken when there is something to send.
    arrived: Notify,
    /// Whether it is to be looked for at once.
    hurry: AtomicBool,
    /// Changes whenever something was sent or given up on.
    settled: watch::Sender<u64>,
}

impl DiscordService {
    /// A service over an outbox; whether there is a bot that can send to channels.
    pub fn new(outbox: Arc<dyn Outbox>, has_bot: bool) -> Self {
        Self(Arc::new(Inner {
            outbox,
            has_bot,
            webhooks: Mutex::default(),
            arrived: Notify::new(),
            hurry: AtomicBool::new(false),
            settled: watch::Sender::new(0),
        }))
    }

    /// The outbox.
    pub fn outbox(&self) -> &Arc<dyn Outbox> {
        &self.0.outbox
    }

    /// Tells the delivery that there may be something to send, such as after the commit of a run.
    pub fn wake(&self) {
        self.0.arrived.notify_one();
    }

    pub(crate) fn has_bot(&self) -> bool {
        self.0.has_bot
    }

    /// Tells the delivery to look at once: a person has changed something, and waits for it.
    pub fn hurry(&self) {
        self.0.hurry.store(true, Ordering::Relaxed);
        self.0.arrived.notify_one();
    }

    /// Waits until there may be something to send. Whether somebody waits for it.
    pub(crate) async fn woken(&self) -> bool {
        self.0.arrived.notified().await;
        self.0.hurry.swap(false, Ordering::Relaxed)
    }

    /// Tells those who wait for a delivery to look.
    pub(crate) fn settle(&self) {
        self.0.settled.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(crate) fn settled(&self) -> watch::Receiver<u64> {
        self.0.settled.subscribe()
    }

    /// Makes a webhook known; called whenever a file is checked or a stage is made.
    pub(crate) fn learn(&self, pipeline: &str, stage: &str, url: Secret) {
        lock(&self.0.webhooks).insert((pipeline.to_owned(), stage.to_owned()), url);
    }

    /// The URL of a webhook. Where the stage has moved within its pipeline, and the pipeline has only one webhook, that.
    pub(crate) fn webhook(&self, target: &Target) -> Option<Secret> {
        let Target::Webhook { pipeline, stage } = target else { return None };
        let webhooks = lock(&self.0.webhooks);
        if let Some(url) = webhooks.get(&(pipeline.clone(), stage.clone())) {
            return Some(url.clone());
        }
        let mut of_pipeline = webhooks.iter().filter(|((p, _), _)| p == pipeline);
        match (of_pipeline.next(), of_pipeline.next()) {
            (Some((_, url)), None) => Some(url.clone()),
            _ => None,
        }
    }
}

impl std::fmt::Debug for DiscordService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiscordService").field("has_bot", &self.0.has_bot).finish_non_exhaustive()
    }
}
