//! What a scalar is worth for the type that its place asks for.

use super::source::Source;
use crate::config::node::{Kind, Node, Text};
use crate::redact::REDACTED;

/// A node in the words of a message.
pub(in crate::config) fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "nothing".to_owned(),
        Kind::Bool(value) => format!("`{value}`"),
        Kind::Int(number) => format!("the number {number}"),
        Kind::Float(number) => format!("the number {number}"),
        Kind::Text(text) => format!("the text `{}`", show(text)),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a map".to_owned(),
    }
}

pub(super) fn is_secret(node: &Node) -> bool {
    matches!(&node.kind, Kind::Text(Text { secret: true, .. }))
}

fn show(text: &Text) -> String {
    if text.secret {
        return REDACTED.to_owned();
    }
    let mut shown: String = text.value.chars().take(60).collect();
    if shown.len() < text.value.len() {
        shown.push('…');
    }
    shown
}

/// The message for a node that is not what was expected.
pub(super) fn unfit(node: &Node, expected: &str) -> String {
    format!("expected {expected}, found {}", describe(node))
}

/// `true` and `false`. Without quotes also `yes`, `no`, `on` and `off`, which YAML 1.1 took for booleans;
/// from a variable `1` and `0` too.
pub(super) fn boolean(source: &Source<'_>) -> Result<bool, String> {
    let node = source.node;
    let wrong = || Err(unfit(node, "`true` or `false`"));
    match &node.kind {
        Kind::Bool(value) => Ok(*value),
        Kind::Text(text) if text.substituted => match text.value.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => wrong(),
        },
        Kind::Text(text) if text.plain => match text.value.to_ascii_lowercase().as_str() {
            "yes" | "on" => Ok(true),
            "no" | "off" => Ok(false),
            _ => wrong(),
        },
        Kind::Text(text) if matches!(text.value.as_str(), "true" | "false") => {
            Err(format!("{} (leave out the quotes)", unfit(node, "`true` or `false`")))
        }
        _ => wrong(),
    }
}

/// Integer types, with the range that a message names.
pub(super) trait Integer: TryFrom<i128> {
    const RANGE: (i128, i128);
}

macro_rules! integers {
    ($($int:ident)*) => {$(
        impl Integer for $int {
            const RANGE: (i128, i128) = {
                let max = if $int::BITS == 128 { i128::MAX } else { $int::MAX as i128 };
                ($int::MIN as i128, max)
            };
        }
    )*};
}
integers!(i8 i16 i32 i64 i128 u8 u16 u32 u64 u128);

/// A whole number.
pub(super) fn integer<T: Integer>(source: &Source<'_>) -> Result<T, String> {
    let node = source.node;
    let wrong = || unfit(node, "a whole number");
    let number = match &node.kind {
        Kind::Int(number) => *number,
        Kind::Float(number) => whole(*number).ok_or_else(wrong)?,
        Kind::Text(text) if text.substituted => {
            let trimmed = text.value.trim();
            trimmed.parse().ok().or_else(|| whole(trimmed.parse().ok()?)).ok_or_else(wrong)?
        }
        Kind::Text(text) if text.value.parse::<i128>().is_ok() => {
            return Err(format!("{} (leave out the quotes)", wrong()));
        }
        _ => return Err(wrong()),
    };
    T::try_from(number).map_err(|_| {
        let (min, max) = T::RANGE;
        let shown = if is_secret(node) { REDACTED.to_owned() } else { number.to_string() };
        match number {
            ..0 if min == 0 => format!("{shown} is out of range: it must not be negative"),
            _ => format!("{shown} is out of range ({min} to {max})"),
        }
    })
}

/// A float without a fraction, such as `1e6`, as a whole number.
fn whole(number: f64) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128)
}

/// A number.
pub(super) fn float(source: &Source<'_>) -> Result<f64, String> {
    let node = source.node;
    match &node.kind {
        #[expect(clippy::cast_precision_loss, reason = "that is what a float is")]
        Kind::Int(number) => Ok(*number as f64),
        Kind::Float(number) => Ok(*number),
        Kind::Text(text) if text.substituted => {
            text.value.trim().parse().map_err(|_| unfit(node, "a number"))
        }
        Kind::Text(text) if text.value.parse::<f64>().is_ok() => {
            Err(format!("{} (leave out the quotes)", unfit(node, "a number")))
        }
        _ => Err(unfit(node, "a number")),
    }
}

/// A number of single precision.
pub(super) fn float32(source: &Source<'_>) -> Result<f32, String> {
    #[expect(clippy::cast_possible_truncation, reason = "that is what single precision is")]
    float(source).map(|number| number as f32)
}

/// A text. A number or boolean is one only where it is one of many, and then as the file spells it.
pub(super) fn text<'a>(source: &Source<'a>) -> Result<&'a str, String> {
    let node = source.node;
    match &node.kind {
        Kind::Text(text) => Ok(&text.value),
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) if source.one_of_many => Ok(&node.written),
        Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
            Err(format!("{} (put it in quotes)", unfit(node, "a text")))
        }
        _ => Err(unfit(node, "a text")),
    }
}

/// A text as bytes.
pub(super) fn bytes<'a>(source: &Source<'a>) -> Result<&'a [u8], String> {
    text(source).map(str::as_bytes)
}

/// A single character.
pub(super) fn character(source: &Source<'_>) -> Result<char, String> {
    let mut chars = text(source)?.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(c),
        _ => Err(unfit(source.node, "a single character")),
    }
}
