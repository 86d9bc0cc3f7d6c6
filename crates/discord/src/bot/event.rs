//! What the gateway sends, read leniently: only what the bot needs must be there.

use serde::Deserialize;
use serde_json::Value;

/// A frame of the gateway.
#[derive(Debug)]
pub(crate) enum Frame {
    Hello {
        heartbeat_ms: u64,
    },
    Ready(Ready),
    Resumed,
    Reconnect,
    InvalidSession,
    Interaction(Box<Interaction>),
    /// An interaction that cannot be read, with its id where it has one.
    BadInteraction {
        id: Option<u64>,
        why: &'static str,
    },
    Other,
}

/// Who the bot is.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) application_id: u64,
    pub(crate) name: String,
}

/// What somebody did.
#[derive(Debug, Clone)]
pub(crate) struct Interaction {
    pub(crate) id: u64,
    pub(crate) application_id: u64,
    pub(crate) token: String,
    pub(crate) guild_id: Option<u64>,
    pub(crate) channel_id: Option<u64>,
    pub(crate) user_id: u64,
    pub(crate) user_name: String,
    /// The member's permissions in the channel; none outside a guild.
    pub(crate) permissions: u64,
    pub(crate) action: Action,
}

/// What an interaction is.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Command { name: String, options: Vec<Choice> },
    Autocomplete { name: String, options: Vec<Choice> },
    Button { custom_id: String },
    Unknown(u64),
}

/// An option of a command.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) focused: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    op: u64,
    #[serde(borrow, default)]
    t: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    d: Value,
}

impl Frame {
    /// Reads a text frame. What cannot be read is [`Frame::Other`]: nothing of it is ever repeated in an error.
    pub(crate) fn read(text: &str) -> Self {
        let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else { return Self::Other };
        let d = || serde_json::from_str::<Payload>(text).map_or(Value::Null, |payload| payload.d);
        match (envelope.op, envelope.t.as_deref()) {
            (10, _) => Self::Hello { heartbeat_ms: d()["heartbeat_interval"].as_u64().unwrap_or(41_250) },
            (7, _) => Self::Reconnect,
            (9, _) => Self::InvalidSession,
            (0, Some("RESUMED")) => Self::Resumed,
            (0, Some("READY")) => {
                let d = d();
                let name = d["user"]["username"].as_str().unwrap_or("?").to_owned();
                match id(&d["application"]["id"]).or_else(|| id(&d["user"]["id"])) {
                    Some(application_id) => Self::Ready(Ready { application_id, name }),
                    None => Self::Other,
                }
            }
            (0, Some("INTERACTION_CREATE")) => {
                let d = d();
                match Interaction::read(&d) {
                    Ok(interaction) => Self::Interaction(Box::new(interaction)),
                    Err(why) => Self::BadInteraction { id: id(&d["id"]), why },
                }
            }
            _ => Self::Other,
        }
    }
}

/// A snowflake: text, or a number where somebody is careless; never zero.
fn id(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
    .filter(|id| *id != 0)
}

impl Interaction {
    fn read(d: &Value) -> Result<Self, &'static str> {
        let token = d["token"].as_str().unwrap_or_default();
        // The token becomes part of a path.
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b'=' | b'+');
        if token.is_empty() || token.len() > 2000 || !token.bytes().all(fine) {
            return Err("its token is missing or malformed");
        }
        let member = &d["member"];
        let user = if member["user"].is_object() { &member["user"] } else { &d["user"] };
        Ok(Self {
            id: id(&d["id"]).ok_or("it has no id")?,
            application_id: id(&d["application_id"]).ok_or("it has no application")?,
            token: token.to_owned(),
            guild_id: id(&d["guild_id"]).or_else(|| id(&d["guild"]["id"])),
            channel_id: id(&d["channel"]["id"]).or_else(|| id(&d["channel_id"])),
            user_id: id(&user["id"]).ok_or("it has no user")?,
            user_name: user["username"].as_str().unwrap_or("?").to_owned(),
            permissions: permission_bits(&member["permissions"]),
            action: Action::read(d)?,
        })
    }
}

fn permission_bits(value: &Value) -> u64 {
    match value {
        // Newer bits may lie beyond 64; the low ones are what counts.
        Value::String(text) => text.parse::<u128>().map_or(0, |bits| (bits & u128::from(u64::MAX)) as u64),
        Value::Number(number) => number.as_u64().unwrap_or(0),
        _ => 0,
    }
}

impl Action {
    fn read(d: &Value) -> Result<Self, &'static str> {
        let data = &d["data"];
        let name = || data["name"].as_str().map(str::to_owned).ok_or("its command has no name");
        match d["type"].as_u64().ok_or("it has no type")? {
            2 => Ok(Self::Command { name: name()?, options: choices(data) }),
            4 => Ok(Self::Autocomplete { name: name()?, options: choices(data) }),
            3 => {
                let custom_id = data["custom_id"].as_str().ok_or("its component has no id")?.to_owned();
                Ok(Self::Button { custom_id })
            }
            other => Ok(Self::Unknown(other)),
        }
    }
}

fn choices(data: &Value) -> Vec<Choice> {
    let options = data["options"].as_array().into_iter().flatten();
    options
        .filter_map(|option| {
            let value = match &option["value"] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            Some(Choice {
                name: option["name"].as_str()?.to_owned(),
                value,
                focused: option["focused"] == true,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(d: &str) -> Frame {
        Frame::read(&format!(r#"{{"op":0,"s":2,"t":"INTERACTION_CREATE","d":{d}}}"#))
    }

    #[test]
    fn reads_what_is_needed_and_no_more() {
        let d = r#"{"id":"7","application_id":"9","type":2,"token":"tok","guild_id":"4","channel_id":"5",
            "member":{"user":{"id":"3","username":"alice"},"permissions":"8"},
            "data":{"name":"run","options":[{"name":"pipeline_name","type":3,"value":"fi"}]}}"#;
        let Frame::Interaction(i) = create(d) else { panic!("not read") };
        assert_eq!((i.id, i.guild_id, i.channel_id, i.user_id, i.permissions), (7, Some(4), Some(5), 3, 8));
        let Action::Command { name, options } = i.action else { panic!("no command") };
        assert_eq!((name.as_str(), options[0].value.as_str()), ("run", "fi"));
    }

    #[test]
    fn lies_are_harmless() {
        for text in ["", "null", "[]", "{}", r#"{"op":"x"}"#, r#"{"op":0}"#, r#"{"op":0,"t":"READY","d":5}"#]
        {
            assert!(matches!(Frame::read(text), Frame::Other), "{text}");
        }
        for d in [
            "null",
            "{}",
            r#"{"id":"7","token":"../x","type":2}"#,
            r#"{"id":"0","application_id":"9","type":2,"token":"t","user":{"id":"1"},"data":{"name":"x"}}"#,
            r#"{"id":"7","application_id":"9","type":2,"token":"t","user":{"id":"1"},"data":{}}"#,
            r#"{"id":"7","application_id":"9","type":2,"token":"t","data":{"name":"x"}}"#,
        ] {
            assert!(matches!(create(d), Frame::BadInteraction { .. }), "{d}");
        }
        assert_eq!(permission_bits(&Value::from("36893488147419103240")), 8);
    }
}
