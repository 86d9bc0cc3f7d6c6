//! What a person should know about a schedule before its first surprise.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::civil::{DAY, MINUTE, civil_from_days, minute_at_or_after};
use crate::cron::{Cron, CronField};
use crate::dst::{Dst, Gap, Overlap};
use crate::schedule::Schedule;
use crate::spans::{Span, Spans};
use crate::trigger::Trigger;

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// Nominal times that clocks skip within a year.
    Gap,
    /// Nominal times that occur twice within a year.
    Overlap,
    /// A step that does not divide its field: the last distance is shorter.
    UnevenStep,
    /// Both day fields are restricted: either may match, or both must.
    DayFields,
    /// An interval of whole days: its wall-clock time moves when clocks change.
    IntervalMoves,
    /// A setting that has no effect on this trigger.
    NoEffect,
}

/// Something that is allowed and may surprise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// One line.
    pub message: String,
    /// When it happens, for changes of the clocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

impl Schedule {
    /// What may surprise, changes of the clocks within a year from `now` included.
    pub fn warnings(&self, now: DateTime<Utc>) -> Vec<Warning> {
        let mut warnings = Vec::new();
        match self.trigger() {
            Trigger::Cron(cron) => {
                uneven_steps(cron, &mut warnings);
                day_fields(cron, &mut warnings);
                self.clock_changes(cron, now, &mut warnings);
            }
            Trigger::Interval { period } => {
                if !self.dst_override().is_empty() {
                    warnings.push(no_effect("`dst`", "an interval is real time, whatever the clocks show"));
                }
                if period.as_secs() % DAY.unsigned_abs() == 0 {
                    warnings.extend(self.interval_moves(now));
                }
            }
            Trigger::At(_) | Trigger::Manual => {
                if !self.dst_override().is_empty() {
                    warnings.push(no_effect("`dst`", "only cron expressions follow the wall clock"));
                }
            }
        }
        warnings
    }

    /// The changes of the clocks within a year from `now`: the stretches before and after.
    fn changes(&self, now: DateTime<Utc>) -> impl Iterator<Item = (&'static Span, &'static Span)> {
        let spans = Spans::of(self.zone(), now.timestamp());
        let until = now.checked_add_signed(TimeDelta::days(366)).unwrap_or(now).timestamp();
        (spans.index(now.timestamp())..)
            .map_while(move |index| Some((spans.get(index)?, spans.get(index + 1)?)))
            .take_while(move |(_, after)| after.begin <= until)
    }

    fn clock_changes(&self, cron: &Cron, now: DateTime<Utc>, warnings: &mut Vec<Warning>) {
        let Dst { gap, overlap } = self.dst();
        for (before, after) in self.changes(now) {
            let change = after.begin;
            let (low, high) = (before.offset.min(after.offset), before.offset.max(after.offset));
            let (from, to) = (change + low, change + high);
            let count = cron.matcher().count(minute_at_or_after(from), minute_at_or_after(to));
            let at = DateTime::from_timestamp(change, 0);
            let bounded = at.is_some_and(|at| {
                self.start().is_some_and(|start| at < start) || self.end().is_some_and(|end| at > end)
            });
            let Some(first) =
                cron.matcher().next_minute(minute_at_or_after(from)).filter(|_| count > 0 && !bounded)
            else {
                continue;
            };
            let times = match count {
                1 => clock(first * MINUTE),
                _ => format!("{count} times from {} on", clock(first * MINUTE)),
            };
            let (occurs, is) = if count == 1 { ("occurs", "does") } else { ("occur", "do") };
            let zone = self.zone();
            warnings.push(if before.offset < after.offset {
                let then = match gap {
                    Gap::RunAfter => format!("it fires once at {} instead", clock(to)),
                    Gap::Skip => {
                        "it does not fire for them".replace("them", if count == 1 { "it" } else { "them" })
                    }
                };
                let message = format!(
                    "on {} clocks in {zone} go forward from {} to {}: {times} {is} not exist, and {then}",
                    date(from),
                    clock(from),
                    clock(to)
                );
                Warning { kind: WarningKind::Gap, message, at }
            } else {
                let then = match overlap {
                    Overlap::First => "it fires at the first occurrence only",
                    Overlap::Second => "it fires at the second occurrence only",
                    Overlap::Both => "it fires at both",
                };
                let message = format!(
                    "on {} clocks in {zone} go back from {} to {}: {times} {occurs} twice, and {then}",
                    date(to),
                    clock(to),
                    clock(from)
                );
                Warning { kind: WarningKind::Overlap, message, at }
            });
        }
    }

