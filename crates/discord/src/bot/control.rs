//! What the bot wants of a scheduler: a small trait, and the plain data that it speaks in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

/// A scheduler as the bot sees it. The program that composes the two adapts one to the other.
///
/// The first two methods answer from memory, at once: the bot asks them before it acknowledges an interaction.
/// All others may take their time; they are called on the runtime that [`run_bot`](crate::bot::run_bot) was called on.
#[async_trait]
pub trait SchedulerControl: Send + Sync + 'static {
    /// All pipelines, jobs and active runs as they are now. It must not wait for anything.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Reads a cron expression for this pipeline, without keeping it. It must not wait for anything.
    ///
    /// # Errors
    /// What is wrong with it, in the words of the command line.
    fn check_cron(&self, pipeline: &str, cron: &str) -> Result<CronPreview, String>;

    /// Starts a pipeline now.
    ///
    /// # Errors
    /// [`ControlError::Refused`] where its `overlap` forbids it.
    async fn run(&self, pipeline: &str, by: &Requester) -> Result<StartedRun, ControlError>;

    /// Adds or replaces the job `pipeline_<name>_manual`.
    ///
    /// # Errors
    /// Where it cannot be kept.
    async fn schedule(&self, pipeline: &str, cron: &str, by: &Requester) -> Result<Scheduled, ControlError>;

    /// Removes a job.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where there is none (any more).
    async fn remove(&self, job_id: &str, by: &Requester) -> Result<(), ControlError>;

    /// Pauses a job.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where there is none.
    async fn pause(&self, job_id: &str, by: &Requester) -> Result<(), ControlError>;

    /// Ends a job's pause, or brings a removed job back; gives its next fire.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where there is none.
    async fn resume(&self, job_id: &str, by: &Requester) -> Result<Option<DateTime<Utc>>, ControlError>;

    /// Cancels a queued or running run.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] where there is none, [`ControlError::Refused`] where it is over.
    async fn cancel(&self, run_id: &str, by: &Requester) -> Result<(), ControlError>;

    /// All jobs.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn jobs(&self) -> Result<Vec<JobInfo>, ControlError>;

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn history(&self, pipeline: Option<&str>, limit: usize) -> Result<Vec<RunInfo>, ControlError>;

    /// The next fires of each job of a pipeline.
    ///
    /// # Errors
    /// Where they cannot be known.
    async fn next(&self, pipeline: &str, count: usize) -> Result<Vec<JobFires>, ControlError>;
}

/// Why the scheduler did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such pipeline, job or run. The text is shown to the user.
    #[error("{0}")]
    NotFound(String),
    /// It may not be done now. The text is shown to the user.
    #[error("{0}")]
    Refused(String),
    /// It could not be done. The text is for the log; the user gets an id to find it by.
    #[error("{0}")]
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl ControlError {
    /// An error for the log.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

/// Who asks. Its text is what is stored as `requested_by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The user's id.
    pub user_id: u64,
    /// The user's name.
    pub user_name: String,
    /// The guild, where it was asked in one.
    pub guild_id: Option<u64>,
    /// The channel.
    pub channel_id: Option<u64>,
    /// The interaction's id: unique, and found in the log too.
    pub interaction_id: u64,
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "discord:{} ({})", self.user_name, self.user_id)
    }
}

/// Everything that can be known without asking the store.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The pipelines of the file.
    pub pipelines: Vec<PipelineInfo>,
    /// The jobs, removed ones left out.
    pub jobs: Vec<JobInfo>,
    /// The runs that are queued or running.
    pub active: Vec<ActiveRun>,
}

/// A pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineInfo {
    /// Its name.
    pub name: String,
    /// What its author says of it.
    pub description: Option<String>,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The classes of its stages, in order.
    pub stages: Vec<String>,
    /// Its triggers in words, with their zones; none where it has no schedule.
    pub schedules: Vec<String>,
    /// Whether its `overlap` forbids a run while another one is active.
    pub exclusive: bool,
}

