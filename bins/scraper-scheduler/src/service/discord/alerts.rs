//! From the ends of runs to alerts, and where these are kept.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};

use ::discord::alert::{AlertKind, AlertStore, Alerts, RunNotice};
use async_trait::async_trait;
use engine::{EngineEvent, EventKind, Handle};
use jobstore::{JobStore, Outcome, StageScope};

/// What is known of failing pipelines, in the job store: all schedulers of the namespace count together, and each thing
/// is told by one of them. The file is checked before the store is opened, so it is connected later.
#[derive(Default)]
pub(super) struct SharedAlerts(OnceLock<Arc<dyn JobStore>>);

impl SharedAlerts {
    /// Connects it with the store.
    pub(super) fn connect(&self, store: Arc<dyn JobStore>) {
        // The first one stays: there is only one.
        self.0.get_or_init(|| store);
    }

    fn store(&self) -> io::Result<&Arc<dyn JobStore>> {
        self.0.get().ok_or_else(|| io::Error::other("the job store is not open yet"))
    }
}

/// Where they are among what stages keep: no pipeline has an empty name.
fn scope() -> StageScope {
    StageScope { pipeline: String::new(), stage: "alerts".to_owned() }
}

#[async_trait]
impl AlertStore for SharedAlerts {
    async fn load(&self) -> io::Result<BTreeMap<String, String>> {
        let entries = self.store()?.state_scan(None, &scope(), b"", None, usize::MAX).await;
        let entries = entries.map_err(io::Error::other)?.into_iter();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(io::Error::other);
        entries.map(|entry| Ok((text(entry.key)?, text(entry.value)?))).collect()
    }

    async fn replace(&self, key: &str, old: Option<&str>, new: Option<&str>) -> io::Result<bool> {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let replaced = self.store()?.state_replace(&scope(), key.as_bytes(), bytes(old), bytes(new)).await;
        replaced.map_err(io::Error::other)
    }
}

/// Tells the pipeline's channel, where it has one, of a failure or of its end.
pub(super) fn tell(event: &EngineEvent, handle: &Handle, alerts: &Alerts) {
    let Some(notice) = notice(event) else { return };
    let pipelines = handle.pipelines();
    let config = pipelines.get(&notice.pipeline).and_then(|pipeline| pipeline.config.as_ref());
    if let Some(channel) = config.and_then(|config| config.on_failure.discord_channel_id) {
        alerts.notify(channel, notice);
    }
}

/// What there is to tell about an event; nothing about most of them.
fn notice(event: &EngineEvent) -> Option<RunNotice> {
    let (pipeline, run_id, kind, error) = match &event.kind {
        EventKind::Finished { run, outcome, error, .. } => {
            (run.pipeline.to_string(), run.id, kind(*outcome)?, error.clone())
        }
        EventKind::Missed { run, count, .. } => {
            (run.pipeline.to_string(), run.id, AlertKind::Missed(*count), None)
        }
        EventKind::Rescued { run, pipeline, outcome: Some(outcome), .. } => {
            (pipeline.clone(), *run, kind(*outcome)?, None)
        }
        _ => return None,
    };
    Some(RunNotice { pipeline, run_id: run_id.to_string(), kind, error, at: event.at })
}

fn kind(outcome: Outcome) -> Option<AlertKind> {
    match outcome {
        Outcome::Succeeded => Some(AlertKind::Succeeded),
        Outcome::Failed => Some(AlertKind::Failed),
        Outcome::TimedOut => Some(AlertKind::TimedOut),
        Outcome::Abandoned => Some(AlertKind::Abandoned),
        // Somebody wanted it so; and missed fires have an event of their own.
        Outcome::Cancelled | Outcome::Skipped | Outcome::Missed => None,
    }
}
