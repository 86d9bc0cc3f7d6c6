//! Where messages wait: stored first, sent in order for each target, each at least once.
//!
//! [`Outbox`] is what the sink and the delivery want of a store. [`MemoryOutbox`] keeps messages for the life of the
//! process; a program with a database adapts that.

mod memory;
pub(crate) mod spool;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use memory::{Counts, MemoryOutbox};

/// The kind under which the sink's messages are stored, beside those of others.
pub const KIND: &str = "discord.item";

/// The number of a stored message; numbers grow in the order of storing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub i64);

/// The attempt of a run that messages belong to until it succeeds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// The run's id.
    pub run_id: String,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// A message to store. It holds no secret: the target is a name that the delivery resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The pipeline that it comes from.
    pub pipeline: String,
    /// The stage that it comes from: its number and class.
    pub stage: String,
    /// The run that it comes from.
    pub run_id: String,
    /// Where it goes: messages of one target keep their order.
    pub target: String,
    /// What it is; always [`KIND`].
    pub kind: &'static str,
    /// Its content, as JSON text.
    pub payload: String,
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its number.
    pub id: MessageId,
    /// The pipeline that it comes from.
    pub pipeline: String,
    /// The stage that it comes from.
    pub stage: String,
    /// Where it goes.
    pub target: String,
    /// Its content, as JSON text.
    pub payload: String,
    /// The batch that it is sealed in, and the batch's nonce.
    pub sealed: Option<Seal>,
    /// How often sending has failed since it was stored, or since a person asked for another try.
    pub attempts: u32,
    /// Why it failed last.
    pub error: Option<String>,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
}

/// What is fixed of a batch before it is first sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The batch's name.
    pub batch: String,
    /// The nonce of all its attempts.
    pub nonce: String,
}

/// Asks for messages to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The present.
    pub now: DateTime<Utc>,
    /// How long the claim lasts; one that has run out can be taken by another process.
    pub lease: Duration,
    /// How many targets at most.
    pub targets: usize,
    /// How many messages of each at most (a sealed batch is never cut).
    pub per_target: usize,
    /// Targets to leave out.
    pub except: Vec<String>,
}

/// The messages of one target that this process now holds, in order: either one sealed batch, or never-sent ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The target.
    pub target: String,
    /// The messages; never none.
    pub messages: Vec<StoredMessage>,
}

/// What is left of some messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Those that have neither arrived nor been given up on.
    pub waiting: usize,
    /// Why one was given up on, where one was.
    pub dead: Option<String>,
}

/// The store is away, or refuses.
#[derive(Debug, thiserror::Error)]
#[error("the outbox cannot be used: {0}")]
pub struct OutboxError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl OutboxError {
    /// Wraps whatever the store said.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// Keeps messages until they have arrived. Every method happens as a whole or not at all, and can be repeated where it
/// failed. All claims are of one owner: this process.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Stores messages, to be sent as soon as somebody claims them.
    async fn enqueue(&self, messages: Vec<NewMessage>) -> Result<(), OutboxError>;

    /// Keeps messages aside that become valid when the attempt succeeds.
    async fn stage(&self, attempt: &Attempt, messages: Vec<NewMessage>) -> Result<(), OutboxError>;

    /// The attempt succeeds: what it kept aside becomes valid. A store that does this in the same commit as it writes the
    /// run's outcome does nothing here.
    async fn commit(&self, attempt: &Attempt) -> Result<(), OutboxError>;

    /// The attempt does not succeed: what it kept aside is dropped. A store that does this with the run's outcome does
    /// nothing here.
    async fn discard(&self, attempt: &Attempt) -> Result<(), OutboxError>;

    /// Takes messages to send: for each target the sealed batch at its head, or the never-sent ones, where the head's time
    /// has come.
    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, OutboxError>;

    /// Fixes a batch before it is first sent. `false`: the messages are no longer this process's to send.
    async fn seal(&self, ids: &[MessageId], seal: &Seal) -> Result<bool, OutboxError>;

    /// They have arrived.
    async fn sent(&self, ids: &[MessageId]) -> Result<(), OutboxError>;

    /// Sending failed: they are tried again at `next_at`. Those behind them in the same target wait.
    async fn failed(&self, ids: &[MessageId], error: &str, next_at: DateTime<Utc>)
    -> Result<(), OutboxError>;

    /// They are given up on; those behind them go on.
    async fn dead(&self, ids: &[MessageId], error: &str) -> Result<(), OutboxError>;

    /// Gives all claimed messages back unsent.
    async fn release(&self) -> Result<(), OutboxError>;

    /// When the next message may be sent; `None` where there is none to send.
    async fn next_at(&self) -> Result<Option<DateTime<Utc>>, OutboxError>;

    /// What is left of a run's messages of a stage.
    async fn left(&self, run_id: &str, stage: &str) -> Result<Left, OutboxError>;

    /// Takes back a run's messages of a stage that have not arrived.
    async fn withdraw(&self, run_id: &str, stage: &str) -> Result<(), OutboxError>;
}
