//! The delivery: claims what waits, and has it brought to Discord, several targets side by side.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use pipeline_core::Clock;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::courier::Courier;
use super::send::Sender;
use crate::http::{ApiBase, Secret, SendError};
use crate::outbox::{Claim, OutboxError};
use crate::sink::DiscordService;

/// Targets that are sent to at a time, and messages that are looked at of each.
const AT_A_TIME: (usize, usize) = (8, 1000);
/// How long a claim lasts. A claim becomes five messages at most, or files.
const LEASE: Duration = Duration::from_secs(300);
/// How long the store is left alone when it is away.
const STORE_AWAY: Duration = Duration::from_secs(5);
/// At the latest, the outbox is looked at so often: another process may have put something in.
const LOOK: Duration = Duration::from_secs(5);
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

/// The bot's token cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("messages to Discord cannot be sent: {0}")]
pub struct BadToken(String);

impl From<SendError> for BadToken {
    fn from(error: SendError) -> Self {
        Self(error.to_string())
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
    courier: Arc<Courier>,
    gather: Duration,
}

impl Delivery {
    /// A delivery for a service.
    ///
    /// # Errors
    /// Where the token cannot be sent.
    pub fn new(config: DeliveryConfig, service: DiscordService) -> Result<Self, BadToken> {
        let sender = Sender::new(config.token.as_ref(), config.api_base)?;
        let courier = Courier::new(service, sender, config.clock, config.parked);
        Ok(Self { courier: Arc::new(courier), gather: config.gather })
    }

    /// Sends until `shutdown`, and then for a few seconds at most.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.work(&shutdown, None).await;
    }

    /// Sends until nothing waits any more, for `within` at most: for programs that end.
    pub async fn drain(&self, within: Duration) -> Drained {
        let stop = CancellationToken::new();
        let deadline = Instant::now() + within;
        let draining = self.work(&stop, Some(deadline));
        match tokio::time::timeout_at(deadline, draining).await {
            Ok(drained) => drained,
            Err(_) => {
                self.release().await;
                Drained::Waiting
            }
        }
    }

    /// Works until the shutdown, or, where there is a deadline, until nothing is left that can be sent before it.
    async fn work(&self, shutdown: &CancellationToken, deadline: Option<Instant>) -> Drained {
        let service = &self.courier.service;
        let mut sending = Sending::default();
        let mut due = Instant::now();
        loop {
            if shutdown.is_cancelled() {
                break;
            }
            if due <= Instant::now() && sending.has_room() {
                due = match self.claim(&mut sending, shutdown).await {
                    Ok(true) => continue,
                    Ok(false)
                        if sending.is_empty()
                            && deadline.is_some_and(|at| self.courier.is_parked_until(at)) =>
                    {
                        return Drained::Waiting;
                    }
                    Ok(false) => match self.next_look().await {
                        None if sending.is_empty() && deadline.is_some() => return Drained::Empty,
                        wait => Instant::now() + wait.unwrap_or(LOOK),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "messages to Discord wait");
                        Instant::now() + STORE_AWAY
                    }
                };
            }
            tokio::select! {
                hurry = service.woken() => {
                    let gather = if hurry { Duration::ZERO } else { self.gather };
                    due = due.min(Instant::now() + gather);
                }
                Some(ended) = sending.ended(), if !sending.is_empty() => match ended {
                    Ok(()) => due = Instant::now(),
                    Err(error) => {
                        tracing::warn!(%error, "messages to Discord wait");
                        due = Instant::now() + STORE_AWAY;
                    }
                },
                () = tokio::time::sleep_until(due), if sending.has_room() => {}
                () = shutdown.cancelled() => break,
            }
        }
        let last = async { while sending.ended().await.is_some() {} };
        if tokio::time::timeout(LAST, last).await.is_err() {
            tracing::info!("a message to Discord was still on its way at the end; it will be sent again");
        }
        self.release().await;
        Drained::Waiting
    }

    /// Claims for as many targets as there is room for, and begins to send. Whether there was anything.
    async fn claim(&self, sending: &mut Sending, shutdown: &CancellationToken) -> Result<bool, OutboxError> {
        let mut except = self.courier.parked();
        except.extend(sending.targets.iter().cloned());
        let claim = Claim {
            now: self.courier.clock.now(),
            lease: LEASE,
            targets: AT_A_TIME.0 - sending.targets.len(),
            per_target: AT_A_TIME.1,
            except,
        };
        let claimed = self.courier.service.outbox().claim(claim).await?;
        let any = !claimed.is_empty();
        for of_target in claimed {
            let target = of_target.target.clone();
            let (courier, shutdown) = (self.courier.clone(), shutdown.clone());
            sending.targets.insert(target.clone());
            sending.tasks.spawn(async move {
                let delivering = AssertUnwindSafe(courier.deliver(of_target, &shutdown)).catch_unwind().await;
                let ended = delivering
                    .unwrap_or_else(|_| Err(OutboxError::new(format!("sending to {target} panicked"))));
                (target, ended)
            });
        }
        Ok(any)
    }

    /// How long until a target may be sent to; `None` where nothing waits.
    async fn next_look(&self) -> Option<Duration> {
        let next = match self.courier.service.outbox().next_at().await {
            Ok(next) => next?,
            Err(_) => return Some(LOOK),
        };
        // What is due and was not claimed is being sent, is parked, or another process has it.
        let wait = (next - self.courier.clock.now()).to_std().unwrap_or(LOOK);
        Some(wait.clamp(Duration::from_millis(50), LOOK))
    }

    async fn release(&self) {
        if let Err(error) = self.courier.service.outbox().release().await {
            tracing::debug!(%error, "claims could not be given back; they run out by themselves");
        }
    }
}

/// The targets that are being sent to.
#[derive(Default)]
struct Sending {
    targets: HashSet<String>,
    tasks: JoinSet<(String, Result<(), OutboxError>)>,
}

impl Sending {
    fn has_room(&self) -> bool {
        self.targets.len() < AT_A_TIME.0
    }

    fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The end of one; `None` where there is none left.
    async fn ended(&mut self) -> Option<Result<(), OutboxError>> {
        match self.tasks.join_next().await? {
            Ok((target, ended)) => {
                self.targets.remove(&target);
                Some(ended)
            }
            // Only an abort, and nobody does that.
            Err(error) => Some(Err(OutboxError::new(error))),
        }
    }
}
