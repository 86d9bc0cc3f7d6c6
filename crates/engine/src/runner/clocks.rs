//! Noticing that the wall clock was set, or that the machine was suspended.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobstore::StoreKind;
use tokio::time::Instant;

use super::Runner;

/// Both clocks when they were last compared.
pub(super) struct Clocks {
    monotonic: Instant,
    wall: DateTime<Utc>,
}

impl Clocks {
    pub(super) fn new(monotonic: Instant, wall: DateTime<Utc>) -> Self {
        Self { monotonic, wall }
    }

    /// Whether one clock has gone further than the other since the last time, by more than `tolerance`.
    fn parted(&mut self, monotonic: Instant, wall: DateTime<Utc>, tolerance: Duration) -> bool {
        let before = std::mem::replace(self, Self { monotonic, wall });
        let passed = monotonic.saturating_duration_since(before.monotonic);
        let passed = TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX);
        (wall - before.wall - passed).abs().to_std().is_ok_and(|gap| gap > tolerance)
    }
}

impl Runner {
    /// Where leases are judged by this machine's wall clock, a step makes them look as if they had ended: nobody takes a
    /// run over before its holder could renew its lease.
    pub(super) fn look_at_clocks(&mut self, now: Instant) {
        let (wall, lease) = (self.clock_now(), self.settings.lease);
        if self.clocks.parted(now, wall, lease / 4) && self.store.kind() != StoreKind::Postgres {
            self.turns.hold_sweeps(now + lease);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn steps_and_suspensions_are_told_from_time_that_passes() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let wall = |seconds: i64| DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap();
        let mut clocks = Clocks::new(start, wall(0));
        // (seconds by the monotonic clock, by the wall clock, whether they parted since the case before)
        let cases = [
            (10, 10, false),
            (3_600, 3_605, false),
            (3_601, 7_200, true),
            (3_602, 7_201, false),
            (3_610, 0, true),
        ];
        for (monotonic, wall_seconds, parted) in cases {
            let now = start + second * monotonic;
            assert_eq!(
                clocks.parted(now, wall(wall_seconds), second * 7),
                parted,
                "{monotonic} {wall_seconds}"
            );
        }
    }
}
