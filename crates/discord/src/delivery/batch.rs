//! Messages of one target, put together: several in one, up to ten cards in one, or all in a file.

use std::fmt::Write;

use twilight_model::channel::message::Embed;

use crate::http::Upload;
use crate::message::{Message, NO_PREVIEWS};
use crate::outbox::{MessageId, StoredMessage};
use crate::sink::{Form, Payload};
use crate::text::{code, cut, length, line, plain};

/// More messages than this become a file.
const MESSAGES: usize = 5;
/// Cards in a message.
const CARDS: usize = 10;
/// Characters of all cards of a message.
const CARD_TEXT: usize = 5700;
/// Bytes of a file; Discord takes 10 MiB.
const FILE: usize = 8 * 1024 * 1024;

/// What is sent as one message.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) ids: Vec<MessageId>,
    pub(crate) message: Message,
    pub(crate) file: Option<Upload>,
}

/// A stored message that could be read.
struct Part<'a> {
    stored: &'a StoredMessage,
    payload: Payload,
}

/// What to do with claimed messages.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// In this order; a sealed batch is one.
    pub(crate) batches: Vec<Batch>,
    /// Messages that cannot be read, and why.
    pub(crate) unreadable: Vec<(MessageId, String)>,
}

/// Plans never-sent messages: the stages' own order stays, and only neighbours of one stage are put together.
pub(crate) fn plan(messages: &[StoredMessage]) -> Plan {
    let (parts, unreadable) = read(messages);
    let mut batches = Vec::new();
    let mut rest = parts.as_slice();
    while let Some(first) = rest.first() {
        let same = |part: &Part<'_>| {
            let origin = (&part.stored.pipeline, &part.stored.stage);
            origin == (&first.stored.pipeline, &first.stored.stage)
                && kind(&part.payload) == kind(&first.payload)
        };
        let count = rest.iter().take_while(|part| same(part)).count();
        let (group, others) = rest.split_at(count);
        batches.extend(group_batches(group));
        rest = others;
    }
    Plan { batches, unreadable }
}

/// Rebuilds a sealed batch, exactly as it was.
pub(crate) fn rebuild(messages: &[StoredMessage]) -> Plan {
    let (parts, unreadable) = read(messages);
    let batches = if parts.is_empty() { Vec::new() } else { vec![one(&parts)] };
    Plan { batches, unreadable }
}

fn read(messages: &[StoredMessage]) -> (Vec<Part<'_>>, Vec<(MessageId, String)>) {
    let mut parts = Vec::with_capacity(messages.len());
    let mut unreadable = Vec::new();
    for stored in messages {
        match Payload::parse(&stored.payload) {
            Ok(payload) => parts.push(Part { stored, payload }),
            Err(why) => unreadable.push((stored.id, why)),
        }
    }
    (parts, unreadable)
}

#[derive(PartialEq, Eq)]
enum Kind {
    Text { own: bool },
    Embed,
    File,
}

fn kind(payload: &Payload) -> Kind {
    match &payload.form {
        Form::Text(_) => Kind::Text { own: payload.own_text },
        Form::Embed(_) => Kind::Embed,
        Form::File(_) => Kind::File,
    }
}

fn group_batches(group: &[Part<'_>]) -> Vec<Batch> {
    let messages = pack(group);
    if messages.len() <= MESSAGES || matches!(group[0].payload.form, Form::File(_)) {
        return messages.into_iter().map(one).collect();
    }
    // Too many for the channel: everything goes into files, as few as possible.
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, part) in group.iter().enumerate() {
        let size = file_text(part).len() + 2;
        if i > start && bytes + size > FILE {
            batches.push(one(&group[start..i]));
            (start, bytes) = (i, 0);
        }
        bytes += size;
    }
    batches.push(one(&group[start..]));
    batches
}

/// As few messages as possible, in order.
fn pack<'a, 'b>(group: &'b [Part<'a>]) -> Vec<&'b [Part<'a>]> {
    let mut messages = Vec::new();
    let mut start = 0;
    for end in 1..=group.len() {
        if end - start > 1 && !fits(&group[start..end]) {
            messages.push(&group[start..end - 1]);
            start = end - 1;
        }
    }
    if start < group.len() {
        messages.push(&group[start..]);
    }
    messages
}

