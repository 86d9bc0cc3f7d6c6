//! From the text of a cell, an attribute or an element to a typed value.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat};
use pipeline_core::Value;
use serde::Deserialize;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FieldType {
    /// Text as it is.
    #[default]
    String,
    /// A whole number of any size; spaces and thousands separators are dropped.
    Integer,
    /// A number; spaces and thousands separators are dropped.
    Number,
    /// true/false, yes/no, 1/0.
    Boolean,
    /// JSON text, parsed.
    Json,
    /// A date, or a date and time: it becomes ISO 8601.
    Datetime,
}

impl FieldType {
    /// The name as a message says it, with its article.
    pub(crate) fn article(self) -> &'static str {
        match self {
            Self::String => "text",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "a boolean (true/false, yes/no, 1/0)",
            Self::Json => "JSON",
            Self::Datetime => "a date",
        }
    }
}

/// Converts a text. With `decimal_comma` numbers are written `1.234,56`, else `1,234.56`.
///
/// # Errors
/// Says that, and often why, the text is none of this type.
pub(crate) fn convert(text: &str, wanted: FieldType, decimal_comma: bool) -> Result<Value, String> {
    let trimmed = trim(text);
    let converted = match wanted {
        FieldType::String => return Ok(Value::from(text)),
        FieldType::Integer => integer(trimmed, decimal_comma),
        FieldType::Number => number(trimmed, decimal_comma),
        FieldType::Boolean => boolean(trimmed),
        FieldType::Json => return json(trimmed),
        FieldType::Datetime => datetime(trimmed),
    };
    converted.ok_or_else(|| {
        let hint = match wanted {
            FieldType::Integer | FieldType::Number if number(trimmed, !decimal_comma).is_some() => {
                if decimal_comma {
                    "; it is one without `decimal_comma`"
                } else {
                    "; it is one with `decimal_comma: true`"
                }
            }
            FieldType::Integer if number(trimmed, decimal_comma).is_some() => "; it is a `number`",
            FieldType::Datetime if is_ambiguous_date(trimmed) => {
                "; whether day or month comes first cannot be told: turn it round with a `regex` or `map.Map`"
            }
            _ => "",
        };
        format!("`{}` is not {}{hint}", excerpt(text), wanted.article())
    })
}

/// Strips white space of every kind, no-break spaces and byte order marks at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'))
}

/// A text cut to what a message can bear.
pub(crate) fn excerpt(text: &str) -> std::borrow::Cow<'_, str> {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => text.into(),
        Some((at, _)) => format!("{}…", &text[..at]).into(),
    }
}

fn boolean(text: &str) -> Option<Value> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["true", "yes", "1"]) {
        Some(Value::Bool(true))
    } else if is(["false", "no", "0"]) {
        Some(Value::Bool(false))
    } else {
        None
    }
}

fn json(text: &str) -> Result<Value, String> {
    let mut reader = crate::json::JsonReader::new(text.as_bytes());
    let wrong = |why: String| format!("`{}` is not JSON: {why}", excerpt(text));
    let value = reader.next_value().map_err(|error| wrong(error.to_string()))?;
    let value = value.ok_or_else(|| wrong("it is empty".to_owned()))?;
    match reader.next_value() {
        Ok(None) => Ok(value),
        _ => Err(wrong("something follows the value".to_owned())),
    }
}

fn integer(text: &str, decimal_comma: bool) -> Option<Value> {
    let plain = plain_number(text, decimal_comma)?;
    if plain.contains(['e', 'E']) {
        return None;
    }
    let whole = match plain.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => &plain,
    };
    Value::number(whole)
}

fn number(text: &str, decimal_comma: bool) -> Option<Value> {
    let plain = plain_number(text, decimal_comma)?;
    match Value::number(&plain)? {
        // Whether a price happens to be round must not change the type of its column.
        Value::Int(number) if number.unsigned_abs() < 1 << 53 => Some(Value::Float(number as f64)),
        other => Some(other),
    }
}

/// The text as JSON writes numbers, where it is one: sign, digits, point, fraction, exponent.
fn plain_number(text: &str, decimal_comma: bool) -> Option<String> {
    let (point, comma) = if decimal_comma { (',', '.') } else { ('.', ',') };
    let (negative, rest) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once(point) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = without_separators(whole, comma)?;
    let fraction = fraction.unwrap_or_default();
    if !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut plain = String::with_capacity(text.len() + 1);
    if negative {
        plain.push('-');
    }
    let whole = whole.trim_start_matches('0');
    plain.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        plain.push('.');
        plain.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if unsigned.is_empty() || !digits(unsigned) {
            return None;
        }
        plain.push('e');
        plain.push_str(exponent);
    }
    Some(plain)
}

/// Drops thousands separators: spaces of every kind and apostrophes anywhere, commas only where they
/// separate groups, so that `1,5` is no fifteen.
fn without_separators(whole: &str, comma: char) -> Option<String> {
    let mut plain = String::with_capacity(whole.len());
    let mut group = None;
    for c in whole.chars() {
        match c {
            '0'..='9' => {
                plain.push(c);
                if let Some(length) = &mut group {
                    *length += 1;
                }
            }
            ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\u{2007}' | '\'' | '\u{2019}'
                if !plain.is_empty() => {}
            // Groups of two are written in India; the last has three digits everywhere.
            c if c == comma && !plain.is_empty() && !matches!(group, Some(0 | 1)) => group = Some(0),
            _ => return None,
        }
    }
    matches!(group, None | Some(3)).then_some(plain)
}

/// The forms without doubt about the order of day and month.
const DATE_TIMES: [&str; 8] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
];
const DATES: [&str; 11] = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d-%b-%Y",
    "%d %b, %Y",
];

