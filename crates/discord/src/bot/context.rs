//! What all handlers of interactions share.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::BotConfig;
use super::control::{ControlError, SchedulerControl};
use super::permission::Admins;
use super::rest::BotRest;
use crate::http::SendError;
use crate::lock::lock;

/// Interactions that are remembered, so that a replay is not acted upon twice.
const REMEMBERED: usize = 2000;
/// Interactions that are handled at a time.
const AT_A_TIME: usize = 512;

/// The bot.
pub(crate) struct Bot {
    pub(crate) config: BotConfig,
    pub(crate) admins: Admins,
    pub(crate) control: Arc<dyn SchedulerControl>,
    pub(crate) rest: BotRest,
    /// Cancelled when the bot ends.
    pub(crate) stopping: CancellationToken,
    /// Everything that must be told of the end.
    pub(crate) jobs: TaskTracker,
    pub(crate) room: Arc<Semaphore>,
    /// The runtime on which the scheduler is asked; the bot's own has no other work than the bot.
    scheduler: tokio::runtime::Handle,
    seen: Mutex<Seen>,
    pub(crate) registered: tokio::sync::Mutex<Option<u64>>,
}

#[derive(Default)]
struct Seen {
    ids: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Bot {
    pub(crate) fn new(
        config: BotConfig,
        control: Arc<dyn SchedulerControl>,
        scheduler: tokio::runtime::Handle,
        stopping: CancellationToken,
    ) -> Result<Self, SendError> {
        Ok(Self {
            admins: Admins::new(&config),
            rest: BotRest::new(&config)?,
            config,
            control,
            stopping,
            jobs: TaskTracker::new(),
            room: Arc::new(Semaphore::new(AT_A_TIME)),
            scheduler,
            seen: Mutex::default(),
            registered: tokio::sync::Mutex::new(None),
        })
    }

    /// Whether this interaction has not been seen before; a resumed connection repeats some.
    pub(crate) fn is_new(&self, id: u64) -> bool {
        let mut seen = lock(&self.seen);
        if !seen.ids.insert(id) {
            return false;
        }
        seen.order.push_back(id);
        if seen.order.len() > REMEMBERED
            && let Some(old) = seen.order.pop_front()
        {
            seen.ids.remove(&old);
        }
        true
    }

    /// Asks the scheduler something, on the scheduler's runtime, for a bounded time.
    pub(crate) async fn ask<T, F>(
        &self,
        question: impl FnOnce(Arc<dyn SchedulerControl>) -> F,
    ) -> Result<T, ControlError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ControlError>> + Send + 'static,
    {
        let asked = self.scheduler.spawn(question(self.control.clone()));
        let within = self.config.timing.control;
        match tokio::time::timeout(within, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(stopped)) if stopped.is_panic() => {
                Err(ControlError::internal("the scheduler's answer panicked"))
            }
            Ok(Err(_)) => Err(ControlError::internal("the scheduler is shutting down")),
            Err(_) => Err(ControlError::internal(format!("the scheduler did not answer within {within:?}"))),
        }
    }
}
