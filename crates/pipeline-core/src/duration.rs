//! Durations as people write them: `500ms`, `30s`, `1h30m`, `2d`, or a number of seconds.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units from the largest; a text names each at most once, in this order.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest duration that is understood: 1,000 years of 365 days.
const MAX: Duration = Duration::from_secs(365_000 * 86_400);

/// Parses a duration.
///
/// # Errors
/// Says what is wrong with the text, as a fragment that names it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let wrong = |why: &str| {
        Err(format!("`{trimmed}` is not a duration: {why} (write `500ms`, `30s`, `1h30m`, `2d`, or seconds)"))
    };
    if trimmed.is_empty() {
        return wrong("it is empty");
    }
    if let Some(seconds) = plain_seconds(trimmed) {
        return match Duration::try_from_secs_f64(seconds) {
            Ok(duration) if duration <= MAX => Ok(duration),
            _ => wrong("it must lie between 0 and 1,000 years"),
        };
    }
    let mut millis: u64 = 0;
    let mut rest = trimmed;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return wrong("a number must stand before each unit");
        }
        let Ok(number) = rest[..digits].parse::<u64>() else { return wrong("the number is too large") };
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let Some(at) = UNITS.iter().position(|(unit, _)| *unit == &rest[..letters]) else {
            return wrong("the units are w, d, h, m, s and ms");
        };
        if at < next_unit {
            return wrong("units come once each, from the largest to the smallest");
        }
        next_unit = at + 1;
        rest = &rest[letters..];
        let Some(sum) = number.checked_mul(UNITS[at].1).and_then(|part| part.checked_add(millis)) else {
            return wrong("it is too long");
        };
        millis = sum;
    }
    let duration = Duration::from_millis(millis);
    if duration > MAX { wrong("it is longer than 1,000 years") } else { Ok(duration) }
}

fn plain_seconds(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && !text.starts_with('.');
    if plain { text.parse().ok() } else { None }
}

/// Writes a duration so that [`parse`] reads it back, to the millisecond.
pub fn format(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in UNITS {
        if millis >= size {
            text.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    text
}

/// A duration in a file: a text or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.0))
    }
}

impl std::str::FromStr for HumanDuration {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).map(Self)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;
        impl serde::de::Visitor<'_> for DurationVisitor {
            type Value = HumanDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration (`500ms`, `30s`, `1h30m`, `2d`, or seconds)")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<HumanDuration, E> {
                self.visit_str(&seconds.to_string())
            }
            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<HumanDuration, E> {
                self.visit_str(&seconds.to_string())
            }
            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<HumanDuration, E> {
                self.visit_str(&seconds.to_string())
            }
        }
        deserializer.deserialize_any(DurationVisitor)
    }
}

impl schemars::JsonSchema for HumanDuration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A duration: `500ms`, `30s`, `1h30m`, `2d`, or a number of seconds.",
            "type": ["string", "number"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let cases = [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("1w", Some(604_800_000)),
            ("90", Some(90_000)),
            ("0.5", Some(500)),
            ("0", Some(0)),
            (" 5m ", Some(300_000)),
            ("", None),
            ("-5s", None),
            ("5", Some(5000)),
            ("5x", None),
            ("s", None),
            ("1m1h", None),
            ("1h1h", None),
            ("99999999999999999999s", None),
            ("18446744073709551615w", None),
            ("1e5", None),
            ("NaN", None),
            ("1.5h", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(millis in 0u64..31_536_000_000_000) {
            let duration = Duration::from_millis(millis);
            proptest::prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            drop(parse(&text));
        }
    }
}
