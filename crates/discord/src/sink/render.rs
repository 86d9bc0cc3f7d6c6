//! Items as text: the topic and the content as JSON in a block that is always closed.

use pipeline_core::ParsedItem;

use crate::text::{beginning, json_in_block, length, plain};

/// Characters of JSON that are shown of an item.
pub(crate) const SHOWN: usize = 800;
/// Messages that one item may become; more go into a file.
pub(crate) const MESSAGES: usize = 5;

const OPEN: &str = "\n```json\n";
const CLOSE: &str = "\n```";

/// The heading of an item.
pub(crate) fn heading(topic: &str) -> String {
    format!("📊 **New item on {}**", plain(topic, 100))
}

/// An item as one text of at most `max_length`.
pub(crate) fn item(item: &ParsedItem, json: &str, max_length: usize) -> String {
    let heading = heading(item.topic.as_str());
    let room = max_length.saturating_sub(length(&heading) + OPEN.len() + CLOSE.len());
    // Escapes may lengthen it, so the room is measured after them.
    let shown = json_in_block(json);
    let whole = length(json) <= SHOWN && length(&shown) <= room;
    if whole {
        return format!("{heading}{OPEN}{shown}{CLOSE}");
    }
    let shown = json_in_block(beginning(json, SHOWN - 1)).into_owned();
    let shown = beginning(&shown, room.saturating_sub(1)).trim_end();
    format!("{heading}{OPEN}{shown}…{CLOSE}")
}

/// Splits a text into parts of at most `max` each, at line ends where it can, never within a character. A code block that
/// a part ends in is closed there and opened again in the next.
pub(crate) fn split(text: &str, max: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end();
    // The line that opened the block which the rest begins in.
    let mut open: Option<String> = None;
    while !rest.is_empty() {
        let head = open.as_ref().map(|fence| format!("{fence}\n")).unwrap_or_default();
        if length(&head) + length(rest) <= max && block_at_end(open.as_deref(), rest).is_none() {
            parts.push(format!("{head}{rest}"));
            break;
        }
        // Room for closing a block, whether it is needed or not.
        let room = max.saturating_sub(length(&head) + CLOSE.len()).max(16);
        let mut piece = beginning(rest, room);
        if piece.len() < rest.len()
            && let Some(at) = piece.rfind('\n').filter(|at| *at > piece.len() / 2)
        {
            piece = &piece[..at];
        }
        let piece = piece_without_split_fence(piece, rest);
        rest = rest[piece.len()..].strip_prefix('\n').unwrap_or(&rest[piece.len()..]);
        let after = block_at_end(open.as_deref(), piece);
        let close = if after.is_some() { CLOSE } else { "" };
        parts.push(format!("{head}{piece}{close}"));
        open = after;
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// A cut never goes through the backticks of a fence.
fn piece_without_split_fence<'a>(piece: &'a str, rest: &str) -> &'a str {
    if rest[piece.len()..].starts_with('`') {
        let kept = piece.trim_end_matches('`');
        if !kept.is_empty() {
            return kept;
        }
    }
    piece
}

/// The opening fence, with its language, of the block that is open after a text which begins in `open`.
fn block_at_end(open: Option<&str>, text: &str) -> Option<String> {
    let mut open = open.map(str::to_owned);
    let mut rest = text;
    while let Some(at) = rest.find("```") {
        rest = &rest[at + 3..];
        open = match open {
            Some(_) => None,
            None => {
                let line = rest.lines().next().unwrap_or_default();
                let language =
                    line.len() < 20 && line.chars().all(|c| c.is_ascii_alphanumeric() || "+-_".contains(c));
                // A word is a language only where a line end follows it.
                let language = if language && rest.len() > line.len() { line } else { "" };
                Some(format!("```{language}"))
            }
        };
    }
    open
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use pipeline_core::{ParsedItem, Record, Value};
    use proptest::prelude::*;

    use super::*;

    fn parsed(topic: &str, text: &str) -> (ParsedItem, String) {
        let content: Record = [("x", Value::from(text))].into_iter().collect();
        let json = pretty(&content);
        (ParsedItem { topic: topic.into(), content, discovered_at: DateTime::UNIX_EPOCH }, json)
    }

    fn pretty(content: &Record) -> String {
        serde_json::to_string_pretty(content).unwrap()
    }

    #[test]
    fn a_small_item_is_shown_whole() {
        let (parsed, json) = parsed("shop.book", "a ``` b");
        let text = item(&parsed, &json, 1900);
        assert!(text.starts_with("📊 **New item on shop.book**\n```json\n{\n  \"x\""), "{text}");
        let block = text.split("```json\n").nth(1).unwrap().strip_suffix("\n```").unwrap();
        let value: serde_json::Value = serde_json::from_str(block).unwrap();
        assert_eq!(value["x"], "a ``` b", "the block is still the item's JSON");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_block_is_closed_and_never_too_long(topic in ".{0,150}", value in "(.|`|😀|\n){0,1500}", max in 200_usize..2000) {
            let (parsed, json) = parsed(&topic, &value);
            let text = item(&parsed, &json, max);
            prop_assert!(length(&text) <= max, "{} > {max}", length(&text));
            prop_assert_eq!(text.matches("```").count(), 2);
            prop_assert!(text.ends_with("\n```"));
        }

        #[test]
        fn parts_are_the_whole(text in "([a-z]{1,20}|\n|😀|é| ){0,600}", max in 50_usize..300) {
            let parts = split(&text, max);
            prop_assert!(parts.iter().all(|p| length(p) <= max));
            let squash = |s: &str| s.chars().filter(|c| *c != '\n' && *c != ' ').collect::<String>();
            prop_assert_eq!(squash(&parts.concat()), squash(&text));
        }

        #[test]
        fn parts_close_their_blocks(text in "(```rust\n|```\n|`|words of text|\n){0,120}", max in 50_usize..300) {
            for part in split(&text, max) {
                prop_assert!(length(&part) <= max, "{}", part);
                prop_assert_eq!(part.matches("```").count() % 2, 0, "{}", part);
            }
        }
    }

    #[test]
    fn a_language_is_opened_again() {
        let text = format!("```rust\n{}\n```", "let x = 1;\n".repeat(20));
        let parts = split(&text, 100);
        assert!(parts.len() > 2);
        for part in &parts {
            assert!(part.starts_with("```rust\n") && part.ends_with("```"), "{part}");
        }
    }
}
