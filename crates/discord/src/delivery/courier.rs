//! Brings what was claimed of a target to Discord, and tells the outbox what came of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use pipeline_core::Clock;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Batch, Plan};
use super::pace::Pace;
use super::reason::{Next, Past};
use super::send::{Destination, PaceKey, Sender};
use super::verdict::Verdict;
use crate::fingerprint;
use crate::lock::lock;
use crate::outbox::{Claimed, MessageId, OutboxError, Seal};
use crate::sink::DiscordService;

/// Pauses after failures that heal: they double, from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How soon what was parked is tried again after a restart.
const PARKED_AGAIN: TimeDelta = TimeDelta::seconds(60);
/// A target that must wait longer than this gives its place to another.
const PATIENT: Duration = Duration::from_secs(20);
/// What is stored with messages that were claimed, and not sent because of what stood before them.
const BEHIND: &str = "waits for its turn";

/// What all targets share.
pub(crate) struct Courier {
    pub(crate) service: DiscordService,
    pub(crate) clock: Arc<dyn Clock>,
    sender: Sender,
    parked_for: Duration,
    paces: Mutex<HashMap<PaceKey, Pace>>,
    /// Nothing goes out as the bot before this: a global 429, or a refused token.
    bot_not_before: Mutex<Instant>,
    /// Targets that are left alone, and until when.
    parked: Mutex<HashMap<String, Instant>>,
    /// A part of each nonce and batch name, so that those of two processes never meet.
    unique: String,
    count: AtomicU64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// It is dealt with: sent, or given up on.
    Done,
    /// It is tried again later; those behind it wait.
    Later,
    /// It was not sent, and nothing is stored about it.
    Untouched,
    /// It, and those behind it, belong to another process, or the end has come.
    Left,
}

/// What is known of the batches of a claim.
struct Parcel<'a> {
    target: &'a str,
    past: Past,
    attempts: u32,
    seal: Option<Seal>,
}

impl Courier {
    pub(crate) fn new(
        service: DiscordService,
        sender: Sender,
        clock: Arc<dyn Clock>,
        parked_for: Duration,
    ) -> Self {
        let unique = fingerprint::of(&format!("{} {}", clock.now().timestamp_micros(), std::process::id()));
        Self {
            service,
            clock,
            sender,
            parked_for,
            paces: Mutex::default(),
            bot_not_before: Mutex::new(Instant::now()),
            parked: Mutex::default(),
            unique: format!("{unique:016x}"),
            count: AtomicU64::new(0),
        }
    }

    /// The targets that are left alone now.
    pub(crate) fn parked(&self) -> Vec<String> {
        let now = Instant::now();
        lock(&self.paces).retain(|_, pace| !pace.is_idle(now));
        let mut parked = lock(&self.parked);
        parked.retain(|_, until| *until > now);
        parked.keys().cloned().collect()
    }

    /// Whether everything that is parked is so for longer than that.
    pub(crate) fn is_parked_until(&self, deadline: Instant) -> bool {
        let parked = lock(&self.parked);
        !parked.is_empty() && parked.values().all(|until| *until > deadline)
    }

    fn park(&self, target: &str, time: Duration) {
        lock(&self.parked).insert(target.to_owned(), Instant::now() + time);
    }

    /// Sends what was claimed of a target, in order.
    pub(crate) async fn deliver(
        &self,
        claimed: Claimed,
        shutdown: &CancellationToken,
    ) -> Result<(), OutboxError> {
        let Claimed { target, messages } = claimed;
        let Some(first) = messages.first() else { return Ok(()) };
        let Plan { batches, unreadable } = match &first.sealed {
            Some(_) => batch::rebuild(&messages),
            None => batch::plan(&messages),
        };
        for (id, why) in unreadable {
            self.bury(&target, &[id], &why).await?;
        }
        let past = Past::read(first.attempts, first.error.as_deref());
        let attempts = if past == Past::default() { 0 } else { first.attempts };
        let mut parcel = Parcel { target: &target, past, attempts, seal: first.sealed.clone() };
        for (i, batch) in batches.iter().enumerate() {
            let behind = match self.deliver_batch(&parcel, batch, shutdown).await? {
                After::Done => {
                    (parcel.past, parcel.attempts) = (Past::default(), 0);
                    continue;
                }
                After::Later => &batches[i + 1..],
                After::Untouched => &batches[i..],
                After::Left => return Ok(()),
            };
            // They are free for the next claim at once; that comes as soon as the one before them lets it.
            let ids: Vec<MessageId> = behind.iter().flat_map(|batch| batch.ids.iter().copied()).collect();
            if !ids.is_empty() {
                self.service.outbox().failed(&ids, BEHIND, self.clock.now()).await?;
            }
            return Ok(());
        }
        Ok(())
    }