/// ISO 8601: a date stays a date, a time without a zone gets none, a zone is kept.
fn datetime(text: &str) -> Option<Value> {
    let zoned = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_rfc2822(text))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
    if let Ok(at) = zoned {
        return Some(at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into());
    }
    let naive = DATE_TIMES.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    if let Some(at) = naive {
        return Some(iso(at).into());
    }
    if let Some(date) = DATES.iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok()) {
        // `%Y` takes any number of digits; a year is written with four.
        return (text.len() >= 8 && (0..=9999).contains(&chrono::Datelike::year(&date)))
            .then(|| date.format("%Y-%m-%d").to_string().into());
    }
    epoch(text)
}

/// Seconds or milliseconds since 1970, of this age.
fn epoch(text: &str) -> Option<Value> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    let at = match text.len() {
        9 | 10 => DateTime::from_timestamp(number, 0)?,
        12 | 13 => DateTime::from_timestamp_millis(number)?,
        _ => return None,
    };
    Some(at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into())
}

/// A time without a zone in ISO 8601.
pub(crate) fn iso(at: NaiveDateTime) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

fn is_ambiguous_date(text: &str) -> bool {
    NaiveDate::parse_from_str(text, "%d/%m/%Y").is_ok() || NaiveDate::parse_from_str(text, "%m/%d/%Y").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values() {
        use FieldType::{Boolean, Datetime, Integer, Json, Number, String};
        let cases = [
            (" a ", String, r#"" a ""#),
            ("12", Integer, "12"),
            (" -12 ", Integer, "-12"),
            ("+7", Integer, "7"),
            ("007", Integer, "7"),
            ("1 234\u{a0}567", Integer, "1234567"),
            ("1,234,567", Integer, "1234567"),
            ("12,34,567", Integer, "1234567"),
            ("1'234", Integer, "1234"),
            ("12.0", Integer, "12"),
            ("123456789012345678901234567890", Integer, "123456789012345678901234567890"),
            ("51.77", Number, "51.77"),
            ("12", Number, "12.0"),
            ("1,234.5", Number, "1234.5"),
            (".5", Number, "0.5"),
            ("5.", Number, "5.0"),
            ("-0.5", Number, "-0.5"),
            ("\u{2212}3", Number, "-3.0"),
            ("1e3", Number, "1000.0"),
            ("12345678901234567890", Number, "12345678901234567890"),
            ("Yes", Boolean, "true"),
            ("1", Boolean, "true"),
            ("FALSE", Boolean, "false"),
            ("no", Boolean, "false"),
            ("0", Boolean, "false"),
            (r#" {"a":[1]} "#, Json, r#"{"a":[1]}"#),
            ("2024-02-29", Datetime, r#""2024-02-29""#),
            ("20240229", Datetime, r#""2024-02-29""#),
            ("29.02.2024", Datetime, r#""2024-02-29""#),
            ("29 Feb 2024", Datetime, r#""2024-02-29""#),
            ("February 29, 2024", Datetime, r#""2024-02-29""#),
            ("2024-02-29 10:11", Datetime, r#""2024-02-29T10:11:00""#),
            ("2024-02-29T10:11:12Z", Datetime, r#""2024-02-29T10:11:12Z""#),
            ("2024-02-29T10:11:12+02:00", Datetime, r#""2024-02-29T10:11:12+02:00""#),
            ("Thu, 29 Feb 2024 10:11:12 GMT", Datetime, r#""2024-02-29T10:11:12Z""#),
            ("1700000000", Datetime, r#""2023-11-14T22:13:20Z""#),
            ("1700000000123", Datetime, r#""2023-11-14T22:13:20.123Z""#),
        ];
        for (text, wanted, expected) in cases {
            let value = convert(text, wanted, false).map(|value| value.to_json());
            assert_eq!(value.as_deref(), Ok(expected), "{text} as {wanted:?}");
        }
    }

    #[test]
    fn a_decimal_comma_swaps_the_separators() {
        for (text, expected) in
            [("1.234,56", "1234.56"), ("0,67", "0.67"), ("1 234,5", "1234.5"), ("12", "12.0")]
        {
            let value = convert(text, FieldType::Number, true).map(|value| value.to_json());
            assert_eq!(value.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_value_says_so() {
        use FieldType::{Boolean, Datetime, Integer, Json, Number};
        let cases = [
            ("", Number, "`` is not a number"),
            ("n/a", Number, "`n/a` is not a number"),
            ("1,5", Number, "`1,5` is not a number; it is one with `decimal_comma: true`"),
            ("1,2,3", Number, "`1,2,3` is not a number"),
            ("$5", Number, "`$5` is not a number"),
            ("NaN", Number, "`NaN` is not a number"),
            ("inf", Number, "`inf` is not a number"),
            ("0x10", Integer, "`0x10` is not an integer"),
            ("1.5", Integer, "`1.5` is not an integer; it is a `number`"),
            ("-", Integer, "`-` is not an integer"),
            ("maybe", Boolean, "`maybe` is not a boolean (true/false, yes/no, 1/0)"),
            ("{", Json, "`{` is not JSON: "),
            ("1 2", Json, "something follows the value"),
            ("", Json, "it is empty"),
            ("03/04/2024", Datetime, "whether day or month comes first cannot be told"),
            ("2024-13-01", Datetime, "`2024-13-01` is not a date"),
            ("soon", Datetime, "`soon` is not a date"),
            ("12", Datetime, "`12` is not a date"),
        ];
        for (text, wanted, expected) in cases {
            let error = convert(text, wanted, false).unwrap_err();
            assert!(error.contains(expected), "{text} as {wanted:?}: {error}");
        }
        assert!(convert(&"x".repeat(5000), Number, false).unwrap_err().len() < 200);
    }
}
