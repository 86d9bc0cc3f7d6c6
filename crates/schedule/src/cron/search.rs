//! The next matching minute of the wall clock, and how many there are.
//!
//! Minutes are counted from 1970-01-01 00:00 of the wall clock; time zones come later.

use super::fields::{ALL_MONTHS, Fields};
use crate::civil::{self, DAY_MINUTES};

/// No rule repeats more rarely than 29 February on a given weekday: at most 40 years apart.
const LONGEST_WAIT_YEARS: i64 = 41;

/// February alone, as bits of months.
const FEBRUARY: u16 = 1 << 2;

/// The days of 400 years: a whole number of weeks.
const CYCLE_DAYS: i64 = 146_097;

/// A compiled expression with what the search needs worked out beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Matcher {
    pub(crate) fields: Fields,
    shape: Shape,
    /// The first matching minute of a day.
    first_of_day: u32,
    /// How many minutes of a matching day match.
    per_day: i64,
    /// Only 29 February can match: all other years are passed over.
    leap_years_only: bool,
}

/// How much of the calendar has to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    /// Every day matches.
    Daily,
    /// The day of the week decides.
    Weekly,
    /// Month and day have to be known.
    Calendar,
}

impl Matcher {
    pub(crate) fn new(fields: Fields) -> Self {
        let shape = match fields.months == ALL_MONTHS {
            true if fields.days.every() => Shape::Daily,
            true if fields.days.weekly() => Shape::Weekly,
            _ => Shape::Calendar,
        };
        Self {
            fields,
            shape,
            first_of_day: fields.hours.trailing_zeros() * 60 + fields.minutes.trailing_zeros(),
            per_day: i64::from(fields.hours.count_ones() * fields.minutes.count_ones()),
            leap_years_only: fields.months == FEBRUARY
                && (0..7).all(|first| fields.days.in_month(first, 28) == 0),
        }
    }

    /// The first matching minute at or after `from`; `None` if there is none before the year
    /// 10000.
    pub(crate) fn next_minute(&self, from: i64) -> Option<i64> {
        let day = from.div_euclid(DAY_MINUTES);
        match self.time_from(from.rem_euclid(DAY_MINUTES) as u32) {
            Some(time) => {
                let found = self.next_day(day)?;
                let time = if found == day { time } else { self.first_of_day };
                Some(found * DAY_MINUTES + i64::from(time))
            }
            None => Some(self.next_day(day + 1)? * DAY_MINUTES + i64::from(self.first_of_day)),
        }
    }

    /// How many minutes match from `from` (inclusive) to `to` (exclusive).
    pub(crate) fn count(&self, from: i64, to: i64) -> u64 {
        if from >= to {
            return 0;
        }
        let (first, last) = (from.div_euclid(DAY_MINUTES), to.div_euclid(DAY_MINUTES));
        // Whole days from the first to before the last, less the head, plus the tail.
        let mut count = self.count_days(first, last) * self.per_day;
        if self.matches_day(first) {
            count -= self.count_times_before(from.rem_euclid(DAY_MINUTES) as u32);
        }
        if self.matches_day(last) {
            count += self.count_times_before(to.rem_euclid(DAY_MINUTES) as u32);
        }
        count.unsigned_abs()
    }

    /// Whether any minute matches from `from` (inclusive) to `to` (exclusive).
    pub(crate) fn any(&self, from: i64, to: i64) -> bool {
        self.next_minute(from).is_some_and(|found| found < to)
    }

    /// The first matching time of a day at or after `minute` of the day.
    fn time_from(&self, minute: u32) -> Option<u32> {
        let (hour, minute) = (minute / 60, minute % 60);
        let hours = self.fields.hours >> hour;
        if hours & 1 != 0 {
            let left = self.fields.minutes >> minute;
            if left != 0 {
                return Some(hour * 60 + minute + left.trailing_zeros());
            }
        }
        let later = hours >> 1;
        (later != 0).then(|| (hour + 1 + later.trailing_zeros()) * 60 + self.fields.minutes.trailing_zeros())
    }

