//! Webhooks on failure and heartbeats, from the engine's events.

use app::notify::{Notice, Notifier};
use engine::{EngineEvent, EventKind, Events, Handle, Observed, RunRef};

/// Passes on how runs ended until the engine is gone.
pub(crate) async fn pass_on(mut events: Events, handle: Handle, notifier: Notifier) {
    while let Some(observed) = events.next().await {
        match observed {
            Observed::Event(event) => {
                if let Some(notice) = notice(&event, &handle).await
                    && let Some(pipeline) = handle.pipelines().get(&notice.pipeline)
                    && let Some(config) = &pipeline.config
                {
                    notifier.ended(config, &notice);
                }
            }
            Observed::Lost(count) => {
                tracing::warn!("{count} events came too fast: webhooks and heartbeats for them are left out");
            }
        }
    }
}

/// What there is to tell about an event; nothing about most of them.
async fn notice(event: &EngineEvent, handle: &Handle) -> Option<Notice> {
    match &event.kind {
        EventKind::Finished { run, attempt, outcome, error, .. } => {
            Some(Notice { error: error.clone(), ..about(event, run, outcome.as_str(), *attempt) })
        }
        EventKind::Missed { run, count, .. } => {
            let error = (*count > 1).then(|| format!("{count} fires were missed"));
            Some(Notice { error, ..about(event, run, "missed", 0) })
        }
        EventKind::Rescued { run, attempt, outcome: Some(outcome), .. } => {
            // The event does not say which fire it was.
            let record = match handle.run(*run).await {
                Ok(view) => view.record,
                Err(error) => {
                    tracing::warn!("nobody is told how run {run} ended: {error}");
                    return None;
                }
            };
            Some(Notice {
                pipeline: record.pipeline,
                run_id: run.to_string(),
                job_id: record.job_id.as_ref().map(ToString::to_string),
                scheduled_for: record.scheduled_for,
                outcome: outcome.to_string(),
                attempt: u32::try_from(*attempt).unwrap_or(0),
                error: record.error,
                finished_at: event.at,
            })
        }
        _ => None,
    }
}

fn about(event: &EngineEvent, run: &RunRef, outcome: &str, attempt: i32) -> Notice {
    Notice {
        pipeline: run.pipeline.to_string(),
        run_id: run.id.to_string(),
        job_id: run.job_id.as_ref().map(ToString::to_string),
        scheduled_for: run.scheduled_for,
        outcome: outcome.to_owned(),
        attempt: u32::try_from(attempt).unwrap_or(0),
        error: None,
        finished_at: event.at,
    }
}
