//! Items that failed where `on_error: dead_letter` stands, one JSON line each.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::{Map, Value, json};

use crate::context::StageContext;
use crate::error::StageError;
use crate::item::Item;

/// A payload larger than this is cut in a dead letter, which then says so.
const MAX_PAYLOAD: u64 = 16 << 20;

/// The file of a pipeline's dead letters.
pub fn path(state_dir: &Path, pipeline: &str) -> PathBuf {
    state_dir.join("dead_letters").join(format!("{}.jsonl", file_name(pipeline)))
}

/// A pipeline's name as a file name: everything but letters, digits, `-`, `_` and inner dots is
/// percent-encoded, so that no name leaves the folder and no two names meet.
pub fn file_name(pipeline: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    let name = utf8_percent_encode(pipeline, KEPT).to_string();
    match name.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => name,
    }
}

/// Appends the line of a failed item.
pub(crate) fn append(ctx: &StageContext, mut error: StageError) -> io::Result<()> {
    let path = path(ctx.state_dir(), ctx.pipeline());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let item = error.take_item();
    let line = json!({
        "item": item.map_or(Value::Null, item_json),
        "stage": ctx.number(),
        "class": ctx.class(),
        "error": ctx.redactor().redact(&error.to_string()),
        "run_id": ctx.identity().run_id,
        "at": ctx.now(),
    });
    // One write of a whole line, so that runs side by side do not mix theirs.
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

fn item_json(item: Item) -> Value {
    match item {
        Item::Trigger => Value::Null,
        Item::Parsed(item) => json!({
            "topic": item.topic,
            "content": item.content,
            "discovered_at": item.discovered_at,
        }),
        Item::Event(event) => serde_json::to_value(event).unwrap_or(Value::Null),
        Item::Raw(raw) => {
            let mut fields = Map::new();
            fields.insert("source".into(), raw.source.into());
            fields.insert("fetched_at".into(), json!(raw.fetched_at));
            fields.insert("metadata".into(), Value::Object(raw.metadata.to_json_map()));
            match raw.payload.into_bytes(MAX_PAYLOAD) {
                Ok(bytes) => match String::from_utf8(bytes.to_vec()) {
                    Ok(text) => fields.insert("payload".into(), text.into()),
                    Err(_) => fields.insert(
                        "payload_base64".into(),
                        base64::engine::general_purpose::STANDARD.encode(&bytes).into(),
                    ),
                },
                Err(error) => fields.insert("payload_error".into(), error.to_string().into()),
            };
            Value::Object(fields)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_in_the_folder() {
        let cases = [
            ("books", "books"),
            ("a/b", "a%2Fb"),
            ("..", "%2E."),
            ("../x", "%2E.%2Fx"),
            ("pris lista å", "pris%20lista%20%C3%A5"),
        ];
        for (name, expected) in cases {
            assert_eq!(file_name(name), expected);
        }
    }
}
