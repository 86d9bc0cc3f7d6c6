//! Fires at equal distances in real time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A grid of instants: `origin + k × period` for k from `first` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) origin: DateTime<Utc>,
    /// Milliseconds; at least 1.
    pub(crate) period: i64,
    /// The smallest k.
    pub(crate) first: i64,
}

impl Grid {
    pub(crate) fn new(origin: DateTime<Utc>, period: Duration, first: i64) -> Self {
        // Periods are at most a thousand years, which fits by far.
        let period = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { origin, period, first }
    }

    /// The number of the first fire after `after` (exclusive).
    fn number_after(&self, after: DateTime<Utc>) -> i64 {
        let elapsed = after.signed_duration_since(self.origin);
        // The floor of the milliseconds: fires are whole milliseconds from the origin.
        let mut milliseconds = elapsed.num_milliseconds();
        if elapsed < TimeDelta::milliseconds(milliseconds) {
            milliseconds -= 1;
        }
        (milliseconds.div_euclid(self.period) + 1).max(self.first)
    }

    fn at(&self, number: i64) -> Option<DateTime<Utc>> {
        let elapsed = TimeDelta::try_milliseconds(number.checked_mul(self.period)?)?;
        self.origin.checked_add_signed(elapsed)
    }

    pub(crate) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.at(self.number_after(after))
    }

    /// How many fires there are after `after` (exclusive) and up to `until` (inclusive).
    pub(crate) fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        u64::try_from(self.number_after(until) - self.number_after(after)).unwrap_or(0)
    }
}
