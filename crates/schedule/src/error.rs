//! One error for whoever builds a schedule from single texts.

use crate::cron::CronError;
use crate::duration::DurationError;
use crate::instant::InstantError;
use crate::zone::ZoneError;

/// Why a schedule cannot be built. Every message is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The cron expression is wrong.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The time zone is unknown.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The duration is not understood.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The date and time are not understood.
    #[error(transparent)]
    Instant(#[from] InstantError),
    /// The interval is shorter than a scheduler can keep.
    #[error("the interval {0} is too short; the shortest is 1s")]
    IntervalTooShort(String),
    /// The text form of a trigger is not one of the four.
    #[error("`{0}` is not a trigger; it is `cron: …`, `interval: …`, `at: …` or `manual`")]
    Trigger(String),
    /// A stored schedule has no trigger, or more than one.
    #[error("a stored schedule has exactly one of `cron`, `interval`, `at` and `manual`")]
    StoredTrigger,
}
