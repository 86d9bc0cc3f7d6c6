//! What makes a job fire.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::cron::Cron;
use crate::error::ScheduleError;
use crate::zone::Zone;

/// What makes a job fire.
///
/// Its text form, `cron: 0 9 * * 1-5`, `interval: 6h`, `at: 2026-12-24T17:00:00Z` or `manual`, is
/// exact: [`Display`](fmt::Display) and [`FromStr`] are inverses of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// At the wall clock's times that the expression matches.
    Cron(Cron),
    /// At equal distances in real time, from an anchor on.
    Interval {
        /// The distance, in whole milliseconds, from [`Trigger::SHORTEST_INTERVAL`] up.
        period: Duration,
    },
    /// Once.
    At(DateTime<Utc>),
    /// Only when it is started by hand.
    Manual,
}

impl Trigger {
    /// The shortest period of an interval.
    pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

    /// An interval, checked.
    ///
    /// # Errors
    /// The period is below [`Trigger::SHORTEST_INTERVAL`].
    pub fn interval(period: Duration) -> Result<Self, ScheduleError> {
        if period < Self::SHORTEST_INTERVAL {
            return Err(ScheduleError::IntervalTooShort(crate::duration::format(period)));
        }
        Ok(Self::Interval { period })
    }

    /// The kind in one word: `cron`, `interval`, `at` or `manual`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cron(_) => "cron",
            Self::Interval { .. } => "interval",
            Self::At(_) => "at",
            Self::Manual => "manual",
        }
    }
}

/// An instant as stores and texts keep it: RFC 3339 in UTC, with `Z`.
pub(crate) fn utc_text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(cron) => write!(f, "cron: {cron}"),
            Self::Interval { period } => write!(f, "interval: {}", crate::duration::format(*period)),
            Self::At(at) => write!(f, "at: {}", utc_text(*at)),
            Self::Manual => f.write_str("manual"),
        }
    }
}

impl FromStr for Trigger {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        match text.split_once(": ") {
            Some(("cron", cron)) => Ok(Self::Cron(Cron::parse(cron)?)),
            Some(("interval", period)) => Self::interval(crate::duration::parse(period)?),
            Some(("at", at)) => Ok(Self::At(crate::instant::parse(at, Zone::UTC)?)),
            None if text == "manual" => Ok(Self::Manual),
            _ => Err(ScheduleError::Trigger(crate::suggest::shown(text))),
        }
    }
}
