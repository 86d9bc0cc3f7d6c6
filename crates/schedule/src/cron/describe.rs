//! An expression in English.

use super::Cron;
use super::fields::{ALL_DAYS, ALL_HOURS, ALL_MINUTES, ALL_MONTHS, ALL_WEEKDAYS, Days, Fields};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Monday first, so that "Friday to Sunday" is one run.
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const NTH: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// As many single times of day are listed; more are summed up.
const LONGEST_LIST: u32 = 8;

impl Cron {
    /// The expression in English: `every 30 minutes between 09:00 and 17:59, Monday to Friday`.
    pub fn describe(&self) -> String {
        describe(&self.matcher().fields)
    }
}

pub(super) fn describe(fields: &Fields) -> String {
    let time = time(fields);
    let days = days(fields);
    match days.is_empty() {
        true if time.starts_with("at ") && fields.hours != ALL_HOURS => format!("{time} every day"),
        true => time,
        false => format!("{time}, {days}"),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn join(parts: &[String], word: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} {word} {last}", head.join(", ")),
    }
}

/// The set bits, as runs of neighbours.
fn runs(bits: u64) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for bit in (0..64).filter(|bit| bits >> bit & 1 != 0) {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == bit => *end = bit,
            _ => runs.push((bit, bit)),
        }
    }
    runs
}

/// The set bits by name: runs of three and more as `a to b`.
fn named(bits: u64, name: impl Fn(u32) -> String) -> Vec<String> {
    let mut parts = Vec::new();
    for (first, last) in runs(bits) {
        if last - first >= 2 {
            parts.push(format!("{} to {}", name(first), name(last)));
        } else {
            parts.extend((first..=last).map(&name));
        }
    }
    parts
}

/// First value and step, if the bits are evenly spaced from there to the end of the field.
fn progression(bits: u64, size: u32) -> Option<(u32, u32)> {
    let first = bits.trailing_zeros();
    let step = (bits & (bits - 1)).trailing_zeros().checked_sub(first)?;
    let all = (first..size).step_by(step.max(1) as usize).fold(0, |bits, value| bits | 1 << value);
    (step > 1 && first < step && all == bits && bits.count_ones() > 2).then_some((first, step))
}

fn time(fields: &Fields) -> String {
    let (minutes, hours) = (fields.minutes, u64::from(fields.hours));
    let window = window(hours);
    if minutes == ALL_MINUTES {
        return format!("every minute{window}");
    }
    if minutes.count_ones() == 1 {
        return single_minute(minutes.trailing_zeros(), hours);
    }
    // Before the list of times: every half hour of one hour is clearer as two times.
    if minutes.count_ones() * fields.hours.count_ones() <= LONGEST_LIST.min(4) {
        return times(minutes, hours);
    }
    if minutes == 1 | 1 << 30 {
        return format!("every 30 minutes{window}");
    }
    let each = " of each hour";
    if let Some((first, step)) = progression(minutes, 60) {
        return match (first, 60 % step) {
            (0, 0) => format!("every {step} minutes{window}"),
            (0, _) => format!("every {step} minutes from the start{each}{window}"),
            _ => format!("every {step} minutes from minute {first}{each}{window}"),
        };
    }
    if minutes.count_ones() * fields.hours.count_ones() <= LONGEST_LIST {
        return times(minutes, hours);
    }
    match runs(minutes).as_slice() {
        [(first, last)] => format!("every minute from minute {first} to minute {last}{each}{window}"),
        _ => {
            format!("at minutes {}{each}{window}", join(&named(minutes, |minute| minute.to_string()), "and"))
        }
    }
}

/// Single times of day.
fn times(minutes: u64, hours: u64) -> String {
    let bits = |bits: u64| (0..60_u32).filter(move |bit| bits >> bit & 1 != 0);
    let times: Vec<String> = bits(hours)
        .flat_map(|hour| bits(minutes).map(move |minute| format!("{hour:02}:{minute:02}")))
        .collect();
    format!("at {}", join(&times, "and"))
}

