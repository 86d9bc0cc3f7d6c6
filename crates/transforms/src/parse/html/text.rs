//! The text of an element as a person reads it.

/// Folds white space, as the text comes piece by piece.
#[derive(Default)]
pub(super) struct Folded {
    text: String,
    /// Whether white space has come since the last character.
    gap: bool,
}

impl Folded {
    /// Text as it stands in the page.
    pub(super) fn push(&mut self, text: &str) {
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            self.gap |= start > 0;
            if self.gap && !self.text.is_empty() {
                self.text.push(' ');
            }
            self.gap = false;
            let word = &rest[start..];
            let end = word.find(char::is_whitespace).unwrap_or(word.len());
            self.text.push_str(&word[..end]);
            rest = &word[end..];
        }
        self.gap |= !rest.is_empty();
    }

    /// The edge of something that stands on lines of its own.
    pub(super) fn edge(&mut self) {
        self.gap = true;
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// Whether the element's content is no text of the page: code, or what is shown only elsewhere.
pub(super) fn is_code(tag: &str) -> bool {
    matches!(tag, "script" | "style" | "noscript" | "template" | "iframe" | "noembed" | "noframes")
}

/// Whether the element stands on lines of its own, so that its text does not run into that around it.
pub(super) fn is_block(tag: &str) -> bool {
    matches!(
        tag,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "br"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "dialog"
            | "dir"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "head"
            | "header"
            | "hgroup"
            | "hr"
            | "html"
            | "legend"
            | "li"
            | "listing"
            | "main"
            | "menu"
            | "nav"
            | "ol"
            | "optgroup"
            | "option"
            | "p"
            | "plaintext"
            | "pre"
            | "search"
            | "section"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "title"
            | "tr"
            | "ul"
            | "xmp"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_folded_over_pieces() {
        let cases: [(&[&str], &str); 6] = [
            (&["  a \n b\u{a0}\tc  "], "a b c"),
            (&["a", "b"], "ab"),
            (&["a ", " b"], "a b"),
            (&["a", "|", "b", "|"], "a b"),
            (&["", " ", "|", ""], ""),
            (&["\u{e9}\u{3000}\u{e9}"], "\u{e9} \u{e9}"),
        ];
        for (pieces, expected) in cases {
            let mut folded = Folded::default();
            for piece in pieces {
                if *piece == "|" { folded.edge() } else { folded.push(piece) }
            }
            assert_eq!(folded.finish(), expected, "{pieces:?}");
        }
    }
}
