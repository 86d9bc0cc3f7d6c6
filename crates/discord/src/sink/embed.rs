//! Items as cards: a field for each field, within all the limits that Discord sets.

use pipeline_core::{ParsedItem, Record, RunContext, Value};
use twilight_model::channel::message::Embed;
use twilight_model::channel::message::embed::{EmbedField, EmbedFooter};
use twilight_model::util::Timestamp;

use crate::message::embed;
use crate::text::{cut, length, line, plain};

/// Discord's limits, with a margin where it counts differently from what it says.
const TITLE: usize = 250;
const FIELDS: usize = 25;
const NAME: usize = 250;
const VALUE: usize = 1000;
/// Of all texts of all cards of a message.
pub(crate) const TOTAL: usize = 5700;

const BLUE: u32 = 0x34_98_DB;

/// An item as a card.
pub(crate) fn item(item: &ParsedItem, run: &RunContext) -> Embed {
    let mut card = embed(BLUE, None);
    card.title = Some(cut(&format!("📊 New item on {}", line(item.topic.as_str())), TITLE).into_owned());
    card.url = link(&item.content);
    card.timestamp = Timestamp::from_secs(item.discovered_at.timestamp()).ok();
    let footer = format!("{} · {}", line(run.pipeline()), run.identity().run_id);
    card.footer =
        Some(EmbedFooter { icon_url: None, proxy_icon_url: None, text: cut(&footer, 300).into_owned() });
    let mut used = size(&card);
    let count = item.content.len();
    for (i, (name, value)) in item.content.iter().enumerate() {
        let field = EmbedField {
            inline: true,
            name: shown(cut(line(name).trim(), NAME).into_owned()),
            value: shown(plain(&text(value), VALUE / 2)),
        };
        let more = length(&field.name) + length(&field.value);
        // The last place is for saying how many are left out.
        let is_full = (card.fields.len() == FIELDS - 1 && i + 1 < count) || used + more > TOTAL / 2;
        if is_full {
            let value = format!("{} more", count - i);
            card.fields.push(EmbedField { inline: true, name: "…".into(), value });
            break;
        }
        used += more;
        card.fields.push(field);
    }
    card
}

/// The characters of a card that count.
pub(crate) fn size(card: &Embed) -> usize {
    let of = |text: &Option<String>| text.as_deref().map_or(0, length);
    let fields: usize = card.fields.iter().map(|f| length(&f.name) + length(&f.value)).sum();
    of(&card.title) + of(&card.description) + fields + card.footer.as_ref().map_or(0, |f| length(&f.text))
}

/// Discord refuses an empty field.
fn shown(text: String) -> String {
    if text.trim().is_empty() { "–".to_owned() } else { text }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) => text.to_string(),
        other => other.to_json(),
    }
}

/// The title links to where the item is, where the item says so.
fn link(content: &Record) -> Option<String> {
    let url = ["url", "link"].into_iter().find_map(|name| content.get_str(name))?;
    let fine = (url.starts_with("https://") || url.starts_with("http://")) && url.len() <= 2000;
    fine.then(|| url::Url::parse(url).ok()).flatten().map(String::from)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use pipeline_core::{RunIdentity, RunOptions};

    use super::*;

    #[test]
    fn any_item_fits() {
        let identity = RunIdentity {
            run_id: "r".repeat(500),
            pipeline: "p".repeat(100),
            job_id: "j".into(),
            scheduled_for: DateTime::UNIX_EPOCH,
            attempt: 1,
        };
        let run = RunContext::new(RunOptions::new(identity));
        for (fields, width) in [(0, 0), (1, 0), (25, 10), (26, 10), (40, 3000), (3, 9000)] {
            let content: Record = (0..fields)
                .map(|i| {
                    (format!("{}{i}", "n".repeat(width.min(400))), Value::from("😀*".repeat(width).as_str()))
                })
                .collect();
            let parsed = ParsedItem {
                topic: "t".repeat(400).as_str().into(),
                content,
                discovered_at: DateTime::UNIX_EPOCH,
            };
            let card = item(&parsed, &run);
            assert!(card.fields.len() <= 25 && size(&card) <= TOTAL, "{fields} {width}: {}", size(&card));
            for field in &card.fields {
                assert!(
                    (1..=256).contains(&length(&field.name)) && (1..=1024).contains(&length(&field.value))
                );
            }
            let tells = usize::from(card.fields.last().is_some_and(|f| f.name == "…"));
            assert_eq!(tells == 1, card.fields.len() - tells < fields, "{fields} {width}");
        }
    }
}
