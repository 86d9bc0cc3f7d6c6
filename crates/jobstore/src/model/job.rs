//! Jobs: a pipeline's name with the text of a trigger, and when it fires next.

use chrono::{DateTime, Utc};

use super::ids::JobId;
use super::text::text_enum;

text_enum! {
    /// Where a job comes from.
    pub enum JobSource {
        /// The configuration file of its namespace.
        Config = "config",
        /// Added at run time.
        Runtime = "runtime",
    }
}

text_enum! {
    /// What becomes of a job's fires. A pause is kept beside it ([`JobRecord::paused`]), so that it survives the others.
    pub enum JobState {
        /// It fires.
        Scheduled = "scheduled",
        /// It is paused. Only shown, never stored: see [`JobRecord::shown_state`].
        Paused = "paused",
        /// Its pipeline is not enabled.
        Disabled = "disabled",
        /// A person removed it; it stays so until its schedule changes.
        Removed = "removed",
        /// Its trigger has no further fire.
        Finished = "finished",
        /// Its pipeline is in no running scheduler's file.
        Orphaned = "orphaned",
        /// Its trigger or its settings cannot be read; [`JobRecord::error`] says why.
        Invalid = "invalid",
    }
}

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    /// Its namespace.
    pub namespace: String,
    /// Its id, unique in the namespace.
    pub id: JobId,
    /// The name of the pipeline that it runs.
    pub pipeline: String,
    /// Where it comes from.
    pub source: JobSource,
    /// What is stored of its state, without the pause.
    pub state: JobState,
    /// Whether somebody paused it.
    pub paused: bool,
    /// The trigger, in the text that the caller wrote.
    pub trigger: String,
    /// The IANA name of the trigger's zone.
    pub timezone: String,
    /// Whatever else the caller keeps with the job (anchor, jitter, bounds …), in the caller's own text.
    pub spec: String,
    /// The nominal instant of the next fire.
    pub next_fire_at: Option<DateTime<Utc>>,
    /// When that fire is due: nominal instant and jitter. Absent where the job does not fire.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it is invalid or orphaned.
    pub error: Option<String>,
    /// Who asked for it, or for its last change.
    pub requested_by: Option<String>,
    /// Grows with each write; what [`Expect::Version`] compares.
    pub version: i64,
    /// When it was first stored.
    pub created_at: DateTime<Utc>,
    /// When it was last written, fires included.
    pub updated_at: DateTime<Utc>,
}

impl JobRecord {
    /// The state to show: a scheduled job that is paused is [`JobState::Paused`].
    pub fn shown_state(&self) -> JobState {
        if self.paused && self.state == JobState::Scheduled { JobState::Paused } else { self.state }
    }
}

/// A due job, as a planner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueJob {
    /// The job.
    pub id: JobId,
    /// Its pipeline.
    pub pipeline: String,
    /// Where it comes from.
    pub source: JobSource,
    /// The trigger's text.
    pub trigger: String,
    /// The IANA name of its zone.
    pub timezone: String,
    /// The caller's own text.
    pub spec: String,
    /// The nominal instant that is due.
    pub next_fire_at: DateTime<Utc>,
    /// When it was due, with its jitter.
    pub due_at: DateTime<Utc>,
    /// The version that the fire will replace.
    pub version: i64,
}

/// What must hold of the stored job for an edit to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the edit is made whatever is stored.
    Anything,
    /// No job of that id is stored.
    Absent,
    /// The job is stored with exactly this version.
    Version(i64),
}

/// A whole job to store, new or in place of the one with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPut {
    /// Its id.
    pub id: JobId,
    /// The pipeline's name.
    pub pipeline: String,
    /// Where it comes from.
    pub source: JobSource,
    /// Its state; [`JobState::Paused`] is stored as scheduled and paused.
    pub state: JobState,
    /// Paused or not; `None` keeps what is stored (not paused for a new job).
    pub paused: Option<bool>,
    /// The trigger's text.
    pub trigger: String,
    /// The IANA name of its zone.
    pub timezone: String,
    /// The caller's own text.
    pub spec: String,
    /// The nominal instant of the next fire.
    pub next_fire_at: Option<DateTime<Utc>>,
    /// When that fire is due. Kept only while the job is scheduled and not paused.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it is invalid or orphaned.
    pub error: Option<String>,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// What must hold of the stored job.
    pub expect: Expect,
}

/// One change of the jobs of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEdit {
    /// Stores a whole job.
    Put(Box<JobPut>),
    /// Deletes a job; its runs stay.
    Delete {
        /// Which.
        id: JobId,
        /// What must hold of it.
        expect: Expect,
    },
    /// Pauses a job: it keeps `next_fire_at` and is not due until it is resumed.
    Pause {
        /// Which.
        id: JobId,
        /// Who asked for it.
        requested_by: Option<String>,
    },
    /// Ends a pause, or brings a removed or finished job back, with its next fire as the caller computed it.
    Resume {
        /// Which.
        id: JobId,
        /// Who asked for it.
        requested_by: Option<String>,
        /// The nominal instant of the next fire.
        next_fire_at: Option<DateTime<Utc>>,
        /// When that is due.
        due_at: Option<DateTime<Utc>>,
        /// The version that the caller computed this from.
        version: i64,
    },
    /// Changes a job's state and leaves everything else. It is due only if it is scheduled afterwards, not paused,
    /// and `due_at` is given.
    SetState {
        /// Which.
        id: JobId,
        /// The new state.
        state: JobState,
        /// Why.
        error: Option<String>,
        /// Who asked for it; `None` keeps what is stored.
        requested_by: Option<String>,
        /// When it is due, where the new state is scheduled.
        due_at: Option<DateTime<Utc>>,
        /// What must hold of it.
        expect: Expect,
    },
}

/// What became of a [`JobEdit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEdited {
    /// It was made; the job has this version now (0 after a deletion).
    Done(i64),
    /// The job is not as [`Expect`] said; it has this version.
    Conflict(i64),
    /// There is no such job.
    NotFound,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Of all namespaces, not only of the store's own.
    pub all_namespaces: bool,
    /// Of this pipeline only.
    pub pipeline: Option<String>,
    /// Of this source only.
    pub source: Option<JobSource>,
    /// After this (namespace, id), for the next page.
    pub after: Option<(String, JobId)>,
    /// At most so many; 0 is all.
    pub limit: usize,
}

/// Jobs that another program keeps at the same URL, which this store leaves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignJobs {
    /// The table's name.
    pub table: &'static str,
    /// How many it holds.
    pub count: u64,
    /// The ids of the first hundred.
    pub ids: Vec<String>,
}
