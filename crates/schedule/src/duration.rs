//! Durations as people write them: `500ms`, `30s`, `1h30m`, `2d`, `1w`, or a number of seconds.

use std::time::Duration;

use crate::suggest::shown;

/// The longest duration that is understood: a thousand years of 365.25 days.
pub const MAX: Duration = Duration::from_secs(365_250 * 86_400);

/// Units from large to small, with their length in milliseconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Words that people write for a unit, for the hint.
const LONG_NAMES: [(&str, &str); 24] = [
    ("week", "w"),
    ("weeks", "w"),
    ("wk", "w"),
    ("wks", "w"),
    ("day", "d"),
    ("days", "d"),
    ("hour", "h"),
    ("hours", "h"),
    ("hr", "h"),
    ("hrs", "h"),
    ("minute", "m"),
    ("minutes", "m"),
    ("min", "m"),
    ("mins", "m"),
    ("second", "s"),
    ("seconds", "s"),
    ("sec", "s"),
    ("secs", "s"),
    ("millisecond", "ms"),
    ("milliseconds", "ms"),
    ("msec", "ms"),
    ("msecs", "ms"),
    ("milli", "ms"),
    ("millis", "ms"),
];

/// Why a text is not a duration. The message is one line and says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DurationError {
    message: String,
}

impl DurationError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// Reads a duration, to the millisecond.
///
/// Each unit (`w d h m s ms`) may appear once, from large to small; a value may have a decimal
/// fraction (`1.5h`); spaces between the parts are allowed. A bare number is seconds.
///
/// # Errors
/// The text is empty, negative, has an unknown or repeated unit, is finer than a millisecond, or
/// is longer than [`MAX`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let whole = text.trim_matches(|c: char| c.is_ascii_whitespace());
    if whole.is_empty() {
        return Err(DurationError::new("a duration is missing; write for example `30s`, `1h30m` or `2d`"));
    }
    if whole.starts_with(['-', '\u{2212}']) {
        return Err(DurationError::new(format!(
            "`{}` is negative; a duration is never below zero",
            shown(whole)
        )));
    }
    let mut rest = whole;
    let mut total: u64 = 0;
    let mut next_unit = 0;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(|b| b.is_ascii_alphabetic()).count();
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(no_number(whole, rest));
        }
        rest = tail.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let milliseconds = if unit.is_empty() {
            if parts > 0 || !rest.is_empty() {
                return Err(DurationError::new(format!(
                    "`{number}` in `{}` has no unit; use w, d, h, m, s or ms",
                    shown(whole)
                )));
            }
            scale(number, 1_000, whole)?
        } else {
            let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
                return Err(unknown_unit(unit, whole));
            };
            if index < next_unit {
                return Err(DurationError::new(format!(
                    "the units of `{}` are not in order; write each once, from large to small, as in `1h30m`",
                    shown(whole)
                )));
            }
            next_unit = index + 1;
            scale(number, UNITS[index].1, whole)?
        };
        total = total.saturating_add(milliseconds);
        parts += 1;
    }
    let duration = Duration::from_millis(total);
    if duration > MAX {
        return Err(too_long(whole));
    }
    Ok(duration)
}

