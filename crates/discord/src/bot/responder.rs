//! Edits the response to an interaction, and finds another way when its token has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::context::Bot;
use super::event::Interaction;
use super::rest::RestError;
use crate::fingerprint::of as fingerprint;
use crate::message::Message;

/// How long a last word is worth trying to deliver.
const LAST_WORD: Duration = Duration::from_secs(3600);
/// Pauses between tries of a last word.
const PAUSES: [u64; 5] = [2, 5, 15, 30, 60];

/// The way back to whoever asked.
#[derive(Clone)]
pub(crate) struct Responder {
    bot: Arc<Bot>,
    interaction: Arc<Interaction>,
    /// When the interaction arrived; its token ends with it.
    received: Instant,
    ended: Arc<AtomicBool>,
}

impl Responder {
    pub(crate) fn new(bot: Arc<Bot>, interaction: Arc<Interaction>, received: Instant) -> Self {
        Self { bot, interaction, received, ended: Arc::default() }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.received.elapsed() >= self.bot.config.timing.token_lifetime
    }

    /// Edits the response. Trouble is logged; whether it is worth trying again.
    pub(crate) async fn edit(&self, message: &Message) -> bool {
        if self.has_ended() {
            return false;
        }
        match self.try_edit(message, 2).await {
            Ok(()) => false,
            Err(error) => {
                tracing::warn!(interaction = self.interaction.id, %error, "a response could not be edited");
                matches!(error, RestError::Unavailable(_))
            }
        }
    }

    async fn try_edit(&self, message: &Message, tries: u32) -> Result<(), RestError> {
        let i = &self.interaction;
        let result =
            self.bot.rest.edit_response(i.application_id, &i.token, &message.edit_body(), tries).await;
        if matches!(result, Err(RestError::Ended(_))) {
            self.ended.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Edits the response for the last time, and tries hard.
    pub(crate) async fn finish(&self, message: &Message) {
        self.last_word(message, false).await;
    }

    /// As [`finish`](Self::finish), and where the token has ended, as a message to the channel.
    pub(crate) async fn finish_anywhere(&self, message: &Message) {
        self.last_word(message, true).await;
    }

    async fn last_word(&self, message: &Message, anywhere: bool) {
        let start = Instant::now();
        let mut pauses = PAUSES.iter();
        loop {
            let stopping = self.bot.stopping.is_cancelled();
            let tries = if stopping { 1 } else { 3 };
            let mut result = match self.has_ended() {
                false => self.try_edit(message, tries).await,
                true => Err(RestError::Ended("its token has ended".into())),
            };
            if matches!(result, Err(RestError::Ended(_)))
                && let Some(channel) = self.interaction.channel_id.filter(|_| anywhere)
            {
                let nonce = fingerprint(&format!("{} {}", self.interaction.id, message.content));
                result =
                    self.bot.rest.create_message(channel, &message.body(), &format!("{nonce:016x}")).await;
            }
            let Err(error) = result else { return };
            if !matches!(error, RestError::Unavailable(_)) || start.elapsed() > LAST_WORD || stopping {
                tracing::warn!(interaction = self.interaction.id, %error, "an answer could not be delivered");
                return;
            }
            let pause = Duration::from_secs(*pauses.next().unwrap_or(&PAUSES[PAUSES.len() - 1]));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.bot.stopping.cancelled() => {}
            }
        }
    }
}
