//! The body of a message, an edit, or a response. Nothing in one can mention anyone.

use serde::Serialize;
use serde_json::{Value, json};
use twilight_model::channel::message::component::{ActionRow, Button, ButtonStyle};
use twilight_model::channel::message::{Component, Embed};
use twilight_model::util::Timestamp;

/// Only one user sees the message.
pub(crate) const EPHEMERAL: u64 = 1 << 6;
/// Links in the message are not unfolded.
pub(crate) const NO_PREVIEWS: u64 = 1 << 2;

/// A message. Lists are always sent, so that an edit also takes away what is no longer there.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Message {
    pub(crate) content: String,
    pub(crate) embeds: Vec<Embed>,
    pub(crate) components: Vec<Component>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) flags: u64,
    allowed_mentions: NoMentions,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(flags: &u64) -> bool {
    *flags == 0
}

/// `{"parse": []}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct NoMentions {
    parse: [(); 0],
}

impl Message {
    pub(crate) fn new(content: impl Into<String>) -> Self {
        Self { content: content.into(), ..Self::default() }
    }

    pub(crate) fn ephemeral(mut self) -> Self {
        self.flags |= EPHEMERAL;
        self
    }

    pub(crate) fn with_embed(mut self, embed: Embed) -> Self {
        self.embeds.push(embed);
        self
    }

    /// Adds a row of buttons, where there are any.
    pub(crate) fn with_buttons(mut self, buttons: Vec<Component>) -> Self {
        if !buttons.is_empty() {
            self.components.push(Component::ActionRow(ActionRow { id: None, components: buttons }));
        }
        self
    }

    /// The body of a request.
    pub(crate) fn body(&self) -> Value {
        // Nothing in a message can fail to be JSON: keys are text, and there are no maps with other keys.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// The body of an edit: flags cannot be changed by one.
    pub(crate) fn edit_body(&self) -> Value {
        let mut body = self.body();
        if let Some(object) = body.as_object_mut() {
            object.remove("flags");
        }
        body
    }

    /// The body of a response to an interaction, of that type.
    pub(crate) fn response(&self, kind: u8) -> Value {
        json!({"type": kind, "data": self.body()})
    }
}

/// A button.
pub(crate) fn button(style: ButtonStyle, label: &str, custom_id: String, disabled: bool) -> Component {
    Component::Button(Button {
        custom_id: Some(custom_id),
        disabled,
        emoji: None,
        id: None,
        label: Some(label.to_owned()),
        sku_id: None,
        style,
        url: None,
    })
}

/// An embed with nothing but a description and a colour.
pub(crate) fn embed(color: u32, description: Option<String>) -> Embed {
    Embed {
        author: None,
        color: Some(color),
        description,
        fields: Vec::new(),
        flags: None,
        footer: None,
        image: None,
        kind: "rich".into(),
        provider: None,
        thumbnail: None,
        timestamp: None::<Timestamp>,
        title: None,
        url: None,
        video: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_always_off() {
        let message = Message::new("@everyone").ephemeral();
        for body in [message.body(), message.edit_body(), message.response(4)["data"].clone()] {
            assert_eq!(body["allowed_mentions"], json!({"parse": []}));
            assert_eq!(body["components"], json!([]));
        }
        assert_eq!(message.body()["flags"], 64);
        assert_eq!(message.edit_body().get("flags"), None);
    }
}
