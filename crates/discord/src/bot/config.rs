//! What the bot needs to know, and what it tells of itself.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pipeline_core::{Clock, SystemClock};
use tokio::sync::watch;

use crate::http::{ApiBase, Secret};

/// The settings of the bot. The program that runs it reads them from wherever it likes.
#[derive(Debug, Clone)]
pub struct BotConfig {
    /// The bot's token, with or without `Bot ` before it.
    pub token: Secret,
    /// A user who may do everything, anywhere.
    pub admin_user_id: Option<u64>,
    /// The guild in which the commands are registered, and whose administrators may do everything.
    pub admin_guild_id: Option<u64>,
    /// Discord's REST interface.
    pub api_base: ApiBase,
    /// The gateway, such as `ws://127.0.0.1:1234`; `None`: Discord's own.
    pub gateway_url: Option<String>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Who watches over the bot's state, if anybody does.
    pub status: Option<watch::Sender<BotStatus>>,
    /// The bot's patience.
    pub timing: Timing,
}

impl BotConfig {
    /// A bot with this token and Discord's own addresses.
    pub fn new(token: impl Into<Secret>) -> Self {
        Self {
            token: token.into(),
            admin_user_id: None,
            admin_guild_id: None,
            api_base: ApiBase::default(),
            gateway_url: None,
            clock: Arc::new(SystemClock),
            status: None,
            timing: Timing::default(),
        }
    }
}

/// How patient the bot is. The defaults are right against the real Discord; tests shorten them.
#[derive(Debug, Clone)]
pub struct Timing {
    /// From the start of a connection to READY or RESUMED.
    pub ready: Duration,
    /// Without anything heard from the gateway.
    pub silence: Duration,
    /// For the gateway to answer a close.
    pub close: Duration,
    /// Connections to the gateway in any 60 s.
    pub connections_per_minute: usize,
    /// First pause after a connection that did not hold; it doubles up to `backoff_max`.
    pub backoff: Duration,
    /// Longest pause between connections.
    pub backoff_max: Duration,
    /// Pause after Discord refused the token or the intents.
    pub parked: Duration,
    /// From the arrival of an interaction to the last try to acknowledge it.
    pub acknowledge: Duration,
    /// For one REST request that nobody waits for with a stopwatch.
    pub request: Duration,
    /// For the scheduler to answer.
    pub control: Duration,
    /// Between two edits of a run's message.
    pub progress: Duration,
    /// How long an interaction's token is used.
    pub token_lifetime: Duration,
    /// For the whole shutdown.
    pub shutdown: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ready: Duration::from_secs(20),
            silence: Duration::from_secs(90),
            close: Duration::from_secs(5),
            connections_per_minute: 10,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            parked: Duration::from_secs(15 * 60),
            acknowledge: Duration::from_millis(2500),
            request: Duration::from_secs(10),
            control: Duration::from_secs(30),
            progress: Duration::from_secs(3),
            token_lifetime: Duration::from_secs(15 * 60 - 15),
            shutdown: Duration::from_millis(3500),
        }
    }
}

/// What the bot is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BotState {
    /// It tries to connect.
    #[default]
    Connecting,
    /// It is connected.
    Connected,
    /// Discord refused it; it tries again only now and then.
    Parked,
    /// It has ended.
    Stopped,
}

/// What the bot tells of itself, for health checks and people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BotStatus {
    /// What it is doing.
    pub state: BotState,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// The newest trouble, in words.
    pub last_error: Option<String>,
}
