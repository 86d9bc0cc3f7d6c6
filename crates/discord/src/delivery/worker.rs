//! The delivery: claims, sends, and tells the outbox what came of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use pipeline_core::Clock;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{self, Batch, Plan};
use super::pace::Pace;
use super::reason::{Next, Past};
use super::send::{Destination, PaceKey, Sender};
use super::verdict::Verdict;
use crate::http::{ApiBase, Secret, SendError};
use crate::lock::lock;
use crate::outbox::{Claim, Claimed, MessageId, OutboxError, Seal};
use crate::sink::DiscordService;

/// Targets that are sent to at a time, and messages that are looked at of each.
const AT_A_TIME: (usize, usize) = (4, 1000);
/// How long a claim lasts. A claim becomes five messages at most, or files.
const LEASE: Duration = Duration::from_secs(300);
/// Pauses after failures that heal: they double, from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How soon after a start what was parked is tried again.
const PARKED_AGAIN: TimeDelta = TimeDelta::seconds(60);
/// How long the store is left alone when it is away.
const STORE_AWAY: Duration = Duration::from_secs(5);
/// At the latest, the outbox is looked at so often: another process may have put something in.
const LOOK: Duration = Duration::from_secs(5);
/// A target that must wait longer than this gives its place to another.
const PATIENT: Duration = Duration::from_secs(20);
/// What is being sent at a shutdown may go on for so long.
const LAST: Duration = Duration::from_secs(3);

/// The settings of the delivery.
#[derive(Debug, Clone)]
pub struct DeliveryConfig {
    /// The bot's token, where there is one.
    pub token: Option<Secret>,
    /// Discord's REST interface. Where it was set, webhooks go there too.
    pub api_base: ApiBase,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// How long it waits for more, so that several messages become one.
    pub gather: Duration,
    /// How long a destination is left alone whose token was refused.
    pub parked: Duration,
}

impl DeliveryConfig {
    /// The settings that are right against the real Discord.
    pub fn new(token: Option<Secret>, clock: Arc<dyn Clock>) -> Self {
        Self {
            token: token.filter(|token| !token.is_empty()),
            api_base: ApiBase::default(),
            clock,
            gather: Duration::from_secs(2),
            parked: Duration::from_secs(15 * 60),
        }
    }
}

/// What an ended delivery left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Nothing waits any more.
    Empty,
    /// Something still waits.
    Waiting,
}

/// Sends what waits in the outbox.
pub struct Delivery {
    shared: Arc<Shared>,
    gather: Duration,
}

struct Shared {
    service: DiscordService,
    sender: Sender,
    clock: Arc<dyn Clock>,
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

/// Why a target is not worked on any more, for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// All that was claimed is dealt with.
    Done,
    /// Something of the claim must be given back.
    Early,
}

/// What is known of the batches of a claim.
struct Parcel<'a> {
    target: &'a str,
    past: Past,
    attempts: u32,
    seal: Option<Seal>,
}

