//! The lease of an attempt: how long this process may be sure that nobody else holds the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use jobstore::{AttemptKey, Beat, JobStore};
use pipeline_core::{Clock, Fence, StageError};
use tokio::time::Instant;

/// How long before the end of its lease an attempt is stopped: children get a SIGTERM, 5 s later a SIGKILL,
/// and all of that must be over when the lease is.
const STOP_BEFORE_END: Duration = Duration::from_secs(7);

/// How long before its end a lease of this length can no longer be used.
pub(crate) fn margin(lease: Duration) -> Duration {
    STOP_BEFORE_END.min(lease / 4)
}

/// The lease of one attempt, shared by the loop that renews it and the attempt that relies on it.
///
/// It is measured by two clocks. The monotonic one stands still while a machine is suspended, the wall clock can be
/// set: only where both say so the lease is surely held.
#[derive(Debug)]
pub(crate) struct Lease {
    origin: Instant,
    /// Milliseconds after `origin` until which the lease is held.
    until: AtomicI64,
    /// The same by the wall clock, in milliseconds since the epoch.
    wall_until: AtomicI64,
    lost: AtomicBool,
}

impl Lease {
    /// A lease that was asked for at these instants and lasts so long from then on.
    pub(crate) fn new(asked: Instant, asked_wall: DateTime<Utc>, length: Duration) -> Self {
        let lease = Self {
            origin: asked,
            until: AtomicI64::new(0),
            wall_until: AtomicI64::new(0),
            lost: AtomicBool::new(false),
        };
        lease.renew(asked, asked_wall, length);
        lease
    }

    /// The lease was renewed by a request that was sent at these instants.
    pub(crate) fn renew(&self, asked: Instant, asked_wall: DateTime<Utc>, length: Duration) {
        let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        let offset =
            i64::try_from(asked.saturating_duration_since(self.origin).as_millis()).unwrap_or(i64::MAX);
        self.until.fetch_max(offset.saturating_add(length), Ordering::Relaxed);
        self.wall_until.store(asked_wall.timestamp_millis().saturating_add(length), Ordering::Relaxed);
    }

    /// Until when it is held, by the monotonic clock.
    pub(crate) fn until(&self) -> Instant {
        let offset = u64::try_from(self.until.load(Ordering::Relaxed)).unwrap_or(0);
        self.origin + Duration::from_millis(offset)
    }

    /// Whether it is surely held at these instants and for `margin` longer.
    pub(crate) fn holds(&self, now: Instant, wall: DateTime<Utc>, margin: Duration) -> bool {
        let wall_margin = TimeDelta::from_std(margin).unwrap_or(TimeDelta::MAX);
        !self.is_lost()
            && now + margin < self.until()
            && wall
                .checked_add_signed(wall_margin)
                .is_some_and(|at| at.timestamp_millis() < self.wall_until.load(Ordering::Relaxed))
    }

    /// The store said that somebody else holds the run, or that it is over.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Whether the store said so.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Asked by stages before they act outside. Where the lease is not surely held any more, because the process was
/// stopped or suspended, or the store away, the store is asked.
pub(crate) struct LeaseFence {
    pub(crate) lease: Arc<Lease>,
    pub(crate) key: AttemptKey,
    pub(crate) length: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<dyn JobStore>,
    /// Whether other machines can reach the store while this one cannot.
    pub(crate) shared: bool,
}

impl LeaseFence {
    fn lost(&self) -> StageError {
        StageError::fatal("this attempt no longer holds its run: another scheduler has taken it over")
    }
}

#[async_trait]
impl Fence for LeaseFence {
    async fn check(&self) -> Result<(), StageError> {
        if self.lease.is_lost() {
            return Err(self.lost());
        }
        let (asked, wall) = (Instant::now(), self.clock.now());
        if self.lease.holds(asked, wall, margin(self.length)) {
            return Ok(());
        }
        let beat = Beat {
            owner: self.key.owner.clone(),
            now: wall,
            lease: self.length,
            attempts: vec![(self.key.run, self.key.attempt)],
            loop_late: Duration::ZERO,
        };
        match self.store.heartbeat(beat).await {
            Ok(result) if result.lost.is_empty() => {
                self.lease.renew(asked, wall, self.length);
                Ok(())
            }
            Ok(_) => {
                self.lease.lose();
                Err(self.lost())
            }
            // Nobody else can write to a file that this process cannot write to: the attempt is still alone.
            Err(error) if error.is_transient() && !self.shared => Ok(()),
            Err(error) => Err(StageError::fatal(format!(
                "the lease of this attempt may have ended and cannot be confirmed: {error}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_held_only_while_both_clocks_say_so() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let lease = Lease::new(start, wall(0), second * 30);
        let margin = margin(second * 30);
        // (monotonic seconds, wall seconds, held)
        let cases = [
            (0, 0, true),
            (22, 22, true),
            (23, 23, false),
            // Suspended: only the wall clock went on.
            (1, 3_600, false),
            // The wall clock was set back: the monotonic one still counts.
            (40, -3_600, false),
            (10, -3_600, true),
        ];
        for (monotonic, wall_seconds, held) in cases {
            let now = start + second * monotonic;
            assert_eq!(lease.holds(now, wall(wall_seconds), margin), held, "{monotonic} {wall_seconds}");
        }
        lease.renew(start + second * 20, wall(20), second * 30);
        assert!(lease.holds(start + second * 42, wall(42), margin));
        assert_eq!(lease.until(), start + second * 50);
        lease.lose();
        assert!(!lease.holds(start, wall(0), margin));
    }

    #[test]
    fn the_margin_leaves_time_to_kill_children_and_never_eats_a_short_lease() {
        assert_eq!(margin(Duration::from_secs(30)), Duration::from_secs(7));
        assert_eq!(margin(Duration::from_secs(4)), Duration::from_secs(1));
    }
}
