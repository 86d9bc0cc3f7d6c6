//! What the store keeps of a job's schedule, and what a job's next fire is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobstore::JobState;
use schedule::{Schedule, StoredSchedule, Trigger};
use serde::{Deserialize, Serialize};

/// The version of [`JobSpec`] that is written. A later version is refused, so that nothing is misread.
const VERSION: u32 = 1;

/// What the store keeps in a job's `spec`: all that its fires depend on.
#[derive(Debug, Serialize, Deserialize)]
struct JobSpec {
    v: u32,
    schedule: StoredSchedule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anchor: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jitter: Option<String>,
}

/// The text under which a schedule is stored with its job.
pub(crate) fn write(schedule: &Schedule) -> String {
    let jitter = (!schedule.jitter().is_zero()).then(|| schedule::duration::format(schedule.jitter()));
    let anchor = matches!(schedule.trigger(), Trigger::Interval { .. }).then(|| schedule.anchor()).flatten();
    let spec = JobSpec { v: VERSION, schedule: schedule.to_stored(), anchor, jitter };
    // Text keys and values only: this cannot fail.
    serde_json::to_string(&spec).unwrap_or_default()
}

/// The schedule of a stored job.
///
/// # Errors
/// Why the text cannot be read.
pub(crate) fn read(text: &str) -> Result<Schedule, String> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let unreadable =
        |error: serde_json::Error| format!("what is stored of its schedule cannot be read: {error}");
    let version: Version = serde_json::from_str(text).map_err(unreadable)?;
    if version.v > VERSION {
        return Err(format!("its schedule was stored by a newer version (format {})", version.v));
    }
    let spec: JobSpec = serde_json::from_str(text).map_err(unreadable)?;
    let jitter = match &spec.jitter {
        Some(text) => schedule::duration::parse(text).map_err(|error| error.to_string())?,
        None => Duration::ZERO,
    };
    let schedule = spec.schedule.into_schedule().with_jitter(jitter);
    Ok(match spec.anchor {
        Some(anchor) => schedule.with_anchor(anchor),
        None => schedule,
    })
}

/// The next fire of a job: its nominal instant, and when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) fire_at: Option<DateTime<Utc>>,
    pub(crate) due_at: Option<DateTime<Utc>>,
}

impl Next {
    /// No fire.
    pub(crate) const NONE: Self = Self { fire_at: None, due_at: None };

    /// A fire at a known instant.
    pub(crate) fn at(schedule: &Schedule, job: &str, fire_at: DateTime<Utc>) -> Self {
        Self { fire_at: Some(fire_at), due_at: Some(schedule.due_at(job, fire_at)) }
    }

    /// The first fire after an instant.
    pub(crate) fn after(schedule: &Schedule, job: &str, after: DateTime<Utc>) -> Self {
        schedule.next_after(after).map_or(Self::NONE, |fire_at| Self::at(schedule, job, fire_at))
    }

    /// The state of an active job with this next fire.
    pub(crate) fn state(&self, schedule: &Schedule) -> JobState {
        match (self.fire_at, schedule.trigger()) {
            (None, Trigger::Manual) | (Some(_), _) => JobState::Scheduled,
            (None, _) => JobState::Finished,
        }
    }
}

/// A schedule whose intervals count from `now`, as those of a new job do.
pub(crate) fn anchored(schedule: &Schedule, now: DateTime<Utc>) -> Schedule {
    match schedule.trigger() {
        Trigger::Interval { .. } => schedule.clone().with_anchor(now),
        _ => schedule.clone(),
    }
}

#[cfg(test)]
mod tests {
    use schedule::{Cron, Zone};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn schedules_survive_the_store() {
        let zone: Zone = "Europe/Stockholm".parse().unwrap();
        let schedules = [
            Schedule::cron(Cron::parse("*/30 9-17 * * 1-5").unwrap(), zone)
                .with_jitter(Duration::from_secs(20)),
            anchored(
                &Schedule::interval(Duration::from_secs(3_600), zone).unwrap(),
                at("2026-01-01T10:20:30Z"),
            ),
            Schedule::at(at("2026-12-24T17:00:00Z"), zone),
            Schedule::manual(zone),
        ];
        for schedule in schedules {
            let text = write(&schedule);
            assert_eq!(read(&text).unwrap(), schedule, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (text, part) in [
            ("", "cannot be read"),
            (r#"{"v":1,"schedule":{"timezone":"UTC"}}"#, "exactly one of"),
            (r#"{"v":2,"anything":1}"#, "newer version (format 2)"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_job_without_further_fire_is_finished_unless_it_is_manual() {
        let zone = Zone::UTC;
        let now = at("2026-01-01T00:00:00Z");
        let past = Schedule::at(at("2025-01-01T00:00:00Z"), zone);
        let manual = Schedule::manual(zone);
        let daily = Schedule::cron(Cron::parse("@daily").unwrap(), zone);
        let state = |schedule: &Schedule| Next::after(schedule, "job", now).state(schedule);
        assert_eq!(state(&past), JobState::Finished);
        assert_eq!(state(&manual), JobState::Scheduled);
        assert_eq!(state(&daily), JobState::Scheduled);
    }
}
