//! What the outbox stores of a message. Later versions read it too: fields may be added, and never change their meaning.

use serde::{Deserialize, Serialize};
use twilight_model::channel::message::Embed;

/// A stored message, which may still become a part of a larger one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// How it is shown.
    #[serde(flatten)]
    pub(crate) form: Form,
    /// The longest message that it may become a part of.
    pub(crate) max_length: usize,
    /// The whole item as JSON text, for the file where there are too many messages. Empty in further parts of one item.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) item: String,
    /// Whether the text is the author's own, so that a file holds texts and not items.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) own_text: bool,
}

/// How a message is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// As text, never longer than `max_length`.
    Text(String),
    /// As a card.
    Embed(Box<Embed>),
    /// As a file, because the text of one item alone would be more than five messages.
    File(String),
}

impl Payload {
    /// Reads a stored message.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| format!("the stored message cannot be read: {error}"))
    }

    pub(crate) fn to_json(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }
}
