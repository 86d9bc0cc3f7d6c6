//! Instants as the database keeps them: microseconds since the epoch, UTC.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Microseconds since the epoch. Anything finer is cut off (towards the past).
pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// The instant of a stored number; numbers beyond what chrono can name become its first or last instant.
pub(crate) fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

/// As [`micros`], for columns that can be empty.
pub(crate) fn opt_micros(at: Option<DateTime<Utc>>) -> Option<i64> {
    at.map(micros)
}

/// As [`instant`], for columns that can be empty.
pub(crate) fn opt_instant(micros: Option<i64>) -> Option<DateTime<Utc>> {
    micros.map(instant)
}

/// A duration in microseconds, at most `i64::MAX`.
pub(crate) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
