//! From text to bits, with an error that says what to write instead.

use std::ops::Range;

use super::error::{CronError, CronField};
use super::fields::{Days, Fields};
use super::{hints, value};
use crate::suggest::shown;
use value::{Value, Word};

/// Longer texts are refused unread: no expression needs so much.
const MAX_LENGTH: usize = 1_000;

/// Nicknames with what they stand for.
pub(super) const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

pub(super) fn parse(text: &str) -> Result<Fields, CronError> {
    if text.len() > MAX_LENGTH {
        return Err(CronError::new(
            None,
            0..0,
            format!("it is {} bytes long, the limit is {MAX_LENGTH}", text.len()),
        ));
    }
    let body = text.trim_ascii();
    if body.is_empty() {
        return Err(CronError::new(None, 0..0, "it is empty").hint(
            "write five fields: minute hour day-of-month month day-of-week, for example `0 9 * * 1-5`",
        ));
    }
    if body.starts_with('@') {
        let begin = text.len() - text.trim_ascii_start().len();
        return match NICKNAMES.iter().find(|(name, _)| *name == body) {
            Some((_, fields)) => parse(fields),
            None => Err(hints::unknown_nickname(body, begin..begin + body.len())),
        };
    }
    parse_fields(text)
}

/// The text with the place of each of its five fields.
fn split(text: &str) -> Result<[Range<usize>; 5], CronError> {
    let mut fields = [const { 0..0 }; 5];
    let mut count = 0;
    let mut end = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let begin = at;
        while at < bytes.len() && !bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        match fields.get_mut(count) {
            Some(field) => *field = begin..at,
            None if count == 5 => end = begin,
            None => {}
        }
        count += 1;
    }
    match count {
        5 => Ok(fields),
        0..5 => {
            let end = text.trim_ascii_end().len();
            Err(hints::field_count(text, count, end..end))
        }
        _ => Err(hints::field_count(text, count, end..text.trim_ascii_end().len())),
    }
}

fn parse_fields(text: &str) -> Result<Fields, CronError> {
    let places = split(text)?;
    let [minute, hour, day_of_month, month, day_of_week] =
        [0, 1, 2, 3, 4].map(|index| &text[places[index].clone()]);
    let mut days = Days::default();
    let minutes = values(CronField::Minute, minute, places[0].start)?;
    let hours = values(CronField::Hour, hour, places[1].start)? as u32;
    days_of_month(day_of_month, places[2].start, &mut days)?;
    let months = values(CronField::Month, month, places[3].start)? as u16;
    days_of_week(day_of_week, places[4].start, &mut days)?;
    days.both = day_of_month.starts_with(['*', '?']) || day_of_week.starts_with(['*', '?']);
    let wildcard = minute.starts_with('*') || hour.starts_with('*');
    let fields = Fields { minutes, hours, months, days, wildcard };
    if fields.can_fire() {
        Ok(fields)
    } else {
        let (month_text, week_text) = (month, day_of_week);
        let span = places[2].start..places[if week_text == "*" || week_text == "?" { 3 } else { 4 }].end;
        Err(hints::never(day_of_month, month_text, week_text, span))
    }
}

/// The comma-separated parts of a field with the place of each.
fn parts(
    field: CronField,
    text: &str,
    begin: usize,
) -> impl Iterator<Item = Result<(&str, usize), CronError>> {
    let mut at = begin;
    text.split(',').map(move |part| {
        let place = at;
        at += part.len() + 1;
        if part.is_empty() { Err(hints::empty_part(field, place)) } else { Ok((part, place)) }
    })
}

/// A field without extensions of its own.
fn values(field: CronField, text: &str, begin: usize) -> Result<u64, CronError> {
    let mut bits = 0;
    for part in parts(field, text, begin) {
        let (part, place) = part?;
        bits |= plain_part(field, part, place)?;
    }
    Ok(bits)
}

fn days_of_month(text: &str, begin: usize, days: &mut Days) -> Result<(), CronError> {
    const FIELD: CronField = CronField::DayOfMonth;
    if text == "?" {
        days.of_month = super::fields::ALL_DAYS;
        return Ok(());
    }
    for part in parts(FIELD, text, begin) {
        let (part, place) = part?;
        let span = place..place + part.len();
        let bytes = part.as_bytes();
        if part.eq_ignore_ascii_case("L") {
            days.from_end |= 1;
        } else if part.eq_ignore_ascii_case("LW") {
            days.last_workday = true;
        } else if bytes[0].eq_ignore_ascii_case(&b'L') && bytes.get(1) == Some(&b'-') {
            let offset = value::number(FIELD, &part[2..], place + 2)?;
            if !(1..=30).contains(&offset) {
                return Err(CronError::new(
                    Some(FIELD),
                    span,
                    format!("`{}` counts back further than a month is long", shown(part)),
                )
                .hint("allowed are L-1 to L-30; the last day itself is `L`"));
            }
            days.from_end |= 1 << offset;
        } else if let Some(day) = part.strip_suffix(['W', 'w']) {
            if day.is_empty() || !day.bytes().all(|b| b.is_ascii_digit()) {
                return Err(CronError::new(Some(FIELD), span, format!("`{}` is not a day", shown(part)))
                    .hint(
                        "W follows one day, as in `15W` (the weekday nearest to the 15th), or L, as in `LW`",
                    ));
            }
            let day = value::in_range(FIELD, day, place)?;
            days.nearest_workday |= 1 << (day - 1);
        } else {
            // Bit 1 is the 1st in the plain form.
            days.of_month |= (plain_part(FIELD, part, place)? >> 1) as u32;
        }
    }
    Ok(())
}

