//! A single value of a field: a number or a name.

use super::error::{CronError, CronField};
use crate::suggest::{nearest, shown};

pub(super) const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
pub(super) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// How a value was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Number,
    Name,
}

/// A value inside the range of its field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub(super) number: u32,
    pub(super) word: Word,
}

/// A number or, where the field has them, a name.
pub(super) fn value(field: CronField, text: &str, place: usize) -> Result<Value, CronError> {
    if text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) {
        if let Some(number) = name(field, text) {
            return Ok(Value { number, word: Word::Name });
        }
        return Err(unknown_name(field, text, place));
    }
    Ok(Value { number: in_range(field, text, place)?, word: Word::Number })
}

/// A number inside the range of its field.
pub(super) fn in_range(field: CronField, text: &str, place: usize) -> Result<u32, CronError> {
    let number = number(field, text, place)?;
    let (smallest, largest) = field.range();
    if (smallest..=largest).contains(&number) {
        return Ok(number);
    }
    let error = CronError::new(
        Some(field),
        place..place + text.len(),
        format!("`{}` is out of range, allowed are {}", shown(text), field.allowed()),
    );
    Err(match (field, number) {
        (CronField::Minute, 60) => error.hint("the full hour is minute 0"),
        (CronField::Hour, 24) => error.hint("midnight is hour 0"),
        (CronField::DayOfMonth, 0) => error.hint("the first day is 1; the last is `L`"),
        (CronField::Month, 0) => error.hint("January is 1"),
        _ => error,
    })
}

/// ASCII digits only. Numbers that are too large to hold become the largest, which no range has.
pub(super) fn number(field: CronField, text: &str, place: usize) -> Result<u32, CronError> {
    if text.is_empty() {
        return Err(CronError::new(Some(field), place..place, "a number is missing here")
            .hint(format!("allowed are {}", field.allowed())));
    }
    let mut value: u32 = 0;
    for (index, byte) in text.bytes().enumerate() {
        if !byte.is_ascii_digit() {
            return Err(unexpected(field, text, index, place));
        }
        value = value.saturating_mul(10).saturating_add(u32::from(byte - b'0'));
    }
    Ok(value)
}

fn name(field: CronField, text: &str) -> Option<u32> {
    let find = |names: &[&str]| names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match field {
        CronField::Month => find(&MONTHS).map(|index| index as u32 + 1),
        CronField::DayOfWeek => find(&WEEKDAYS).map(|index| index as u32),
        _ => None,
    }
}

fn unknown_name(field: CronField, text: &str, place: usize) -> CronError {
    let span = place..place + text.len();
    let error = CronError::new(
        Some(field),
        span,
        format!("`{}` is not a value, allowed are {}", shown(text), field.allowed()),
    );
    let names: &[&str] = match field {
        CronField::Month => &MONTHS,
        CronField::DayOfWeek => &WEEKDAYS,
        _ => {
            return match text.as_bytes()[0].to_ascii_uppercase() {
                b'H' if field != CronField::Month => {
                    error.hint("`H` is Jenkins' dialect; spread jobs with `jitter` instead")
                }
                b'L' if field == CronField::DayOfMonth => {
                    error.hint("the last day is `L`, the third before it `L-3`, the last workday `LW`")
                }
                _ => error,
            };
        }
    };
    // A full name first, then a slip of the finger.
    let lower = text.to_ascii_lowercase();
    let full = names.iter().copied().find(|name| lower.starts_with(&name.to_ascii_lowercase()));
    match full.or_else(|| nearest(text, names.iter().copied())) {
        Some(known) => error.hint(format!("did you mean `{known}`?")),
        None => error,
    }
}

/// An error for the byte at `index` of `text`, which is where a digit should be.
fn unexpected(field: CronField, text: &str, index: usize, place: usize) -> CronError {
    // Only the bytes before `index` are known to be ASCII, so `index` is a boundary.
    let c = text[index..].chars().next().unwrap_or(' ');
    let at = place + index;
    let error = |message: String| CronError::new(Some(field), at..at + c.len_utf8(), message);
    let one = shown(&c.to_string());
    match c {
        '-' if index == 0 => {
            error("negative values do not exist".to_owned()).hint(format!("allowed are {}", field.allowed()))
        }
        '-' => error("a range has two ends, not three".to_owned()).hint("write for example `1-5`"),
        '/' => error("a second `/`".to_owned()).hint("one step belongs to a part, as in `0-30/5`"),
        '#' | '?' | 'L' | 'W' | 'l' | 'w' => error(format!("`{one}` does not belong here"))
            .hint("L, W and ? go into day-of-month; L, # and ? into day-of-week: `L-3`, `15W`, `5L`, `5#3`"),
        c if c.is_numeric() => error(format!("`{one}` is not one of the digits 0-9")),
        c if c.is_whitespace() => {
            error(format!("`{one}` is not a plain space")).hint("separate the fields by spaces or tabs")
        }
        _ => error(format!("`{one}` in `{}` is not understood", shown(text)))
            .hint(format!("allowed are {}, with `,` `-` `*` `/`", field.allowed())),
    }
}