impl Delivery {
    /// A delivery for a service.
    ///
    /// # Errors
    /// Where the token cannot be sent.
    pub fn new(config: DeliveryConfig, service: DiscordService) -> Result<Self, BadToken> {
        let sender = Sender::new(config.token.as_ref(), config.api_base).map_err(BadToken::from)?;
        let now = config.clock.now();
        let unique = crate::fingerprint::of(&format!("{} {}", now.timestamp_micros(), std::process::id()));
        let shared = Shared {
            service,
            sender,
            clock: config.clock,
            parked_for: config.parked,
            paces: Mutex::default(),
            bot_not_before: Mutex::new(Instant::now()),
            parked: Mutex::default(),
            unique: format!("{unique:016x}"),
            count: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), gather: config.gather })
    }

    /// Sends until `shutdown`, and then for a few seconds at most.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut gather = Duration::ZERO;
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(gather) => {}
                () = shutdown.cancelled() => break,
            }
            let wait = match self.round(&shutdown).await {
                Ok(true) => {
                    gather = Duration::ZERO;
                    continue;
                }
                Ok(false) => self.until_next().await,
                Err(error) => {
                    tracing::warn!(%error, "messages to Discord wait");
                    STORE_AWAY
                }
            };
            gather = tokio::select! {
                () = self.shared.service.woken() => self.gather,
                () = tokio::time::sleep(wait) => Duration::ZERO,
                () = shutdown.cancelled() => break,
            };
        }
        if let Err(error) = self.shared.service.outbox().release().await {
            tracing::debug!(%error, "claims could not be given back; they run out by themselves");
        }
    }

    /// Sends until nothing waits any more, for `within` at most: for programs that end.
    pub async fn drain(&self, within: Duration) -> Drained {
        let stop = CancellationToken::new();
        let deadline = Instant::now() + within;
        let draining = async {
            loop {
                match self.round(&stop).await {
                    Ok(true) => {}
                    Ok(false) => match self.shared.service.outbox().next_at().await {
                        Ok(None) => return Drained::Empty,
                        Ok(Some(_)) if self.shared.is_parked_until(deadline) => return Drained::Waiting,
                        _ => tokio::time::sleep(self.until_next().await.min(Duration::from_secs(1))).await,
                    },
                    Err(error) => {
                        tracing::warn!(%error, "messages to Discord wait");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        };
        match tokio::time::timeout(within, draining).await {
            Ok(drained) => drained,
            Err(_) => Drained::Waiting,
        }
    }

    /// Until the head of a target may be sent.
    async fn until_next(&self) -> Duration {
        let next = self.shared.service.outbox().next_at().await.ok().flatten();
        let wait = next.and_then(|at| (at - self.shared.clock.now()).to_std().ok());
        // What is due and was not claimed is parked, or another process has it.
        wait.map_or(LOOK, |wait| wait.clamp(Duration::from_millis(50), LOOK))
    }

    /// Claims and sends once. Whether there was anything.
    async fn round(&self, shutdown: &CancellationToken) -> Result<bool, OutboxError> {
        let shared = &self.shared;
        let claim = Claim {
            now: shared.clock.now(),
            lease: LEASE,
            targets: AT_A_TIME.0,
            per_target: AT_A_TIME.1,
            except: shared.parked_targets(),
        };
        let claimed = shared.service.outbox().claim(claim).await?;
        if claimed.is_empty() {
            return Ok(false);
        }
        let mut sending = JoinSet::new();
        for target in claimed {
            let (shared, shutdown) = (shared.clone(), shutdown.clone());
            sending.spawn(async move { shared.deliver(target, &shutdown).await });
        }
        let mut trouble = None;
        let mut give_back = false;
        let all = async {
            while let Some(ended) = sending.join_next().await {
                match ended {
                    Ok(Ok(Stopped::Done)) => {}
                    Ok(Ok(Stopped::Early)) => give_back = true,
                    Ok(Err(error)) => trouble = Some(error),
                    Err(error) => {
                        tracing::error!(%error, "the delivery of a target panicked");
                        give_back = true;
                    }
                }
            }
        };
        let last = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAST).await;
        };
        tokio::select! {
            () = all => {}
            () = last => tracing::info!("a message to Discord was still on its way at the end; it will be sent again"),
        }
        shared.tidy();
        if let Some(error) = trouble {
            return Err(error);
        }
        if give_back {
            // Nothing of this process is on its way now, so all its claims can go.
            shared.service.outbox().release().await?;
        }
        Ok(true)
    }
}

/// The bot's token cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("messages to Discord cannot be sent: {0}")]
pub struct BadToken(String);

impl From<SendError> for BadToken {
    fn from(error: SendError) -> Self {
        Self(error.to_string())
    }
}

impl Shared {
    fn parked_targets(&self) -> Vec<String> {
        let now = Instant::now();
        let mut parked = lock(&self.parked);
        parked.retain(|_, until| *until > now);
        parked.keys().cloned().collect()
    }

    /// Whether everything that is left is parked for longer than that.
    fn is_parked_until(&self, deadline: Instant) -> bool {
        let parked = lock(&self.parked);
        !parked.is_empty() && parked.values().all(|until| *until > deadline)
    }

    fn park(&self, target: &str, time: Duration) {
        lock(&self.parked).insert(target.to_owned(), Instant::now() + time);
    }

    fn tidy(&self) {
        let now = Instant::now();
        lock(&self.paces).retain(|_, pace| !pace.is_idle(now));
    }

    /// Sends what was claimed of a target, in order.
    async fn deliver(&self, claimed: Claimed, shutdown: &CancellationToken) -> Result<Stopped, OutboxError> {
        let Claimed { target, messages } = claimed;
        let Some(first) = messages.first() else { return Ok(Stopped::Done) };
        let Plan { batches, unreadable } = match &first.sealed {
            Some(_) => batch::rebuild(&messages),
            None => batch::plan(&messages),
        };
        for (id, why) in unreadable {
            self.bury(&target, &[id], &why).await?;
        }
        // Neighbours that were never sealed may have failed differently before; the worst of it counts for the first.
        let attempts = messages.iter().map(|m| m.attempts).max().unwrap_or(0);
        let mut parcel = Parcel {
            target: &target,
            past: Past::read(attempts, first.error.as_deref()),
            attempts,
            seal: first.sealed.clone(),
        };
        for batch in &batches {
            if !self.deliver_batch(&parcel, batch, shutdown).await? {
                // Those behind it wait for it.
                return Ok(Stopped::Early);
            }
            parcel.past = Past::default();
            parcel.attempts = 0;
        }
        Ok(Stopped::Done)
    }

