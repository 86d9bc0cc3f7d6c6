//! How a run goes on, for the message that the bot edits.

use std::time::Duration;

use ::discord::bot::{RunPhase, RunProgress};
use engine::{EventKind, Events, Handle, Observed};
use jobstore::{RunId, RunState};
use tokio::sync::watch;

use super::convert;

/// How often the counts of a run of this process are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The store is asked every so many times: the run may be another scheduler's.
const ASK_EVERY: u32 = 3;

/// Watches a run until it is over, or nobody wants to know.
pub(super) fn watch(handle: Handle, events: Events, run: RunId) -> watch::Receiver<RunProgress> {
    let (sender, receiver) = watch::channel(RunProgress::default());
    tokio::spawn(follow(handle, events, run, sender));
    receiver
}

async fn follow(handle: Handle, mut events: Events, run: RunId, sender: watch::Sender<RunProgress>) {
    let mut looks = 0;
    loop {
        let news = tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {
                looks += 1;
                looks % ASK_EVERY == 0
            }
            observed = events.next() => match observed {
                None => return,
                Some(Observed::Lost(_)) => true,
                Some(Observed::Event(event)) => match event.kind.run() {
                    Some(about) if about.id == run => !matches!(event.kind, EventKind::Fired { .. }),
                    _ => continue,
                },
            },
        };
        if news {
            if let Some(progress) = stored(&handle, run).await {
                let over = matches!(progress.phase, RunPhase::Finished(_));
                sender.send_replace(progress);
                if over {
                    return;
                }
            }
        } else if let Some(stages) = handle.progress(run) {
            sender.send_modify(|progress| progress.stages = convert::stages(&stages));
        }
    }
}

/// What the store says, with the counts of this process where the run is here.
async fn stored(handle: &Handle, run: RunId) -> Option<RunProgress> {
    // An outage is no news about the run: the next look tries again.
    let record = handle.run(run).await.ok()?.record;
    let phase = match (record.state, record.outcome) {
        (_, Some(outcome)) => RunPhase::Finished(convert::outcome(outcome)),
        (RunState::Running, None) => RunPhase::Running,
        (RunState::Queued | RunState::Finished, None) => RunPhase::Queued,
    };
    let stages = handle.progress(run).map(|stages| convert::stages(&stages));
    Some(RunProgress {
        phase,
        attempt: u32::try_from(record.attempt).unwrap_or(0),
        started_at: record.started_at,
        duration: convert::duration(&record),
        stages: stages.unwrap_or_else(|| convert::stored_stages(&record)),
        error: record.error,
        note: record.note,
    })
}