fn days_of_week(text: &str, begin: usize, days: &mut Days) -> Result<(), CronError> {
    const FIELD: CronField = CronField::DayOfWeek;
    if text == "?" {
        days.of_week = super::fields::ALL_WEEKDAYS;
        return Ok(());
    }
    for part in parts(FIELD, text, begin) {
        let (part, place) = part?;
        let span = place..place + part.len();
        if let Some((day, nth)) = part.split_once('#') {
            let weekday = one_weekday(day, place, part)?;
            let count = value::number(FIELD, nth, place + day.len() + 1)?;
            if !(1..=5).contains(&count) {
                return Err(CronError::new(
                    Some(FIELD),
                    span,
                    format!("`{}`: a month has at most five of a weekday", shown(part)),
                )
                .hint("allowed are #1 to #5; the last one is written with L, as in `5L`"));
            }
            days.nth_of_week[count as usize - 1] |= 1 << weekday;
        } else if part.eq_ignore_ascii_case("L") {
            return Err(CronError::new(Some(FIELD), span, "`L` needs a day before it")
                .hint("the last Friday of the month is `5L` or `FRIL`; every Saturday is `6`"));
        } else if let Some(day) = part.strip_suffix(['L', 'l']) {
            days.last_of_week |= 1 << one_weekday(day, place, part)?;
        } else {
            days.of_week |= fold_sunday(plain_part(FIELD, part, place)?);
        }
    }
    Ok(())
}

/// The single weekday in front of `L` or `#`.
fn one_weekday(text: &str, place: usize, part: &str) -> Result<u32, CronError> {
    const FIELD: CronField = CronField::DayOfWeek;
    if text.is_empty() || text.contains(['-', '/', '*', '?']) {
        return Err(CronError::new(
            Some(FIELD),
            place..place + part.len(),
            format!("`{}` is not one day", shown(part)),
        )
        .hint("L and # follow a single day, as in `5L` (the last Friday) or `MON#1` (the first Monday)"));
    }
    value::value(FIELD, text, place).map(|value| value.number % 7)
}

/// Day 7 is Sunday, as day 0 is.
fn fold_sunday(bits: u64) -> u8 {
    (bits | bits >> 7) as u8 & super::fields::ALL_WEEKDAYS
}

/// `*`, `a`, `a-b`, each with an optional step: the bits of the values.
fn plain_part(field: CronField, part: &str, place: usize) -> Result<u64, CronError> {
    let (base, step_text) = match part.split_once('/') {
        Some((base, step)) => (base, Some((step, place + base.len() + 1))),
        None => (part, None),
    };
    let (smallest, largest) = field.range();
    // In steps the week ends on Saturday: `1/2` is Monday, Wednesday, Friday.
    let last = if field == CronField::DayOfWeek { 6 } else { largest };
    let (from, to) = if base == "*" {
        (smallest, last)
    } else if base.is_empty() {
        return Err(hints::no_start(field, part, place));
    } else if base.starts_with(['*', '?']) {
        return Err(hints::after_star(field, base, place));
    } else if let Some(dash) = base.find('-').filter(|dash| *dash > 0) {
        let (from, to) = (&base[..dash], &base[dash + 1..]);
        let first = value::value(field, from, place)?;
        if to.is_empty() {
            return Err(hints::no_end(field, part, place + base.len()));
        }
        let second = value::value(field, to, place + dash + 1)?;
        range(field, first, second, place..place + base.len(), step_text.map(|(text, _)| text))?
    } else {
        let one = value::value(field, base, place)?.number;
        match step_text {
            None => (one, one),
            Some(_) if field == CronField::DayOfWeek => (one % 7, last),
            Some(_) => (one, largest),
        }
    };
    let step = match step_text {
        None => 1,
        Some((text, at)) => step(field, text, at)?,
    };
    Ok(run(from, to, step))
}

/// The bits `from`, `from + step`, … up to `to`.
fn run(from: u32, to: u32, step: u32) -> u64 {
    if step == 1 {
        // Both are below 60.
        return ((1 << (to + 1)) - 1) & !((1 << from) - 1);
    }
    (from..=to).step_by(step as usize).fold(0, |bits, value| bits | 1 << value)
}

/// The ends of a range, `SUN` at its end being day 7.
fn range(
    field: CronField,
    from: Value,
    to: Value,
    span: Range<usize>,
    step: Option<&str>,
) -> Result<(u32, u32), CronError> {
    let (first, mut last) = (from.number, to.number);
    if field == CronField::DayOfWeek
        && to.word == Word::Name
        && last == 0
        && !(from.word == Word::Name && first == 0)
    {
        last = 7;
    }
    if first <= last { Ok((first, last)) } else { Err(hints::backwards(field, from, to, span, step)) }
}

fn step(field: CronField, text: &str, place: usize) -> Result<u32, CronError> {
    if text.is_empty() {
        return Err(CronError::new(Some(field), place..place, "the step after `/` is missing")
            .hint(format!("allowed are 1-{}", field.size())));
    }
    let step = value::number(field, text, place)?;
    if (1..=field.size()).contains(&step) {
        Ok(step)
    } else {
        Err(hints::step_out_of_range(field, step, text, place..place + text.len()))
    }
}
