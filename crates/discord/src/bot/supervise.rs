//! Keeps the bot alive, and keeps everything else out of its troubles: it lives on a thread of its own, and whatever
//! happens there ends in a log line and another try.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::{BotConfig, BotState, BotStatus};
use super::context::Bot;
use super::control::SchedulerControl;
use super::event::Ready;
use super::gateway::{Dispatcher, Ended, Resume, listen};
use super::register;
use crate::window::Window;

/// Discord resets the token of a bot that identifies more than 1000 times a day.
const IDENTIFIES_A_DAY: usize = 800;
/// A connection that held for this long was a good one.
const HELD: Duration = Duration::from_secs(10);

/// Runs the bot until `shutdown`. Whatever goes wrong with Discord is logged and tried again; this never fails, and
/// it returns within [`Timing::shutdown`](super::Timing::shutdown) and a second of the shutdown.
///
/// Must be called on a Tokio runtime: `control` is asked there, while the bot lives on a thread of its own, so that neither
/// can keep the other waiting.
pub async fn run_bot(config: BotConfig, control: Arc<dyn SchedulerControl>, shutdown: CancellationToken) {
    let scheduler = tokio::runtime::Handle::current();
    let (done, ended) = oneshot::channel::<()>();
    let body = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the Discord bot cannot start"),
        };
        runtime.block_on(supervise(config, control, scheduler, shutdown));
        // A look-up of a name may still be going on; nobody waits for it.
        runtime.shutdown_background();
        drop(done);
    };
    match std::thread::Builder::new().name("discord-bot".into()).spawn(body) {
        // The sender is dropped when the thread ends, however it ends.
        Ok(_) => drop(ended.await),
        Err(error) => tracing::error!(%error, "the Discord bot cannot start"),
    }
}

async fn supervise(
    config: BotConfig,
    control: Arc<dyn SchedulerControl>,
    scheduler: tokio::runtime::Handle,
    shutdown: CancellationToken,
) {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // twilight takes the process's default. Where another thread is faster, its choice is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
    }
    let status = Status(config.clone());
    if config.token.is_empty() {
        tracing::error!("DISCORD_TOKEN is empty: there is no Discord bot");
        return status.tell(BotState::Stopped, Some("the token is empty".into()));
    }
    let timing = config.timing.clone();
    let bot = match Bot::new(config, control, scheduler, shutdown.clone()) {
        Ok(bot) => Arc::new(bot),
        Err(error) => {
            tracing::error!(%error, "there is no Discord bot");
            return status.tell(BotState::Stopped, Some(error.to_string()));
        }
    };
    let mut pace = Pace {
        minute: Window::new(timing.connections_per_minute, Duration::from_secs(60)),
        day: Window::new(IDENTIFIES_A_DAY, Duration::from_secs(24 * 3600)),
        failures: 0,
    };
    let mut resume = Resume::default();
    while let Some(pause) = pace.wait(&resume).run_until(&shutdown).await {
        tracing::debug!(?pause, "connecting to Discord");
        let started = Instant::now();
        let (ended, left) = connection(&bot, resume, &status, &shutdown).await;
        resume = left;
        let pause = match ended {
            Ended::Stopped => break,
            Ended::Reconnect { invalid } => {
                pace.failures = 0;
                // Discord asks for a moment of a random length before a new session.
                if invalid { Duration::from_millis(1000 + status.jitter(4000)) } else { Duration::ZERO }
            }
            Ended::Refused(why) => {
                tracing::error!(why, again_in = ?timing.parked, "Discord refuses the bot; is DISCORD_TOKEN right? \
                    Everything else goes on");
                status.tell(BotState::Parked, Some(why));
                resume = Resume::default();
                timing.parked
            }
            Ended::Lost { why, was_ready, made, .. } => {
                for _ in 1..made.min(timing.connections_per_minute + 1) {
                    pace.minute.count(Instant::now());
                }
                if was_ready && started.elapsed() >= HELD {
                    pace.failures = 0;
                }
                let pause = pace.backoff(&timing, &status);
                tracing::warn!(why, again_in = ?pause, "the connection to Discord was lost");
                status.tell(BotState::Connecting, Some(why));
                pause
            }
        };
        if Pause(pause).run_until(&shutdown).await.is_none() {
            break;
        }
    }
    bot.jobs.close();
    if tokio::time::timeout(timing.shutdown, bot.jobs.wait()).await.is_err() {
        tracing::warn!("not every message to Discord could be finished before the end");
    }
    status.tell(BotState::Stopped, None);
}