/// One minute of some hours.
fn single_minute(minute: u32, hours: u64) -> String {
    if hours == u64::from(ALL_HOURS) {
        return match minute {
            0 => "every hour".to_owned(),
            1 => "at 1 minute past every hour".to_owned(),
            _ => format!("at {minute} minutes past every hour"),
        };
    }
    if let Some((first, step)) = progression(hours, 24).filter(|(_, step)| 24 % step == 0 && *step < 8) {
        return match (first, minute) {
            (0, 0) => format!("every {step} hours"),
            _ => format!("every {step} hours from {first:02}:{minute:02}"),
        };
    }
    if let [(first, last)] = runs(hours)[..]
        && last - first >= 2
    {
        return format!("every hour from {first:02}:{minute:02} to {last:02}:{minute:02}");
    }
    if hours.count_ones() <= LONGEST_LIST {
        return times(1 << minute, hours);
    }
    format!("at minute {minute}{}", window(hours))
}

/// The hours in which something happens; empty for all.
fn window(hours: u64) -> String {
    if hours == u64::from(ALL_HOURS) {
        return String::new();
    }
    if let Some((first, step)) = progression(hours, 24) {
        return match first {
            0 => format!(" in every {} hour", ordinal(step)),
            _ => format!(" in every {} hour from {first:02}:00", ordinal(step)),
        };
    }
    let spans: Vec<String> =
        runs(hours).iter().map(|(first, last)| format!("between {first:02}:00 and {last:02}:59")).collect();
    if spans.len() <= 3 {
        return format!(" {}", join(&spans, "and"));
    }
    format!(" in the hours {}", join(&named(hours, |hour| format!("{hour:02}")), "and"))
}

fn days(fields: &Fields) -> String {
    let days = &fields.days;
    let months = (fields.months != ALL_MONTHS).then(|| {
        join(&named(u64::from(fields.months >> 1), |month| MONTHS[month as usize].to_owned()), "and")
    });
    let in_months = months.as_ref().map_or_else(String::new, |months| format!(" in {months}"));
    if days.every() {
        return in_months.trim_start().to_owned();
    }
    let by_month = (days.of_month != ALL_DAYS).then(|| days_of_month(days));
    let by_week = (days.of_week != ALL_WEEKDAYS).then(|| days_of_week(days));
    match (by_month, by_week) {
        (Some(month), None) => match months {
            Some(months) => format!("on {month} of {months}"),
            None => format!("on {month} of every month"),
        },
        (None, Some(week)) => format!("{week}{in_months}"),
        (Some(month), Some(week)) if days.both => {
            format!("on {month} of {}, only {week}", months.as_deref().unwrap_or("every month"))
        }
        (Some(month), Some(week)) => {
            let week = if week.starts_with("on ") { week } else { format!("on {week}") };
            match months {
                Some(months) => format!("on {month} or {week}, in {months}"),
                None => format!("on {month} of every month or {week}"),
            }
        }
        // Both are full, which `every` has caught.
        (None, None) => String::new(),
    }
}

/// `the 1st and 15th`, without the months.
fn days_of_month(days: &Days) -> String {
    let mut parts = Vec::new();
    if days.of_month != 0 {
        let bits = u64::from(days.of_month);
        match progression(bits, 31) {
            Some((0, step)) => parts.push(format!("every {} day from the 1st", ordinal(step))),
            Some((first, step)) if bits.count_ones() > 3 => {
                parts.push(format!("every {} day from the {}", ordinal(step), ordinal(first + 1)));
            }
            _ => parts.push(format!("the {}", join(&named(bits, |day| ordinal(day + 1)), "and"))),
        }
    }
    let bits = |bits: u32| (0..31_u32).filter(move |bit| bits >> bit & 1 != 0);
    parts.extend(
        bits(days.nearest_workday).map(|day| format!("the weekday nearest to the {}", ordinal(day + 1))),
    );
    if days.last_workday {
        parts.push("the last weekday".to_owned());
    }
    parts.extend(bits(days.from_end).map(|back| match back {
        0 => "the last day".to_owned(),
        1 => "the day before the last".to_owned(),
        _ => format!("the day {back} days before the last"),
    }));
    join(&parts, "and")
}

fn days_of_week(days: &Days) -> String {
    // Sunday moves behind Saturday.
    let monday_first = |bits: u8| u64::from(bits >> 1 | bits << 6 & 0b100_0000);
    let name = |day: u32| WEEKDAYS[day as usize].to_owned();
    let mut parts = Vec::new();
    if days.of_week != 0 {
        let bits = monday_first(days.of_week);
        parts.push(match week_range(bits) {
            Some((first, last)) => format!("{} to {}", name(first), name(last)),
            None => format!("on {}", join(&named(bits, name), "and")),
        });
    }
    for (index, weekdays) in days.nth_of_week.iter().enumerate().filter(|(_, weekdays)| **weekdays != 0) {
        let names = join(&named(monday_first(*weekdays), name), "and");
        parts.push(format!("on the {} {names} of the month", NTH[index]));
    }
    if days.last_of_week != 0 {
        let names = join(&named(monday_first(days.last_of_week), name), "and");
        parts.push(format!("on the last {names} of the month"));
    }
    join(&parts, "and")
}

