//! An outbox for the life of the process. Only a few bytes a message stay in memory; the texts go to a temporary file.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pipeline_core::Clock;

use super::spool::{Place, Spool};
use super::{Attempt, Claim, Claimed, Left, MessageId, NewMessage, Outbox, OutboxError, Seal, StoredMessage};
use crate::lock::lock;

/// Dead messages that are remembered with their reasons; of further ones only the number is known.
const DEAD: usize = 1000;

/// Keeps messages in memory and in a temporary file.
#[derive(Debug)]
pub struct MemoryOutbox {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spool: Spool,
    rows: BTreeMap<i64, Row>,
    staged: HashMap<Attempt, Vec<(Arc<Origin>, Place)>>,
    /// One copy of each, because a run's messages share it.
    origins: Vec<Arc<Origin>>,
    /// Why messages were given up on, by where they came from.
    dead: Vec<(Arc<Origin>, String)>,
    dead_count: usize,
    last_id: i64,
}

#[derive(Debug, PartialEq, Eq)]
struct Origin {
    pipeline: String,
    stage: String,
    run_id: String,
    target: String,
}

#[derive(Debug)]
struct Row {
    origin: Arc<Origin>,
    place: Place,
    created_at: DateTime<Utc>,
    /// What most messages never get: kept apart, so that they stay small.
    trouble: Option<Box<Trouble>>,
    claimed: bool,
}

#[derive(Debug, Default)]
struct Trouble {
    seal: Option<Seal>,
    attempts: u32,
    error: Option<String>,
    next_at: Option<DateTime<Utc>>,
}

/// How many messages an outbox holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that are still to be sent.
    pub waiting: usize,
    /// Messages that were given up on.
    pub dead: usize,
}

impl MemoryOutbox {
    /// An empty outbox.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// How many messages it holds.
    pub fn counts(&self) -> Counts {
        let state = lock(&self.state);
        Counts { waiting: state.rows.len(), dead: state.dead_count }
    }
}

impl State {
    fn keep(&mut self, messages: Vec<NewMessage>) -> Result<Vec<(Arc<Origin>, Place)>, OutboxError> {
        let mut kept = Vec::with_capacity(messages.len());
        for message in messages {
            let place = self.spool.push(&message.payload).map_err(OutboxError::new)?;
            let NewMessage { pipeline, stage, run_id, target, .. } = message;
            kept.push((self.origin(Origin { pipeline, stage, run_id, target }), place));
        }
        Ok(kept)
    }

    fn origin(&mut self, origin: Origin) -> Arc<Origin> {
        if let Some(known) = self.origins.iter().rev().find(|known| ***known == origin) {
            return known.clone();
        }
        self.origins.retain(|known| Arc::strong_count(known) > 1);
        let origin = Arc::new(origin);
        self.origins.push(origin.clone());
        origin
    }

    fn add(&mut self, kept: Vec<(Arc<Origin>, Place)>, now: DateTime<Utc>) {
        for (origin, place) in kept {
            self.last_id += 1;
            let row = Row { origin, place, created_at: now, trouble: None, claimed: false };
            self.rows.insert(self.last_id, row);
        }
    }

    fn drop_row(&mut self, id: i64) -> Option<Arc<Origin>> {
        let row = self.rows.remove(&id)?;
        self.spool.forget();
        Some(row.origin)
    }

    fn bury(&mut self, id: i64, error: &str) {
        let Some(origin) = self.drop_row(id) else { return };
        self.dead_count += 1;
        if self.dead.len() < DEAD {
            self.dead.push((origin, error.to_owned()));
        }
    }

    fn claim_target(&mut self, target: &str, claim: &Claim) -> Result<Vec<StoredMessage>, OutboxError> {
        let of_target = |row: &Row| row.origin.target == target;
        let Some((_, head)) = self.rows.iter().find(|(_, row)| of_target(row)) else { return Ok(Vec::new()) };
        if head.claimed || head.next_at().is_some_and(|at| at > claim.now) {
            return Ok(Vec::new());
        }
        let batch = head.seal().map(|seal| seal.batch.clone());
        let limit = if batch.is_some() { usize::MAX } else { claim.per_target.max(1) };
        let ids: Vec<i64> = self
            .rows
            .iter()
            .filter(|(_, row)| of_target(row))
            .take_while(|(_, row)| row.seal().map(|seal| &seal.batch) == batch.as_ref())
            .take(limit)
            .map(|(id, _)| *id)
            .collect();
        let mut messages = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(row) = self.rows.get_mut(&id) else { continue };
            let payload = self.spool.read(row.place).map_err(OutboxError::new)?;
            row.claimed = true;
            messages.push(StoredMessage {
                id: MessageId(id),
                pipeline: row.origin.pipeline.clone(),
                stage: row.origin.stage.clone(),
                target: target.to_owned(),
                payload,
                sealed: row.seal().cloned(),
                attempts: row.trouble.as_ref().map_or(0, |t| t.attempts),
                error: row.trouble.as_ref().and_then(|t| t.error.clone()),
                created_at: row.created_at,
            });
        }
        Ok(messages)
    }
}

