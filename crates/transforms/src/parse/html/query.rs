//! A CSS selector, in the forms that the two kinds of pages understand.

use scraper::Selector;

use super::flat;

/// A compiled CSS selector.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    css: String,
    pub(super) dom: Selector,
    /// Where it is simple enough for a flat page.
    pub(super) flat: Option<flat::select::Selector>,
}

impl Query {
    /// # Errors
    /// Says that, and why, the text is no selector.
    pub(crate) fn new(css: &str) -> Result<Self, String> {
        let css = css.trim();
        match Selector::parse(css) {
            Ok(dom) => Ok(Self { css: css.to_owned(), dom, flat: flat::select::Selector::parse(css) }),
            Err(error) => Err(format!("`{css}` is not a CSS selector: {}", reason(&error.to_string()))),
        }
    }

    /// The selector as it was written.
    pub(crate) fn css(&self) -> &str {
        &self.css
    }
}

/// The parser names the kinds of its own tokens; a person wants words.
fn reason(error: &str) -> String {
    match error {
        _ if error.contains("EmptySelector") || error.contains("DanglingCombinator") => {
            "something is missing at its end".to_owned()
        }
        _ if error.to_lowercase().contains("pseudo") => format!(
            "{error} (only `:not`, `:is`, `:where`, `:has`, `:empty`, `:root` and the `:nth-…`, `:first-…`, `:last-…`, `:only-…` families are known)"
        ),
        _ => error.to_owned(),
    }
}
