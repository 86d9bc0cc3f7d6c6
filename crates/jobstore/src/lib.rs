//! The job store: jobs, runs, attempts, leases, run logs, the outbox and what stages keep between runs,
//! on SQLite or PostgreSQL through Diesel.
//!
//! The store does not know what a pipeline or a trigger is: it stores text and `next_fire_at`. Whoever owns the
//! scheduling decisions hands them in as a [`FirePlanner`], and the current time as `now`. One call of
//! [`JobStore::turn`] does everything that one turn of a scheduler's loop has to write, in one commit.
//!
//! What is promised, over any number of schedulers on one database and whatever dies:
//!
//! - a fire (job id, nominal instant) has exactly one run, whose row is the lock;
//! - a run has at most one live attempt, and only the current (owner, attempt) can write what became of it;
//! - a commit whose answer was lost can be found again ([`JobStore::held_runs`]), and repeating it changes nothing.
//!
//! Times are UTC with a resolution of one microsecond; anything finer is cut off.

#![expect(
    clippy::duplicate_mod,
    reason = "what both databases share is compiled once for each: see `backend`"
)]

mod backend;
mod changes;
mod error;
mod logic;
mod migrations;
mod model;
mod open;
mod schema;
mod store;
mod url;

pub use changes::Changes;

pub use error::{OpenError, StoreError};
pub use model::ids::{AttemptKey, InvalidId, JobId, MessageId, Owner, RunId};
pub use model::job::{
    DueJob, Expect, ForeignJobs, JobEdit, JobEdited, JobFilter, JobPut, JobRecord, JobSource, JobState,
};
pub use model::outbox::{
    ClaimMessages, MessageFilter, MessageRecord, MessageSelection, MessageState, NewMessage, SealedBatch,
    TargetMessages,
};
pub use model::process::{Beat, BeatResult, ProcessIdentity, ProcessInfo, ProcessRecord};
pub use model::retention::{Pruned, Retention};
pub use model::run::{
    AttemptOutcome, AttemptRecord, CancelRequested, ClaimedRun, JobRuns, LimitGroup, LogCursor, LogLine,
    OnCrash, Outcome, Overlap, ParseTextError, QueueCounts, Reason, RequestedRun, RunFilter, RunPolicy,
    RunRecord, RunRequest, RunState,
};
pub use model::stage_state::{StageScope, StateEntry, StateOp, StateWrite};
pub use model::turn::{
    AttemptEnd, CancelNotice, End, Ended, FirePlan, FirePlanner, Fired, FiredAs, MissedFires, MissedRun,
    NextFire, PipelineSet, PlannedRun, Rescued, RescuedAs, Turn, TurnResult,
};
pub use open::{Access, OpenOptions, open};
pub use store::{JobStore, StoreKind};
pub use url::StoreUrl;
