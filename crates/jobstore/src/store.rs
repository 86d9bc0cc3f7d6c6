//! The boundary: what a store does.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::changes::Changes;
use crate::error::StoreError;
use crate::model::ids::{AttemptKey, JobId, MessageId, Owner, RunId};
use crate::model::job::{ForeignJobs, JobEdit, JobEdited, JobFilter, JobRecord, JobSource};
use crate::model::outbox::{
    ClaimMessages, MessageFilter, MessageRecord, MessageSelection, NewMessage, SealedBatch, TargetMessages,
};
use crate::model::process::{Beat, BeatResult, ProcessInfo, ProcessRecord};
use crate::model::retention::{Pruned, Retention};
use crate::model::run::{
    AttemptRecord, CancelRequested, ClaimedRun, JobRuns, LogCursor, LogLine, QueueCounts, RequestedRun,
    RunFilter, RunRecord, RunRequest,
};
use crate::model::stage_state::{StageScope, StateEntry, StateWrite};
use crate::model::turn::{FirePlanner, Rescued, Turn, TurnResult};

/// What kind of database a store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory: gone with the process, seen by nobody else.
    Memory,
    /// A SQLite file: processes of one machine can share it.
    SqliteFile,
    /// A PostgreSQL server: any number of machines can share it.
    Postgres,
}

