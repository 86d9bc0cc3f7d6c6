//! The bot, steering this engine.

use std::sync::Arc;

use ::discord::bot::{BotConfig, run_bot};
use ::discord::{ApiBase, Secret};
use engine::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::control::BotControl;
use super::snapshot;
use crate::failure::Failure;
use crate::settings::Settings;

/// The bot's settings.
///
/// # Errors
/// A variable has a wrong value; it is named.
pub(super) fn config(token: Secret, api_base: ApiBase, settings: &Settings) -> Result<BotConfig, Failure> {
    let id = |name: &str| -> Result<Option<u64>, Failure> {
        let Some(text) = settings.variable(name) else { return Ok(None) };
        let id = text.parse().ok().filter(|id| *id > 0);
        id.map(Some).ok_or_else(|| Failure::usage(format!("{name}: `{text}` is not an id of Discord")))
    };
    Ok(BotConfig {
        admin_user_id: id("ADMIN_USER_ID")?,
        admin_guild_id: id("ADMIN_GUILD_ID")?,
        api_base,
        gateway_url: settings.variable("DISCORD_GATEWAY_URL").map(str::to_owned),
        clock: settings.clock().clone(),
        ..BotConfig::new(token)
    })
}

/// Starts the bot. Whatever happens to it, the engine does not notice.
pub(super) fn start(
    config: BotConfig,
    handle: Handle,
    settings: &Settings,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let control = Arc::new(BotControl::new(handle, settings.timezone));
    let keeper = tokio::spawn(snapshot::keep(control.clone()));
    let bot = run_bot(config, control, stop.clone());
    tokio::spawn(async move {
        bot.await;
        keeper.abort();
    })
}
