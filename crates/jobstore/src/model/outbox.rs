//! Messages that wait to be sent: stored first, sent in order for each target, each at least once.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ids::{MessageId, Owner, RunId};
use super::text::text_enum;

text_enum! {
    /// Where a message is.
    pub enum MessageState {
        /// It has never been sent and may still be grouped with others.
        Waiting = "waiting",
        /// It is part of a sealed batch that is being sent, or tried again.
        Sending = "sending",
        /// It was given up on.
        Dead = "dead",
    }
}

/// A message to store. It holds no secret: the target is a key that the sender resolves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// The pipeline that it comes from.
    pub pipeline: String,
    /// The stage that it comes from.
    pub stage: String,
    /// The run that it comes from.
    pub run: Option<RunId>,
    /// Where it goes: messages of one target keep their order.
    pub target: String,
    /// What it is, in the sender's words.
    pub kind: String,
    /// Its content, as JSON text.
    pub payload: String,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// Its number, which is its place in the order.
    pub id: MessageId,
    /// Its namespace.
    pub namespace: String,
    /// The pipeline that it comes from.
    pub pipeline: String,
    /// The stage that it comes from.
    pub stage: String,
    /// The run that it comes from.
    pub run: Option<RunId>,
    /// Where it goes.
    pub target: String,
    /// What it is.
    pub kind: String,
    /// Its content, as JSON text.
    pub payload: String,
    /// Where it is.
    pub state: MessageState,
    /// The batch that it is sealed in: never regrouped afterwards.
    pub batch: Option<String>,
    /// The batch's nonce, the same at every attempt.
    pub nonce: Option<String>,
    /// How often sending has failed.
    pub attempts: i32,
    /// When it is tried next.
    pub next_at: DateTime<Utc>,
    /// Why it failed last.
    pub error: Option<String>,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
}

/// Asks for messages to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMessages {
    /// Who sends.
    pub owner: Owner,
    /// The present.
    pub now: DateTime<Utc>,
    /// How long the claim lasts; one that has run out can be taken by another.
    pub lease: Duration,
    /// How many targets at most.
    pub targets: usize,
    /// How many messages of each at most (a sealed batch is never cut).
    pub per_target: usize,
    /// Only messages of these kinds; empty is all.
    pub kinds: Vec<String>,
    /// Targets to leave out (parked ones).
    pub except: Vec<String>,
}

/// The messages of one target that this process now holds, in order: either one sealed batch, or never-sent ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetMessages {
    /// The target.
    pub target: String,
    /// The messages.
    pub messages: Vec<MessageRecord>,
}

/// A batch that is stored before it is first sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    /// The batch's name.
    pub batch: String,
    /// The nonce of all its attempts.
    pub nonce: String,
    /// Its messages.
    pub ids: Vec<MessageId>,
}

/// Which messages to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Of all namespaces, not only of the store's own.
    pub all_namespaces: bool,
    /// In this state.
    pub state: Option<MessageState>,
    /// Of this pipeline.
    pub pipeline: Option<String>,
    /// Of this run.
    pub run: Option<RunId>,
    /// After this one, for the next page.
    pub after: Option<MessageId>,
    /// At most so many; 0 is all.
    pub limit: usize,
}

/// Which messages to retry or to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageSelection {
    /// These.
    Ids(Vec<MessageId>),
    /// All in this state.
    State(MessageState),
    /// All.
    All,
}
