//! The text that is written in a page, with what its references stand for.

use std::borrow::Cow;

use scraper::Html;

/// Text between tags.
pub(super) fn text(written: &str) -> Cow<'_, str> {
    decode(written, || {
        // Rare names, and names without their semicolon, are left to the whole machinery. What stands
        // between two tags stands for the same in a title.
        Html::parse_document(&format!("<!doctype html><title>{written}</title>"))
            .root_element()
            .text()
            .collect()
    })
}

/// The value of an attribute.
pub(super) fn attribute(written: &str) -> Cow<'_, str> {
    decode(written, || {
        let quote = if written.contains('"') { '\'' } else { '"' };
        let page = Html::parse_document(&format!("<!doctype html><html x={quote}{written}{quote}>"));
        page.root_element().attr("x").unwrap_or_default().to_owned()
    })
}

fn decode(written: &str, whole: impl FnOnce() -> String) -> Cow<'_, str> {
    let Some(first) = memchr::memchr2(b'&', b'\r', written.as_bytes()) else { return Cow::Borrowed(written) };
    let mut text = String::with_capacity(written.len());
    text.push_str(&written[..first]);
    let mut rest = &written[first..];
    while let Some(at) = memchr::memchr2(b'&', b'\r', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('\r') {
            text.push('\n');
            rest = after.strip_prefix('\n').unwrap_or(after);
            continue;
        }
        let after = &rest[1..];
        if !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '#') {
            text.push('&');
            rest = after;
            continue;
        }
        let Some((character, length)) = reference(after) else { return Cow::Owned(whole()) };
        text.push(character);
        rest = &after[length..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character that a common reference stands for, and its length without the ampersand.
fn reference(after: &str) -> Option<(char, usize)> {
    let end = after.bytes().take(10).position(|byte| byte == b';')?;
    let name = &after[..end];
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "copy" => '\u{a9}',
        "reg" => '\u{ae}',
        "trade" => '\u{2122}',
        "pound" => '\u{a3}',
        "euro" => '\u{20ac}',
        "yen" => '\u{a5}',
        "cent" => '\u{a2}',
        "mdash" => '\u{2014}',
        "ndash" => '\u{2013}',
        "hellip" => '\u{2026}',
        "laquo" => '\u{ab}',
        "raquo" => '\u{bb}',
        "lsquo" => '\u{2018}',
        "rsquo" => '\u{2019}',
        "ldquo" => '\u{201c}',
        "rdquo" => '\u{201d}',
        "bull" => '\u{2022}',
        "middot" => '\u{b7}',
        "times" => '\u{d7}',
        "deg" => '\u{b0}',
        "aring" => '\u{e5}',
        "auml" => '\u{e4}',
        "ouml" => '\u{f6}',
        "uuml" => '\u{fc}',
        "eacute" => '\u{e9}',
        "egrave" => '\u{e8}',
        "szlig" => '\u{df}',
        _ => numeric(name.strip_prefix('#')?)?,
    };
    Some((character, end + 1))
}

/// A character by its number, but for those that stand for others.
fn numeric(digits: &str) -> Option<char> {
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok()?,
        None if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    if code < 0x20 || (0x7f..0xa0).contains(&code) {
        return None;
    }
    char::from_u32(code)
}

/// What a selector finds, in the whole machinery: for the comparison in tests.
#[cfg(test)]
pub(super) fn whole(html: &str, css: &str) -> Vec<String> {
    let page = Html::parse_document(html);
    let selector = scraper::Selector::parse(css).unwrap();
    let root = page.root_element();
    let found = selector.matches(&root).then_some(root).into_iter().chain(root.select(&selector));
    found.map(|element| format!("{} {:?}", element.value().name(), element.attr("id"))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn machinery(text: &str) -> String {
        Html::parse_document(&format!("<!doctype html><title>{text}</title>")).root_element().text().collect()
    }

    #[test]
    fn references_are_decoded() {
        let cases = [
            ("a", "a"),
            ("a &amp; b", "a & b"),
            ("&lt;&gt;&quot;&#39;&#x41;&#X42;&nbsp;", "<>\"'AB\u{a0}"),
            ("&hellip;&eacute;&Eacute;&notin;", "\u{2026}\u{e9}\u{c9}\u{2209}"),
            ("a & b &", "a & b &"),
            ("&amp &ampx; &nope; &;", "& &x; &nope; &;"),
            ("&#128;&#0;&#xD800;&#x110000;&#;&#x;", "\u{20ac}\u{fffd}\u{fffd}\u{fffd}&#;&#x;"),
            ("a\r\nb\rc", "a\nb\nc"),
        ];
        for (written, expected) in cases {
            assert_eq!(text(written), expected, "{written}");
            assert_eq!(machinery(written), expected, "{written}");
        }
        assert_eq!(attribute("?a=1&copy=2&amp;x='&quot;"), "?a=1&copy=2&x='\"");
        assert_eq!(attribute("\"&eacute"), "\"\u{e9}");
    }

    proptest! {
        #[test]
        fn text_is_what_the_machinery_makes_of_it(written in "([a-z #&;x0-9\r\n]|&(amp|lt|nbsp|eacute|notit|#[0-9]{1,7}|#x[0-9a-f]{1,6});?){0,12}") {
            prop_assert_eq!(text(&written).into_owned(), machinery(&written));
        }
    }
}
