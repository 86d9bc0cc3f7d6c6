//! The outbox of the sinks, in the job store: messages outlive the process, and leave with the run that made them.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::discord::outbox::{
    Attempt, Claim, Claimed, KIND, Left, MessageId, NewMessage, Outbox, OutboxError, Seal, StoredMessage,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobstore::{
    AttemptKey, ClaimMessages, JobStore, MessageFilter, MessageRecord, MessageSelection, MessageState, Owner,
    RunId, SealedBatch, StoreError, TargetMessages,
};
use pipeline_core::Clock;

/// What is to be written about messages that were on their way is tried so often while the store is away: that long,
/// their claim keeps everybody else from sending them.
const TRIES: u32 = 240;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Messages of a run that are looked through at a time.
const PAGE: usize = 200;

/// The store, and the name by which this process claims runs and messages.
struct Connected {
    store: Arc<dyn JobStore>,
    owner: Owner,
}

/// The outbox of the job store. The file is checked before the store is opened, so it is connected later.
pub(crate) struct StoreOutbox {
    clock: Arc<dyn Clock>,
    connected: OnceLock<Connected>,
}

impl StoreOutbox {
    /// An outbox that is not connected yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, connected: OnceLock::new() }
    }

    /// Connects it with the store. `owner` is the engine's name: what the stages of an attempt keep aside is accepted
    /// only from who holds the attempt, and what a dead process was sending is released when its runs are taken over.
    pub(crate) fn connect(&self, store: Arc<dyn JobStore>, owner: Owner) {
        // The first one stays: there is only one.
        self.connected.get_or_init(|| Connected { store, owner });
    }

    fn connected(&self) -> Result<&Connected, OutboxError> {
        self.connected.get().ok_or_else(|| OutboxError::new("the job store is not open yet"))
    }

    /// A run's messages of a stage in whatever state, page by page, until `look` has seen enough.
    async fn look_through(
        &self,
        run_id: &str,
        stage: &str,
        mut look: impl FnMut(MessageRecord) -> bool + Send,
    ) -> Result<(), OutboxError> {
        let store = &self.connected()?.store;
        let mut after = None;
        loop {
            let filter =
                MessageFilter { run: Some(run(run_id)?), after, limit: PAGE, ..MessageFilter::default() };
            let messages = store.messages(filter).await.map_err(OutboxError::new)?;
            after = messages.last().map(|message| message.id);
            let is_last = messages.len() < PAGE;
            for message in messages {
                if message.stage == stage && message.kind == KIND && !look(message) {
                    return Ok(());
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

/// Writes something about messages that this process holds, however long the store is away: until it is written, nobody
/// may know that they were sent.
async fn insist<T, F>(mut write: impl FnMut() -> F) -> Result<T, OutboxError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 1;
    loop {
        match write().await {
            Ok(done) => return Ok(done),
            Err(error) if error.is_transient() && tries < TRIES => {
                if tries == 1 {
                    tracing::warn!(%error, "what became of messages to Discord is written as soon as possible");
                }
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(OutboxError::new(error)),
        }
    }
}

fn run(id: &str) -> Result<RunId, OutboxError> {
    id.parse().map_err(|error: jobstore::InvalidId| OutboxError::new(error))
}

fn ids(ids: &[MessageId]) -> Vec<jobstore::MessageId> {
    ids.iter().map(|id| jobstore::MessageId(id.0)).collect()
}

fn storable(message: NewMessage) -> Result<jobstore::NewMessage, OutboxError> {
    let NewMessage { pipeline, stage, run_id, target, kind, payload } = message;
    let run = Some(run(&run_id)?);
    Ok(jobstore::NewMessage { pipeline, stage, run, target, kind: kind.to_owned(), payload })
}

fn all_storable(messages: Vec<NewMessage>) -> Result<Vec<jobstore::NewMessage>, OutboxError> {
    messages.into_iter().map(storable).collect()
}

fn stored(record: MessageRecord) -> StoredMessage {
    StoredMessage {
        id: MessageId(record.id.0),
        pipeline: record.pipeline,
        stage: record.stage,
        target: record.target,
        payload: record.payload,
        sealed: record.batch.zip(record.nonce).map(|(batch, nonce)| Seal { batch, nonce }),
        attempts: u32::try_from(record.attempts).unwrap_or(0),
        error: record.error,
        created_at: record.created_at,
    }
}

#[async_trait]
impl Outbox for StoreOutbox {
    async fn enqueue(&self, messages: Vec<NewMessage>) -> Result<(), OutboxError> {
        let messages = all_storable(messages)?;
        let now = self.clock.now();
        self.connected()?.store.enqueue_messages(messages, now).await.map_err(OutboxError::new)
    }

    async fn stage(&self, attempt: &Attempt, messages: Vec<NewMessage>) -> Result<(), OutboxError> {
        let Connected { store, owner } = self.connected()?;
        let key = AttemptKey {
            run: run(&attempt.run_id)?,
            attempt: i32::try_from(attempt.attempt).map_err(OutboxError::new)?,
            owner: owner.clone(),
        };
        store.stage_messages(&key, all_storable(messages)?).await.map_err(OutboxError::new)
    }

    /// The commit that writes the run's success makes them valid.
    async fn commit(&self, _: &Attempt) -> Result<(), OutboxError> {
        Ok(())
    }

    /// The commit that writes how the attempt ended drops them.
    async fn discard(&self, _: &Attempt) -> Result<(), OutboxError> {
        Ok(())
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, OutboxError> {
        let Connected { store, owner } = self.connected()?;
        // Most of the time there is nothing, and to find that out no write is begun.
        let next = store.next_message_at().await.map_err(OutboxError::new)?;
        if next.is_none_or(|at| at > claim.now) {
            return Ok(Vec::new());
        }
        let claim = ClaimMessages {
            owner: owner.clone(),
            now: claim.now,
            lease: claim.lease,
            targets: claim.targets,
            per_target: claim.per_target,
            kinds: vec![KIND.to_owned()],
            except: claim.except,
        };
        let claimed = store.claim_messages(claim).await.map_err(OutboxError::new)?;
        let of_target = |TargetMessages { target, messages }| Claimed {
            target,
            messages: messages.into_iter().map(stored).collect(),
        };
        Ok(claimed.into_iter().map(of_target).collect())
    }

    async fn seal(&self, messages: &[MessageId], seal: &Seal) -> Result<bool, OutboxError> {
        let Connected { store, owner } = self.connected()?;
        let Seal { batch, nonce } = seal.clone();
        let sealed = SealedBatch { batch, nonce, ids: ids(messages) };
        let refused = insist(|| store.seal_messages(owner, vec![sealed.clone()])).await?;
        Ok(refused.is_empty())
    }

    async fn sent(&self, messages: &[MessageId]) -> Result<(), OutboxError> {
        let store = &self.connected()?.store;
        // Whoever holds them by now: what has arrived must not be sent again. Numbers are never used twice.
        let which = MessageSelection::Ids(ids(messages));
        insist(|| store.purge_messages(which.clone())).await?;
        Ok(())
    }

    async fn failed(
        &self,
        messages: &[MessageId],
        error: &str,
        next_at: DateTime<Utc>,
    ) -> Result<(), OutboxError> {
        let Connected { store, owner } = self.connected()?;
        let ids = ids(messages);
        insist(|| store.messages_failed(owner, &ids, error, next_at)).await
    }

    async fn dead(&self, messages: &[MessageId], error: &str) -> Result<(), OutboxError> {
        let Connected { store, owner } = self.connected()?;
        let ids = ids(messages);
        insist(|| store.messages_dead(owner, &ids, error)).await
    }

    async fn release(&self) -> Result<(), OutboxError> {
        let Connected { store, owner } = self.connected()?;
        store.release_messages(owner).await.map_err(OutboxError::new)
    }

    async fn next_at(&self) -> Result<Option<DateTime<Utc>>, OutboxError> {
        self.connected()?.store.next_message_at().await.map_err(OutboxError::new)
    }

    /// Counts no further than to one: whether any is left is all that anybody asks.
    async fn left(&self, run_id: &str, stage: &str) -> Result<Left, OutboxError> {
        let mut left = Left::default();
        // All states in one look: what changes its state between two would be seen in neither, and taken for delivered.
        self.look_through(run_id, stage, |message| {
            match message.state {
                MessageState::Dead => left.dead = Some(message.error.unwrap_or_default()),
                MessageState::Sending | MessageState::Waiting => left.waiting = 1,
            }
            left.dead.is_none()
        })
        .await?;
        Ok(left)
    }

    /// The dead ones too: the next attempt makes them all again.
    async fn withdraw(&self, run_id: &str, stage: &str) -> Result<(), OutboxError> {
        let mut found = Vec::new();
        self.look_through(run_id, stage, |message| {
            found.push(message.id);
            true
        })
        .await?;
        if !found.is_empty() {
            let store = &self.connected()?.store;
            store.purge_messages(MessageSelection::Ids(found)).await.map_err(OutboxError::new)?;
        }
        Ok(())
    }
}
