//! Lists in pages that always fit into a message.

use twilight_model::channel::message::component::ButtonStyle;

use super::custom_id::{Button, List};
use crate::message::{Message, button};
use crate::text::length;

/// Lines on a page, at most.
const LINES: usize = 10;
/// Characters on a page, at most; the heading has its own room.
const CHARACTERS: usize = 1700;

/// Shows one page of a list. A page that does not exist (any more) is the last one.
pub(crate) fn page(heading: &str, lines: &[String], page: usize, owner: u64, list: &List) -> Message {
    let pages = split(lines);
    let shown = page.min(pages.len().saturating_sub(1));
    let body = pages.get(shown).map(|range| lines[range.clone()].join("\n")).unwrap_or_default();
    if pages.len() < 2 {
        return Message::new(format!("{heading}\n{body}"));
    }
    let go = |label: &str, to: usize, off: bool| {
        let id = Button::Page { list: list.clone(), page: to, owner }.to_string();
        button(ButtonStyle::Secondary, label, id, off)
    };
    let last = pages.len() - 1;
    // The two ids must differ even where both point at the same page.
    let buttons = vec![go("◀", shown.wrapping_sub(1), shown == 0), go("▶", shown + 1, shown == last)];
    Message::new(format!("{heading} · page {} of {}\n{body}", shown + 1, pages.len())).with_buttons(buttons)
}

fn split(lines: &[String]) -> Vec<std::ops::Range<usize>> {
    let mut pages = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (i, line) in lines.iter().enumerate() {
        let n = length(line) + 1;
        if i > start && (i - start == LINES || used + n > CHARACTERS) {
            pages.push(start..i);
            (start, used) = (i, 0);
        }
        used += n;
    }
    if start < lines.len() {
        pages.push(start..lines.len());
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_on_exactly_one_page() {
        for (count, width) in [(0, 1), (1, 10), (10, 10), (11, 10), (200, 10), (25, 300), (3, 1699)] {
            let lines: Vec<String> = (0..count).map(|i| format!("{i:width$}")).collect();
            let mut seen = Vec::new();
            let pages = split(&lines).len().max(1);
            for n in 0..pages {
                let message = page("Jobs", &lines, n, u64::MAX, &List::Jobs);
                assert!(length(&message.content) <= 2000);
                assert_eq!(message.components.is_empty(), pages == 1);
                seen.extend(message.content.lines().skip(1).filter(|l| !l.is_empty()).map(str::to_owned));
            }
            assert_eq!(seen, lines, "{count} lines of {width}");
            assert_eq!(
                page("Jobs", &lines, 9999, 1, &List::Jobs),
                page("Jobs", &lines, pages - 1, 1, &List::Jobs)
            );
        }
    }
}
