//! Controls and watches an engine.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobstore::RunId;
use pipeline_core::{Progress, StageReport};
use tokio::sync::{broadcast, oneshot};

use crate::control::{Cancelling, Control, JobAdded, JobChanged, NewJob, Queued};
use crate::error::ControlError;
use crate::event::{EngineEvent, EventKind, RunRef};
use crate::metrics::Numbers;
use crate::pipeline::Pipelines;
use crate::shared::{Command, Shared};

/// What a reload has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// How many pipelines there are now.
    pub pipelines: usize,
    /// How many jobs are new, changed or gone.
    pub changes: usize,
}

/// How far an engine's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is not ready yet.
    Starting,
    /// It works.
    Running,
    /// It starts nothing new.
    Stopping,
    /// It has ended.
    Stopped,
}

/// How an engine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// How far its life has come.
    pub stage: Stage,
    /// Whether the job store cannot be reached.
    pub store_away: bool,
    /// How long ago its loop last went round. An idle loop goes round with each heartbeat.
    pub quiet_for: Duration,
}

/// An attempt that runs in this process now.
#[derive(Debug, Clone)]
pub struct LiveAttempt {
    /// The run.
    pub run: RunRef,
    /// The attempt, from 1.
    pub attempt: i32,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// What its stages have counted so far.
    pub stages: Vec<StageReport>,
}

/// Events of an engine, from the time at which it was asked for.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Arc<EngineEvent>>,
}

/// What an observer of events gets.
#[derive(Debug, Clone)]
pub enum Observed {
    /// Something happened.
    Event(Arc<EngineEvent>),
    /// The observer was too slow: so many events were lost to it. The store has their consequences.
    Lost(u64),
}

impl Events {
    /// The next event; none once the engine and all its handles are gone. Can be dropped at any time.
    pub async fn next(&mut self) -> Option<Observed> {
        match self.receiver.recv().await {
            Ok(event) => Some(Observed::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Observed::Lost(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Controls and watches an engine; cheap to clone. What only asks is done by the [`Control`] that it dereferences to.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl std::ops::Deref for Handle {
    type Target = Control;
    fn deref(&self) -> &Control {
        &self.shared.control
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Watches what happens from now on. An observer that is slow loses events and is told so; the engine never waits.
    pub fn subscribe(&self) -> Events {
        Events { receiver: self.shared.events.subscribe() }
    }

    /// As [`Control::add_job`]; the engine knows at once.
    ///
    /// # Errors
    /// As there.
    pub async fn add_job(&self, job: NewJob) -> Result<JobAdded, ControlError> {
        let (pipeline, by) = (job.pipeline.clone(), job.requested_by.clone());
        let trigger = job.schedule.trigger().to_string();
        let added = self.shared.control.add_job(job).await?;
        self.shared.emit(EventKind::JobAdded {
            job: added.id.clone(),
            pipeline,
            trigger,
            next_fire_at: added.next_fire_at,
            replaced: added.replaced,
            by,
        });
        self.nudge();
        Ok(added)
    }

    /// As [`Control::remove_job`]; the engine knows at once.
    ///
    /// # Errors
    /// As there.
    pub async fn remove_job(&self, id: &str, by: Option<String>) -> Result<JobChanged, ControlError> {
        let changed = self.shared.control.remove_job(id, by.clone()).await?;
        let by = Some(by.unwrap_or_else(|| "the engine's owner".to_owned()));
        self.tell(&changed, EventKind::JobRemoved { job: changed.job.id.clone(), by });
        Ok(changed)
    }

    /// As [`Control::pause_job`]; the engine knows at once.
    ///
    /// # Errors
    /// As there.
    pub async fn pause_job(&self, id: &str, by: Option<String>) -> Result<JobChanged, ControlError> {
        let changed = self.shared.control.pause_job(id, by.clone()).await?;
        self.tell(&changed, EventKind::JobPaused { job: changed.job.id.clone(), by });
        Ok(changed)
    }

    /// As [`Control::resume_job`]; the engine knows at once.
    ///
    /// # Errors
    /// As there.
    pub async fn resume_job(&self, id: &str, by: Option<String>) -> Result<JobChanged, ControlError> {
        let changed = self.shared.control.resume_job(id, by.clone()).await?;
        let next_fire_at = changed.job.next_fire_at;
        self.tell(&changed, EventKind::JobResumed { job: changed.job.id.clone(), next_fire_at, by });
        Ok(changed)
    }

    fn tell(&self, changed: &JobChanged, event: EventKind) {
        if changed.changed {
            self.shared.emit(event);
            self.nudge();
        }
    }

    /// As [`Control::run_now`]; the engine knows at once.
    ///
    /// # Errors
    /// As there.
    pub async fn run_now(&self, target: &str, by: Option<String>) -> Result<Queued, ControlError> {
        let queued = self.shared.control.run_now(target, by.clone()).await?;
        self.shared.emit(EventKind::Requested { run: queued.run.clone(), by });
        self.nudge();
        Ok(queued)
    }

    /// As [`Control::cancel_run`]; the engine knows at once.
    ///
    /// # Errors
    /// As there.
    pub async fn cancel_run(&self, run: RunId, by: Option<String>) -> Result<Cancelling, ControlError> {
        let cancelling = self.shared.control.cancel_run(run, by.clone()).await?;
        self.shared.emit(EventKind::Cancelling { run, by });
        self.nudge();
        Ok(cancelling)
    }

    /// Uses other pipelines from now on: the jobs of the file become theirs, all or nothing. Chains that run go on as
    /// they are.
    ///
    /// # Errors
    /// The store cannot be used, or the engine does not run: then nothing has changed.
    pub async fn reload(&self, pipelines: Pipelines) -> Result<Reloaded, ControlError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Reload { pipelines, reply };
        self.shared.commands.send(command).await.map_err(|_| ControlError::Stopping)?;
        answer.await.map_err(|_| ControlError::Stopping)?
    }

    /// The attempts that run in this process now.
    pub fn live(&self) -> Vec<LiveAttempt> {
        let live = self.shared.live();
        let attempt = |live: &crate::shared::Live| LiveAttempt {
            run: live.run.clone(),
            attempt: live.attempt,
            started_at: live.started_at,
            stages: stage_reports(&live.progress),
        };
        live.values().map(attempt).collect()
    }

    /// What the stages of a run have counted so far, where it runs in this process.
    pub fn progress(&self, run: RunId) -> Option<Vec<StageReport>> {
        self.shared.live().get(&run).map(|live| stage_reports(&live.progress))
    }

    /// How the engine is.
    pub fn status(&self) -> Status {
        let condition = self.shared.condition();
        Status {
            stage: condition.stage,
            store_away: condition.store_away,
            quiet_for: condition.last_round.elapsed(),
        }
    }

    /// The numbers of what has happened since the start.
    pub fn numbers(&self) -> Numbers {
        self.shared.metrics.read()
    }

    fn nudge(&self) {
        // A full queue holds a nudge already, or wakes the loop anyway; a closed one has nobody to wake.
        drop(self.shared.commands.try_send(Command::Nudge));
    }
}

fn stage_reports(progress: &Progress) -> Vec<StageReport> {
    let report = |stage: &pipeline_core::StageProgress| StageReport {
        class: stage.class.to_string(),
        items_in: stage.items_in(),
        items_out: stage.items_out(),
        errors: stage.errors(),
        busy_ms: u64::try_from(stage.busy().as_millis()).unwrap_or(u64::MAX),
    };
    progress.stages().iter().map(report).collect()
}
