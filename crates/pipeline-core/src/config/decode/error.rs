//! What a visitor says is wrong.

use std::fmt;

use serde::de;

use super::session::Place;

/// An error on its way from a visitor to the session.
#[derive(Debug)]
pub(super) struct DecodeError {
    pub(super) kind: ErrorKind,
    /// The innermost place that it came by.
    pub(super) place: Option<Place>,
}

#[derive(Debug)]
pub(super) enum ErrorKind {
    /// A field without which a struct cannot be.
    Missing(&'static str),
    /// Anything else.
    Wrong(String),
}

impl DecodeError {
    /// Sets the place, where none is known yet.
    pub(super) fn at(mut self, place: impl FnOnce() -> Place) -> Self {
        self.place.get_or_insert_with(place);
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ErrorKind::Missing(field) => write!(f, "`{field}` is missing"),
            ErrorKind::Wrong(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { kind: ErrorKind::Wrong(message.to_string()), place: None }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = in_plain_words(&expected.to_string());
        Self::custom(format_args!("expected {expected}, found {}", Found(found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { kind: ErrorKind::Missing(field), place: None }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(unknown("value", variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(unknown("key", field, expected))
    }
}

/// What standard visitors expect, in the words of the file.
fn in_plain_words(expected: &str) -> String {
    let words = match expected {
        "a string" | "string" | "str" => "a text",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "unit" => "nothing",
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "i128" | "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "isize" => {
            "a whole number"
        }
        other if other.starts_with("a nonzero") => "a whole number other than 0",
        other if other.starts_with("struct ") => "a map",
        other => other,
    };
    words.to_owned()
}

/// `unknown key `colour`, did you mean `color`?`, or the list of those that are known.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let list = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match (crate::suggest::nearest(name, known.iter().copied()), known) {
        (Some(near), _) => format!("unknown {what} `{name}`, did you mean `{near}`?"),
        (None, []) => format!("unknown {what} `{name}`: none is known here"),
        (None, [one]) => format!("unknown {what} `{name}`: only `{one}` is known here"),
        (None, _) => format!("unknown {what} `{name}` (known: {})", list()),
    }
}

/// What was found, in the words of the file.
struct Found<'a>(de::Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            de::Unexpected::Bool(value) => write!(f, "`{value}`"),
            de::Unexpected::Unsigned(number) => write!(f, "the number {number}"),
            de::Unexpected::Signed(number) => write!(f, "the number {number}"),
            de::Unexpected::Float(number) => write!(f, "the number {number}"),
            de::Unexpected::Str(text) => write!(f, "the text `{text}`"),
            de::Unexpected::Unit | de::Unexpected::Option => f.write_str("nothing"),
            de::Unexpected::Seq => f.write_str("a list"),
            de::Unexpected::Map => f.write_str("a map"),
            other => write!(f, "{other}"),
        }
    }
}
