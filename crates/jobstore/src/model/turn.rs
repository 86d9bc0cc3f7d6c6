//! One turn of a scheduler's loop: what goes into the transaction and what comes out of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ids::{AttemptKey, JobId, Owner, RunId};
use super::job::DueJob;
use super::outbox::NewMessage;
use super::run::{AttemptOutcome, ClaimedRun, Outcome, Reason, RunPolicy};

/// The names of the pipelines that a process can run.
pub type PipelineSet = HashSet<String>;

/// Everything that one turn has to write and to ask for.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The present, by the scheduler's clock: whether a fire is due is judged by it.
    pub now: DateTime<Utc>,
    /// Who claims.
    pub owner: Owner,
    /// The pipelines of this process: other pipelines' jobs are not fired, their runs not claimed.
    pub pipelines: Arc<PipelineSet>,
    /// Attempts that have ended since the last turn.
    pub ends: Vec<AttemptEnd>,
    /// How many runs may be claimed, the slots of [`Turn::ends`] included.
    pub free_slots: usize,
    /// How many due jobs are fired at most; 0 fires none.
    pub fire_limit: usize,
    /// How long the lease of a claim lasts.
    pub lease: Duration,
    /// Whether runs with an expired lease are rescued (not for one lease after an outage).
    pub sweep: bool,
}

/// An attempt of this process that has ended, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// Which attempt: nothing is written unless it still holds the run.
    pub key: AttemptKey,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// What follows.
    pub end: End,
    /// What went wrong.
    pub error: Option<String>,
    /// A remark, such as `unchanged`.
    pub note: Option<String>,
    /// What the stages counted, as JSON text.
    pub stages: Option<String>,
    /// Messages to put in the outbox in the same commit (notifications of a failure).
    pub messages: Vec<NewMessage>,
}

/// What follows the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The run is over. With [`Outcome::Succeeded`] what its stages and sinks have staged becomes valid in the same
    /// commit; with any other outcome it is dropped.
    Finish(Outcome),
    /// The attempt ended so, and the run is queued again for a next attempt at that instant.
    Retry {
        /// How the attempt ended.
        outcome: AttemptOutcome,
        /// When the next one may start.
        available_at: DateTime<Utc>,
    },
    /// The attempt was cut off by a shutdown: the run is queued again at once, and no retry is used up.
    Interrupt,
}

/// What became of an [`AttemptEnd`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is written (or was before, by a commit whose answer was lost).
    Written,
    /// Somebody else holds the run, or it is over: nothing was written.
    Refused,
}

/// Decides what a due job fires. Called within the transaction: it must be quick and do no I/O.
pub trait FirePlanner: Send + Sync {
    /// The runs, the missed fires and the next fire of a job that is due at `now`.
    fn plan(&self, job: &DueJob, now: DateTime<Utc>) -> FirePlan;
}

/// What a due job fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirePlan {
    /// The runs to record, oldest first.
    pub runs: Vec<PlannedRun>,
    /// Fires that are dropped for lateness: one row for all of them.
    pub missed: Option<MissedFires>,
    /// What is next.
    pub next: NextFire,
}

/// One run that a fire asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// The nominal instant.
    pub scheduled_for: DateTime<Utc>,
    /// [`Reason::Schedule`] or [`Reason::CatchUp`]. Runs that catch up follow each other and are not skipped.
    pub reason: Reason,
    /// When it may start (nominal instant and jitter, or now).
    pub available_at: DateTime<Utc>,
    /// When it becomes missed if it has not started by then.
    pub deadline_at: Option<DateTime<Utc>>,
    /// The pipeline's settings.
    pub policy: RunPolicy,
}

/// Fires that one catch-up drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedFires {
    /// How many.
    pub count: u64,
    /// The first.
    pub first: DateTime<Utc>,
    /// The last.
    pub last: DateTime<Utc>,
    /// Why, for the row's error.
    pub error: Option<String>,
}

/// What follows a fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextFire {
    /// The job fires again.
    At {
        /// The nominal instant.
        next_fire_at: DateTime<Utc>,
        /// With its jitter.
        due_at: DateTime<Utc>,
    },
    /// The trigger has no further fire.
    Finished,
    /// The job's text cannot be read: it stops, with this reason.
    Invalid(String),
    /// Not this process's to decide: nothing is written.
    Leave,
}

/// One fire of this turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The job.
    pub job_id: JobId,
    /// Its pipeline.
    pub pipeline: String,
    /// The nominal instant.
    pub scheduled_for: DateTime<Utc>,
    /// Why the run exists.
    pub reason: Reason,
    /// The run's row.
    pub run: RunId,
    /// What was recorded.
    pub what: FiredAs,
}

/// What a fire was recorded as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FiredAs {
    /// A run: queued, or started in the same turn (then it is in [`TurnResult::started`] too).
    Run {
        /// Runs whose cancellation it has asked for, or that it has cancelled while they waited.
        replaced: Vec<RunId>,
    },
    /// A skipped row: these runs of the pipeline were in the way.
    Skipped {
        /// The runs in the way.
        by: Vec<RunId>,
    },
    /// A missed row for so many fires.
    Missed(MissedFires),
    /// Nothing: the fire had been recorded before.
    Duplicate,
}

/// A waiting run that has become missed, because its deadline had passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedRun {
    /// The run.
    pub id: RunId,
    /// Its job.
    pub job_id: Option<JobId>,
    /// Its pipeline.
    pub pipeline: String,
    /// Its nominal instant.
    pub scheduled_for: DateTime<Utc>,
}

/// A run whose holder is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// The run.
    pub id: RunId,
    /// Its job.
    pub job_id: Option<JobId>,
    /// Its pipeline.
    pub pipeline: String,
    /// Its nominal instant.
    pub scheduled_for: DateTime<Utc>,
    /// The attempt that crashed.
    pub attempt: i32,
    /// Who held it.
    pub owner: Owner,
    /// What became of it.
    pub what: RescuedAs,
}

/// What became of a run whose holder is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RescuedAs {
    /// It is queued again, at once.
    Queued,
    /// It is over: abandoned, or cancelled where that had been asked for.
    Finished(Outcome),
}

/// Somebody wants a run of this process cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelNotice {
    /// The run.
    pub id: RunId,
    /// Its attempt.
    pub attempt: i32,
    /// Who asked for it.
    pub requested_by: Option<String>,
}

/// What one turn did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnResult {
    /// What became of [`Turn::ends`], in the same order.
    pub ends: Vec<Ended>,
    /// The fires recorded.
    pub fired: Vec<Fired>,
    /// Jobs that have no further fire.
    pub finished_jobs: Vec<JobId>,
    /// Jobs whose text cannot be read, with the reason.
    pub invalid_jobs: Vec<(JobId, String)>,
    /// Waiting runs that have become missed.
    pub missed: Vec<MissedRun>,
    /// Runs whose holder was gone.
    pub rescued: Vec<Rescued>,
    /// Runs to start now: each is claimed by [`Turn::owner`].
    pub started: Vec<ClaimedRun>,
    /// Running runs of [`Turn::owner`] whose cancellation is wanted; repeated until they end.
    pub cancels: Vec<CancelNotice>,
    /// When there is something to do again, as far as the store knows: the next due job or waiting run.
    pub next_wake: Option<DateTime<Utc>>,
    /// More is due now than fitted in this turn: call again at once.
    pub more: bool,
}
