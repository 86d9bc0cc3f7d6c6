//! Everything that there is to say about a schedule, for people.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::cron::Reading;
use crate::dst::Dst;
use crate::schedule::Schedule;
use crate::trigger::Trigger;
use crate::warnings::Warning;
use crate::zone::Zone;

/// A nominal fire, in UTC and by the clocks of its zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fire {
    /// The instant.
    pub at: DateTime<Utc>,
    /// RFC 3339 with the zone's offset.
    pub local: String,
}

/// A schedule in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The trigger's text form: `cron: 0 9 * * 1-5`.
    pub trigger: String,
    /// In English.
    pub description: String,
    /// The zone whose clocks it follows.
    pub timezone: Zone,
    /// What happens when clocks change; `None` where it makes no difference.
    pub dst: Option<Dst>,
    /// The next fires.
    pub fires: Vec<Fire>,
    /// What may surprise.
    pub warnings: Vec<Warning>,
    /// How other schedulers read the same expression, where they differ.
    pub other_readings: Vec<Reading>,
}

/// Explains a schedule, with its first `count` fires after `now`.
pub fn explain(schedule: &Schedule, now: DateTime<Utc>, count: usize) -> Explanation {
    let cron = match schedule.trigger() {
        Trigger::Cron(cron) => Some(cron),
        _ => None,
    };
    Explanation {
        trigger: schedule.trigger().to_string(),
        description: schedule.describe(),
        timezone: schedule.zone(),
        dst: cron.map(|_| schedule.dst()),
        fires: schedule
            .fires(now)
            .take(count)
            .map(|at| Fire { at, local: crate::instant::format(at, schedule.zone()) })
            .collect(),
        warnings: schedule.warnings(now),
        other_readings: cron.map(|cron| cron.other_readings()).unwrap_or_default(),
    }
}

impl Schedule {
    /// The schedule in English: `every 30 minutes between 09:00 and 17:59, Monday to Friday`.
    pub fn describe(&self) -> String {
        let local = |at| {
            let text = crate::instant::in_zone(at, self.zone()).format("%Y-%m-%d %H:%M:%S").to_string();
            text.strip_suffix(":00").map(str::to_owned).unwrap_or(text)
        };
        let mut text = match self.trigger() {
            Trigger::Cron(cron) => cron.describe(),
            Trigger::Interval { period } => format!("every {}", in_words(period.as_millis())),
            Trigger::At(at) => format!("once, at {} {}", local(*at), self.zone()),
            Trigger::Manual => "only when started by hand".to_owned(),
        };
        if *self.trigger() != Trigger::Manual {
            if let Some(start) = self.start() {
                text.push_str(&format!(", from {} on", local(start)));
            }
            if let Some(end) = self.end() {
                text.push_str(&format!(", until {}", local(end)));
            }
        }
        text
    }
}

/// A period in words: `90 minutes` is `1 hour 30 minutes`; a day is 24 hours, because clocks may
/// change within it.
fn in_words(milliseconds: u128) -> String {
    let units: [(&str, u128); 5] =
        [("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000), ("millisecond", 1)];
    let skip = usize::from(milliseconds == 86_400_000);
    let mut rest = milliseconds;
    let mut parts = Vec::new();
    for (name, length) in &units[skip..] {
        let count = rest / length;
        rest %= length;
        match count {
            0 => {}
            1 => parts.push(format!("1 {name}")),
            _ => parts.push(format!("{count} {name}s")),
        }
    }
    match parts.as_slice() {
        // "every hour", not "every 1 hour".
        [one] => one.strip_prefix("1 ").unwrap_or(one).to_owned(),
        _ => parts.join(" "),
    }
}
