//! From a target to a URL, and a batch to a request.

use std::time::Duration;

use serde_json::{Value, json};
use twilight_http::routing::Route;
use url::Url;

use super::batch::Batch;
use super::verdict::Verdict;
use crate::http::{ApiBase, Body, Client, Method, Secret, SendError};
use crate::sink::{DiscordService, Target};

/// For one message, whatever its size.
const WITHIN: Duration = Duration::from_secs(20);

/// Where a message goes. Its text names it without secrets; destinations with equal texts share a pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Channel(u64),
    Webhook(Secret),
}

impl Destination {
    /// What is behind a stored target.
    pub(crate) fn resolve(target: &str, service: &DiscordService) -> Result<Self, String> {
        match Target::parse(target) {
            None => Err(format!("the target {target} is not known to this version")),
            Some(Target::Channel(id)) if service.has_bot() => Ok(Self::Channel(id)),
            Some(Target::Channel(_)) => Err("DISCORD_TOKEN is not set".into()),
            Some(target) => match service.webhook(&target) {
                Some(url) => Ok(Self::Webhook(url)),
                None => Err("no stage of the file sends to that webhook".into()),
            },
        }
    }

    /// Whether a bot's token is sent along.
    pub(crate) fn is_bot(&self) -> bool {
        matches!(self, Self::Channel(_))
    }

    /// What shares a pace.
    pub(crate) fn key(&self) -> PaceKey {
        match self {
            Self::Channel(id) => PaceKey::Channel(*id),
            Self::Webhook(url) => PaceKey::Webhook(url.clone()),
        }
    }
}

/// What shares a pace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PaceKey {
    Channel(u64),
    Webhook(Secret),
}

/// Sends messages, one request each.
#[derive(Debug)]
pub(crate) struct Sender {
    client: Client,
    base: ApiBase,
}

impl Sender {
    pub(crate) fn new(token: Option<&Secret>, base: ApiBase) -> Result<Self, SendError> {
        Ok(Self { client: Client::new(token)?, base })
    }

    /// Sends a batch. The nonce makes repeats harmless where Discord knows one: in channels, for some minutes.
    pub(crate) async fn send(&self, destination: &Destination, batch: &Batch, nonce: &str) -> Verdict {
        let mut body = batch.message.body();
        let url = match destination {
            Destination::Channel(id) => {
                body["nonce"] = nonce.into();
                body["enforce_nonce"] = true.into();
                self.base.url(&Route::CreateMessage { channel_id: *id }.to_string())
            }
            Destination::Webhook(secret) => {
                body.as_object_mut().map(|object| object.remove("components"));
                match Url::parse(secret.reveal()) {
                    Ok(url) => self.base.rebase(&url),
                    Err(_) => return Verdict::Odd("the webhook's URL is malformed".into()),
                }
            }
        };
        let body = match &batch.file {
            None => Body::Json(text(&body)),
            Some(file) => {
                body["attachments"] = json!([{"id": 0, "filename": file.name}]);
                Body::Form(text(&body), file.clone())
            }
        };
        Verdict::of(self.client.send(Method::POST, &url, body, destination.is_bot(), WITHIN).await)
    }
}

fn text(body: &Value) -> bytes::Bytes {
    body.to_string().into()
}
