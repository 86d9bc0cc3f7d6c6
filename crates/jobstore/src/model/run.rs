//! Runs and their attempts: what a fire, or a request, starts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ids::{JobId, Owner, RunId};
use super::text::text_enum;

/// A stored or typed word that is none of those which are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' is not known here (expected one of {})", expected.join(", "))]
pub struct ParseTextError {
    found: String,
    expected: &'static [&'static str],
}

impl ParseTextError {
    pub(crate) fn new(found: &str, expected: &'static [&'static str]) -> Self {
        ParseTextError { found: found.to_owned(), expected }
    }
}

text_enum! {
    /// Why a run exists.
    pub enum Reason {
        /// A fire, on time.
        Schedule = "schedule",
        /// A fire that was seen too late and is made up for.
        CatchUp = "catch_up",
        /// Somebody asked for it.
        Manual = "manual",
        /// A pipeline without schedule, at the start of a process.
        Startup = "startup",
    }
}

text_enum! {
    /// Where a run is.
    pub enum RunState {
        /// It waits: for a slot, for its turn, or for a retry.
        Queued = "queued",
        /// An attempt holds it.
        Running = "running",
        /// It has its outcome.
        Finished = "finished",
    }
}

text_enum! {
    /// How a run ended. Each run has exactly one.
    pub enum Outcome {
        /// It did what it should.
        Succeeded = "succeeded",
        /// Its last attempt failed.
        Failed = "failed",
        /// Its last attempt took longer than allowed.
        TimedOut = "timed_out",
        /// A person cancelled it, or a later fire replaced it.
        Cancelled = "cancelled",
        /// It was not started because of an overlap.
        Skipped = "skipped",
        /// It was not started because it was too late.
        Missed = "missed",
        /// Its process died and no attempt was left.
        Abandoned = "abandoned",
    }
}

text_enum! {
    /// How one attempt ended.
    pub enum AttemptOutcome {
        /// It did what it should.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
        /// It took longer than allowed.
        TimedOut = "timed_out",
        /// It was cancelled.
        Cancelled = "cancelled",
        /// It was cut off by a shutdown.
        Interrupted = "interrupted",
        /// Its process died, or could not renew its lease.
        Crashed = "crashed",
    }
}

text_enum! {
    /// What becomes of a run whose process died.
    pub enum OnCrash {
        /// It runs again, as the next attempt (at least once).
        Rerun = "rerun",
        /// It is over (at most once).
        Abandon = "abandon",
    }
}

/// What happens when a run would start beside others of its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// The new one is skipped.
    Skip,
    /// One waits, further ones are skipped.
    Queue,
    /// The running one is cancelled, the new one starts after it.
    Replace,
    /// So many run beside one another, further ones are skipped.
    Allow(u32),
}

/// At most `max` runs that name this group run at a time, over all schedulers of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitGroup {
    /// The group's name.
    pub name: Arc<str>,
    /// How many may run at a time.
    pub max: u32,
}

/// The settings of a pipeline that the store itself obeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPolicy {
    /// What to do about other runs of the pipeline.
    pub overlap: Overlap,
    /// The limit that it shares with others.
    pub limit_group: Option<LimitGroup>,
    /// How many attempts failures may use; 1 is no retry.
    pub max_attempts: u32,
    /// What a crash leads to.
    pub on_crash: OnCrash,
}

impl Default for RunPolicy {
    fn default() -> Self {
        RunPolicy { overlap: Overlap::Skip, limit_group: None, max_attempts: 1, on_crash: OnCrash::Rerun }
    }
}

/// A run that this process has just claimed and has to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedRun {
    /// The run.
    pub id: RunId,
    /// Its pipeline.
    pub pipeline: String,
    /// The job that fired; none for a pipeline that was started without one.
    pub job_id: Option<JobId>,
    /// Why it runs.
    pub reason: Reason,
    /// The nominal instant: the fire's identity.
    pub scheduled_for: DateTime<Utc>,
    /// When it could have started: what lateness is measured from.
    pub available_at: DateTime<Utc>,
    /// The number of this attempt, counted from 1.
    pub attempt: i32,
    /// How many of the attempts before were cut off by a shutdown; they use up no retry.
    pub interruptions: i32,
    /// When this attempt was claimed.
    pub started_at: DateTime<Utc>,
    /// How long the lease lasts from the moment of the claim.
    pub lease: Duration,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// The settings it was stored with.
    pub policy: RunPolicy,
    /// Whether somebody wants it cancelled.
    pub cancel_requested: bool,
}

