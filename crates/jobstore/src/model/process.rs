//! Scheduler processes: who is alive, and whose runs can be taken over at once.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ids::{AttemptKey, Owner, RunId};
use super::turn::CancelNotice;

/// What tells one process from every other one, also after a restart of its machine or container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessIdentity {
    /// The machine's name.
    pub host: String,
    /// The id of the machine's present boot.
    pub boot_id: String,
    /// The PID namespace.
    pub pid_namespace: String,
    /// The process id within it.
    pub pid: u32,
    /// When that process started, in the system's own words: a pid is used again, a pid with its start time is not.
    pub start_time: String,
}

/// A scheduler process that makes itself known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its owner name.
    pub owner: Owner,
    /// Which process it is.
    pub identity: ProcessIdentity,
    /// The version of the program.
    pub version: String,
    /// The pipelines of its file, for telling which jobs nobody can run.
    pub pipelines: Vec<String>,
}

/// A scheduler process as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Its namespace.
    pub namespace: String,
    /// What it said of itself.
    pub info: ProcessInfo,
    /// When it made itself known.
    pub started_at: DateTime<Utc>,
    /// When it was last heard of.
    pub last_seen: DateTime<Utc>,
    /// How long ago that was (on PostgreSQL by the server's clock).
    pub silent_for: Duration,
    /// How late its loop was then.
    pub loop_late: Duration,
}

/// A heartbeat: renews the leases of all attempts of a process in one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Who.
    pub owner: Owner,
    /// The present.
    pub now: DateTime<Utc>,
    /// How long the renewed leases last.
    pub lease: Duration,
    /// The attempts in progress, as (run, attempt).
    pub attempts: Vec<(RunId, i32)>,
    /// How late the loop has been since the last beat.
    pub loop_late: Duration,
}

/// What a heartbeat found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BeatResult {
    /// Attempts that this process holds no longer: stop them, their outcome would be refused.
    pub lost: Vec<AttemptKey>,
    /// Runs whose cancellation is wanted.
    pub cancels: Vec<CancelNotice>,
}
