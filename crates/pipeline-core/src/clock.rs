//! Where time comes from. The wall clock is read here and nowhere else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

/// A source of time, so that a test can live through a year in a second.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant.
    fn now(&self) -> DateTime<Utc>;

    /// Waits until the clock shows `instant`; returns at once where that is past.
    async fn sleep_until(&self, instant: DateTime<Utc>);
}

/// The wall clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A sleep is cut into slices of at most this length, because a machine can be suspended
/// and a wall clock can be set while a monotonic timer knows nothing of it.
const SLICE: Duration = Duration::from_secs(30);

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep_until(&self, instant: DateTime<Utc>) {
        sleep_in_slices(instant, || self.now()).await;
    }
}

/// Waits until `now` shows an instant, and looks again after each slice.
async fn sleep_in_slices(instant: DateTime<Utc>, now: impl Fn() -> DateTime<Utc> + Send) {
    while let Ok(left) = (instant - now()).to_std() {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SLICE)).await;
    }
}

/// A clock that follows Tokio's: under its paused clock time jumps to the next timer when all is idle.
#[derive(Debug, Clone)]
pub struct SimClock {
    start: DateTime<Utc>,
    origin: tokio::time::Instant,
    offset: Arc<std::sync::atomic::AtomicI64>,
    stepped: Arc<tokio::sync::Notify>,
}

impl SimClock {
    /// A clock that shows `start` now. Must be called within a Tokio runtime.
    pub fn new(start: DateTime<Utc>) -> Self {
        Self { start, origin: tokio::time::Instant::now(), offset: Arc::default(), stepped: Arc::default() }
    }

    /// Sets the clock forwards (or, negative, backwards), as an administrator would.
    pub fn step(&self, by: TimeDelta) {
        let micros = by.num_microseconds().unwrap_or(0);
        self.offset.fetch_add(micros, std::sync::atomic::Ordering::SeqCst);
        self.stepped.notify_waiters();
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.origin.elapsed()).unwrap_or(TimeDelta::MAX);
        let offset = TimeDelta::microseconds(self.offset.load(std::sync::atomic::Ordering::SeqCst));
        self.start + elapsed + offset
    }

    async fn sleep_until(&self, instant: DateTime<Utc>) {
        loop {
            // Before the clock is read, so that no step is overlooked.
            let mut stepped = std::pin::pin!(self.stepped.notified());
            stepped.as_mut().enable();
            let Ok(left) = (instant - self.now()).to_std() else { return };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(LONGEST)) => {}
                () = stepped => {}
            }
        }
    }
}

/// Tokio's timers reach no further than about two years.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Measures how long something takes, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_within_a_slice() {
        // (minutes by which it is set after one minute, seconds by a watch until two hours have passed on it, and how
        // much later that may be seen)
        let cases = [
            (0, 7200, 0),
            (60, 3600, 0),
            (180, 60, 30),
            (1440, 60, 30),
            (-60, 10_800, 0),
            (-1440, 93_600, 0),
        ];
        for (step, seconds, late) in cases {
            let clock = SimClock::new(DateTime::UNIX_EPOCH);
            let watch = tokio::time::Instant::now();
            let now = || {
                let set = watch.elapsed() >= Duration::from_secs(60);
                clock.now() + TimeDelta::minutes(if set { step } else { 0 })
            };
            sleep_in_slices(DateTime::UNIX_EPOCH + TimeDelta::hours(2), now).await;
            let took = watch.elapsed().as_secs();
            assert!((seconds..=seconds + late).contains(&took), "set by {step} minutes: {took} s");
        }
    }
}
