//! Errors that carry a suggestion worked out from what was written.

use std::ops::Range;

use super::error::{CronError, CronField};
use super::parse::NICKNAMES;
use super::value::{MONTHS, Value, WEEKDAYS, Word};
use crate::suggest::{nearest, shown};

/// A list that is longer than this explains nothing.
const LONGEST_LIST: usize = 12;

pub(super) fn unknown_nickname(name: &str, span: Range<usize>) -> CronError {
    let error = CronError::new(None, span, format!("`{}` is not a known nickname", shown(name)));
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("@every") {
        return error.hint("use `interval` instead, for example `interval: 5m`");
    }
    if lower.starts_with("@reboot") {
        return error.hint("a pipeline without `schedule` runs once at every start");
    }
    match nearest(name, NICKNAMES.iter().map(|(known, _)| *known)) {
        Some(known) => error.hint(format!("did you mean `{known}`?")),
        None => error.hint("known are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"),
    }
}

pub(super) fn field_count(text: &str, count: usize, span: Range<usize>) -> CronError {
    let plural = if count == 1 { "" } else { "s" };
    let error = CronError::new(
        None,
        span,
        format!("it has {count} field{plural}, needed are 5: minute hour day-of-month month day-of-week"),
    );
    let mut fields = text.split_ascii_whitespace();
    if text.trim_ascii_start().starts_with("CRON_TZ=") || text.trim_ascii_start().starts_with("TZ=") {
        return error.hint("the zone is not part of the expression; write it as `timezone`");
    }
    if count == 6 {
        let rest: Vec<&str> = text.split_ascii_whitespace().skip(1).collect();
        if matches!(fields.next(), Some("0" | "00")) {
            return error
                .hint(format!("seconds are not supported; without them it is `{}`", shown(&rest.join(" "))));
        }
        return error.hint("there is no field for seconds or years; for seconds use `interval`");
    }
    if count == 7 {
        return error
            .hint("this looks like Quartz; drop the seconds and the year, and count Sunday as 0, not 1");
    }
    if count < 5 {
        return error.hint("`*` stands for every value");
    }
    error
}

pub(super) fn empty_part(field: CronField, place: usize) -> CronError {
    CronError::new(Some(field), place..place, "an empty part beside `,`")
        .hint("separate values by single commas, without spaces: `1,15,30`")
}

pub(super) fn no_start(field: CronField, part: &str, place: usize) -> CronError {
    CronError::new(Some(field), place..place + part.len(), format!("`{}` has no start", shown(part)))
        .hint(format!("write `*{}`", shown(part)))
}

pub(super) fn no_end(field: CronField, part: &str, place: usize) -> CronError {
    CronError::new(Some(field), place..place, format!("the range `{}` has no end", shown(part)))
        .hint("write both ends, as in `1-5`")
}

pub(super) fn after_star(field: CronField, base: &str, place: usize) -> CronError {
    let span = place..place + base.len();
    if base.starts_with('?') {
        let error = CronError::new(Some(field), span, "`?` does not belong here");
        return match field {
            CronField::DayOfMonth | CronField::DayOfWeek => {
                error.hint("`?` stands alone in its field; for steps write `*`")
            }
            _ => error.hint("`?` is allowed in the two day fields only; write `*`"),
        };
    }
    CronError::new(Some(field), span, format!("`{}`: only a step may follow `*`", shown(base)))
        .hint("write `*`, `*/2`, or values")
}

pub(super) fn step_out_of_range(field: CronField, step: u32, text: &str, span: Range<usize>) -> CronError {
    let size = field.size();
    if step == 0 {
        return CronError::new(Some(field), span, format!("a step of 0 never moves, allowed are 1-{size}"));
    }
    let error = CronError::new(
        Some(field),
        span,
        format!("the step `{}` is larger than the field, allowed are 1-{size}", shown(text)),
    );
    let unit = match field {
        CronField::Minute => "m",
        CronField::Hour => "h",
        CronField::DayOfMonth | CronField::DayOfWeek => "d",
        CronField::Month => return error.hint("steps start anew each year"),
    };
    if step > 10_000 {
        return error;
    }
    error.hint(format!(
        "steps start anew in each field; for every {step} of them use `interval: {step}{unit}`"
    ))
}

/// A range whose start is after its end, with the list that was meant.
pub(super) fn backwards(
    field: CronField,
    from: Value,
    to: Value,
    span: Range<usize>,
    step: Option<&str>,
) -> CronError {
    let step = step.map_or(Some(1), |text| text.parse::<u32>().ok());
    let list =
        step.filter(|step| (1..=field.size()).contains(step)).and_then(|step| wrapped(field, from, to, step));
    let error = CronError::new(Some(field), span, "the range runs backwards");
    match list {
        Some(list) => error.hint(format!("write it as a list: `{list}`")),
        None => error.hint("write it as a list of two ranges"),
    }
}

/// `22-2` as `22-23,0-2`; with a step, the values one by one.
fn wrapped(field: CronField, from: Value, to: Value, step: u32) -> Option<String> {
    let (smallest, largest) = field.range();
    let named = from.word == Word::Name || to.word == Word::Name;
    let write = |number: u32| match field {
        CronField::DayOfWeek if named => WEEKDAYS[number as usize % 7].to_owned(),
        CronField::Month if named => MONTHS[number as usize - 1].to_owned(),
        _ => number.to_string(),
    };
    let span = |a: u32, b: u32| if a == b { write(a) } else { format!("{}-{}", write(a), write(b)) };
    // Day 7 is day 0: the second part of a week begins on Monday.
    let restart = if field == CronField::DayOfWeek { 1 } else { smallest };
    if step == 1 {
        return Some(match (field, from.number, to.number) {
            (CronField::DayOfWeek, 7, end) => span(0, end),
            (CronField::DayOfWeek, start, 0) => span(start, 7),
            (_, start, end) => format!("{},{}", span(start, largest), span(restart, end)),
        });
    }
    let size = field.size();
    let length = (to.number + size - from.number) % size;
    let values: Vec<String> = (0..=length)
        .step_by(step as usize)
        .map(|ahead| write((from.number - smallest + ahead) % size + smallest))
        .collect();
    (values.len() <= LONGEST_LIST).then(|| values.join(","))
}

/// Fields that no date can match together.
pub(super) fn never(day_of_month: &str, month: &str, day_of_week: &str, span: Range<usize>) -> CronError {
    if day_of_week == "*" || day_of_week == "?" {
        let months = if month == "*" { "any month".to_owned() } else { format!("month `{}`", shown(month)) };
        return CronError::new(
            Some(CronField::DayOfMonth),
            span,
            format!("it can never fire: day-of-month `{}` does not occur in {months}", shown(day_of_month)),
        )
        .hint("the last day of every month is `L`");
    }
    CronError::new(
        None,
        span,
        format!(
            "it can never fire: no date has day-of-month `{}`, month `{}` and day-of-week `{}` together",
            shown(day_of_month),
            shown(month),
            shown(day_of_week)
        ),
    )
    .hint("a day field that begins with `*` must match together with the other one")
}
