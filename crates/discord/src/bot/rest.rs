//! The bot's requests. Acknowledgements have a client of their own and wait behind nothing; everything else goes through
//! the breaker, with few tries, each under a deadline.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use twilight_http::routing::Route;

use super::breaker::{Breaker, Open};
use super::config::{BotConfig, Timing};
use super::event::Interaction;
use crate::http::{Answer, ApiBase, Body, Client, Method, SendError};

/// Already acknowledged: by an earlier try, or by another process of the same bot.
const ALREADY_ACKNOWLEDGED: u64 = 40060;
/// One try of an acknowledgement; a lost packet leaves time for another.
const ACKNOWLEDGE_TRY: Duration = Duration::from_millis(1200);
/// Longer than this nobody waits for a single request; the caller decides what then.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a request did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RestError {
    /// The interaction, or its token, is over: 401 or 404.
    #[error("the interaction is over: {0}")]
    Ended(String),
    /// Another process of the same bot has acknowledged the interaction, and does what it asks for.
    #[error("another process of this bot has answered")]
    Taken,
    /// Discord will not do it, and asking again changes nothing.
    #[error("Discord refused it: {0}")]
    Refused(String),
    /// Discord could not be asked; later it may work.
    #[error("{0}")]
    Unavailable(String),
}

/// The bot's way to Discord's REST interface.
#[derive(Debug)]
pub(crate) struct BotRest {
    acknowledgements: Client,
    client: Client,
    base: ApiBase,
    breaker: Breaker,
    timing: Timing,
}

impl BotRest {
    pub(crate) fn new(config: &BotConfig) -> Result<Self, SendError> {
        Ok(Self {
            acknowledgements: Client::new(None)?,
            client: Client::new(Some(&config.token))?,
            base: config.api_base.clone(),
            breaker: Breaker::new(),
            timing: config.timing.clone(),
        })
    }

    /// Acknowledges an interaction before the deadline.
    pub(crate) async fn acknowledge(
        &self,
        interaction: &Interaction,
        response: &Value,
        deadline: Instant,
    ) -> Result<(), RestError> {
        let route = Route::InteractionCallback {
            interaction_id: interaction.id,
            interaction_token: &interaction.token,
            with_response: false,
        };
        let url = self.base.url(&route.to_string());
        let mut trouble = "there was no time left".to_owned();
        // Whether an earlier try may have arrived, although its answer did not.
        let mut may_have_arrived = false;
        for _ in 0..4 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let body = Body::Json(response.to_string().into());
            let pause = match self
                .acknowledgements
                .send(Method::POST, &url, body, false, left.min(ACKNOWLEDGE_TRY))
                .await
            {
                Ok(answer) if answer.is_success() => return Ok(()),
                Ok(answer) if answer.code() == Some(ALREADY_ACKNOWLEDGED) => {
                    return if may_have_arrived { Ok(()) } else { Err(RestError::Taken) };
                }
                Ok(answer) => {
                    trouble = answer.describe();
                    match answer.status {
                        429 => {
                            self.breaker.invalid(Instant::now());
                            answer.limits.retry_after.unwrap_or(Duration::from_millis(500))
                        }
                        500.. => {
                            may_have_arrived = true;
                            Duration::from_millis(150)
                        }
                        401 | 404 => return Err(RestError::Ended(trouble)),
                        _ => return Err(RestError::Refused(trouble)),
                    }
                }
                Err(error) => {
                    may_have_arrived |= !matches!(error, SendError::Connect(_) | SendError::Request(_));
                    trouble = error.to_string();
                    Duration::from_millis(100)
                }
            };
            if Instant::now() + pause >= deadline {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        Err(RestError::Unavailable(trouble))
    }

    /// Edits the response to an interaction.
    pub(crate) async fn edit_response(
        &self,
        application: u64,
        token: &str,
        body: &Value,
        tries: u32,
    ) -> Result<(), RestError> {
        // twilight writes an id here, and Discord's own name for the first response is no id.
        let route = Route::ExecuteWebhook {
            thread_id: None,
            token,
            wait: None,
            with_components: None,
            webhook_id: application,
        };
        let path = format!("{route}/messages/@original");
        self.call(Method::PATCH, &path, body, false, tries).await.map(|_| ())
    }

    /// Sends a message to a channel. The nonce makes repeats harmless.
    pub(crate) async fn create_message(
        &self,
        channel: u64,
        body: &Value,
        nonce: &str,
    ) -> Result<(), RestError> {
        let mut body = body.clone();
        body["nonce"] = nonce.into();
        body["enforce_nonce"] = true.into();
        let path = Route::CreateMessage { channel_id: channel }.to_string();
        self.call(Method::POST, &path, &body, true, 3).await.map(|_| ())
    }

    /// Overwrites the commands of a guild, or the global ones.
    pub(crate) async fn put_commands(
        &self,
        application: u64,
        guild: Option<u64>,
        commands: &Value,
    ) -> Result<(), RestError> {
        let route = match guild {
            Some(guild_id) => Route::SetGuildCommands { application_id: application, guild_id },
            None => Route::SetGlobalCommands { application_id: application },
        };
        self.call(Method::PUT, &route.to_string(), commands, true, 2).await.map(|_| ())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        authorised: bool,
        tries: u32,
    ) -> Result<Answer, RestError> {
        let url = self.base.url(path);
        let mut last = String::new();
        for attempt in 1..=tries.max(1) {
            if let Err(Open(wait)) = self.breaker.admit(Instant::now(), authorised) {
                if attempt == tries || wait > LONGEST_WAIT {
                    return Err(RestError::Unavailable(format!(
                        "nothing is sent for {wait:.0?}, after: {last}"
                    )));
                }
                tokio::time::sleep(wait).await;
            }
            let json = Body::Json(body.to_string().into());
            let sent = self.client.send(method.clone(), &url, json, authorised, self.timing.request).await;
            let now = Instant::now();
            let pause = match sent {
                Ok(answer) if answer.is_success() => {
                    self.breaker.succeeded();
                    return Ok(answer);
                }
                Ok(answer) => {
                    last = answer.describe();
                    match answer.status {
                        429 => {
                            self.breaker.invalid(now);
                            let wait = answer.limits.retry_after.unwrap_or(Duration::from_secs(5) * attempt);
                            if answer.limits.global {
                                self.breaker.pause(now, wait);
                            }
                            wait
                        }
                        500.. => {
                            self.breaker.failed(now);
                            Duration::from_millis(500) * attempt
                        }
                        401 if authorised => {
                            self.breaker.invalid(now);
                            self.breaker.token_refused(now, self.timing.parked);
                            return Err(RestError::Refused(format!("the bot's token: {last}")));
                        }
                        401 | 404 => return Err(RestError::Ended(last)),
                        status => {
                            if status == 403 {
                                self.breaker.invalid(now);
                            }
                            return Err(RestError::Refused(last));
                        }
                    }
                }
                Err(error) => {
                    self.breaker.failed(now);
                    last = error.to_string();
                    Duration::from_millis(500) * attempt
                }
            };
            if attempt == tries || pause > LONGEST_WAIT {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        Err(RestError::Unavailable(last))
    }
}
