//! A second, deliberately simple reading of the dialect, and a scan of every minute with it.
//!
//! It shares no code with the crate: values are sets, days are looked at one by one through
//! chrono, and local times are mapped to instants by chrono-tz.
#![allow(dead_code, reason = "each test file uses its own part of these helpers")]

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Duration, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc};
use schedule::{Cron, Dst, DstOverride, Gap, Overlap, Schedule, Zone};

/// An instant from RFC 3339.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub(crate) fn zone(name: &str) -> Zone {
    name.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn cron(text: &str) -> Cron {
    Cron::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The schedule of an expression in a zone.
pub(crate) fn schedule(text: &str, zone_name: &str) -> Schedule {
    Schedule::cron(cron(text), zone(zone_name))
}

/// The first `n` fires after an instant, written in the zone.
pub(crate) fn fires(schedule: &Schedule, after: &str, n: usize) -> Vec<String> {
    schedule.fires(at(after)).take(n).map(|fire| schedule::instant::format(fire, schedule.zone())).collect()
}

pub(crate) fn overrides(dst: Dst) -> DstOverride {
    DstOverride { gap: Some(dst.gap), overlap: Some(dst.overlap) }
}

#[derive(Debug)]
enum DayOfMonth {
    Day(u32),
    FromEnd(u32),
    Nearest(u32),
    LastWorkday,
}

#[derive(Debug)]
enum DayOfWeek {
    Day(u32),
    Last(u32),
    Nth(u32, u32),
}

/// An expression as sets of values.
#[derive(Debug)]
pub(crate) struct Naive {
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    months: BTreeSet<u32>,
    days_of_month: Vec<DayOfMonth>,
    days_of_week: Vec<DayOfWeek>,
    both: bool,
    wildcard: bool,
}

fn word(text: &str, names: &str) -> u32 {
    let upper = text.to_uppercase();
    match names.split(' ').position(|name| name == upper) {
        Some(index) => index as u32,
        None => text.parse().unwrap_or_else(|_| panic!("{text}")),
    }
}

const MONTH_NAMES: &str = "_ JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
const DAY_NAMES: &str = "SUN MON TUE WED THU FRI SAT";

/// A plain part of a field as a list of values.
fn expand(part: &str, low: u32, high: u32, names: &str) -> Vec<u32> {
    let (base, step) = match part.split_once('/') {
        Some((base, step)) => (base, Some(step.parse::<u32>().expect("a step"))),
        None => (part, None),
    };
    let (first, last) = if base == "*" || base == "?" {
        (low, high)
    } else if let Some((first, last)) = base.split_once('-') {
        let first = word(first, names);
        let last_is_sunday = names == DAY_NAMES && last.eq_ignore_ascii_case("SUN") && first > 0;
        (first, if last_is_sunday { 7 } else { word(last, names) })
    } else {
        let value = word(base, names);
        (value, if step.is_some() { high } else { value })
    };
    (first..=last).filter(|value| (value - first) % step.unwrap_or(1) == 0).collect()
}

impl Naive {
    pub(crate) fn new(text: &str) -> Self {
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => text,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let plain = |index: usize, low, high, names| -> BTreeSet<u32> {
            fields[index].split(',').flat_map(|part| expand(part, low, high, names)).collect()
        };
        let mut days_of_month = Vec::new();
        for part in fields[2].split(',') {
            let upper = part.to_uppercase();
            if upper == "L" {
                days_of_month.push(DayOfMonth::FromEnd(0));
            } else if upper == "LW" {
                days_of_month.push(DayOfMonth::LastWorkday);
            } else if let Some(back) = upper.strip_prefix("L-") {
                days_of_month.push(DayOfMonth::FromEnd(back.parse().expect("a number")));
            } else if let Some(day) = upper.strip_suffix('W') {
                days_of_month.push(DayOfMonth::Nearest(day.parse().expect("a number")));
            } else {
                days_of_month.extend(expand(part, 1, 31, "").into_iter().map(DayOfMonth::Day));
            }
        }
        let mut days_of_week = Vec::new();
        for part in fields[4].split(',') {
            if let Some((day, nth)) = part.split_once('#') {
                days_of_week.push(DayOfWeek::Nth(word(day, DAY_NAMES) % 7, nth.parse().expect("a number")));
            } else if let Some(day) = part.strip_suffix(['L', 'l']) {
                days_of_week.push(DayOfWeek::Last(word(day, DAY_NAMES) % 7));
            } else {
                days_of_week
                    .extend(expand(part, 0, 6, DAY_NAMES).into_iter().map(|day| DayOfWeek::Day(day % 7)));
            }
        }
        let star = |index: usize| fields[index].starts_with(['*', '?']);
        Self {
            minutes: plain(0, 0, 59, ""),
            hours: plain(1, 0, 23, ""),
            months: plain(3, 1, 12, MONTH_NAMES),
            days_of_month,
            days_of_week,
            both: star(2) || star(4),
            wildcard: star(0) || star(1),
        }
    }

    pub(crate) fn dst(&self) -> Dst {
        if self.wildcard {
            Dst { gap: Gap::Skip, overlap: Overlap::Both }
        } else {
            Dst { gap: Gap::RunAfter, overlap: Overlap::First }
        }
    }

    pub(crate) fn matches_day(&self, date: NaiveDate) -> bool {
        let workday = |date: NaiveDate| date.weekday().number_from_monday() <= 5;
        let length = u32::from(date.num_days_in_month());
        let in_month = |day: u32| (1..=length).contains(&day).then(|| date.with_day(day)).flatten();
        let by_month = self.days_of_month.iter().any(|rule| match rule {
            DayOfMonth::Day(day) => date.day() == *day,
            DayOfMonth::FromEnd(back) => date.day() + back == length,
            DayOfMonth::LastWorkday => {
                (1..=length).filter_map(in_month).rfind(|day| workday(*day)) == Some(date)
            }
            DayOfMonth::Nearest(wanted) => {
                *wanted <= length
                    && [0, -1, 1, -2, 2]
                        .iter()
                        .filter_map(|by: &i32| in_month(wanted.checked_add_signed(*by)?))
                        .find(|day| workday(*day))
                        == Some(date)
            }
        });
        let weekday = date.weekday().num_days_from_sunday();
        let by_week = self.days_of_week.iter().any(|rule| match rule {
            DayOfWeek::Day(day) => weekday == *day,
            DayOfWeek::Last(day) => weekday == *day && date.day() + 7 > length,
            DayOfWeek::Nth(day, nth) => weekday == *day && date.day().div_ceil(7) == *nth,
        });
        self.months.contains(&date.month())
            && if self.both { by_month && by_week } else { by_month || by_week }
    }

    pub(crate) fn matches(&self, wall: NaiveDateTime) -> bool {
        self.minutes.contains(&wall.minute())
            && self.hours.contains(&wall.hour())
            && self.matches_day(wall.date())
    }

    /// Every fire of the wall clock's minutes from `begin` (inclusive) to `end` (exclusive).
    pub(crate) fn scan(
        &self,
        zone: Zone,
        dst: Dst,
        begin: NaiveDateTime,
        end: NaiveDateTime,
    ) -> Vec<DateTime<Utc>> {
        let mut found = BTreeSet::new();
        let mut pending = false;
        let mut wall = begin;
        let (mut day, mut day_matches) = (begin.date(), self.matches_day(begin.date()));
        while wall < end {
            if wall.date() != day {
                (day, day_matches) = (wall.date(), self.matches_day(wall.date()));
            }
            let matches =
                day_matches && self.hours.contains(&wall.hour()) && self.minutes.contains(&wall.minute());
            // Instants are needed only where something happens.
            if matches || pending {
                let earliest = match zone.tz().from_local_datetime(&wall) {
                    LocalResult::None => {
                        pending |= dst.gap == Gap::RunAfter;
                        None
                    }
                    LocalResult::Single(instant) => {
                        if matches {
                            found.insert(instant.to_utc());
                        }
                        Some(instant.to_utc())
                    }
                    LocalResult::Ambiguous(a, b) => {
                        let (first, second) = (a.min(b).to_utc(), a.max(b).to_utc());
                        if matches && dst.overlap != Overlap::Second {
                            found.insert(first);
                        }
                        if matches && dst.overlap != Overlap::First {
                            found.insert(second);
                        }
                        Some(first)
                    }
                };
                if let Some(earliest) = earliest.filter(|_| pending) {
                    found.insert(earliest);
                    pending = false;
                }
            }
            wall += Duration::minutes(1);
        }
        found.into_iter().collect()
    }
}

/// A small generator of pseudo-random numbers (splitmix64), so that runs can be repeated by seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.abs_diff(low) + 1) as i64
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// One plain part of a field.
    fn part(&mut self, low: i64, high: i64, size: i64, star: bool) -> String {
        let first = self.between(low, high);
        let last = self.between(first, high);
        match self.below(if star { 8 } else { 6 }) {
            0..=2 => first.to_string(),
            3 => format!("{first}-{last}"),
            4 => format!("{first}-{last}/{}", self.between(1, size)),
            5 => format!("{}/{}", first.min(high), self.between(1, size)),
            6 => "*".to_owned(),
            _ => format!("*/{}", self.between(1, size)),
        }
    }

    fn field(&mut self, low: i64, high: i64, size: i64) -> String {
        let mut parts = vec![self.part(low, high, size, true)];
        while self.below(4) == 0 {
            parts.push(self.part(low, high, size, false));
        }
        parts.join(",")
    }

    /// A valid expression in which every feature of the dialect turns up, biased to hours in
    /// which clocks change.
    pub(crate) fn expression(&mut self) -> String {
        if self.below(60) == 0 {
            return self.pick(&["@hourly", "@daily", "@weekly", "@monthly", "@midnight"]).to_owned();
        }
        let minute = match self.below(4) {
            0 => self.pick(&["*", "*/30", "*/15", "*/7", "0,30"]).to_owned(),
            1 => self.pick(&["0", "15", "30", "45", "59"]).to_owned(),
            _ => self.field(0, 59, 60),
        };
        let hour = match self.below(3) {
            0 => self.pick(&["*", "*/2", "2", "1", "0", "23", "1-3", "0-2", "3"]).to_owned(),
            _ => self.field(0, 23, 24),
        };
        let day_of_month = match self.below(4) {
            0 | 1 => "*".to_owned(),
            2 => self
                .pick(&[
                    "?", "L", "LW", "L-3", "l-1", "15W", "1W", "31w", "1,15", "L,1", "15W,LW", "*/2", "L-30",
                ])
                .to_owned(),
            _ => self.field(1, 31, 31),
        };
        let month = match self.below(3) {
            0 => self.field(1, 12, 12),
            _ => self.pick(&["*", "*", "*", "JAN-DEC", "mar,OCT", "3-11", "*/1"]).to_owned(),
        };
        let day_of_week = match self.below(4) {
            0 | 1 => "*".to_owned(),
            2 => self
                .pick(&[
                    "?", "SUN", "7", "0", "FRI-SUN", "5-7", "mon-fri", "5L", "SUNL", "7L", "5#3", "sun#1",
                    "1#5", "MON#2,5L", "0-7", "6,7", "*/2", "5/1", "SAT-SUN", "5-7/2",
                ])
                .to_owned(),
            _ => self.field(0, 6, 7),
        };
        format!("{minute} {hour} {day_of_month} {month} {day_of_week}")
    }
}

/// The local day on which the zone's offset next changes at or after `date`, within `days`.
pub(crate) fn next_change(zone: Zone, date: NaiveDate, days: u64) -> Option<NaiveDate> {
    use chrono::Offset;
    let offset = |date: NaiveDate| {
        zone.tz().offset_from_utc_datetime(&date.and_time(chrono::NaiveTime::MIN)).fix().local_minus_utc()
    };
    let before = offset(date);
    (1..days).map(|ahead| date + chrono::Days::new(ahead)).find(|day| offset(*day) != before)
}