/// One connection, in a task of its own, because the library it stands on can panic.
async fn connection(
    bot: &Arc<Bot>,
    mut resume: Resume,
    status: &Status,
    shutdown: &CancellationToken,
) -> (Ended, Resume) {
    let (listening, status, stop) = (bot.clone(), status.clone(), shutdown.clone());
    let task = tokio::spawn(async move {
        let registering = listening.clone();
        let on_ready = move |ready: Option<Ready>| {
            status.tell(BotState::Connected, None);
            let Some(ready) = ready else { return tracing::info!("the connection to Discord is resumed") };
            tracing::info!(name = crate::text::line(&ready.name), "connected to Discord");
            // Not among the jobs that a shutdown waits for.
            tokio::spawn(register::register(registering.clone(), ready.application_id));
        };
        let mut dispatcher = Dispatcher { bot: listening.clone(), on_ready };
        let ended = listen(&listening.config, &mut resume, &mut dispatcher, &stop).await;
        (ended, resume)
    });
    match task.await {
        Ok(result) => result,
        Err(error) => {
            let why =
                if error.is_panic() { "the connection panicked" } else { "the connection was cancelled" };
            (Ended::Lost { why: why.into(), was_ready: false, code: None, made: 1 }, Resume::default())
        }
    }
}

struct Pace {
    minute: Window,
    day: Window,
    failures: u32,
}

struct Pause(Duration);

impl Pause {
    /// Waits; `None` where the bot is to end.
    async fn run_until(self, shutdown: &CancellationToken) -> Option<Duration> {
        if shutdown.is_cancelled() {
            return None;
        }
        if self.0.is_zero() {
            return Some(self.0);
        }
        shutdown.run_until_cancelled(tokio::time::sleep(self.0)).await.map(|()| self.0)
    }
}

impl Pace {
    /// How long until the next connection may be made, which is counted already.
    fn wait(&mut self, resume: &Resume) -> Pause {
        let now = Instant::now();
        let identifies = !resume.has_session();
        let mut wait = self.minute.wait(now);
        if identifies {
            wait = wait.max(self.day.wait(now));
            self.day.count(now + wait);
        }
        self.minute.count(now + wait);
        if wait > Duration::from_secs(1) {
            tracing::warn!(?wait, "too many connections to Discord; the next one waits");
        }
        Pause(wait)
    }

    fn backoff(&mut self, timing: &super::config::Timing, status: &Status) -> Duration {
        let base = timing.backoff.saturating_mul(2_u32.saturating_pow(self.failures)).min(timing.backoff_max);
        self.failures = self.failures.saturating_add(1);
        // Up to a fifth less, so that many bots do not come back at one moment.
        base.mul_f64(1.0 - 0.0002 * status.jitter(1000) as f64)
    }
}

/// Tells whoever watches.
#[derive(Clone)]
struct Status(BotConfig);

impl Status {
    fn tell(&self, state: BotState, error: Option<String>) {
        let Some(watched) = &self.0.status else { return };
        let now = self.0.clock.now();
        watched.send_modify(|status: &mut BotStatus| {
            if status.state != state || status.since.is_none() {
                status.since = Some(now);
            }
            status.state = state;
            if error.is_some() {
                status.last_error = error;
            }
        });
    }

    /// Something below `n` that differs from time to time.
    fn jitter(&self, n: u32) -> u64 {
        u64::from(self.0.clock.now().timestamp_subsec_nanos() / 1000 % n.max(1))
    }
}