/// First and last day of a week's part, Monday being 0, if it is one range of three days or more;
/// it may go over the weekend.
fn week_range(bits: u64) -> Option<(u32, u32)> {
    let length = bits.count_ones();
    (0..7)
        .find(|first| {
            let doubled = bits | bits << 7;
            doubled >> first & ((1 << length) - 1) == (1 << length) - 1
        })
        .filter(|_| (3..7).contains(&length))
        .map(|first| (first, (first + length - 1) % 7))
}

pub(super) fn ordinal(number: u32) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_what_people_write() {
        let cases = [
            ("*/30 9-17 * * 1-5", "every 30 minutes between 09:00 and 17:59, Monday to Friday"),
            ("* * * * *", "every minute"),
            ("*/5 * * * *", "every 5 minutes"),
            ("*/7 * * * *", "every 7 minutes from the start of each hour"),
            ("3/10 * * * *", "every 10 minutes from minute 3 of each hour"),
            ("0 * * * *", "every hour"),
            ("15 * * * *", "at 15 minutes past every hour"),
            ("0 9 * * *", "at 09:00 every day"),
            ("30 9,17 * * 1-5", "at 09:30 and 17:30, Monday to Friday"),
            ("0,30 9 * * *", "at 09:00 and 09:30 every day"),
            ("0 */6 * * *", "every 6 hours"),
            ("15 1/2 * * *", "every 2 hours from 01:15"),
            ("0 9-17 * * *", "every hour from 09:00 to 17:00"),
            ("* 9 * * *", "every minute between 09:00 and 09:59"),
            ("* */2 * * *", "every minute in every 2nd hour"),
            ("5,20,50 * * * *", "at minutes 5, 20 and 50 of each hour"),
            (
                "0-10 8,20 * * *",
                "every minute from minute 0 to minute 10 of each hour between 08:00 and 08:59 and between 20:00 and 20:59",
            ),
            ("0 2 * * 0", "at 02:00, on Sunday"),
            ("0 2 * * 5-7", "at 02:00, Friday to Sunday"),
            ("0 2 * * 0-4", "at 02:00, Sunday to Thursday"),
            ("0 2 * * MON,WED,FRI", "at 02:00, on Monday, Wednesday and Friday"),
            ("0 2 * * 6,7", "at 02:00, on Saturday and Sunday"),
            ("0 0 1,15 * *", "at 00:00, on the 1st and 15th of every month"),
            ("0 0 29 2 *", "at 00:00, on the 29th of February"),
            ("0 0 L * *", "at 00:00, on the last day of every month"),
            ("0 0 L-3 * *", "at 00:00, on the day 3 days before the last of every month"),
            ("0 0 LW * *", "at 00:00, on the last weekday of every month"),
            ("0 0 15W * *", "at 00:00, on the weekday nearest to the 15th of every month"),
            ("0 0 * * 5L", "at 00:00, on the last Friday of the month"),
            ("0 0 * * 5#3", "at 00:00, on the third Friday of the month"),
            ("0 0 13 * 5", "at 00:00, on the 13th of every month or on Friday"),
            ("0 0 13 3 5", "at 00:00, on the 13th or on Friday, in March"),
            ("0 0 */2 * 1", "at 00:00, on every 2nd day from the 1st of every month, only on Monday"),
            ("0 0 1-7 * *", "at 00:00, on the 1st to 7th of every month"),
            ("0 0 * 6-8 *", "at 00:00, in June to August"),
            ("0 0 * 1,12 1", "at 00:00, on Monday in January and December"),
            ("@daily", "at 00:00 every day"),
            ("@weekly", "at 00:00, on Sunday"),
            ("@hourly", "every hour"),
            ("@yearly", "at 00:00, on the 1st of January"),
        ];
        for (text, english) in cases {
            assert_eq!(Cron::parse(text).expect(text).describe(), english, "{text}");
        }
    }
}
