//! How other schedulers read the same text.
//!
//! Expressions travel between schedulers, and days of the week change their meaning on the way:
//! Quartz and its kin count Sunday as 1, APScheduler counts Monday as 0, crontab counts Sunday as
//! 0 and 7. Whoever moves a file here should see the difference before the first wrong fire.

use saffron::parse::{CronExpr, DayOfWeekExpr, OrsExpr};

use super::fields::{ALL_WEEKDAYS, Days, Fields};
use super::{Cron, describe};

/// How another scheduler reads an expression that it reads differently.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reading {
    /// The scheduler's name.
    pub scheduler: &'static str,
    /// What it takes the expression for.
    pub meaning: String,
}

impl Cron {
    /// How other schedulers read this text, where they fire on other days or refuse it.
    pub fn other_readings(&self) -> Vec<Reading> {
        if self.as_str().trim_ascii_start().starts_with('@') {
            return Vec::new();
        }
        let mut fields = self.as_str().split_ascii_whitespace();
        let (Some(day_of_month), Some(day_of_week)) = (fields.nth(2), fields.nth(1)) else {
            return Vec::new();
        };
        let ours = self.matcher().fields;
        let mut readings = Vec::new();
        // Names mean the same everywhere; numbers do not.
        let numbers =
            day_of_week.bytes().next().is_some_and(|b| b.is_ascii_digit()) || day_of_week.contains(',');
        if numbers {
            readings.extend(quartz(self.as_str(), &ours));
        }
        readings.extend(apscheduler(day_of_month, day_of_week, &ours));
        readings
    }
}

/// The reading of Quartz, Cloudflare Workers and other schedulers in which 1 is Sunday.
fn quartz(text: &str, ours: &Fields) -> Option<Reading> {
    const NAME: &str = "Quartz";
    let Ok(theirs) = text.trim_ascii().parse::<CronExpr>() else {
        return Some(Reading {
            scheduler: NAME,
            meaning: "refused: days of the week are 1 (Sunday) to 7 (Saturday) there".to_owned(),
        });
    };
    let mut days = Days { of_week: 0, last_of_week: 0, nth_of_week: [0; 5], ..ours.days };
    match theirs.dows {
        DayOfWeekExpr::All => days.of_week = ALL_WEEKDAYS,
        DayOfWeekExpr::Last(day) => days.last_of_week = 1 << u8::from(day),
        DayOfWeekExpr::Nth(day, nth) => {
            let index = usize::from(u8::from(nth)).checked_sub(1)?;
            *days.nth_of_week.get_mut(index)? = 1 << u8::from(day);
        }
        DayOfWeekExpr::Many(parts) => {
            for part in parts {
                let (first, last, step) = match part.normalize() {
                    OrsExpr::One(day) => (u8::from(day), u8::from(day), 1),
                    OrsExpr::Range(first, last) => (u8::from(first), u8::from(last), 1),
                    OrsExpr::Step { start, end, step } => (u8::from(start), u8::from(end), u8::from(step)),
                    _ => return None,
                };
                // Ranges wrap there.
                let length = (last + 7 - first) % 7;
                for ahead in (0..=length).step_by(usize::from(step.max(1))) {
                    days.of_week |= 1 << ((first + ahead) % 7);
                }
            }
        }
        _ => return None,
    }
    reading(NAME, days, ours)
}

/// The reading of APScheduler: 0 is Monday, and both day fields must match.
fn apscheduler(day_of_month: &str, day_of_week: &str, ours: &Fields) -> Option<Reading> {
    const NAME: &str = "APScheduler";
    let extended = |text: &str| text.contains(['L', 'l', 'W', 'w', '#', '?']);
    let names = day_of_week.bytes().any(|b| b.is_ascii_alphabetic());
    if extended(day_of_month) || (!names && extended(day_of_week)) {
        return None;
    }
    let numbers = day_of_week.bytes().any(|b| b.is_ascii_digit()) && !day_of_week.starts_with('*');
    if names && (numbers || day_of_week.contains(['#', '/'])) {
        return None;
    }
    let mut days = Days { both: true, ..ours.days };
    if numbers {
        if day_of_week.contains('7') {
            return Some(Reading {
                scheduler: NAME,
                meaning: "refused: days of the week are 0 (Monday) to 6 (Sunday) there".to_owned(),
            });
        }
        days.of_week = ours.days.of_week << 1 & ALL_WEEKDAYS | ours.days.of_week >> 6;
    }
    reading(NAME, days, ours)
}

fn reading(scheduler: &'static str, days: Days, ours: &Fields) -> Option<Reading> {
    let theirs = Fields { days, ..*ours };
    (days != ours.days && describe::describe(&theirs) != describe::describe(ours))
        .then(|| Reading { scheduler, meaning: describe::describe(&theirs) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_schedulers_read_numbers_otherwise() {
        let quartz_refuses = "Quartz: refused: days of the week are 1 (Sunday) to 7 (Saturday) there";
        let aps_refuses = "APScheduler: refused: days of the week are 0 (Monday) to 6 (Sunday) there";
        let cases: [(&str, &[&str]); 9] = [
            ("0 9 * * *", &[]),
            ("0 9 * * MON-FRI", &[]),
            (
                "0 9 * * 1-5",
                &["Quartz: at 09:00, Sunday to Thursday", "APScheduler: at 09:00, Tuesday to Saturday"],
            ),
            ("0 9 * * 0", &[quartz_refuses, "APScheduler: at 09:00, on Monday"]),
            ("0 9 * * 7", &["Quartz: at 09:00, on Saturday", aps_refuses]),
            ("0 0 13 * FRI", &["APScheduler: at 00:00, on the 13th of every month, only on Friday"]),
            ("0 0 * * 5L", &["Quartz: at 00:00, on the last Thursday of the month"]),
            ("0 0 * * 5#3", &["Quartz: at 00:00, on the third Thursday of the month"]),
            ("@weekly", &[]),
        ];
        for (text, expected) in cases {
            let readings: Vec<String> = Cron::parse(text)
                .expect(text)
                .other_readings()
                .iter()
                .map(|reading| format!("{}: {}", reading.scheduler, reading.meaning))
                .collect();
            assert_eq!(readings, expected, "{text}");
        }
    }
}