/// A job store. It acts within one namespace, which it was opened with, unless a filter says otherwise.
///
/// Every method is one transaction: it happened as a whole or not at all. After an error that
/// [is transient](StoreError::is_transient) it may have happened although the answer was lost; every method can then be
/// repeated with the same arguments.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// What it is on.
    fn kind(&self) -> StoreKind;

    /// The namespace it acts in.
    fn namespace(&self) -> &str;

    /// Where it is, without a password: for messages.
    fn place(&self) -> String;

    /// Tells of changes that others make: edits of jobs, requests for runs and cancellations, runs left for others.
    fn changes(&self) -> Changes;

    /// Asks the database whether it is there.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Ends the connections; later calls fail with [`StoreError::Closed`].
    async fn close(&self);

    // The loop.

    /// One turn of the loop in one commit: ends attempts, rescues, fires due jobs, claims runs.
    async fn turn(&self, turn: Arc<Turn>, planner: Arc<dyn FirePlanner>) -> Result<TurnResult, StoreError>;

    /// Renews the leases of a process's attempts, tells which it has lost, and that it is alive.
    async fn heartbeat(&self, beat: Beat) -> Result<BeatResult, StoreError>;

    /// Everything that `owner` holds, for reading back what an outage may have hidden.
    async fn held_runs(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Vec<ClaimedRun>, StoreError>;

    // Processes.

    /// Makes a scheduler process known, or changes what is known of it.
    async fn register_process(&self, process: ProcessInfo, now: DateTime<Utc>) -> Result<(), StoreError>;

    /// Forgets a process that ends in order.
    async fn forget_process(&self, owner: &Owner) -> Result<(), StoreError>;

    /// The known processes of the namespace, the last heard of first.
    async fn processes(&self, now: DateTime<Utc>) -> Result<Vec<ProcessRecord>, StoreError>;

    /// Takes over, at once, whatever a process holds that the caller knows to be dead, and forgets it.
    async fn rescue_process(&self, dead: &Owner, now: DateTime<Utc>) -> Result<Vec<Rescued>, StoreError>;

    // Jobs.

    /// Makes these edits, all in one commit; each on its own can meet a conflict. The results are in the same order.
    async fn edit_jobs(&self, edits: Vec<JobEdit>, now: DateTime<Utc>) -> Result<Vec<JobEdited>, StoreError>;

    /// One job of the namespace.
    async fn job(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError>;

    /// Jobs in the order of (namespace, id).
    async fn jobs(&self, filter: JobFilter) -> Result<Vec<JobRecord>, StoreError>;

    /// How many jobs of a source each pipeline has, by the pipelines' names.
    async fn jobs_by_pipeline(&self, source: JobSource) -> Result<Vec<(String, u64)>, StoreError>;

    /// The newest finished run of each of these jobs.
    async fn job_runs(&self, jobs: &[JobId]) -> Result<Vec<JobRuns>, StoreError>;

    /// Jobs that APScheduler left at the same URL, if it has a table there.
    async fn foreign_jobs(&self) -> Result<Option<ForeignJobs>, StoreError>;

    // Runs.

    /// Queues a run that somebody asks for, unless the pipeline's overlap rule forbids it.
    async fn request_run(&self, request: RunRequest, now: DateTime<Utc>) -> Result<RequestedRun, StoreError>;

    /// Cancels a waiting run, or asks the holder of a running one to.
    async fn request_cancel(
        &self,
        run: RunId,
        requested_by: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<CancelRequested, StoreError>;

    /// One run, of any namespace.
    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Runs, newest first.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>, StoreError>;

    /// The attempts of these runs, in the order of (run, attempt).
    async fn attempts(&self, runs: &[RunId]) -> Result<Vec<AttemptRecord>, StoreError>;

    /// How much is waiting and running.
    async fn counts(&self, now: DateTime<Utc>) -> Result<QueueCounts, StoreError>;

    /// Appends to runs' logs; lines of a run that is gone are dropped.
    async fn append_logs(&self, lines: Vec<LogLine>) -> Result<(), StoreError>;

    /// A run's log after a place, at most `limit` lines (0 is all).
    async fn logs(&self, run: RunId, after: LogCursor, limit: usize) -> Result<Vec<LogLine>, StoreError>;

    /// Deletes old runs, a batch at a time.
    async fn prune(&self, retention: Retention) -> Result<Pruned, StoreError>;

    // The outbox.

    /// Stores messages, to be sent as soon as somebody claims them.
    async fn enqueue_messages(&self, messages: Vec<NewMessage>, now: DateTime<Utc>)
    -> Result<(), StoreError>;

    /// Stores messages that become valid with the attempt's success, and are dropped otherwise.
    async fn stage_messages(&self, key: &AttemptKey, messages: Vec<NewMessage>) -> Result<(), StoreError>;

    /// Takes messages to send: for each target the sealed batch at its head, or the never-sent ones.
    async fn claim_messages(&self, claim: ClaimMessages) -> Result<Vec<TargetMessages>, StoreError>;

    /// Fixes batches before they are first sent. Returns those that are no longer this owner's to send.
    async fn seal_messages(
        &self,
        owner: &Owner,
        batches: Vec<SealedBatch>,
    ) -> Result<Vec<SealedBatch>, StoreError>;

    /// They have arrived: they are deleted.
    async fn messages_sent(&self, owner: &Owner, ids: &[MessageId]) -> Result<(), StoreError>;

    /// Sending failed: they are tried again at `next_at`. Those behind them in the same target wait.
    async fn messages_failed(
        &self,
        owner: &Owner,
        ids: &[MessageId],
        error: &str,
        next_at: DateTime<Utc>,
    ) -> Result<(), StoreError>;

    /// They are given up on; those behind them go on.
    async fn messages_dead(&self, owner: &Owner, ids: &[MessageId], error: &str) -> Result<(), StoreError>;

    /// Gives claimed messages back unsent.
    async fn release_messages(&self, owner: &Owner) -> Result<(), StoreError>;

    /// When the next message may be sent, for waking up.
    async fn next_message_at(&self) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Messages in their order.
    async fn messages(&self, filter: MessageFilter) -> Result<Vec<MessageRecord>, StoreError>;

    /// Makes messages due at once, dead ones included. Returns how many.
    async fn retry_messages(&self, which: MessageSelection, now: DateTime<Utc>) -> Result<usize, StoreError>;

    /// Deletes messages. Returns how many.
    async fn purge_messages(&self, which: MessageSelection) -> Result<usize, StoreError>;

    // What stages keep.

    /// The values of these keys, in the same order. With `key`, the attempt's own staged writes come first.
    async fn state_get(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Keeps writes aside for an attempt; a later write of a key replaces an earlier one.
    async fn state_stage(
        &self,
        key: &AttemptKey,
        scope: &StageScope,
        writes: Vec<StateWrite>,
    ) -> Result<(), StoreError>;

    /// Committed entries whose key begins with `prefix`, in the order of their keys, after `after`, at most `limit`.
    /// With `key`, only those that the attempt has neither put, deleted nor touched.
    async fn state_scan(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<StateEntry>, StoreError>;

    /// How many entries [`JobStore::state_scan`] would find without a limit.
    async fn state_count(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        prefix: &[u8],
    ) -> Result<u64, StoreError>;

    /// Puts one committed value in the place of another, whoever holds what: for what schedulers keep together beside the
    /// runs. Whether it is there now: it is not where somebody else has changed it meanwhile. `None` is the absence of
    /// a value.
    async fn state_replace(
        &self,
        scope: &StageScope,
        key: &[u8],
        old: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> Result<bool, StoreError>;

    /// Makes everything that an attempt has staged valid, state and messages, while it goes on.
    async fn commit_staged(&self, key: &AttemptKey, now: DateTime<Utc>) -> Result<(), StoreError>;

    /// Drops everything that an attempt has staged.
    async fn discard_staged(&self, key: &AttemptKey) -> Result<(), StoreError>;

    /// Deletes all committed entries of a pipeline, or of one of its stages.
    async fn state_clear(&self, pipeline: &str, stage: Option<&str>) -> Result<usize, StoreError>;
}
