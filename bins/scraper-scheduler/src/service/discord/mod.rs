//! The Discord bot, steering this engine.

mod control;
mod convert;
mod progress;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use ::discord::ApiBase;
use ::discord::bot::{BotConfig, run_bot};
use engine::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::settings::Settings;
use control::BotControl;

/// At a shutdown the bot gets no longer than this.
const LONGEST_GOODBYE: Duration = Duration::from_secs(5);

/// The bot that runs beside the engine.
pub(crate) struct Bot {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

/// The bot's settings, where there is a token.
///
/// # Errors
/// A variable has a wrong value; it is named.
pub(crate) fn config(settings: &Settings) -> Result<Option<BotConfig>, Failure> {
    let Some(token) = settings.variable("DISCORD_TOKEN") else { return Ok(None) };
    let id = |name: &str| -> Result<Option<u64>, Failure> {
        let Some(text) = settings.variable(name) else { return Ok(None) };
        let id = text.parse().ok().filter(|id| *id > 0);
        id.map(Some).ok_or_else(|| Failure::usage(format!("{name}: `{text}` is not an id of Discord")))
    };
    let api_base = match settings.variable("DISCORD_API_BASE") {
        Some(base) => base.parse().map_err(|error| Failure::usage(format!("DISCORD_API_BASE: {error}")))?,
        None => ApiBase::default(),
    };
    Ok(Some(BotConfig {
        admin_user_id: id("ADMIN_USER_ID")?,
        admin_guild_id: id("ADMIN_GUILD_ID")?,
        api_base,
        gateway_url: settings.variable("DISCORD_GATEWAY_URL").map(str::to_owned),
        clock: settings.clock().clone(),
        ..BotConfig::new(::discord::Secret::new(token))
    }))
}

/// Starts the bot. Whatever happens to it, the engine does not notice.
pub(crate) fn start(config: BotConfig, handle: Handle, settings: &Settings) -> Bot {
    let stop = CancellationToken::new();
    let control = Arc::new(BotControl::new(handle, settings.timezone));
    let keeper = tokio::spawn(snapshot::keep(control.clone()));
    let bot = run_bot(config, control, stop.clone());
    let task = tokio::spawn(async move {
        bot.await;
        keeper.abort();
    });
    Bot { task, stop }
}

impl Bot {
    /// Says goodbye.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(LONGEST_GOODBYE, self.task).await.is_err() {
            tracing::warn!("the Discord bot did not end in time");
        }
    }
}