    /// Sends one batch. Whether the target goes on.
    async fn deliver_batch(
        &self,
        parcel: &Parcel<'_>,
        batch: &Batch,
        shutdown: &CancellationToken,
    ) -> Result<bool, OutboxError> {
        let target = parcel.target;
        let destination = match Destination::resolve(target, &self.service) {
            Ok(destination) => destination,
            Err(why) => {
                // Nothing is asked of Discord, so a file or a token that comes later is soon noticed.
                let next = parcel.past.heals(&why, self.clock.now());
                return self.postpone(parcel, batch, next, PARKED_AGAIN).await;
            }
        };
        if !self.turn(target, &destination, shutdown).await {
            return Ok(false);
        }
        let seal = match &parcel.seal {
            Some(seal) => seal.clone(),
            None => self.new_seal(),
        };
        if parcel.seal.is_none() && !self.service.outbox().seal(&batch.ids, &seal).await? {
            tracing::debug!(target, "another process sends these messages");
            return Ok(false);
        }
        self.pace(&destination, |pace, now| pace.sending(now));
        let verdict = self.sender.send(&destination, batch, &seal.nonce).await;
        self.settle(parcel, batch, &destination, verdict).await
    }

    /// Waits for the destination's turn. `false`: not now.
    async fn turn(&self, target: &str, destination: &Destination, shutdown: &CancellationToken) -> bool {
        loop {
            let now = Instant::now();
            let mut wait = self.pace(destination, Pace::wait);
            if destination.is_bot() {
                wait = wait.max(lock(&self.bot_not_before).saturating_duration_since(now));
            }
            if wait.is_zero() {
                return !shutdown.is_cancelled();
            }
            if wait > PATIENT {
                self.park(target, wait);
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => return false,
            }
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

    /// Tells the outbox what became of a batch. Whether the target goes on.
    async fn settle(
        &self,
        parcel: &Parcel<'_>,
        batch: &Batch,
        destination: &Destination,
        verdict: Verdict,
    ) -> Result<bool, OutboxError> {
        let now = self.clock.now();
        match verdict {
            Verdict::Arrived(limits) => {
                self.pace(destination, |pace, now| pace.heard(&limits, now));
                self.service.outbox().sent(&batch.ids).await?;
                self.service.settle();
                Ok(true)
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
                tracing::error!(target = parcel.target, why, again_in = ?self.parked_for, "Discord does not know the token; \
                    the messages wait");
                if destination.is_bot() {
                    *lock(&self.bot_not_before) = Instant::now() + self.parked_for;
                }
                self.park(parcel.target, self.parked_for);
                self.postpone(parcel, batch, Next::Again(why), PARKED_AGAIN).await
            }
            Verdict::Never(why) => {
                self.bury(parcel.target, &batch.ids, &why).await?;
                Ok(true)
            }
            Verdict::Odd(why) => {
                let pause = self.backoff(parcel.attempts);
                self.postpone(parcel, batch, parcel.past.other(&why, now), delta(pause)).await
            }
        }
    }

    /// Has a batch tried again later, or gives up on it. Whether the target goes on.
    async fn postpone(
        &self,
        parcel: &Parcel<'_>,
        batch: &Batch,
        next: Next,
        pause: TimeDelta,
    ) -> Result<bool, OutboxError> {
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
                let next_at = self.clock.now() + pause;
                self.service.outbox().failed(&batch.ids, &why, next_at).await?;
                Ok(false)
            }
            Next::GiveUp(why) => {
                self.bury(parcel.target, &batch.ids, &why).await?;
                Ok(true)
            }
        }
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let base = BACKOFF.0.saturating_mul(2_u32.saturating_pow(attempts)).min(BACKOFF.1);
        // Up to a fifth more, so that many targets do not come back at one moment.
        let jitter = f64::from(self.clock.now().timestamp_subsec_micros() % 1000) / 5000.0;
        base.mul_f64(1.0 + jitter)
    }

    async fn bury(&self, target: &str, ids: &[MessageId], why: &str) -> Result<(), OutboxError> {
        tracing::error!(target, messages = ids.len(), why, "messages to Discord are given up on");
        self.service.outbox().dead(ids, why).await?;
        self.service.settle();
        Ok(())
    }
}

fn delta(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or(TimeDelta::days(1))
}
