//! What Discord refuses, refused.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::log::File;

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: u64, message: &str) -> Self {
        Self { status, body: json!({"code": code, "message": message}) }
    }

    /// 50035 with the place of the fault.
    pub(crate) fn form(place: &str, why: impl std::fmt::Display) -> Self {
        Self {
            status: 400,
            body: json!({"code": 50035, "message": "Invalid Form Body",
                "errors": {"_errors": [{"code": place, "message": why.to_string()}]}}),
        }
    }
}

/// Length as Discord's strictest counters see it.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn text<'a>(value: &'a Value, key: &str) -> Result<Option<&'a str>, Refusal> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(s)) => Ok(Some(s)),
        Some(_) => Err(Refusal::form(key, "must be a string")),
    }
}

fn bounded(value: &Value, key: &str, max: usize) -> Result<usize, Refusal> {
    let n = text(value, key)?.map_or(0, length);
    if n > max { Err(Refusal::form(key, format!("must be {max} or fewer in length, is {n}"))) } else { Ok(n) }
}

fn list<'a>(value: &'a Value, key: &str, max: usize) -> Result<&'a [Value], Refusal> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) if items.len() <= max => Ok(items),
        Some(Value::Array(items)) => {
            Err(Refusal::form(key, format!("at most {max}, there are {}", items.len())))
        }
        Some(_) => Err(Refusal::form(key, "must be a list")),
    }
}

/// Checks the body of a message, an edit, or the data of a response.
pub(crate) fn message(body: &Value, files: &[File], edit: bool) -> Result<(), Refusal> {
    if !body.is_object() {
        return Err(Refusal::form("body", "must be an object"));
    }
    let content = bounded(body, "content", 2000)?;
    let embeds = list(body, "embeds", 10)?;
    let mut total = 0;
    for embed in embeds {
        total += embed_length(embed)?;
    }
    if total > 6000 {
        return Err(Refusal::form("embeds", format!("Embed size exceeds maximum size of 6000, is {total}")));
    }
    let rows = list(body, "components", 5)?;
    let mut ids = HashSet::new();
    for row in rows {
        action_row(row, &mut ids)?;
    }
    mentions(body.get("allowed_mentions"))?;
    nonce(body)?;
    uploads(body, files)?;
    let blank = body.get("content").and_then(Value::as_str).is_none_or(|c| c.trim().is_empty());
    if !edit && (content == 0 || blank) && embeds.is_empty() && rows.is_empty() && files.is_empty() {
        return Err(Refusal::new(400, 50006, "Cannot send an empty message"));
    }
    Ok(())
}

fn embed_length(embed: &Value) -> Result<usize, Refusal> {
    let mut n = bounded(embed, "title", 256)? + bounded(embed, "description", 4096)?;
    for key in ["url"] {
        if let Some(url) = text(embed, key)?
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return Err(Refusal::form(key, "Scheme must be one of ('http', 'https')"));
        }
    }
    if let Some(color) = embed.get("color")
        && color.as_u64().is_none_or(|c| c > 0xFF_FFFF)
    {
        return Err(Refusal::form("color", "int value should be between 0 and 16777215"));
    }
    if let Some(stamp) = text(embed, "timestamp")?
        && chrono::DateTime::parse_from_rfc3339(stamp).is_err()
    {
        return Err(Refusal::form("timestamp", "could not be parsed"));
    }
    for field in list(embed, "fields", 25)? {
        let (name, value) = (bounded(field, "name", 256)?, bounded(field, "value", 1024)?);
        if name == 0 || value == 0 {
            return Err(Refusal::form("fields", "This field is required"));
        }
        n += name + value;
    }
    if let Some(footer) = embed.get("footer") {
        n += bounded(footer, "text", 2048)?;
    }
    if let Some(author) = embed.get("author") {
        n += bounded(author, "name", 256)?;
    }
    Ok(n)
}

fn action_row(row: &Value, ids: &mut HashSet<String>) -> Result<(), Refusal> {
    if row["type"] != 1 {
        return Err(Refusal::form("components", "the outer components are action rows (1)"));
    }
    let buttons = list(row, "components", 5)?;
    if buttons.is_empty() {
        return Err(Refusal::form("components", "an action row holds 1 to 5 components"));
    }
    for button in buttons {
        if button["type"] != 2 {
            return Err(Refusal::form("components", "only buttons are known here"));
        }
        if !(1..=5).contains(&button["style"].as_u64().unwrap_or(0)) {
            return Err(Refusal::form("style", "a style from 1 to 5 is required"));
        }
        let label = bounded(button, "label", 80)?;
        if label == 0 && button.get("emoji").is_none() {
            return Err(Refusal::form("label", "a label or an emoji is required"));
        }
        let id = text(button, "custom_id")?;
        if button["style"] == 5 {
            if id.is_some() || text(button, "url")?.is_none() {
                return Err(Refusal::form("url", "a link button has a url and no custom id"));
            }
            continue;
        }
        let id = id.ok_or_else(|| Refusal::form("custom_id", "is required"))?;
        if id.is_empty() || length(id) > 100 {
            return Err(Refusal::form("custom_id", format!("must be 1 to 100 in length: {id}")));
        }
        if !ids.insert(id.to_owned()) {
            return Err(Refusal::form("custom_id", "Component custom id cannot be duplicated"));
        }
    }
    Ok(())
}