    fn interval_moves(&self, now: DateTime<Utc>) -> Option<Warning> {
        let (before, after) = self.changes(now).next()?;
        let moved = (after.offset - before.offset).abs() / 60;
        let direction = if after.offset > before.offset { "later" } else { "earlier" };
        Some(Warning {
            kind: WarningKind::IntervalMoves,
            message: format!(
                "an interval is real time: from {} on it fires {moved} minutes {direction} by the clocks of {}; use `cron` to keep the time of day",
                date(after.begin + after.offset),
                self.zone()
            ),
            at: DateTime::from_timestamp(after.begin, 0),
        })
    }
}

fn no_effect(what: &str, why: &str) -> Warning {
    Warning { kind: WarningKind::NoEffect, message: format!("{what} has no effect: {why}"), at: None }
}

/// `HH:MM` of a second of the wall clock.
fn clock(local: i64) -> String {
    let minute = local.rem_euclid(DAY) / MINUTE;
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The date of a second of the wall clock.
fn date(local: i64) -> String {
    let (year, month, day) = civil_from_days(local.div_euclid(DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// Steps over a whole field that do not divide it.
fn uneven_steps(cron: &Cron, warnings: &mut Vec<Warning>) {
    for (field, text) in CronField::ALL.into_iter().zip(cron.as_str().split_ascii_whitespace()) {
        for part in text.split(',') {
            let Some((base, step)) = part.split_once('/') else { continue };
            let Ok(step) = step.parse::<u32>() else { continue };
            // A range ends where its author wanted; `*` and a start run into the next round.
            if base.contains('-') || step <= 1 {
                continue;
            }
            let size = field.size();
            let uneven = match field {
                CronField::DayOfMonth => true,
                _ => !size.is_multiple_of(step) && step < size,
            };
            if !uneven {
                continue;
            }
            let (round, unit, shorthand) = match field {
                CronField::Minute => ("hour", "minutes", "m"),
                CronField::Hour => ("day", "hours", "h"),
                CronField::DayOfMonth => ("month", "days", "d"),
                CronField::Month => ("year", "months", ""),
                CronField::DayOfWeek => ("week", "days", "d"),
            };
            let advice = match shorthand {
                "" => String::new(),
                short => format!("; for equal distances use `interval: {step}{short}`"),
            };
            warnings.push(Warning {
                kind: WarningKind::UnevenStep,
                message: format!(
                    "{field} `{part}` is not every {step} {unit}: it starts anew each {round}, so the last distance is shorter{advice}"
                ),
                at: None,
            });
        }
    }
}

/// Two restricted day fields.
fn day_fields(cron: &Cron, warnings: &mut Vec<Warning>) {
    let mut fields = cron.as_str().split_ascii_whitespace();
    let (Some(month), Some(week)) = (fields.nth(2), fields.nth(1)) else { return };
    let open = |text: &str| matches!(text, "*" | "?");
    if open(month) || open(week) {
        return;
    }
    let message = if cron.matcher().fields.days.both {
        let star = if month.starts_with('*') { month } else { week };
        format!(
            "`{star}` begins with `*`, so day-of-month `{month}` and day-of-week `{week}` must both match"
        )
    } else {
        format!(
            "it fires on days that match day-of-month `{month}` or day-of-week `{week}`, not only on those that match both"
        )
    };
    warnings.push(Warning { kind: WarningKind::DayFields, message, at: None });
}
