//! Text for Discord: lengths as it counts them, and nothing that its markup would act upon.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// The length of a text as Discord's strictest counters see it: UTF-16 code units.
pub(crate) fn length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// The longest beginning of a text that is not longer than `max`; never within a character.
pub(crate) fn beginning(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.len_utf16();
        if used > max {
            return &text[..at];
        }
    }
    text
}

/// A text cut to `max`, with an ellipsis where something was cut.
pub(crate) fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if length(text) <= max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", beginning(text, max.saturating_sub(1)).trim_end()))
}

/// A text on one line, without control characters and without the marks that turn text around.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// A text that is shown as it is: no markup, no mention, one line, at most `max` before escaping.
pub(crate) fn plain(text: &str, max: usize) -> String {
    let text = line(text);
    let mut out = String::with_capacity(text.len() + 8);
    for c in cut(&text, max).chars() {
        if matches!(
            c,
            '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '#' | '[' | ']' | '(' | ')' | '<' | '@' | ':'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A name as inline code, which nothing in it can end; at most `max` inside.
pub(crate) fn code(text: &str, max: usize) -> String {
    let text = line(text).replace('`', "ˋ");
    let text = cut(&text, max);
    if text.trim().is_empty() { "` `".to_owned() } else { format!("`{text}`") }
}

/// JSON inside a code block: backticks that could end the block are written as `\u0060`, so that it stays the same JSON.
pub(crate) fn json_in_block(json: &str) -> Cow<'_, str> {
    if json.contains("``") { Cow::Owned(json.replace("``", "`\\u0060")) } else { Cow::Borrowed(json) }
}

/// An instant as each reader's own "in 5 minutes".
pub(crate) fn relative(at: DateTime<Utc>) -> String {
    format!("<t:{}:R>", at.timestamp())
}

/// An instant as each reader's own date and time.
pub(crate) fn full(at: DateTime<Utc>) -> String {
    format!("<t:{}:F>", at.timestamp())
}

/// A duration for people: `850 ms`, `12.3 s`, `4 min 5 s`, `2 h 3 min`, `3 d 4 h`.
pub(crate) fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_never_within_a_character() {
        assert_eq!(beginning("aé😀b", 3), "aé");
        assert_eq!(beginning("aé😀b", 4), "aé😀");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(length("a😀"), 3);
    }

    #[test]
    fn nothing_escapes() {
        assert_eq!(plain("**x** @everyone <@1>\n", 100).trim_end(), r"\*\*x\*\* \@everyone \<\@1\>");
        assert_eq!(code("a`b\nc", 100), "`aˋb c`");
        assert_eq!(code("", 10), "` `");
        assert!(!json_in_block("x ``` y `````").contains("``"));
        assert_eq!(line("a\u{202e}b\u{7}c"), "ab c");
    }

    #[test]
    fn durations() {
        let table = [(850, "850 ms"), (12_340, "12.3 s"), (245_000, "4 min 5 s"), (7_380_000, "2 h 3 min")];
        for (ms, expected) in table {
            assert_eq!(took(Duration::from_millis(ms)), expected);
        }
    }
}
