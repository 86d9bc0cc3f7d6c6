//! "Did you mean": the nearest of a few known words.

/// The candidate that is nearest to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: String = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let length = wanted.chars().count();
    let limit = match length {
        0 => return None,
        1..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        // Words of another length are never near; comparing them costs most.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (strsim::osa_distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `text` for a message: at most 40 characters, control characters shown as escapes.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(40).flat_map(shown_char).collect();
    if text.chars().nth(40).is_some() {
        out.push('…');
    }
    out
}

fn shown_char(c: char) -> impl Iterator<Item = char> {
    let escape = c.is_control() || (c.is_whitespace() && c != ' ');
    let (plain, escaped) = if escape { (None, Some(c.escape_unicode())) } else { (Some(c), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_near_words_only() {
        let units = ["weeks", "days", "hours"];
        assert_eq!(nearest("hour", units), Some("hours"));
        assert_eq!(nearest("Dyas", units), Some("days"));
        assert_eq!(nearest("fortnight", units), None);
        assert_eq!(nearest("", units), None);
    }

    #[test]
    fn shown_text_is_short_and_printable() {
        assert_eq!(shown("a\n\u{a0}b"), "a\\u{a}\\u{a0}b");
        assert_eq!(shown(&"x".repeat(50)), format!("{}…", "x".repeat(40)));
    }
}