    async fn deliver_batch(
        &self,
        parcel: &Parcel<'_>,
        batch: &Batch,
        shutdown: &CancellationToken,
    ) -> Result<After, OutboxError> {
        let target = parcel.target;
        let destination = match Destination::resolve(target, &self.service) {
            Ok(destination) => destination,
            Err(why) => {
                // Nothing is asked of Discord, so a file or a token that comes later is soon noticed.
                let next = parcel.past.heals(&why, self.clock.now());
                return self.postpone(parcel, batch, next, PARKED_AGAIN).await;
            }
        };
        if let Some(after) = self.turn(target, &destination, shutdown).await {
            return Ok(after);
        }
        let seal = match &parcel.seal {
            Some(seal) => seal.clone(),
            None => self.new_seal(),
        };
        if parcel.seal.is_none() && !self.service.outbox().seal(&batch.ids, &seal).await? {
            tracing::debug!(target, "another process sends these messages");
            return Ok(After::Left);
        }
        self.pace(&destination, Pace::sending);
        let verdict = self.sender.send(&destination, batch, &seal.nonce).await;
        self.settle(parcel, batch, &destination, verdict).await
    }

    /// Waits for the destination's turn. `None`: it has come.
    async fn turn(
        &self,
        target: &str,
        destination: &Destination,
        shutdown: &CancellationToken,
    ) -> Option<After> {
        loop {
            if shutdown.is_cancelled() {
                return Some(After::Left);
            }
            let mut wait = self.pace(destination, Pace::wait);
            if destination.is_bot() {
                wait = wait.max(lock(&self.bot_not_before).saturating_duration_since(Instant::now()));
            }
            if wait.is_zero() {
                return None;
            }
            if wait > PATIENT {
                self.park(target, wait);
                return Some(After::Untouched);
            }
            shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }

    fn pace<T>(&self, destination: &Destination, with: impl FnOnce(&mut Pace, Instant) -> T) -> T {
        let now = Instant::now();
        let mut paces = lock(&self.paces);
        with(paces.entry(destination.key()).or_insert_with(|| Pace::new(now)), now)
    }

    fn new_seal(&self) -> Seal {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        // Discord takes 25 characters.
        let nonce = format!("{}-{:08x}", self.unique, n & 0xffff_ffff);
        Seal { batch: nonce.clone(), nonce }
    }

    /// Tells the outbox what became of a batch.
    async fn settle(
        &self,
        parcel: &Parcel<'_>,
        batch: &Batch,
        destination: &Destination,
        verdict: Verdict,
    ) -> Result<After, OutboxError> {
        let now = self.clock.now();
        match verdict {
            Verdict::Arrived(limits) => {
                self.pace(destination, |pace, now| pace.heard(&limits, now));
                self.service.outbox().sent(&batch.ids).await?;
                self.service.settle();
                Ok(After::Done)
            }
            Verdict::TooMany { wait, everywhere, why } => {
                self.pace(destination, |pace, now| pace.hold(now, wait));
                if everywhere && destination.is_bot() {
                    *lock(&self.bot_not_before) = Instant::now() + wait;
                }
                self.postpone(parcel, batch, parcel.past.heals(&why, now), delta(wait)).await
            }
            Verdict::Later(why) => {
                let pause = self.backoff(parcel.attempts);
                self.pace(destination, |pace, now| pace.hold(now, pause));
                self.postpone(parcel, batch, parcel.past.heals(&why, now), delta(pause)).await
            }
            Verdict::Unauthorised(why) => {
                tracing::error!(target = parcel.target, why, again_in = ?self.parked_for, "Discord does not know the \
                    token; the messages wait");
                if destination.is_bot() {
                    *lock(&self.bot_not_before) = Instant::now() + self.parked_for;
                }
                self.park(parcel.target, self.parked_for);
                self.postpone(parcel, batch, Next::Again(why), PARKED_AGAIN).await
            }
            Verdict::Never(why) => {
                self.bury(parcel.target, &batch.ids, &why).await?;
                Ok(After::Done)
            }
            Verdict::Odd(why) => {
                let pause = self.backoff(parcel.attempts);
                self.postpone(parcel, batch, parcel.past.other(&why, now), delta(pause)).await
            }
        }
    }

    /// Has a batch tried again later, or gives up on it.
    async fn postpone(
        &self,
        parcel: &Parcel<'_>,
        batch: &Batch,
        next: Next,
        pause: TimeDelta,
    ) -> Result<After, OutboxError> {
        match next {
            Next::Again(why) => {
                if parcel.attempts == 0 {
                    tracing::warn!(
                        target = parcel.target,
                        messages = batch.ids.len(),
                        why,
                        "messages to Discord wait"
                    );
                }
                self.service.outbox().failed(&batch.ids, &why, self.clock.now() + pause).await?;
                Ok(After::Later)
            }
            Next::GiveUp(why) => {
                self.bury(parcel.target, &batch.ids, &why).await?;
                Ok(After::Done)
            }
        }
    }

    async fn bury(&self, target: &str, ids: &[MessageId], why: &str) -> Result<(), OutboxError> {
        tracing::error!(target, messages = ids.len(), why, "messages to Discord are given up on");
        self.service.outbox().dead(ids, why).await?;
        self.service.settle();
        Ok(())
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let base = BACKOFF.0.saturating_mul(2_u32.saturating_pow(attempts)).min(BACKOFF.1);
        // Up to a fifth more, so that many targets do not come back at one moment.
        let jitter = f64::from(self.clock.now().timestamp_subsec_micros() % 1000) / 5000.0;
        base.mul_f64(1.0 + jitter)
    }
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::days(1))
}
