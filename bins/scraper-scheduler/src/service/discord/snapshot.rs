//! Keeps what the bot must know without asking the store.

use std::sync::Arc;
use std::time::Duration;

use ::discord::bot::{ActiveRun, Snapshot};
use engine::{EventKind, JobQuery, Observed};
use jobstore::{RunFilter, RunState};

use super::control::BotControl;
use super::convert;

/// Jobs and runs beyond these are found by asking the store only.
const JOBS: usize = 5_000;
const RUNS: usize = 1_000;
/// How old the picture may get without an event or a change: what other schedulers run is told of by neither.
const OLDEST: Duration = Duration::from_secs(10);
/// How long further events may be waited for.
const LINGER: Duration = Duration::from_millis(200);

/// Keeps the snapshot up to date until it is dropped.
pub(super) async fn keep(control: Arc<BotControl>) {
    let mut events = control.handle.subscribe();
    let mut changes = control.handle.store().changes();
    loop {
        refresh(&control).await;
        let pause = tokio::time::sleep(OLDEST);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                // The command line, or another scheduler.
                () = changes.changed() => {
                    tokio::time::sleep(LINGER).await;
                    break;
                }
                observed = events.next() => match observed {
                    None => return,
                    Some(Observed::Event(event)) if !matters(&event.kind) => {}
                    Some(_) => {
                        tokio::time::sleep(LINGER).await;
                        break;
                    }
                },
            }
        }
    }
}

/// Takes a new picture: also at once after a change that the bot itself has made, so that the next command knows of it.
pub(super) async fn refresh(control: &BotControl) {
    match take(control).await {
        Ok(snapshot) => control.replace_snapshot(snapshot),
        Err(error) => tracing::debug!("the Discord bot's picture of the scheduler is old: {error}"),
    }
}

/// Whether the picture is another one after this event.
fn matters(kind: &EventKind) -> bool {
    !matches!(
        kind,
        EventKind::StoreLost { .. }
            | EventKind::StoreBack { .. }
            | EventKind::Stopping { .. }
            | EventKind::Stopped
    )
}

async fn take(control: &BotControl) -> Result<Snapshot, engine::ControlError> {
    let handle = &control.handle;
    let jobs = handle.jobs(JobQuery { limit: JOBS, ..JobQuery::default() }).await?;
    let states = vec![RunState::Queued, RunState::Running];
    let filter = RunFilter { states, limit: RUNS, ..RunFilter::default() };
    let runs = handle.store().runs(filter).await?;
    Ok(Snapshot {
        pipelines: handle.pipelines().iter().map(|pipeline| convert::pipeline(pipeline)).collect(),
        jobs: jobs.iter().map(convert::job).collect(),
        active: runs
            .into_iter()
            .map(|run| ActiveRun {
                id: run.id.to_string(),
                since: run.started_at.unwrap_or(run.available_at),
                pipeline: run.pipeline,
            })
            .collect(),
    })
}
