//! A store that goes away, and comes back, as told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobstore::*;
use tokio::sync::Notify;

/// A store in front of another one.
pub(crate) struct Flaky {
    inner: Arc<dyn JobStore>,
    mood: AtomicU8,
    changed: Notify,
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
    /// It says nothing until its mood changes: so a process sees it that is frozen.
    Frozen = 3,
    /// It can be read and not be written.
    Full = 4,
}

impl Flaky {
    pub(crate) fn new(inner: Arc<dyn JobStore>) -> Arc<Self> {
        Arc::new(Self { inner, mood: AtomicU8::new(Mood::Well as u8), changed: Notify::new() })
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    fn has(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::SeqCst) == mood as u8
    }

    /// Before a call that only reads.
    async fn before_reading(&self) -> Result<(), StoreError> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.has(Mood::Frozen) {
                break;
            }
            changed.await;
        }
        if self.has(Mood::Away) {
            return Err(StoreError::Unreachable("connection refused".to_owned()));
        }
        Ok(())
    }

    async fn before(&self) -> Result<(), StoreError> {
        self.before_reading().await?;
        if self.has(Mood::Full) {
            return Err(StoreError::Full("database or disk is full".to_owned()));
        }
        Ok(())
    }

    fn after(&self) -> Result<(), StoreError> {
        if self.has(Mood::Mute) {
            return Err(StoreError::Unreachable("connection reset before the answer".to_owned()));
        }
        Ok(())
    }
}

