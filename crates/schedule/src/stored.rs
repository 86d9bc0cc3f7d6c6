//! The form in which a store keeps a schedule.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::dst::DstOverride;
use crate::error::ScheduleError;
use crate::schedule::Schedule;
use crate::trigger::{Trigger, utc_text};
use crate::zone::Zone;

/// What decides when a job fires, and nothing else: trigger, zone, clock changes and bounds.
///
/// As JSON it is one flat object with exactly one of `cron`, `interval`, `at` and `manual`, beside
/// `timezone` and, where they are set, `dst`, `start` and `end`. Texts are kept exactly as they
/// were written, instants are UTC. Writing it and reading it back gives the same schedule, without
/// jitter, misfire policy and anchor, which belong to the job and not to its fires.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSchedule(Schedule);

impl StoredSchedule {
    /// The schedule.
    pub fn into_schedule(self) -> Schedule {
        self.0
    }

    /// The schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.0
    }

    /// Whether both fire at the same instants; see [`Schedule::same_fires`].
    pub fn same_fires(&self, other: &StoredSchedule) -> bool {
        self.0.same_fires(&other.0)
    }
}

impl Schedule {
    /// The form in which a store keeps this schedule.
    pub fn to_stored(&self) -> StoredSchedule {
        StoredSchedule(
            Schedule::new(self.trigger().clone(), self.zone())
                .with_dst(self.dst_override())
                .with_bounds(self.start(), self.end()),
        )
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manual: Option<bool>,
    timezone: Zone,
    #[serde(default, skip_serializing_if = "DstOverride::is_empty")]
    dst: DstOverride,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

impl Serialize for StoredSchedule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let schedule = &self.0;
        let mut form = Form {
            cron: None,
            interval: None,
            at: None,
            manual: None,
            timezone: schedule.zone(),
            dst: schedule.dst_override(),
            start: schedule.start().map(utc_text),
            end: schedule.end().map(utc_text),
        };
        match schedule.trigger() {
            Trigger::Cron(cron) => form.cron = Some(cron.as_str().to_owned()),
            Trigger::Interval { period } => form.interval = Some(crate::duration::format(*period)),
            Trigger::At(at) => form.at = Some(utc_text(*at)),
            Trigger::Manual => form.manual = Some(true),
        }
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredSchedule {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Form::deserialize(deserializer)?.build().map_err(serde::de::Error::custom)
    }
}

impl Form {
    fn build(self) -> Result<StoredSchedule, ScheduleError> {
        let instant = |text: Option<String>| -> Result<Option<DateTime<Utc>>, ScheduleError> {
            Ok(text.map(|text| crate::instant::parse(&text, Zone::UTC)).transpose()?)
        };
        let trigger = match (self.cron, self.interval, self.at, self.manual) {
            (Some(cron), None, None, None) => Trigger::Cron(cron.parse()?),
            (None, Some(period), None, None) => Trigger::interval(crate::duration::parse(&period)?)?,
            (None, None, Some(at), None) => Trigger::At(crate::instant::parse(&at, Zone::UTC)?),
            (None, None, None, Some(true)) => Trigger::Manual,
            _ => return Err(ScheduleError::StoredTrigger),
        };
        let schedule = Schedule::new(trigger, self.timezone)
            .with_dst(self.dst)
            .with_bounds(instant(self.start)?, instant(self.end)?);
        Ok(StoredSchedule(schedule))
    }
}
