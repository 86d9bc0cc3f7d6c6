//! Puts the parts together, starts them beside the engine, and stops them in time.

use std::sync::Arc;
use std::time::Duration;

use ::discord::bot::BotConfig;
use app::DiscordSettings;
use engine::Engine;
use jobstore::JobStore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bot;
use super::sending::Sending;
use crate::failure::Failure;
use crate::settings::Settings;

/// A shutdown takes no longer than this because of Discord.
const LONGEST_GOODBYE: Duration = Duration::from_secs(5);

/// Discord, before it is started. Without `DISCORD_TOKEN` there is no bot, and nothing is told to channels; webhooks need
/// no token.
pub(crate) struct Discord {
    bot: Option<BotConfig>,
    sending: Sending,
}

/// What runs beside the engine.
pub(crate) struct Running {
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Discord {
    /// Reads the settings.
    ///
    /// # Errors
    /// A variable has a wrong value; it is named.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let DiscordSettings { token, api_base } =
            DiscordSettings::read(&settings.setup.environment).map_err(Failure::usage)?;
        let bot = match &token {
            Some(token) => Some(bot::config(token.clone(), api_base.clone(), settings)?),
            None => None,
        };
        Ok(Self { bot, sending: Sending::new(token, &api_base, settings).map_err(Failure::failed)? })
    }

    /// The settings with what the sinks of files and runs need among the services.
    pub(crate) fn serve(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        settings.setup.services.insert(self.sending.service().clone());
        settings
    }

    /// Starts all of it. Whatever happens to it, the engine does not notice.
    pub(crate) fn start(self, engine: &Engine, store: Arc<dyn JobStore>, settings: &Settings) -> Running {
        let (handle, stop) = (engine.handle(), CancellationToken::new());
        self.sending.connect(store, engine.owner().clone());
        let mut tasks = self.sending.start(&handle, &stop);
        tasks.extend(self.bot.map(|config| bot::start(config, handle, settings, &stop)));
        Running { tasks, stop }
    }
}

impl Running {
    /// Says goodbye; in a hurry, only to what needs no time.
    pub(crate) async fn stop(mut self, hurry: &CancellationToken) {
        self.stop.cancel();
        let all = async {
            for task in &mut self.tasks {
                if let Err(error) = task.await {
                    tracing::error!("a part of Discord ended with a fault: {error}");
                }
            }
        };
        let within = tokio::time::timeout(LONGEST_GOODBYE, hurry.run_until_cancelled(all));
        match within.await {
            Ok(Some(())) => return,
            Ok(None) => {}
            Err(_) => tracing::warn!("Discord did not let go in time"),
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
