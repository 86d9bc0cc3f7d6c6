//! What stands under `kwargs`.

use std::borrow::Cow;
use std::fmt;

use pipeline_core::{BuildErrors, Topic};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::target::Target;
use crate::http::Secret;

/// The longest message that Discord takes.
pub(crate) const LONGEST: usize = 2000;
/// Shorter than this not even an empty block fits.
pub(crate) const SHORTEST: usize = 200;

/// What `core.infra.discord_sink.DiscordSink` takes: either `channel_id` or `webhook_url`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscordSinkKwargs {
    /// The channel, as a number or as text; the bot of `DISCORD_TOKEN` sends.
    pub(crate) channel_id: Option<ChannelId>,
    /// The URL of a webhook; no bot is needed.
    #[schemars(extend("x-secret" = true))]
    pub(crate) webhook_url: Option<String>,
    /// The longest message, in characters, from 200 to 2000.
    #[serde(default = "default_max_length")]
    pub(crate) max_length: usize,
    /// The topics of the items to send (default: all).
    pub(crate) topics: Option<Vec<Topic>>,
    /// A text with `{{ topic }}`, `{{ content.price }}`, `{{ discovered_at }}` and `{{ run.pipeline }}` in it, instead of
    /// the item as JSON.
    pub(crate) template: Option<String>,
    /// Sends each item as a card with a field for each of its fields.
    #[serde(default)]
    pub(crate) embed: bool,
    /// Whether the run waits for the delivery, and fails without it.
    #[serde(default)]
    pub(crate) required: bool,
    /// When the messages leave.
    #[serde(default)]
    pub(crate) when: When,
}

fn default_max_length() -> usize {
    1900
}

/// When messages leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "success"))]
pub(crate) enum When {
    /// When the run has succeeded, together with its other results.
    #[default]
    Success,
    /// At once, for streams that do not end.
    Immediately,
}

/// A channel's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChannelId(pub(crate) u64);

impl<'de> Deserialize<'de> for ChannelId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = ChannelId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a channel's id: digits, as a number or as text")
            }
            fn visit_u64<E: Error>(self, id: u64) -> Result<ChannelId, E> {
                if id == 0 { Err(E::custom("0 is no channel's id")) } else { Ok(ChannelId(id)) }
            }
            fn visit_i64<E: Error>(self, id: i64) -> Result<ChannelId, E> {
                u64::try_from(id)
                    .map_err(|_| E::custom("a channel's id is not negative"))
                    .and_then(|id| self.visit_u64(id))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ChannelId, E> {
                let digits = text.trim();
                let id = Some(digits)
                    .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|d| d.parse().ok());
                id.ok_or_else(|| E::custom(format!("`{text}` is no channel's id, which is digits only")))
                    .and_then(|id| self.visit_u64(id))
            }
        }
        deserializer.deserialize_any(Id)
    }
}

impl JsonSchema for ChannelId {
    fn schema_name() -> Cow<'static, str> {
        "ChannelId".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "pattern": "^[0-9]+$", "minimum": 1})
    }
}

/// Where a stage sends, and the secret behind it.
pub(crate) enum Destination {
    Channel(u64),
    Webhook(Secret),
}

impl Destination {
    pub(crate) fn target(&self, pipeline: &str, stage: &str) -> Target {
        match self {
            Self::Channel(id) => Target::Channel(*id),
            Self::Webhook(_) => Target::Webhook { pipeline: pipeline.to_owned(), stage: stage.to_owned() },
        }
    }
}

impl DiscordSinkKwargs {
    /// Where the stage sends.
    ///
    /// # Errors
    /// Where that is not clear, or no URL.
    pub(crate) fn destination(&self) -> Result<Destination, BuildErrors> {
        match (&self.channel_id, &self.webhook_url) {
            (Some(_), Some(_)) => {
                Err(BuildErrors::at("webhook_url", "stands beside `channel_id`; one of the two is enough"))
            }
            (None, None) => Err(BuildErrors::at("", "`channel_id` or `webhook_url` is missing")),
            (Some(id), None) => Ok(Destination::Channel(id.0)),
            (None, Some(url)) => {
                webhook(url).map(Destination::Webhook).map_err(|why| BuildErrors::at("webhook_url", why))
            }
        }
    }

    /// # Errors
    /// Where the length is not possible.
    pub(crate) fn length(&self) -> Result<usize, BuildErrors> {
        if (SHORTEST..=LONGEST).contains(&self.max_length) {
            return Ok(self.max_length);
        }
        let why =
            format!("{} is not from {SHORTEST} to {LONGEST}, which is what Discord takes", self.max_length);
        Err(BuildErrors::at("max_length", why))
    }
}

/// Checks a webhook's URL. The error never repeats it.
fn webhook(text: &str) -> Result<Secret, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| "is no URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("is no http or https URL");
    }
    if url.path().len() < 2 {
        return Err("has no path; a webhook's URL is https://discord.com/api/webhooks/ID/TOKEN");
    }
    Ok(Secret::new(url.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DiscordSinkKwargs, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn ids_are_numbers_or_texts() {
        for (json, expected) in [
            ("123456789012345678", Some(123_456_789_012_345_678)),
            ("\"42\"", Some(42)),
            ("\" 42 \"", Some(42)),
            ("0", None),
            ("-1", None),
            ("1.5", None),
            ("\"x\"", None),
            ("\"+1\"", None),
            ("[]", None),
        ] {
            let id = read(&format!("{{\"channel_id\": {json}}}")).ok().map(|k| k.channel_id.unwrap().0);
            assert_eq!(id, expected, "{json}");
        }
    }

    #[test]
    fn one_destination() {
        let table = [
            (r#"{"channel_id": 1}"#, ""),
            (r#"{"webhook_url": "https://discord.com/api/webhooks/1/t"}"#, ""),
            ("{}", "is missing"),
            (r#"{"channel_id": 1, "webhook_url": "https://h/x"}"#, "one of the two"),
            (r#"{"webhook_url": "sesame"}"#, "is no URL"),
            (r#"{"webhook_url": "ftp://sesame/x"}"#, "http"),
            (r#"{"webhook_url": "https://sesame"}"#, "path"),
        ];
        for (json, expected) in table {
            let error = read(json).unwrap().destination().err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(expected) && error.is_empty() == expected.is_empty(), "{json}: {error}");
            assert!(!error.contains("sesame"), "{error}");
        }
        assert!(read(r#"{"channel_id": 1, "max_length": 2001}"#).unwrap().length().is_err());
        assert!(read(r#"{"chanel_id": 1}"#).is_err());
    }
}
