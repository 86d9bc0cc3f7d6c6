//! Counting and finding fires in the past without listing them.

use chrono::{DateTime, TimeDelta, Utc};

use crate::schedule::Schedule;

/// The nominal instants that are due, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// How many there are.
    pub count: u64,
    /// The oldest.
    pub first: DateTime<Utc>,
    /// The newest.
    pub newest: DateTime<Utc>,
}

impl Schedule {
    /// The fires from `first_due` (which is one, whatever the schedule says now) up to `now`;
    /// `None` if `first_due` is still to come. Constant memory, and time in proportion to the
    /// months in between at most.
    pub fn missed(&self, first_due: DateTime<Utc>, now: DateTime<Utc>) -> Option<Missed> {
        if first_due > now {
            return None;
        }
        let later = self.count(first_due, now);
        let newest =
            if later == 0 { first_due } else { self.nth_newest(first_due, now, 1).unwrap_or(first_due) };
        Some(Missed { count: later + 1, first: first_due, newest })
    }

    /// The newest `n` fires from `first_due` up to `now`, oldest first. Memory in proportion to
    /// `n` at most.
    pub fn newest_n_missed(
        &self,
        first_due: DateTime<Utc>,
        now: DateTime<Utc>,
        n: usize,
    ) -> Vec<DateTime<Utc>> {
        if n == 0 || first_due > now {
            return Vec::new();
        }
        let later = self.count(first_due, now);
        let wanted = u64::try_from(n).unwrap_or(u64::MAX);
        let first = if later < wanted { Some(first_due) } else { self.nth_newest(first_due, now, wanted) };
        let Some(first) = first else { return Vec::new() };
        std::iter::once(first).chain(self.fires(first).take_while(|fire| *fire <= now)).take(n).collect()
    }

    /// The `n`-th fire from the end after `after` (exclusive) and up to `until`; 1 is the newest.
    /// `None` if there are fewer.
    pub(crate) fn nth_newest(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        n: u64,
    ) -> Option<DateTime<Utc>> {
        // Look back ever further until enough are found; then halve the last step. `low` always
        // has at least n fires after it, `high` fewer.
        let mut high = until;
        let mut step = TimeDelta::seconds(1);
        let mut low = loop {
            let low = high.checked_sub_signed(step).filter(|low| *low > after).unwrap_or(after);
            if self.count(low, until) >= n {
                break low;
            }
            if low == after {
                return None;
            }
            high = low;
            step = step.checked_mul(2)?;
        };
        while high - low > TimeDelta::milliseconds(1) {
            let middle = low + (high - low) / 2;
            if self.count(middle, until) >= n {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.next_after(low)
    }
}