/// Asks the mood, passes a call on, and asks the mood again.
macro_rules! pass_on {
    ($flaky:ident.$before:ident().$call:ident($($argument:expr),*)) => {{
        $flaky.$before().await?;
        let result = $flaky.inner.$call($($argument),*).await;
        $flaky.after()?;
        result
    }};
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
        pass_on!(self.before_reading().ping())
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn turn(&self, turn: Arc<Turn>, planner: Arc<dyn FirePlanner>) -> Result<TurnResult, StoreError> {
        pass_on!(self.before().turn(turn, planner))
    }

    async fn heartbeat(&self, beat: Beat) -> Result<BeatResult, StoreError> {
        pass_on!(self.before().heartbeat(beat))
    }

    async fn held_runs(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Vec<ClaimedRun>, StoreError> {
        pass_on!(self.before_reading().held_runs(owner, now))
    }

    async fn register_process(&self, process: ProcessInfo, now: DateTime<Utc>) -> Result<(), StoreError> {
        pass_on!(self.before().register_process(process, now))
    }

    async fn forget_process(&self, owner: &Owner) -> Result<(), StoreError> {
        pass_on!(self.before().forget_process(owner))
    }

    async fn processes(&self, now: DateTime<Utc>) -> Result<Vec<ProcessRecord>, StoreError> {
        pass_on!(self.before_reading().processes(now))
    }

    async fn rescue_process(&self, dead: &Owner, now: DateTime<Utc>) -> Result<Vec<Rescued>, StoreError> {
        pass_on!(self.before().rescue_process(dead, now))
    }

    async fn edit_jobs(&self, edits: Vec<JobEdit>, now: DateTime<Utc>) -> Result<Vec<JobEdited>, StoreError> {
        pass_on!(self.before().edit_jobs(edits, now))
    }

    async fn job(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        pass_on!(self.before_reading().job(id))
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<JobRecord>, StoreError> {
        pass_on!(self.before_reading().jobs(filter))
    }

    async fn jobs_by_pipeline(&self, source: JobSource) -> Result<Vec<(String, u64)>, StoreError> {
        pass_on!(self.before_reading().jobs_by_pipeline(source))
    }

    async fn job_runs(&self, jobs: &[JobId]) -> Result<Vec<JobRuns>, StoreError> {
        pass_on!(self.before_reading().job_runs(jobs))
    }

    async fn foreign_jobs(&self) -> Result<Option<ForeignJobs>, StoreError> {
        pass_on!(self.before_reading().foreign_jobs())
    }

    async fn request_run(&self, request: RunRequest, now: DateTime<Utc>) -> Result<RequestedRun, StoreError> {
        pass_on!(self.before().request_run(request, now))
    }

    async fn request_cancel(
        &self,
        run: RunId,
        requested_by: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<CancelRequested, StoreError> {
        pass_on!(self.before().request_cancel(run, requested_by, now))
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        pass_on!(self.before_reading().run(id))
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        pass_on!(self.before_reading().runs(filter))
    }

    async fn attempts(&self, runs: &[RunId]) -> Result<Vec<AttemptRecord>, StoreError> {
        pass_on!(self.before_reading().attempts(runs))
    }

    async fn counts(&self, now: DateTime<Utc>) -> Result<QueueCounts, StoreError> {
        pass_on!(self.before_reading().counts(now))
    }

    async fn append_logs(&self, lines: Vec<LogLine>) -> Result<(), StoreError> {
        pass_on!(self.before().append_logs(lines))
    }

    async fn logs(&self, run: RunId, after: LogCursor, limit: usize) -> Result<Vec<LogLine>, StoreError> {
        pass_on!(self.before_reading().logs(run, after, limit))
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, StoreError> {
        pass_on!(self.before().prune(retention))
    }

    async fn enqueue_messages(
        &self,
        messages: Vec<NewMessage>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        pass_on!(self.before().enqueue_messages(messages, now))
    }

    async fn stage_messages(&self, key: &AttemptKey, messages: Vec<NewMessage>) -> Result<(), StoreError> {
        pass_on!(self.before().stage_messages(key, messages))
    }

    async fn claim_messages(&self, claim: ClaimMessages) -> Result<Vec<TargetMessages>, StoreError> {
        pass_on!(self.before().claim_messages(claim))
    }

    async fn seal_messages(
        &self,
        owner: &Owner,
        batches: Vec<SealedBatch>,
    ) -> Result<Vec<SealedBatch>, StoreError> {
        pass_on!(self.before().seal_messages(owner, batches))
    }

    async fn messages_sent(&self, owner: &Owner, ids: &[MessageId]) -> Result<(), StoreError> {
        pass_on!(self.before().messages_sent(owner, ids))
    }

    async fn messages_failed(
        &self,
        owner: &Owner,
        ids: &[MessageId],
        error: &str,
        next_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        pass_on!(self.before().messages_failed(owner, ids, error, next_at))
    }

    async fn messages_dead(&self, owner: &Owner, ids: &[MessageId], error: &str) -> Result<(), StoreError> {
        pass_on!(self.before().messages_dead(owner, ids, error))
    }

    async fn release_messages(&self, owner: &Owner) -> Result<(), StoreError> {
        pass_on!(self.before().release_messages(owner))
    }

    async fn next_message_at(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        pass_on!(self.before_reading().next_message_at())
    }

    async fn messages(&self, filter: MessageFilter) -> Result<Vec<MessageRecord>, StoreError> {
        pass_on!(self.before_reading().messages(filter))
    }

    async fn retry_messages(&self, which: MessageSelection, now: DateTime<Utc>) -> Result<usize, StoreError> {
        pass_on!(self.before().retry_messages(which, now))
    }

    async fn purge_messages(&self, which: MessageSelection) -> Result<usize, StoreError> {
        pass_on!(self.before().purge_messages(which))
    }

    async fn state_get(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        pass_on!(self.before_reading().state_get(key, scope, keys))
    }

    async fn state_stage(
        &self,
        key: &AttemptKey,
        scope: &StageScope,
        writes: Vec<StateWrite>,
    ) -> Result<(), StoreError> {
        pass_on!(self.before().state_stage(key, scope, writes))
    }

    async fn state_scan(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<StateEntry>, StoreError> {
        pass_on!(self.before_reading().state_scan(key, scope, prefix, after, limit))
    }

    async fn state_count(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        prefix: &[u8],
    ) -> Result<u64, StoreError> {
        pass_on!(self.before_reading().state_count(key, scope, prefix))
    }

    async fn state_replace(
        &self,
        scope: &StageScope,
        key: &[u8],
        old: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        pass_on!(self.before().state_replace(scope, key, old, new))
    }

    async fn commit_staged(&self, key: &AttemptKey, now: DateTime<Utc>) -> Result<(), StoreError> {
        pass_on!(self.before().commit_staged(key, now))
    }

    async fn discard_staged(&self, key: &AttemptKey) -> Result<(), StoreError> {
        pass_on!(self.before().discard_staged(key))
    }

    async fn state_clear(&self, pipeline: &str, stage: Option<&str>) -> Result<usize, StoreError> {
        pass_on!(self.before().state_clear(pipeline, stage))
    }
}
