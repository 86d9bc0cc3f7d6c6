//! Items as JSON lines, for commands.
//!
//! | item | line |
//! |---|---|
//! | parsed | `{"topic", "content", "discovered_at"}` |
//! | raw | `{"source", "text" or "payload_base64", "fetched_at", "metadata"}` |
//! | event | `{"level", "message", "source", "timestamp", "metadata"}` |
//!
//! What comes back may leave out times and metadata, and may call the text of a raw item `payload`, as a
//! dead letter does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use pipeline_core::{
    Event, EventLevel, Item, ParsedItem, Payload, RawItem, Record, StageError, Topic, Value,
};
use serde::Serialize;

/// A payload larger than this does not fit a line.
const MAX_PAYLOAD: u64 = 256 << 20;

/// The longest line that is read, payloads in base64 included.
pub(super) const MAX_LINE: usize = 384 << 20;

#[derive(Serialize)]
struct RawLine<'a> {
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    fetched_at: DateTime<Utc>,
    metadata: &'a Record,
}

/// An item as a line with its end. The seed has none. It may block: a payload is read.
///
/// # Errors
/// Where a payload cannot be read or is too large.
pub(super) fn encode(item: Item) -> Result<Vec<u8>, StageError> {
    let line = match item {
        Item::Trigger => return Ok(Vec::new()),
        Item::Parsed(item) => serde_json::to_vec(&item),
        Item::Event(event) => serde_json::to_vec(&event),
        Item::Raw(raw) => {
            let RawItem { source, payload, fetched_at, metadata } = *raw;
            let bytes = payload.into_bytes(MAX_PAYLOAD).map_err(|error| {
                StageError::item("the payload cannot be handed to the command").at(&source).caused_by(error)
            })?;
            let text = std::str::from_utf8(&bytes).ok();
            let payload_base64 = text.is_none().then(|| STANDARD.encode(&bytes));
            serde_json::to_vec(&RawLine {
                source: &source,
                text,
                payload_base64,
                fetched_at,
                metadata: &metadata,
            })
        }
    };
    let mut line =
        line.map_err(|error| StageError::item("the item cannot be written as JSON").caused_by(error))?;
    line.push(b'\n');
    Ok(line)
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Line {
    /// An item.
    Item(Box<Item>),
    /// JSON that is none of the shapes of an item.
    Other,
}

/// Reads a line.
///
/// # Errors
/// Where it is no JSON, or an item with a part that is wrong.
pub(super) fn decode(line: &[u8], now: DateTime<Utc>) -> Result<Line, StageError> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        StageError::item(format!("not a JSON line: `{}`", excerpt(line))).caused_by(error)
    })?;
    let Value::Object(mut fields) = value else { return Ok(Line::Other) };
    let text = |name: &str| fields.get_str(name).is_some();
    let object = |name: &str| fields.get(name).is_some_and(|value| value.as_object().is_some());
    let is_parsed = text("topic") && object("content");
    let is_raw = text("source") && (text("text") || text("payload") || text("payload_base64"));
    let is_event = text("level") && text("message");
    let item = match (is_parsed, is_raw, is_event) {
        (true, _, _) => parsed(&mut fields, now)?,
        (_, true, _) => raw(&mut fields, now)?,
        (_, _, true) => event(&mut fields, now)?,
        _ => return Ok(Line::Other),
    };
    Ok(Line::Item(Box::new(item)))
}

/// The start of a line, for a message.
pub(super) fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

fn parsed(fields: &mut Record, now: DateTime<Utc>) -> Result<Item, StageError> {
    let discovered_at = time(fields, "discovered_at", now)?;
    let topic = Topic::new(take_text(fields, "topic").unwrap_or_default());
    let content = take_object(fields, "content");
    Ok(ParsedItem { topic, content, discovered_at }.into())
}

fn raw(fields: &mut Record, now: DateTime<Utc>) -> Result<Item, StageError> {
    let fetched_at = time(fields, "fetched_at", now)?;
    let source = take_text(fields, "source").unwrap_or_default();
    let payload = match take_text(fields, "payload_base64") {
        Some(encoded) => Payload::from(STANDARD.decode(encoded.trim()).map_err(|error| {
            StageError::item("`payload_base64` is not base64").at(&source).caused_by(error)
        })?),
        None => {
            let text = take_text(fields, "text").or_else(|| take_text(fields, "payload"));
            Payload::from(text.unwrap_or_default())
        }
    };
    Ok(RawItem { source, payload, fetched_at, metadata: take_object(fields, "metadata") }.into())
}

