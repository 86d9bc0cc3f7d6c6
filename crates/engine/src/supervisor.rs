//! The attempts that run in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobstore::{AttemptKey, ClaimedRun, RunId};
use pipeline_core::RunReport;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::event::RunRef;
use crate::lease::Lease;
use crate::pipeline::Pipeline;
use crate::settle::Stop;

/// How long an attempt may take to stop: 5 s until its children get a SIGKILL, and some more.
const TO_STOP: Duration = Duration::from_secs(10);

/// An attempt in progress.
pub(crate) struct Running {
    pub(crate) claim: ClaimedRun,
    pub(crate) key: AttemptKey,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) run: RunRef,
    pub(crate) lease: Arc<Lease>,
    pub(crate) started_at: DateTime<Utc>,
    /// Why it was told to stop.
    pub(crate) stop: Option<Stop>,
    cancel: CancellationToken,
    abort: AbortHandle,
    /// When it is no longer waited for: some time after its timeout, or after it was told to stop.
    give_up: Option<Instant>,
}

/// What came back from an attempt's task.
pub(crate) type Joined = Result<(Id, RunReport), JoinError>;

/// The attempts that run in this process, each a task of its own.
#[derive(Default)]
pub(crate) struct Supervisor {
    tasks: JoinSet<RunReport>,
    runs: HashMap<Id, RunId>,
    running: HashMap<RunId, Running>,
}

impl Supervisor {
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Running> {
        self.running.values()
    }

    pub(crate) fn get(&self, run: RunId) -> Option<&Running> {
        self.running.get(&run)
    }

    pub(crate) fn contains(&self, run: RunId) -> bool {
        self.running.contains_key(&run)
    }

    /// Starts an attempt.
    pub(crate) fn start(
        &mut self,
        claim: ClaimedRun,
        key: AttemptKey,
        pipeline: Arc<Pipeline>,
        run: RunRef,
        lease: Arc<Lease>,
        attempt: Attempt,
    ) {
        let started_at = attempt.context.started_at();
        let cancel = attempt.cancel.clone();
        let timeout = pipeline.effective_timeout();
        let give_up = timeout.and_then(|timeout| Instant::now().checked_add(timeout + TO_STOP));
        let abort = self.tasks.spawn(attempt.run());
        self.runs.insert(abort.id(), claim.id);
        let id = claim.id;
        let stop = None;
        let running = Running { claim, key, pipeline, run, lease, started_at, stop, cancel, abort, give_up };
        self.running.insert(id, running);
    }

    /// Tells an attempt to stop; the first reason stays, unless it is overruled by the loss of the run.
    /// Returns the attempt where this is news.
    pub(crate) fn stop(&mut self, run: RunId, why: Stop) -> Option<&Running> {
        let running = self.running.get_mut(&run)?;
        if running.stop.is_some() && (why != Stop::Lost || running.stop == Some(Stop::Lost)) {
            return None;
        }
        if why == Stop::Lost {
            running.lease.lose();
        }
        if running.stop.is_none() {
            running.give_up = Some(Instant::now() + TO_STOP);
        }
        running.stop = Some(why);
        running.cancel.cancel();
        Some(running)
    }

    /// Tells all attempts to stop.
    pub(crate) fn stop_all(&mut self, why: &Stop) {
        let runs: Vec<RunId> = self.running.keys().copied().collect();
        for run in runs {
            self.stop(run, why.clone());
        }
    }

    /// Waits for the end of an attempt. Never resolves while none runs. Can be dropped at any time.
    pub(crate) async fn next(&mut self) -> Joined {
        match self.tasks.join_next_with_id().await {
            Some(joined) => joined,
            None => std::future::pending().await,
        }
    }

    /// The end of a further attempt, if one has ended already.
    pub(crate) fn try_next(&mut self) -> Option<Joined> {
        self.tasks.try_join_next_with_id()
    }

    /// Takes out the attempt that has ended; none where it is no longer waited for.
    pub(crate) fn ended(&mut self, joined: Joined) -> Option<(Running, Result<RunReport, String>)> {
        let (id, result) = match joined {
            Ok((id, report)) => (id, Ok(report)),
            Err(error) => (error.id(), Err(panic_text(error))),
        };
        let run = self.runs.remove(&id)?;
        let running = self.running.remove(&run)?;
        Some((running, result))
    }

    /// Takes out the attempts that should have stopped long ago, and gives up waiting for them.
    pub(crate) fn stuck(&mut self, now: Instant) -> Vec<Running> {
        self.take(|running| running.give_up.is_some_and(|give_up| give_up <= now))
    }

    /// Takes out all attempts, and gives up waiting for them.
    pub(crate) fn abandon_all(&mut self) -> Vec<Running> {
        self.take(|_| true)
    }

    fn take(&mut self, which: impl Fn(&Running) -> bool) -> Vec<Running> {
        let taken: Vec<Running> =
            self.running.extract_if(|_, running| which(running)).map(|(_, running)| running).collect();
        for running in &taken {
            self.runs.remove(&running.abort.id());
            running.abort.abort();
        }
        taken
    }

    /// The earliest end of a lease among the attempts that have not been told to stop.
    pub(crate) fn earliest_lease_end(&self) -> Option<Instant> {
        self.running
            .values()
            .filter(|running| running.stop.is_none())
            .map(|running| running.lease.until())
            .min()
    }
}

fn panic_text(error: JoinError) -> String {
    let text = match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            text.or_else(|| panic.downcast_ref::<String>().cloned())
        }
        Err(_) => return "the attempt's task was ended from outside".to_owned(),
    };
    format!("the attempt panicked: {}", text.as_deref().unwrap_or("without a message"))
}