/// A job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobInfo {
    /// Its id.
    pub id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Its trigger, as written.
    pub trigger: String,
    /// The zone of its trigger.
    pub timezone: String,
    /// Its next fire.
    pub next_fire_at: Option<DateTime<Utc>>,
    /// `scheduled`, `paused`, `disabled`, `finished`, `orphaned`, `invalid`.
    pub state: String,
    /// Whether it comes from the file.
    pub from_file: bool,
    /// The outcome of its newest run that is over.
    pub last_outcome: Option<RunOutcome>,
}

/// A run that is queued or running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveRun {
    /// Its id.
    pub id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Since when it is active.
    pub since: DateTime<Utc>,
}

/// What a cron expression means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CronPreview {
    /// The expression in English.
    pub english: String,
    /// Its zone.
    pub timezone: String,
    /// The next fires.
    pub next: Vec<DateTime<Utc>>,
    /// What to think about before using it.
    pub warnings: Vec<String>,
}

/// A run that was started.
#[derive(Debug, Clone)]
pub struct StartedRun {
    /// Its id.
    pub run_id: String,
    /// How it goes on. The last value is a finished one, unless the scheduler loses sight of the run.
    pub progress: watch::Receiver<RunProgress>,
}

/// A job that was added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// Its id.
    pub job_id: String,
    /// Whether a job of that id was replaced.
    pub replaced: bool,
    /// The expression in English.
    pub english: String,
    /// Its zone.
    pub timezone: String,
    /// Its next fires.
    pub next: Vec<DateTime<Utc>>,
    /// What to think about.
    pub warnings: Vec<String>,
}

/// The next fires of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFires {
    /// The job.
    pub job_id: String,
    /// The trigger, as written.
    pub trigger: String,
    /// The next fires; none where it is paused, or over.
    pub next: Vec<DateTime<Utc>>,
    /// Its state, as in [`JobInfo::state`].
    pub state: String,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunPhase {
    /// It waits for a slot, or for its next attempt.
    #[default]
    Queued,
    /// It runs.
    Running,
    /// It is over.
    Finished(RunOutcome),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// All went well.
    Succeeded,
    /// It failed.
    Failed,
    /// An attempt took longer than it may.
    TimedOut,
    /// A person cancelled it, or another run replaced it.
    Cancelled,
    /// Another run stood in its way.
    Skipped,
    /// It was too late for it.
    Missed,
    /// Its process died, and no attempt was left.
    Abandoned,
}

impl RunOutcome {
    /// Its name, as the command line writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Abandoned => "abandoned",
        }
    }

    pub(crate) fn icon(self) -> &'static str {
        match self {
            Self::Succeeded => "✅",
            Self::Failed => "❌",
            Self::TimedOut => "⏱️",
            Self::Cancelled => "⛔",
            Self::Skipped | Self::Missed => "⏭️",
            Self::Abandoned => "💀",
        }
    }
}

/// How a run goes on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunProgress {
    /// Where it is.
    pub phase: RunPhase,
    /// The attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// When the first attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// How long it took, once it is over.
    pub duration: Option<Duration>,
    /// Its stages.
    pub stages: Vec<RunStage>,
    /// Why it failed, redacted.
    pub error: Option<String>,
    /// What it has to say, such as `unchanged`.
    pub note: Option<String>,
}

/// A stage of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunStage {
    /// Its class.
    pub class: String,
    /// Items that it took.
    pub items_in: u64,
    /// Items that it gave.
    pub items_out: u64,
    /// Items that failed.
    pub errors: u64,
}

/// A run of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// Its id.
    pub id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// `schedule`, `catch_up`, `manual` or `startup`.
    pub reason: String,
    /// Its nominal instant.
    pub scheduled_for: DateTime<Utc>,
    /// Its outcome; `None` while it is active.
    pub outcome: Option<RunOutcome>,
    /// How long it took.
    pub duration: Option<Duration>,
    /// Why it failed, redacted.
    pub error: Option<String>,
    /// How many fires the row stands for.
    pub count: u64,
}