/// Whether messages can be one message.
fn fits(parts: &[Part<'_>]) -> bool {
    let max_length = parts.iter().map(|p| p.payload.max_length).min().unwrap_or(0);
    let (mut text, mut cards, mut card_text, mut files) = (0, 0, 0, 0);
    for part in parts {
        match &part.payload.form {
            Form::Text(t) => text += length(t) + 1,
            Form::Embed(card) => {
                cards += 1;
                card_text += card_size(card);
            }
            Form::File(_) => files += 1,
        }
    }
    // Between two texts there is a line end, and after the last there is none.
    text <= max_length + 1 && cards <= CARDS && card_text <= CARD_TEXT && (files == 0 || parts.len() == 1)
}

fn card_size(card: &Embed) -> usize {
    let of = |text: &Option<String>| text.as_deref().map_or(0, length);
    let fields: usize = card.fields.iter().map(|f| length(&f.name) + length(&f.value)).sum();
    of(&card.title) + of(&card.description) + fields + card.footer.as_ref().map_or(0, |f| length(&f.text))
}

/// One message of these parts. It depends on nothing else, so that a sealed batch is always the same.
fn one(parts: &[Part<'_>]) -> Batch {
    let ids = parts.iter().map(|part| part.stored.id).collect();
    if !fits(parts) || matches!(parts[0].payload.form, Form::File(_)) {
        let (message, file) = as_file(parts);
        return Batch { ids, message, file: Some(file) };
    }
    let mut texts = Vec::new();
    let mut cards = Vec::new();
    for part in parts {
        match &part.payload.form {
            Form::Text(text) | Form::File(text) => texts.push(text.as_str()),
            Form::Embed(card) => cards.push((**card).clone()),
        }
    }
    let mut message = Message::new(texts.join("\n"));
    // Discord hides cards, too, where previews are off.
    message.flags = if cards.is_empty() { NO_PREVIEWS } else { 0 };
    message.embeds = cards;
    Batch { ids, message, file: None }
}

/// What a file holds of a message.
fn file_text<'a>(part: &'a Part<'_>) -> &'a str {
    match &part.payload.form {
        Form::Text(text) | Form::File(text) if part.payload.own_text => text,
        _ => &part.payload.item,
    }
}

fn as_file(parts: &[Part<'_>]) -> (Message, Upload) {
    let own = parts[0].payload.own_text;
    let texts: Vec<&str> = parts.iter().map(file_text).filter(|text| !text.is_empty()).collect();
    // An item that became several messages is still one.
    let count = parts.iter().filter(|part| !part.payload.item.is_empty()).count().max(1);
    let (name, mime, separator) = if own {
        ("messages.txt", "text/plain; charset=utf-8", "\n\n")
    } else {
        ("items.jsonl", "application/x-ndjson", "\n")
    };
    let origin = parts[0].stored;
    let mut text = format!(
        "📊 **{count} new item{}** from {}, in the file",
        if count == 1 { "" } else { "s" },
        code(&origin.pipeline, 100)
    );
    if own && count == 1 {
        let first = line(texts.first().copied().unwrap_or_default());
        // Writing to a string cannot fail.
        write!(text, "\n{}", plain(cut(first.trim(), 200).as_ref(), 200)).ok();
    }
    let mut message = Message::new(text);
    message.flags = NO_PREVIEWS;
    let mut bytes = texts.join(separator);
    bytes.push('\n');
    (message, Upload { name: name.into(), mime, bytes: bytes.into() })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::message::embed;

    fn stored(id: i64, stage: &str, payload: &Payload) -> StoredMessage {
        StoredMessage {
            id: MessageId(id),
            pipeline: "books".into(),
            stage: stage.into(),
            target: "channel:1".into(),
            payload: payload.to_json().unwrap(),
            sealed: None,
            attempts: 0,
            error: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn text(n: usize) -> Payload {
        Payload {
            form: Form::Text("x".repeat(n)),
            max_length: 1900,
            item: format!("{{\"n\":{n}}}"),
            own_text: false,
        }
    }

    /// The sizes of the batches; a file counts negative.
    fn sizes(messages: &[StoredMessage]) -> Vec<i64> {
        let plan = plan(messages);
        assert!(plan.unreadable.is_empty());
        let ids: Vec<i64> = plan.batches.iter().flat_map(|b| b.ids.iter().map(|id| id.0)).collect();
        assert_eq!(ids, messages.iter().map(|m| m.id.0).collect::<Vec<_>>(), "nothing is dropped or moved");
        for batch in &plan.batches {
            assert!(length(&batch.message.content) <= 1900 && batch.message.embeds.len() <= 10);
        }
        let size = |b: &Batch| i64::try_from(b.ids.len()).unwrap() * if b.file.is_some() { -1 } else { 1 };
        plan.batches.iter().map(size).collect()
    }

    #[test]
    fn texts_are_put_together_up_to_the_length() {
        let of = |lengths: &[usize]| -> Vec<StoredMessage> {
            lengths.iter().enumerate().map(|(i, n)| stored(i as i64, "2", &text(*n))).collect()
        };
        let table: [(&[usize], &[i64]); 7] = [
            (&[], &[]),
            (&[900, 900, 98], &[3]),
            (&[900, 900, 99], &[2, 1]),
            (&[1900, 1900, 1900, 1900, 1900], &[1, 1, 1, 1, 1]),
            (&[1900, 1900, 1900, 1900, 1900, 1], &[-6]),
            (&[10; 500], &[172, 172, 156]),
            (&[50; 500], &[-500]),
        ];
        for (lengths, expected) in table {
            assert_eq!(sizes(&of(lengths)), expected, "{} texts", lengths.len());
        }
    }

    #[test]
    fn stages_are_not_mixed() {
        let all = [stored(1, "2", &text(10)), stored(2, "3", &text(10)), stored(3, "2", &text(10))];
        assert_eq!(sizes(&all), [1, 1, 1]);
    }

    #[test]
    fn cards_are_put_together() {
        let card = |n: usize| Payload {
            form: Form::Embed(Box::new(embed(1, Some("x".repeat(n))))),
            max_length: 1900,
            item: "{}".into(),
            own_text: false,
        };
        let of = |count: i64, n: usize| (0..count).map(|i| stored(i, "2", &card(n))).collect::<Vec<_>>();
        assert_eq!(sizes(&of(10, 100)), [10]);
        assert_eq!(sizes(&of(11, 100)), [10, 1]);
        assert_eq!(sizes(&of(3, 2000)), [2, 1]);
        assert_eq!(sizes(&of(51, 10)), [-51]);
    }

    #[test]
    fn a_file_holds_everything_and_a_sealed_batch_is_rebuilt_the_same() {
        let all: Vec<StoredMessage> = (0..300).map(|i| stored(i, "2", &text(1000 + i as usize))).collect();
        let plan = plan(&all);
        let file = plan.batches[0].file.clone().unwrap();
        let lines: Vec<&str> = std::str::from_utf8(&file.bytes).unwrap().lines().collect();
        assert_eq!((lines.len(), lines[299]), (300, "{\"n\":1299}"));
        assert!(plan.batches[0].message.content.contains("300 new items"));
        let again = rebuild(&all);
        assert_eq!(again.batches[0].file.as_ref().unwrap().bytes, file.bytes);
        assert_eq!(again.batches[0].message, plan.batches[0].message);
        let few = &all[..1];
        assert_eq!(rebuild(few).batches[0].message, super::plan(few).batches[0].message);
    }

    #[test]
    fn what_cannot_be_read_does_not_hold_up_the_rest() {
        let mut all = vec![stored(1, "2", &text(10)), stored(2, "2", &text(10))];
        all[0].payload = "{\"from\": \"the future\"}".into();
        let plan = plan(&all);
        assert_eq!((plan.batches.len(), plan.unreadable[0].0), (1, MessageId(1)));
    }
}
