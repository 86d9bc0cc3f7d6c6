//! A store that goes away, and comes back, as told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobstore::*;

/// A store in front of another one.
pub(crate) struct Flaky {
    inner: Arc<dyn JobStore>,
    mood: AtomicU8,
}

/// What it does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    /// It passes them on.
    Well = 0,
    /// It does nothing and says that it cannot be reached.
    Away = 1,
    /// It passes them on, and loses the answer.
    Mute = 2,
}

impl Flaky {
    pub(crate) fn new(inner: Arc<dyn JobStore>) -> Arc<Self> {
        Arc::new(Self { inner, mood: AtomicU8::new(Mood::Well as u8) })
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn before(&self) -> Result<(), StoreError> {
        if self.mood.load(Ordering::SeqCst) == Mood::Away as u8 {
            return Err(StoreError::Unreachable("connection refused".to_owned()));
        }
        Ok(())
    }

    fn after(&self) -> Result<(), StoreError> {
        if self.mood.load(Ordering::SeqCst) == Mood::Mute as u8 {
            return Err(StoreError::Unreachable("connection reset before the answer".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl JobStore for Flaky {
    fn kind(&self) -> StoreKind {
        self.inner.kind()
    }

    fn namespace(&self) -> &str {
        self.inner.namespace()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn changes(&self) -> Changes {
        self.inner.changes()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.ping().await;
        self.after()?;
        result
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn turn(&self, turn: Arc<Turn>, planner: Arc<dyn FirePlanner>) -> Result<TurnResult, StoreError> {
        self.before()?;
        let result = self.inner.turn(turn, planner).await;
        self.after()?;
        result
    }

    async fn heartbeat(&self, beat: Beat) -> Result<BeatResult, StoreError> {
        self.before()?;
        let result = self.inner.heartbeat(beat).await;
        self.after()?;
        result
    }

    async fn held_runs(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Vec<ClaimedRun>, StoreError> {
        self.before()?;
        let result = self.inner.held_runs(owner, now).await;
        self.after()?;
        result
    }

    async fn register_process(&self, process: ProcessInfo, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.register_process(process, now).await;
        self.after()?;
        result
    }

    async fn forget_process(&self, owner: &Owner) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.forget_process(owner).await;
        self.after()?;
        result
    }

    async fn processes(&self, now: DateTime<Utc>) -> Result<Vec<ProcessRecord>, StoreError> {
        self.before()?;
        let result = self.inner.processes(now).await;
        self.after()?;
        result
    }

    async fn rescue_process(&self, dead: &Owner, now: DateTime<Utc>) -> Result<Vec<Rescued>, StoreError> {
        self.before()?;
        let result = self.inner.rescue_process(dead, now).await;
        self.after()?;
        result
    }

    async fn edit_jobs(&self, edits: Vec<JobEdit>, now: DateTime<Utc>) -> Result<Vec<JobEdited>, StoreError> {
        self.before()?;
        let result = self.inner.edit_jobs(edits, now).await;
        self.after()?;
        result
    }

    async fn job(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        self.before()?;
        let result = self.inner.job(id).await;
        self.after()?;
        result
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<JobRecord>, StoreError> {
        self.before()?;
        let result = self.inner.jobs(filter).await;
        self.after()?;
        result
    }

    async fn job_runs(&self, jobs: &[JobId]) -> Result<Vec<JobRuns>, StoreError> {
        self.before()?;
        let result = self.inner.job_runs(jobs).await;
        self.after()?;
        result
    }

    async fn foreign_jobs(&self) -> Result<Option<ForeignJobs>, StoreError> {
        self.before()?;
        let result = self.inner.foreign_jobs().await;
        self.after()?;
        result
    }

    async fn request_run(&self, request: RunRequest, now: DateTime<Utc>) -> Result<RequestedRun, StoreError> {
        self.before()?;
        let result = self.inner.request_run(request, now).await;
        self.after()?;
        result
    }

    async fn request_cancel(
        &self,
        run: RunId,
        requested_by: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<CancelRequested, StoreError> {
        self.before()?;
        let result = self.inner.request_cancel(run, requested_by, now).await;
        self.after()?;
        result
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.before()?;
        let result = self.inner.run(id).await;
        self.after()?;
        result
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        self.before()?;
        let result = self.inner.runs(filter).await;
        self.after()?;
        result
    }

    async fn attempts(&self, runs: &[RunId]) -> Result<Vec<AttemptRecord>, StoreError> {
        self.before()?;
        let result = self.inner.attempts(runs).await;
        self.after()?;
        result
    }

    async fn counts(&self, now: DateTime<Utc>) -> Result<QueueCounts, StoreError> {
        self.before()?;
        let result = self.inner.counts(now).await;
        self.after()?;
        result
    }

    async fn append_logs(&self, lines: Vec<LogLine>) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.append_logs(lines).await;
        self.after()?;
        result
    }

    async fn logs(&self, run: RunId, after: LogCursor, limit: usize) -> Result<Vec<LogLine>, StoreError> {
        self.before()?;
        let result = self.inner.logs(run, after, limit).await;
        self.after()?;
        result
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, StoreError> {
        self.before()?;
        let result = self.inner.prune(retention).await;
        self.after()?;
        result
    }

    async fn enqueue_messages(
        &self,
        messages: Vec<NewMessage>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.enqueue_messages(messages, now).await;
        self.after()?;
        result
    }

    async fn stage_messages(&self, key: &AttemptKey, messages: Vec<NewMessage>) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.stage_messages(key, messages).await;
        self.after()?;
        result
    }

    async fn claim_messages(&self, claim: ClaimMessages) -> Result<Vec<TargetMessages>, StoreError> {
        self.before()?;
        let result = self.inner.claim_messages(claim).await;
        self.after()?;
        result
    }

    async fn seal_messages(
        &self,
        owner: &Owner,
        batches: Vec<SealedBatch>,
    ) -> Result<Vec<SealedBatch>, StoreError> {
        self.before()?;
        let result = self.inner.seal_messages(owner, batches).await;
        self.after()?;
        result
    }

    async fn messages_sent(&self, owner: &Owner, ids: &[MessageId]) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.messages_sent(owner, ids).await;
        self.after()?;
        result
    }

    async fn messages_failed(
        &self,
        owner: &Owner,
        ids: &[MessageId],
        error: &str,
        next_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.messages_failed(owner, ids, error, next_at).await;
        self.after()?;
        result
    }

    async fn messages_dead(&self, owner: &Owner, ids: &[MessageId], error: &str) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.messages_dead(owner, ids, error).await;
        self.after()?;
        result
    }

    async fn release_messages(&self, owner: &Owner) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.release_messages(owner).await;
        self.after()?;
        result
    }

    async fn next_message_at(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.before()?;
        let result = self.inner.next_message_at().await;
        self.after()?;
        result
    }

    async fn messages(&self, filter: MessageFilter) -> Result<Vec<MessageRecord>, StoreError> {
        self.before()?;
        let result = self.inner.messages(filter).await;
        self.after()?;
        result
    }

    async fn retry_messages(&self, which: MessageSelection, now: DateTime<Utc>) -> Result<usize, StoreError> {
        self.before()?;
        let result = self.inner.retry_messages(which, now).await;
        self.after()?;
        result
    }

    async fn purge_messages(&self, which: MessageSelection) -> Result<usize, StoreError> {
        self.before()?;
        let result = self.inner.purge_messages(which).await;
        self.after()?;
        result
    }

    async fn state_get(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.before()?;
        let result = self.inner.state_get(key, scope, keys).await;
        self.after()?;
        result
    }

    async fn state_stage(
        &self,
        key: &AttemptKey,
        scope: &StageScope,
        writes: Vec<StateWrite>,
    ) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.state_stage(key, scope, writes).await;
        self.after()?;
        result
    }

    async fn state_scan(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<StateEntry>, StoreError> {
        self.before()?;
        let result = self.inner.state_scan(key, scope, prefix, after, limit).await;
        self.after()?;
        result
    }

    async fn state_count(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        prefix: &[u8],
    ) -> Result<u64, StoreError> {
        self.before()?;
        let result = self.inner.state_count(key, scope, prefix).await;
        self.after()?;
        result
    }

    async fn commit_staged(&self, key: &AttemptKey, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.commit_staged(key, now).await;
        self.after()?;
        result
    }

    async fn discard_staged(&self, key: &AttemptKey) -> Result<(), StoreError> {
        self.before()?;
        let result = self.inner.discard_staged(key).await;
        self.after()?;
        result
    }

    async fn state_clear(&self, pipeline: &str, stage: Option<&str>) -> Result<usize, StoreError> {
        self.before()?;
        let result = self.inner.state_clear(pipeline, stage).await;
        self.after()?;
        result
    }
}