fn mentions(value: Option<&Value>) -> Result<(), Refusal> {
    let Some(value) = value.filter(|v| !v.is_null()) else { return Ok(()) };
    for kind in list(value, "parse", 3)? {
        if !matches!(kind.as_str(), Some("roles" | "users" | "everyone")) {
            return Err(Refusal::form("parse", "must be one of ('roles', 'users', 'everyone')"));
        }
    }
    Ok(())
}

fn nonce(body: &Value) -> Result<(), Refusal> {
    match body.get("nonce") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Number(n)) if n.is_i64() || n.is_u64() => Ok(()),
        Some(Value::String(s)) if s.chars().count() <= 25 => Ok(()),
        Some(_) => Err(Refusal::form("nonce", "must be an integer or at most 25 characters")),
    }
}

fn uploads(body: &Value, files: &[File]) -> Result<(), Refusal> {
    if files.len() > 10 {
        return Err(Refusal::form("files", "at most 10"));
    }
    for file in files {
        if file.bytes.len() > 10 * 1024 * 1024 {
            return Err(Refusal::new(413, 40005, "Request entity too large"));
        }
        if file.name.is_empty() {
            return Err(Refusal::form("files", "a file has no name"));
        }
    }
    for attachment in list(body, "attachments", 10)? {
        let id = match &attachment["id"] {
            Value::Number(n) => n.to_string(),
            Value::String(s) => s.clone(),
            _ => return Err(Refusal::form("attachments", "an id is required")),
        };
        if !files.is_empty() && !files.iter().any(|f| f.field == format!("files[{id}]")) {
            return Err(Refusal::form("attachments", format!("no file has the id {id}")));
        }
    }
    Ok(())
}

/// Checks the choices of an autocomplete answer.
pub(crate) fn choices(data: &Value) -> Result<(), Refusal> {
    let Some(_) = data.get("choices") else { return Err(Refusal::form("choices", "This field is required")) };
    for choice in list(data, "choices", 25)? {
        let name = bounded(choice, "name", 100)?;
        if name == 0 {
            return Err(Refusal::form("name", "must be between 1 and 100 in length"));
        }
        match &choice["value"] {
            Value::String(_) => {
                bounded(choice, "value", 100)?;
            }
            Value::Number(_) => {}
            _ => return Err(Refusal::form("value", "This field is required")),
        }
    }
    Ok(())
}

/// Checks a bulk overwrite of commands.
pub(crate) fn commands(body: &Value) -> Result<(), Refusal> {
    let Value::Array(commands) = body else { return Err(Refusal::form("body", "must be a list")) };
    if commands.len() > 100 {
        return Err(Refusal::form("body", "at most 100 commands"));
    }
    let mut names = HashSet::new();
    for command in commands {
        let mut total = name(command)? + description(command)?;
        if !names.insert(command["name"].as_str()) {
            return Err(Refusal::form("name", "Application command names must be unique"));
        }
        match command.get("default_member_permissions") {
            None | Some(Value::Null) => {}
            Some(Value::String(s)) if !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()) => {}
            Some(_) => {
                return Err(Refusal::form(
                    "default_member_permissions",
                    "must be a string of digits or null",
                ));
            }
        }
        for context in list(command, "contexts", 3)? {
            if context.as_u64().is_none_or(|c| c > 2) {
                return Err(Refusal::form("contexts", "0, 1 or 2"));
            }
        }
        let mut optional_seen = false;
        let mut option_names = HashSet::new();
        for option in list(command, "options", 25)? {
            total += name(option)? + description(option)?;
            let required = option["required"].as_bool().unwrap_or(false);
            if required && optional_seen {
                return Err(Refusal::form(
                    "options",
                    "Required options must be placed before non-required options",
                ));
            }
            optional_seen |= !required;
            if !option_names.insert(option["name"].as_str()) {
                return Err(Refusal::form("options", "option names must be unique"));
            }
            let kind = option["type"].as_u64().unwrap_or(0);
            if !(1..=11).contains(&kind) {
                return Err(Refusal::form("type", "an option type from 1 to 11"));
            }
            if option["autocomplete"] == true
                && (!matches!(kind, 3 | 4 | 10) || !list(option, "choices", 25)?.is_empty())
            {
                return Err(Refusal::form("autocomplete", "not with this type, or not with choices"));
            }
            for key in ["max_length", "min_length"] {
                if option.get(key).is_some_and(|v| v.as_u64().is_none_or(|n| n > 6000)) {
                    return Err(Refusal::form(key, "0 to 6000"));
                }
            }
        }
        if total > 4000 {
            return Err(Refusal::form("body", "a command's texts are at most 4000 in all"));
        }
    }
    Ok(())
}

fn name(value: &Value) -> Result<usize, Refusal> {
    let name = text(value, "name")?.unwrap_or_default();
    let fine = (1..=32).contains(&name.chars().count())
        && name.chars().all(|c| c == '-' || c == '_' || c == '\'' || c.is_alphanumeric())
        && name.to_lowercase() == name;
    if fine { Ok(length(name)) } else { Err(Refusal::form("name", format!("invalid name {name:?}"))) }
}

fn description(value: &Value) -> Result<usize, Refusal> {
    let n = bounded(value, "description", 100)?;
    if n == 0 { Err(Refusal::form("description", "This field is required")) } else { Ok(n) }
}
