//! Starts a mock and a bot, and asks them things.

use std::sync::Arc;
use std::time::Duration;

use discord::bot::{BotConfig, BotState, BotStatus, Timing, run_bot};
use mock_discord::{Acknowledgement, Interaction, Message, MockConfig, MockDiscord, Ticket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::scheduler::FakeScheduler;

/// Long enough for a loaded machine; nothing that works waits for it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) mock: MockDiscord,
    pub(crate) scheduler: Arc<FakeScheduler>,
    pub(crate) status: watch::Receiver<BotStatus>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) bot: JoinHandle<()>,
}

pub(crate) fn config(mock: &MockDiscord) -> BotConfig {
    let mut config = BotConfig::new("mock-token");
    config.api_base = mock.api_base().parse().unwrap();
    config.gateway_url = Some(mock.gateway_url());
    config.timing = Timing {
        progress: Duration::from_millis(100),
        backoff: Duration::from_millis(50),
        connections_per_minute: 100,
        ..Timing::default()
    };
    config
}

impl World {
    pub(crate) async fn new(scheduler: &Arc<FakeScheduler>) -> Self {
        Self::with(scheduler, MockConfig::default(), |_, _| {}).await
    }

    /// A mock and a bot that is connected to it.
    pub(crate) async fn with(
        scheduler: &Arc<FakeScheduler>,
        mock: MockConfig,
        change: impl FnOnce(&MockDiscord, &mut BotConfig),
    ) -> Self {
        let world = Self::unconnected(scheduler, mock, change).await;
        assert!(world.mock.ready(LONG).await, "the bot did not connect");
        world
    }

    /// A mock and a bot that may or may not connect.
    pub(crate) async fn unconnected(
        scheduler: &Arc<FakeScheduler>,
        mock: MockConfig,
        change: impl FnOnce(&MockDiscord, &mut BotConfig),
    ) -> Self {
        crate::logs::capture();
        let mock = MockDiscord::start(mock).await.unwrap();
        let mut config = config(&mock);
        let (sender, status) = watch::channel(BotStatus::default());
        config.status = Some(sender);
        change(&mock, &mut config);
        let shutdown = CancellationToken::new();
        let bot = tokio::spawn(run_bot(config, scheduler.clone(), shutdown.clone()));
        Self { mock, scheduler: scheduler.clone(), status, shutdown, bot }
    }

    pub(crate) async fn acknowledged(&self, interaction: Interaction) -> (Ticket, Acknowledgement) {
        let ticket = self.mock.interact(interaction);
        let Some(ack) = self.mock.acknowledged(&ticket, LONG).await else { panic!("not acknowledged") };
        (ticket, ack)
    }

    /// Does something that is refused, and gives the words.
    pub(crate) async fn refused(&self, interaction: Interaction) -> String {
        let (_, ack) = self.acknowledged(interaction).await;
        assert_eq!(ack.kind, 4, "a refusal is a message: {ack:?}");
        assert!(ack.ephemeral(), "a refusal is private: {ack:?}");
        ack.content().to_owned()
    }

    /// Does something that is answered with a deferred response, and gives the answer.
    pub(crate) async fn answer(&self, interaction: Interaction) -> (Ticket, Message) {
        let (ticket, ack) = self.acknowledged(interaction).await;
        assert!(matches!(ack.kind, 5 | 6), "a deferred response: {ack:?}");
        let Some(message) = self.mock.response(&ticket, LONG, |m| m.edits > 0).await else {
            panic!("no answer")
        };
        (ticket, message)
    }

    /// Waits for a text in the response.
    pub(crate) async fn shows(&self, ticket: &Ticket, text: &str) -> Message {
        match self.mock.response(ticket, LONG, |m| m.text().contains(text)).await {
            Some(message) => message,
            None => panic!("never shows {text:?}: {:?}", self.mock.original(ticket)),
        }
    }

    pub(crate) async fn state(&mut self, wanted: BotState) {
        let waiting = self.status.wait_for(|s| s.state == wanted);
        tokio::time::timeout(LONG, waiting).await.expect("the bot's state").unwrap();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(LONG, self.bot).await.expect("the bot ends").unwrap();
    }
}