    fn count_times_before(&self, minute: u32) -> i64 {
        let (hour, minute) = (minute / 60, minute % 60);
        let below_hour = (self.fields.hours & ((1 << hour) - 1)).count_ones();
        let whole = below_hour * self.fields.minutes.count_ones();
        let partial =
            (self.fields.hours >> hour & 1) * (self.fields.minutes & ((1 << minute) - 1)).count_ones();
        i64::from(whole + partial)
    }

    fn matches_day(&self, day: i64) -> bool {
        self.next_day(day) == Some(day)
    }

    /// The first matching day at or after `day`.
    fn next_day(&self, day: i64) -> Option<i64> {
        match self.shape {
            Shape::Daily => Some(day),
            Shape::Weekly => {
                let week = u32::from(self.fields.days.of_week);
                let ahead = (week | week << 7) >> civil::weekday(day);
                Some(day + i64::from(ahead.trailing_zeros()))
            }
            Shape::Calendar => self.next_calendar_day(day),
        }
    }

    fn next_calendar_day(&self, day: i64) -> Option<i64> {
        let (first_year, mut month, day_of_month) = civil::civil_from_days(day);
        let mut year = first_year;
        if self.fields.months >> month & 1 != 0 {
            let begin = day - i64::from(day_of_month - 1);
            let days = self.days_of(begin, year, month) >> (day_of_month - 1);
            if days != 0 {
                return Some(day + i64::from(days.trailing_zeros()));
            }
        }
        loop {
            let later = self.fields.months >> (month + 1);
            if later != 0 {
                month += 1 + later.trailing_zeros();
            } else {
                // Multiples of four hold all leap years; the others among them match nothing.
                year = if self.leap_years_only { (year | 3) + 1 } else { year + 1 };
                month = self.fields.months.trailing_zeros();
                if year > 9_999 || year - first_year > LONGEST_WAIT_YEARS {
                    return None;
                }
            }
            let begin = civil::days_from_civil(year, month, 1);
            let days = self.days_of(begin, year, month);
            if days != 0 {
                return Some(begin + i64::from(days.trailing_zeros()));
            }
        }
    }

    fn days_of(&self, begin: i64, year: i64, month: u32) -> u32 {
        self.fields.days.in_month(civil::weekday(begin), civil::month_length(year, month))
    }

    /// How many days match from `from` (inclusive) to `to` (exclusive).
    fn count_days(&self, from: i64, to: i64) -> i64 {
        match self.shape {
            Shape::Daily => to - from,
            Shape::Weekly => {
                let weeks = (to - from) / 7;
                let week = u32::from(self.fields.days.of_week);
                let rest = ((week | week << 7) >> civil::weekday(from)) & ((1 << ((to - from) % 7)) - 1);
                weeks * i64::from(week.count_ones()) + i64::from(rest.count_ones())
            }
            Shape::Calendar => {
                // The calendar repeats after 400 years, weekdays included.
                let cycles = (to - from) / CYCLE_DAYS;
                let rest = to - cycles * CYCLE_DAYS;
                let whole = match cycles {
                    0 => 0,
                    _ => cycles * self.count_calendar_days(rest, rest + CYCLE_DAYS),
                };
                whole + self.count_calendar_days(from, rest)
            }
        }
    }

    /// The same, a month at a time.
    fn count_calendar_days(&self, from: i64, to: i64) -> i64 {
        let (mut year, mut month, day_of_month) = civil::civil_from_days(from);
        let mut begin = from - i64::from(day_of_month - 1);
        let mut count = 0;
        while begin < to {
            let length = i64::from(civil::month_length(year, month));
            if self.fields.months >> month & 1 != 0 {
                let mut days = self.days_of(begin, year, month);
                if begin < from {
                    days = days >> (from - begin) << (from - begin);
                }
                if begin + length > to {
                    days &= (1 << (to - begin)) - 1;
                }
                count += i64::from(days.count_ones());
            }
            begin += length;
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        count
    }
}