/// A run as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// Its namespace.
    pub namespace: String,
    /// Its pipeline.
    pub pipeline: String,
    /// The job that fired, if any.
    pub job_id: Option<JobId>,
    /// Why it exists.
    pub reason: Reason,
    /// Where it is.
    pub state: RunState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The nominal instant; of a missed row, the last one that it stands for.
    pub scheduled_for: DateTime<Utc>,
    /// When it may start (again).
    pub available_at: DateTime<Utc>,
    /// When it becomes missed if it has not started.
    pub deadline_at: Option<DateTime<Utc>>,
    /// The settings it was stored with.
    pub policy: RunPolicy,
    /// The number of the latest attempt; 0 before the first.
    pub attempt: i32,
    /// How many attempts were cut off by a shutdown.
    pub interruptions: i32,
    /// Who holds it, or held it last.
    pub owner: Option<Owner>,
    /// When the holder's lease ends (on PostgreSQL by the server's clock).
    pub lease_until: Option<DateTime<Utc>>,
    /// When its first attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// When its latest attempt started.
    pub attempt_started_at: Option<DateTime<Utc>>,
    /// When it got its outcome.
    pub finished_at: Option<DateTime<Utc>>,
    /// When somebody asked for its cancellation.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Who asked for that (a person, or `replaced by RUN`).
    pub cancel_requested_by: Option<String>,
    /// Who asked for the run.
    pub requested_by: Option<String>,
    /// What went wrong last.
    pub error: Option<String>,
    /// A remark of the chain, such as `unchanged`.
    pub note: Option<String>,
    /// What the stages counted, as JSON text.
    pub stages: Option<String>,
    /// Of a missed row: how many fires it stands for.
    pub count: Option<i64>,
    /// Of a missed row: the first of them.
    pub first: Option<DateTime<Utc>>,
    /// Of a missed row: the last of them.
    pub last: Option<DateTime<Utc>>,
}

/// One attempt of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The run.
    pub run: RunId,
    /// Its number, counted from 1.
    pub attempt: i32,
    /// Who made it.
    pub owner: Option<Owner>,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of all namespaces, not only of the store's own.
    pub all_namespaces: bool,
    /// Of this pipeline.
    pub pipeline: Option<String>,
    /// Of this job.
    pub job: Option<JobId>,
    /// In one of these states; empty is any.
    pub states: Vec<RunState>,
    /// With one of these outcomes; empty is any.
    pub outcomes: Vec<Outcome>,
    /// Created at or after this instant.
    pub since: Option<DateTime<Utc>>,
    /// Older than this run, for the next page.
    pub before: Option<RunId>,
    /// At most so many; 0 is all.
    pub limit: usize,
}

/// A run that somebody, or the start of a process, asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// The id it shall have: asking twice with one id is asking once.
    pub id: RunId,
    /// The pipeline to run.
    pub pipeline: String,
    /// The job that is run by hand, if it is one.
    pub job_id: Option<JobId>,
    /// [`Reason::Manual`] or [`Reason::Startup`].
    pub reason: Reason,
    /// When it may start; usually the instant of the request.
    pub available_at: DateTime<Utc>,
    /// The pipeline's settings.
    pub policy: RunPolicy,
    /// Who asks.
    pub requested_by: Option<String>,
}

/// What became of a [`RunRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestedRun {
    /// It is queued; a scheduler that knows the pipeline starts it.
    Queued {
        /// Its id.
        id: RunId,
        /// The instant of the request, made unique among the job's runs.
        scheduled_for: DateTime<Utc>,
        /// Runs whose cancellation this one has asked for (`overlap: replace`).
        replaced: Vec<RunId>,
    },
    /// The pipeline's overlap rule forbids it; nothing was stored.
    AlreadyRunning {
        /// The runs in the way, oldest first.
        runs: Vec<RunId>,
    },
}

/// What became of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelRequested {
    /// The run was waiting and is cancelled now.
    Cancelled,
    /// Its holder has been told; it ends as soon as that has stopped it.
    Requested,
    /// It had its outcome already.
    AlreadyFinished(Outcome),
    /// There is no such run.
    NotFound,
}

/// The latest runs of a job, for lists of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRuns {
    /// The job.
    pub job: JobId,
    /// Its newest run with an outcome.
    pub last_finished: Option<RunRecord>,
}

/// How many runs are waiting and running in the store's namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Queued runs that could start if there were room.
    pub ready: u64,
    /// Queued runs that wait for a later instant (retries).
    pub waiting: u64,
    /// Running ones.
    pub running: u64,
    /// Messages waiting in the outbox.
    pub messages_waiting: u64,
    /// Messages given up on.
    pub messages_dead: u64,
}

/// One line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The run.
    pub run: RunId,
    /// Which attempt wrote it.
    pub attempt: i32,
    /// Its number within the attempt; storing a number twice stores it once.
    pub seq: i64,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// How grave it is: the caller's word, such as `info`.
    pub level: String,
    /// The stage that wrote it.
    pub stage: Option<String>,
    /// The text.
    pub text: String,
}

/// A place in a run's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCursor {
    /// The attempt.
    pub attempt: i32,
    /// The number within it.
    pub seq: i64,
}