fn event(fields: &mut Record, now: DateTime<Utc>) -> Result<Item, StageError> {
    let timestamp = time(fields, "timestamp", now)?;
    let level = match take_text(fields, "level").unwrap_or_default().as_str() {
        "debug" => EventLevel::Debug,
        "info" => EventLevel::Info,
        "warning" => EventLevel::Warning,
        "error" => EventLevel::Error,
        other => {
            let message = format!("`level` is `{other}`, not one of debug, info, warning, error");
            return Err(StageError::item(message));
        }
    };
    let message = take_text(fields, "message").unwrap_or_default();
    let source = take_text(fields, "source").unwrap_or_default();
    Ok(Event { level, message, source, timestamp, metadata: take_object(fields, "metadata") }.into())
}

fn take_text(fields: &mut Record, name: &str) -> Option<String> {
    match fields.get_mut(name).map(std::mem::take) {
        Some(Value::Text(text)) => Some(text.into()),
        _ => None,
    }
}

fn take_object(fields: &mut Record, name: &str) -> Record {
    match fields.get_mut(name).map(std::mem::take) {
        Some(Value::Object(record)) => *record,
        _ => Record::new(),
    }
}

fn time(fields: &Record, name: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, StageError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(now),
        Some(value) => value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            StageError::item(format!("`{name}` is {value}, not a time such as 2026-12-24T18:00:00Z"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn show(line: &str) -> String {
        match decode(line.as_bytes(), now()) {
            Ok(Line::Item(item)) => String::from_utf8(encode(*item).unwrap()).unwrap().trim_end().to_owned(),
            Ok(Line::Other) => "other".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn lines_become_items_and_back() {
        let at = "1970-01-01T00:00:00Z";
        let cases = [
            (
                r#"{"topic":"t","content":{"a":[1,{"b":null}]}}"#,
                format!(r#"{{"topic":"t","content":{{"a":[1,{{"b":null}}]}},"discovered_at":"{at}"}}"#),
            ),
            (
                r#"{"content":{},"topic":"t","discovered_at":"2026-01-02T03:04:05+01:00","more":1}"#,
                r#"{"topic":"t","content":{},"discovered_at":"2026-01-02T02:04:05Z"}"#.to_owned(),
            ),
            (
                r#"{"source":"s","text":"hällo","metadata":{"status":200}}"#,
                format!(r#"{{"source":"s","text":"hällo","fetched_at":"{at}","metadata":{{"status":200}}}}"#),
            ),
            (
                r#"{"source":"s","payload":"from a dead letter"}"#,
                format!(
                    r#"{{"source":"s","text":"from a dead letter","fetched_at":"{at}","metadata":{{}}}}"#
                ),
            ),
            (
                r#"{"source":"s","payload_base64":"/wA="}"#,
                format!(r#"{{"source":"s","payload_base64":"/wA=","fetched_at":"{at}","metadata":{{}}}}"#),
            ),
            (
                r#"{"level":"warning","message":"m"}"#,
                format!(
                    r#"{{"level":"warning","message":"m","source":"","timestamp":"{at}","metadata":{{}}}}"#
                ),
            ),
            (r#"{"title":"a plain record"}"#, "other".to_owned()),
            (r#"{"topic":"t","content":"text"}"#, "other".to_owned()),
            ("[1]", "other".to_owned()),
        ];
        for (line, expected) in cases {
            assert_eq!(show(line), expected, "{line}");
        }
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let cases = [
            ("print statement", "not a JSON line: `print statement`"),
            (r#"{"topic":"t","content":{},"discovered_at":"soon"}"#, "`discovered_at` is \"soon\""),
            (r#"{"source":"s","payload_base64":"?"}"#, "s: `payload_base64` is not base64"),
            (r#"{"level":"loud","message":"m"}"#, "`level` is `loud`"),
        ];
        for (line, expected) in cases {
            assert!(show(line).contains(expected), "{}", show(line));
        }
    }
}
