//! From the ends of runs to alerts.

use ::discord::alert::{AlertKind, Alerts, RunNotice};
use engine::{EngineEvent, EventKind, Handle};
use jobstore::Outcome;

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
