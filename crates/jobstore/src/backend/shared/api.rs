//! The store's interface over the shared bodies: each method is one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Store, bodies, changes, jobs, outbox, process, retention, runs, stage_state, staged};
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
use crate::model::time::{instant, micros};
use crate::model::turn::{FirePlanner, Rescued, Turn, TurnResult};
use crate::store::{JobStore, StoreKind};

#[async_trait]
impl JobStore for Store {
    fn kind(&self) -> StoreKind {
        self.kind
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    fn changes(&self) -> Changes {
        self.hub.subscribe()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let namespace = self.namespace.clone();
        read_tx!(self, |c| changes::read(c, &namespace)).map(|_| ())
    }

    async fn close(&self) {
        self.shut().await;
    }

    async fn turn(&self, turn: Arc<Turn>, planner: Arc<dyn FirePlanner>) -> Result<TurnResult, StoreError> {
        let namespace = self.namespace.clone();
        let claim = self.hub.claim();
        let for_body = claim.clone();
        let result = write_tx!(self, |c| bodies::turn(c, &namespace, &turn, &*planner, &for_body))?;
        claim.keep(false);
        Ok(result)
    }

    async fn heartbeat(&self, beat: Beat) -> Result<BeatResult, StoreError> {
        write_tx!(self, |c| process::beat(c, &beat))
    }

    async fn held_runs(&self, owner: &Owner, now: DateTime<Utc>) -> Result<Vec<ClaimedRun>, StoreError> {
        let owner = owner.clone();
        read_tx!(self, |c| runs::held_by(c, &owner, micros(now)))
    }

    async fn register_process(&self, process: ProcessInfo, now: DateTime<Utc>) -> Result<(), StoreError> {
        let namespace = self.namespace.clone();
        write_tx!(self, |c| process::register(c, &namespace, &process, micros(now)))
    }

    async fn forget_process(&self, owner: &Owner) -> Result<(), StoreError> {
        let owner = owner.clone();
        write_tx!(self, |c| process::forget(c, &owner))
    }

    async fn processes(&self, now: DateTime<Utc>) -> Result<Vec<ProcessRecord>, StoreError> {
        let namespace = self.namespace.clone();
        read_tx!(self, |c| process::list(c, &namespace, micros(now)))
    }

    async fn rescue_process(&self, dead: &Owner, now: DateTime<Utc>) -> Result<Vec<Rescued>, StoreError> {
        let (namespace, dead) = (self.namespace.clone(), dead.clone());
        let claim = self.hub.claim();
        let for_body = claim.clone();
        let done = write_tx!(self, |c| bodies::rescue_process(c, &namespace, &dead, micros(now), &for_body))?;
        claim.keep(true);
        Ok(done)
    }

    async fn edit_jobs(&self, edits: Vec<JobEdit>, now: DateTime<Utc>) -> Result<Vec<JobEdited>, StoreError> {
        let namespace = self.namespace.clone();
        let claim = self.hub.claim();
        let for_body = claim.clone();
        let done = write_tx!(self, |c| bodies::edit_jobs(c, &namespace, &edits, micros(now), &for_body))?;
        claim.keep(true);
        Ok(done)
    }

    async fn job(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        let (namespace, id) = (self.namespace.clone(), id.clone());
        read_tx!(self, |c| jobs::get(c, &namespace, &id))
    }

    async fn jobs(&self, filter: JobFilter) -> Result<Vec<JobRecord>, StoreError> {
        let namespace = self.namespace.clone();
        read_tx!(self, |c| jobs::list(c, &namespace, &filter))
    }

    async fn jobs_by_pipeline(&self, source: JobSource) -> Result<Vec<(String, u64)>, StoreError> {
        let namespace = self.namespace.clone();
        read_tx!(self, |c| jobs::by_pipeline(c, &namespace, source))
    }

    async fn job_runs(&self, ids: &[JobId]) -> Result<Vec<JobRuns>, StoreError> {
        let (namespace, ids) = (self.namespace.clone(), ids.to_vec());
        read_tx!(self, |c| jobs::last_runs(c, &namespace, &ids))
    }

    async fn foreign_jobs(&self) -> Result<Option<ForeignJobs>, StoreError> {
        read_tx!(self, |c| jobs::foreign(c))
    }

    async fn request_run(&self, request: RunRequest, now: DateTime<Utc>) -> Result<RequestedRun, StoreError> {
        let namespace = self.namespace.clone();
        let claim = self.hub.claim();
        let for_body = claim.clone();
        let done = write_tx!(self, |c| bodies::request_run(c, &namespace, &request, micros(now), &for_body))?;
        claim.keep(true);
        Ok(done)
    }

    async fn request_cancel(
        &self,
        run: RunId,
        requested_by: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<CancelRequested, StoreError> {
        let namespace = self.namespace.clone();
        let claim = self.hub.claim();
        let for_body = claim.clone();
        let done = write_tx!(self, |c| bodies::cancel(
            c,
            &namespace,
            run,
            requested_by.as_deref(),
            micros(now),
            &for_body
        ))?;
        claim.keep(true);
        Ok(done)
    }

    async fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        read_tx!(self, |c| runs::get(c, id))
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        let namespace = self.namespace.clone();
        read_tx!(self, |c| runs::list(c, &namespace, &filter))
    }

    async fn attempts(&self, ids: &[RunId]) -> Result<Vec<AttemptRecord>, StoreError> {
        let ids = ids.to_vec();
        read_tx!(self, |c| runs::attempts_of(c, &ids))
    }

    async fn counts(&self, now: DateTime<Utc>) -> Result<QueueCounts, StoreError> {
        let namespace = self.namespace.clone();
        read_tx!(self, |c| runs::counts(c, &namespace, micros(now)))
    }

    async fn append_logs(&self, lines: Vec<LogLine>) -> Result<(), StoreError> {
        write_tx!(self, |c| runs::append_logs(c, &lines))
    }

    async fn logs(&self, run: RunId, after: LogCursor, limit: usize) -> Result<Vec<LogLine>, StoreError> {
        read_tx!(self, |c| runs::logs_of(c, run, after, limit))
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, StoreError> {
        let namespace = self.namespace.clone();
        let cursor = self.cursor.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let found = read_tx!(self, |c| retention::find(c, &namespace, &retention, cursor.clone()))?;
        let (ids, next, done) = (found.ids, found.cursor, found.done);
        let deleted = if ids.is_empty() { 0 } else { write_tx!(self, |c| retention::delete(c, &ids))? };
        *self.cursor.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = next;
        Ok(Pruned { deleted, done })
    }

    async fn enqueue_messages(
        &self,
        messages: Vec<NewMessage>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let namespace = self.namespace.clone();
        write_tx!(self, |c| outbox::insert(c, &namespace, &messages, micros(now)))
    }

    async fn stage_messages(&self, key: &AttemptKey, messages: Vec<NewMessage>) -> Result<(), StoreError> {
        let key = key.clone();
        write_tx!(self, |c| staged::stage_messages(c, &key, &messages))
    }

    async fn claim_messages(&self, claim: ClaimMessages) -> Result<Vec<TargetMessages>, StoreError> {
        let namespace = self.namespace.clone();
        write_tx!(self, |c| outbox::claim(c, &namespace, &claim))
    }

    async fn seal_messages(
        &self,
        owner: &Owner,
        batches: Vec<SealedBatch>,
    ) -> Result<Vec<SealedBatch>, StoreError> {
        let owner = owner.clone();
        write_tx!(self, |c| outbox::seal(c, &owner, &batches))
    }

    async fn messages_sent(&self, owner: &Owner, ids: &[MessageId]) -> Result<(), StoreError> {
        let (owner, ids) = (owner.clone(), ids.to_vec());
        write_tx!(self, |c| outbox::sent(c, &owner, &ids))
    }

    async fn messages_failed(
        &self,
        owner: &Owner,
        ids: &[MessageId],
        error: &str,
        next_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (owner, ids, error) = (owner.clone(), ids.to_vec(), error.to_owned());
        write_tx!(self, |c| outbox::failed(c, &owner, &ids, &error, Some(micros(next_at))))
    }

    async fn messages_dead(&self, owner: &Owner, ids: &[MessageId], error: &str) -> Result<(), StoreError> {
        let (owner, ids, error) = (owner.clone(), ids.to_vec(), error.to_owned());
        write_tx!(self, |c| outbox::failed(c, &owner, &ids, &error, None))
    }

    async fn release_messages(&self, owner: &Owner) -> Result<(), StoreError> {
        let owner = owner.clone();
        write_tx!(self, |c| outbox::release(c, &owner))
    }

    async fn next_message_at(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let namespace = self.namespace.clone();
        Ok(read_tx!(self, |c| outbox::next_at(c, &namespace))?.map(instant))
    }

    async fn messages(&self, filter: MessageFilter) -> Result<Vec<MessageRecord>, StoreError> {
        let namespace = self.namespace.clone();
        read_tx!(self, |c| outbox::list(c, &namespace, &filter))
    }

    async fn retry_messages(&self, which: MessageSelection, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let namespace = self.namespace.clone();
        let claim = self.hub.claim();
        let for_body = claim.clone();
        let done =
            write_tx!(self, |c| bodies::retry_messages(c, &namespace, &which, micros(now), &for_body))?;
        claim.keep(true);
        Ok(done)
    }

    async fn purge_messages(&self, which: MessageSelection) -> Result<usize, StoreError> {
        let namespace = self.namespace.clone();
        write_tx!(self, |c| outbox::purge(c, &namespace, &which))
    }

    async fn state_get(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let (namespace, key, scope) = (self.namespace.clone(), key.cloned(), scope.clone());
        read_tx!(self, |c| stage_state::get(c, &namespace, key.as_ref(), &scope, &keys))
    }

    async fn state_scan(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<StateEntry>, StoreError> {
        let (namespace, key, scope, prefix) =
            (self.namespace.clone(), key.cloned(), scope.clone(), prefix.to_vec());
        read_tx!(self, |c| stage_state::scan(
            c,
            &namespace,
            key.as_ref(),
            &scope,
            &prefix,
            after.clone(),
            limit
        ))
    }

    async fn state_count(
        &self,
        key: Option<&AttemptKey>,
        scope: &StageScope,
        prefix: &[u8],
    ) -> Result<u64, StoreError> {
        let (namespace, key, scope, prefix) =
            (self.namespace.clone(), key.cloned(), scope.clone(), prefix.to_vec());
        read_tx!(self, |c| stage_state::count(c, &namespace, key.as_ref(), &scope, &prefix))
    }

    async fn state_stage(
        &self,
        key: &AttemptKey,
        scope: &StageScope,
        writes: Vec<StateWrite>,
    ) -> Result<(), StoreError> {
        let (key, scope) = (key.clone(), scope.clone());
        write_tx!(self, |c| staged::stage_state(c, &key, &scope, &writes))
    }

    async fn state_replace(
        &self,
        scope: &StageScope,
        key: &[u8],
        old: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        let (namespace, scope, key) = (self.namespace.clone(), scope.clone(), key.to_vec());
        write_tx!(self, |c| stage_state::replace(c, &namespace, &scope, &key, old.as_deref(), new.as_deref()))
    }

    async fn commit_staged(&self, key: &AttemptKey, now: DateTime<Utc>) -> Result<(), StoreError> {
        let (namespace, key) = (self.namespace.clone(), key.clone());
        write_tx!(self, |c| staged::commit(c, &namespace, &key, micros(now)))
    }

    async fn discard_staged(&self, key: &AttemptKey) -> Result<(), StoreError> {
        let key = key.clone();
        write_tx!(self, |c| staged::rollback(c, &key))
    }

    async fn state_clear(&self, pipeline: &str, stage: Option<&str>) -> Result<usize, StoreError> {
        let (namespace, pipeline, stage) =
            (self.namespace.clone(), pipeline.to_owned(), stage.map(str::to_owned));
        write_tx!(self, |c| stage_state::clear(c, &namespace, &pipeline, stage.as_deref()))
    }
}