impl Row {
    fn seal(&self) -> Option<&Seal> {
        self.trouble.as_ref()?.seal.as_ref()
    }

    fn next_at(&self) -> Option<DateTime<Utc>> {
        self.trouble.as_ref()?.next_at
    }

    fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }
}

#[async_trait]
impl Outbox for MemoryOutbox {
    async fn enqueue(&self, messages: Vec<NewMessage>) -> Result<(), OutboxError> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let kept = state.keep(messages)?;
        state.add(kept, now);
        Ok(())
    }

    async fn stage(&self, attempt: &Attempt, messages: Vec<NewMessage>) -> Result<(), OutboxError> {
        let mut state = lock(&self.state);
        let kept = state.keep(messages)?;
        state.staged.entry(attempt.clone()).or_default().extend(kept);
        Ok(())
    }

    async fn commit(&self, attempt: &Attempt) -> Result<(), OutboxError> {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if let Some(kept) = state.staged.remove(attempt) {
            state.add(kept, now);
        }
        Ok(())
    }

    async fn discard(&self, attempt: &Attempt) -> Result<(), OutboxError> {
        let mut state = lock(&self.state);
        for _ in state.staged.remove(attempt).unwrap_or_default() {
            state.spool.forget();
        }
        Ok(())
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, OutboxError> {
        let mut state = lock(&self.state);
        let mut targets: Vec<String> = Vec::new();
        for row in state.rows.values() {
            let target = &row.origin.target;
            if !targets.contains(target) && !claim.except.contains(target) {
                targets.push(target.clone());
            }
        }
        let mut claimed = Vec::new();
        for target in targets {
            if claimed.len() == claim.targets {
                break;
            }
            let messages = state.claim_target(&target, &claim)?;
            if !messages.is_empty() {
                claimed.push(Claimed { target, messages });
            }
        }
        Ok(claimed)
    }

    async fn seal(&self, ids: &[MessageId], seal: &Seal) -> Result<bool, OutboxError> {
        let mut state = lock(&self.state);
        if !ids.iter().all(|id| state.rows.get(&id.0).is_some_and(|row| row.claimed)) {
            return Ok(false);
        }
        for id in ids {
            if let Some(row) = state.rows.get_mut(&id.0) {
                row.trouble().seal = Some(seal.clone());
            }
        }
        Ok(true)
    }

    async fn sent(&self, ids: &[MessageId]) -> Result<(), OutboxError> {
        let mut state = lock(&self.state);
        for id in ids {
            state.drop_row(id.0);
        }
        Ok(())
    }

    async fn failed(
        &self,
        ids: &[MessageId],
        error: &str,
        next_at: DateTime<Utc>,
    ) -> Result<(), OutboxError> {
        let mut state = lock(&self.state);
        for id in ids {
            if let Some(row) = state.rows.get_mut(&id.0) {
                row.claimed = false;
                let trouble = row.trouble();
                trouble.attempts += 1;
                trouble.error = Some(error.to_owned());
                trouble.next_at = Some(next_at);
            }
        }
        Ok(())
    }

    async fn dead(&self, ids: &[MessageId], error: &str) -> Result<(), OutboxError> {
        let mut state = lock(&self.state);
        for id in ids {
            state.bury(id.0, error);
        }
        Ok(())
    }

    async fn release(&self) -> Result<(), OutboxError> {
        for row in lock(&self.state).rows.values_mut() {
            row.claimed = false;
        }
        Ok(())
    }

    async fn next_at(&self) -> Result<Option<DateTime<Utc>>, OutboxError> {
        let state = lock(&self.state);
        let mut heads: HashMap<&str, DateTime<Utc>> = HashMap::new();
        for row in state.rows.values() {
            heads.entry(&row.origin.target).or_insert_with(|| row.next_at().unwrap_or(row.created_at));
        }
        Ok(heads.into_values().min())
    }

    async fn left(&self, run_id: &str, stage: &str) -> Result<Left, OutboxError> {
        let state = lock(&self.state);
        let is_its = |origin: &Origin| origin.run_id == run_id && origin.stage == stage;
        Ok(Left {
            waiting: state.rows.values().filter(|row| is_its(&row.origin)).count(),
            dead: state.dead.iter().find(|(origin, _)| is_its(origin)).map(|(_, error)| error.clone()),
        })
    }

    async fn withdraw(&self, run_id: &str, stage: &str) -> Result<(), OutboxError> {
        let mut state = lock(&self.state);
        let is_its = |row: &Row| row.origin.run_id == run_id && row.origin.stage == stage;
        let ids: Vec<i64> = state.rows.iter().filter(|(_, row)| is_its(row)).map(|(id, _)| *id).collect();
        for id in ids {
            state.drop_row(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipeline_core::SimClock;

    use super::super::KIND;
    use super::*;

    fn message(target: &str, payload: &str) -> NewMessage {
        NewMessage {
            pipeline: "p".into(),
            stage: "2-DiscordSink".into(),
            run_id: "r".into(),
            target: target.into(),
            kind: KIND,
            payload: payload.into(),
        }
    }

    fn claim(now: DateTime<Utc>) -> Claim {
        Claim {
            now,
            lease: Duration::from_secs(60),
            targets: 9,
            per_target: 2,
            except: vec!["parked".into()],
        }
    }

    fn payloads(claimed: &[Claimed]) -> Vec<(&str, Vec<&str>)> {
        claimed
            .iter()
            .map(|c| (c.target.as_str(), c.messages.iter().map(|m| m.payload.as_str()).collect()))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn order_seals_failures_and_graves() {
        let clock = Arc::new(SimClock::new(DateTime::UNIX_EPOCH));
        let outbox = MemoryOutbox::new(clock.clone());
        let all = ["a1", "b1", "a2", "a3", "parked"];
        let messages = all.map(|p| message(if p == "parked" { p } else { &p[..1] }, p));
        outbox.enqueue(messages.into()).await.unwrap();
        let now = clock.now();
        let claimed = outbox.claim(claim(now)).await.unwrap();
        assert_eq!(payloads(&claimed), [("a", vec!["a1", "a2"]), ("b", vec!["b1"])]);
        assert_eq!(outbox.claim(claim(now)).await.unwrap(), [], "all is claimed or parked");
        // A failed batch stays together, and holds its target up until its time.
        let ids: Vec<MessageId> = claimed[0].messages.iter().map(|m| m.id).collect();
        let seal = Seal { batch: "x".into(), nonce: "n".into() };
        assert!(outbox.seal(&ids, &seal).await.unwrap());
        let later = now + Duration::from_secs(9);
        outbox.failed(&ids, "away", later).await.unwrap();
        outbox.sent(&[claimed[1].messages[0].id]).await.unwrap();
        assert_eq!(outbox.claim(claim(now)).await.unwrap(), []);
        let again = outbox.claim(claim(later)).await.unwrap();
        assert_eq!(payloads(&again), [("a", vec!["a1", "a2"])]);
        assert_eq!((again[0].messages[0].sealed.as_ref(), again[0].messages[0].attempts), (Some(&seal), 1));
        outbox.dead(&ids, "no such channel").await.unwrap();
        let left = outbox.left("r", "2-DiscordSink").await.unwrap();
        assert_eq!(left, Left { waiting: 2, dead: Some("no such channel".into()) });
        outbox.withdraw("r", "2-DiscordSink").await.unwrap();
        assert_eq!(outbox.counts(), Counts { waiting: 0, dead: 2 });
        assert!(!outbox.seal(&ids, &seal).await.unwrap(), "what is gone cannot be sealed");
    }

    #[tokio::test]
    async fn staged_messages_live_and_die_with_their_attempt() {
        let outbox = MemoryOutbox::new(Arc::new(pipeline_core::SystemClock));
        let attempt = |attempt| Attempt { run_id: "r".into(), attempt };
        for n in [1, 2] {
            outbox.stage(&attempt(n), vec![message("a", "x")]).await.unwrap();
        }
        assert_eq!(outbox.counts().waiting, 0);
        outbox.discard(&attempt(1)).await.unwrap();
        outbox.commit(&attempt(2)).await.unwrap();
        outbox.commit(&attempt(2)).await.unwrap();
        assert_eq!(outbox.counts().waiting, 1);
    }
}
