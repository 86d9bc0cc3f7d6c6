//! Interactions: how a test makes one, and what the mock remembers of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// What a user does.
#[derive(Debug, Clone)]
pub enum InteractionKind {
    /// A slash command with its options.
    Command(String, Vec<(String, Value)>),
    /// Typing in an option of a command; the last option is the focused one.
    Autocomplete(String, Vec<(String, Value)>),
    /// A click on a button of a message.
    Component {
        /// The button's id.
        custom_id: String,
        /// The message that holds it.
        message: u64,
    },
}

/// An interaction to be dispatched; by default of an administrator in guild 4, channel 5.
#[derive(Debug, Clone)]
pub struct Interaction {
    pub(crate) kind: InteractionKind,
    pub(crate) user: (u64, String),
    pub(crate) permissions: u64,
    pub(crate) guild: Option<u64>,
    pub(crate) channel: u64,
}

impl Interaction {
    fn new(kind: InteractionKind) -> Self {
        Self { kind, user: (3, "alice".into()), permissions: 8, guild: Some(4), channel: 5 }
    }

    /// `/name` with options.
    pub fn command(name: &str, options: &[(&str, &str)]) -> Self {
        Self::new(InteractionKind::Command(name.into(), owned(options)))
    }

    /// Typing in the last of the options of `/name`.
    pub fn autocomplete(name: &str, options: &[(&str, &str)]) -> Self {
        Self::new(InteractionKind::Autocomplete(name.into(), owned(options)))
    }

    /// A click on a button.
    pub fn click(custom_id: &str, message: u64) -> Self {
        Self::new(InteractionKind::Component { custom_id: custom_id.into(), message })
    }

    /// By this user.
    #[must_use]
    pub fn by(mut self, id: u64, name: &str) -> Self {
        self.user = (id, name.into());
        self
    }

    /// With these permission bits in the channel.
    #[must_use]
    pub fn permissions(mut self, bits: u64) -> Self {
        self.permissions = bits;
        self
    }

    /// In this guild; `None`: in a direct message.
    #[must_use]
    pub fn guild(mut self, guild: Option<u64>) -> Self {
        self.guild = guild;
        self
    }

    /// In this channel.
    #[must_use]
    pub fn channel(mut self, channel: u64) -> Self {
        self.channel = channel;
        self
    }

    pub(crate) fn type_number(&self) -> u8 {
        match self.kind {
            InteractionKind::Command(..) => 2,
            InteractionKind::Component { .. } => 3,
            InteractionKind::Autocomplete(..) => 4,
        }
    }

    pub(crate) fn payload(&self, id: u64, token: &str, application: u64, message: Option<Value>) -> Value {
        let user = json!({"id": self.user.0.to_string(), "username": self.user.1, "discriminator": "0",
            "avatar": null, "global_name": null});
        let mut d = json!({
            "id": id.to_string(), "application_id": application.to_string(), "type": self.type_number(),
            "token": token, "version": 1, "channel_id": self.channel.to_string(),
            "channel": {"id": self.channel.to_string(), "type": if self.guild.is_some() {0} else {1}},
            "context": if self.guild.is_some() {0} else {1}, "attachment_size_limit": 10_485_760,
            "authorizing_integration_owners": {"0": self.guild.unwrap_or(0).to_string()},
            "entitlements": [], "locale": "en-US", "app_permissions": "2147483648",
        });
        if let Some(guild) = self.guild {
            d["guild_id"] = guild.to_string().into();
            d["member"] = json!({"user": user, "roles": ["11"], "permissions": self.permissions.to_string(),
                "joined_at": "2024-01-01T00:00:00.000000+00:00", "deaf": false, "mute": false, "flags": 0,
                "nick": null, "communication_disabled_until": null});
        } else {
            d["user"] = user;
        }
        d["data"] = match &self.kind {
            InteractionKind::Command(name, options) => {
                json!({"id": "100", "name": name, "type": 1, "options": option_values(options, false)})
            }
            InteractionKind::Autocomplete(name, options) => {
                json!({"id": "100", "name": name, "type": 1, "options": option_values(options, true)})
            }
            InteractionKind::Component { custom_id, .. } => {
                json!({"custom_id": custom_id, "component_type": 2, "id": 2})
            }
        };
        if let Some(message) = message {
            d["message"] = message;
        }
        d
    }
}

fn owned(options: &[(&str, &str)]) -> Vec<(String, Value)> {
    options.iter().map(|(k, v)| ((*k).to_owned(), Value::from(*v))).collect()
}

fn option_values(options: &[(String, Value)], focus_last: bool) -> Vec<Value> {
    let last = options.len().saturating_sub(1);
    let value = |(i, (name, value)): (usize, &(String, Value))| {
        let mut option = json!({"name": name, "type": 3, "value": value});
        if focus_last && i == last {
            option["focused"] = true.into();
        }
        option
    };
    options.iter().enumerate().map(value).collect()
}

/// What a dispatched interaction is known by.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Its id.
    pub id: u64,
    /// Its token.
    pub token: String,
    /// When it was handed to the gateway connection.
    pub at: Instant,
}

/// The first response to an interaction.
#[derive(Debug, Clone)]
pub struct Acknowledgement {
    /// The response's type: 4 a message, 5 a deferred one, 6 and 7 for buttons, 8 choices.
    pub kind: u64,
    /// The response's data, null where there is none.
    pub data: Value,
    /// How long after the dispatch it arrived.
    pub elapsed: Duration,
}

impl Acknowledgement {
    /// Whether it is only for the eyes of the user.
    pub fn ephemeral(&self) -> bool {
        self.data["flags"].as_u64().unwrap_or(0) & 64 != 0
    }

    /// The text of its message, empty where there is none.
    pub fn content(&self) -> &str {
        self.data["content"].as_str().unwrap_or_default()
    }
}

/// The mock's record of an interaction.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) interaction: Interaction,
    pub(crate) ticket: Ticket,
    pub(crate) acknowledgement: Option<Acknowledgement>,
    /// The message that `@original` means.
    pub(crate) original: Option<u64>,
    pub(crate) late: bool,
}