/// `number` × `unit` milliseconds, where `number` may have a fraction.
fn scale(number: &str, unit: u64, whole: &str) -> Result<u64, DurationError> {
    let (integer, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits_only = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits_only(integer) || !digits_only(fraction) {
        return Err(DurationError::new(format!("`{}` in `{}` is not a number", shown(number), shown(whole))));
    }
    // Longer numbers than these exceed the longest duration, or are finer than a millisecond.
    let integer = integer.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if integer.len() > 15 {
        return Err(too_long(whole));
    }
    let value: u64 = if integer.is_empty() { 0 } else { integer.parse().map_err(|_| too_long(whole))? };
    let mut milliseconds = value.checked_mul(unit).ok_or_else(|| too_long(whole))?;
    if !fraction.is_empty() {
        let finer = || DurationError::new(format!("`{}` is finer than a millisecond", shown(whole)));
        if fraction.len() > 12 {
            return Err(finer());
        }
        let numerator: u64 = fraction.parse().map_err(|_| finer())?;
        let denominator = 10_u64.pow(fraction.len() as u32);
        let scaled = u128::from(numerator) * u128::from(unit);
        if !scaled.is_multiple_of(u128::from(denominator)) {
            return Err(finer());
        }
        // Below `unit`, because the fraction is below one.
        milliseconds = milliseconds.saturating_add((scaled / u128::from(denominator)) as u64);
    }
    Ok(milliseconds)
}

fn no_number(whole: &str, rest: &str) -> DurationError {
    let at = rest.chars().next().unwrap_or(' ');
    DurationError::new(format!(
        "`{}` is not a duration (`{}` where a number should be); write for example `30s`, `1h30m`, `2d` or a number of seconds",
        shown(whole),
        shown(&at.to_string())
    ))
}

fn unknown_unit(unit: &str, whole: &str) -> DurationError {
    let lower = unit.to_ascii_lowercase();
    let known = LONG_NAMES.iter().find(|(name, _)| *name == lower).map(|(_, short)| *short);
    let known = known.or_else(|| UNITS.iter().find(|(name, _)| *name == lower).map(|(name, _)| *name));
    let hint = known.map_or_else(|| "use w, d, h, m, s or ms".to_owned(), |short| format!("use `{short}`"));
    DurationError::new(format!("unknown unit `{}` in `{}`; {hint}", shown(unit), shown(whole)))
}

fn too_long(whole: &str) -> DurationError {
    DurationError::new(format!("`{}` is longer than the longest duration, {}", shown(whole), format(MAX)))
}

/// Writes a duration so that [`parse`] reads it back: `1h30m`, `500ms`, `0s`.
///
/// Parts below a millisecond are dropped.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, unit) in UNITS {
        // Weeks read badly unless the whole is weeks: 10d is clearer than 1w3d.
        if name == "w" && !rest.is_multiple_of(u128::from(unit)) {
            continue;
        }
        let count = rest / u128::from(unit);
        rest %= u128::from(unit);
        if count > 0 {
            out.push_str(&format!("{count}{name}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let cases = [
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("90", 90_000),
            ("0.5", 500),
            ("1.5h", 5_400_000),
            ("1w2d3h4m5s6ms", 604_800_000 + 172_800_000 + 10_800_000 + 240_000 + 5_000 + 6),
            ("  1h 30m ", 5_400_000),
            ("007s", 7_000),
            ("0", 0),
            ("0s", 0),
            ("10000w", 6_048_000_000_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        let cases = [
            ("", "missing"),
            ("   ", "missing"),
            ("-5s", "negative"),
            ("5x", "unknown unit `x`"),
            ("5min", "use `m`"),
            ("5S", "use `s`"),
            ("30m1h", "not in order"),
            ("1h1h", "not in order"),
            ("1h30", "has no unit"),
            ("h", "not a duration"),
            ("1..5h", "not a number"),
            (".5h", "not a number"),
            ("1.h", "not a number"),
            ("0.0001", "finer than a millisecond"),
            ("0.5ms", "finer than a millisecond"),
            ("99999999999999999999s", "longer than"),
            ("999999999999999w", "longer than"),
            ("60000w", "longer than"),
            ("1e3s", "unknown unit `e`"),
            ("\u{661}s", "not a duration"),
            ("inf", "not a duration"),
            ("5 s", "has no unit"),
        ];
        for (text, part) in cases {
            let message = parse(text).expect_err(text).to_string();
            assert!(message.contains(part), "{text}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["500ms", "30s", "1h30m", "10d", "2w", "0s", "1m0s", "1d1ms"] {
            let duration = parse(text).expect(text);
            assert_eq!(parse(&format(duration)), Ok(duration), "{text}");
        }
        assert_eq!(format(Duration::from_secs(864_000)), "10d");
        assert_eq!(format(Duration::from_secs(1_209_600)), "2w");
        assert_eq!(format(MAX), "365250d");
    }
}
