//! How fast a destination may be sent to.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::Limits;
use crate::window::Window;

/// Between two messages.
const INTERVAL: Duration = Duration::from_millis(1010);
/// Messages in a period.
const BURST: (usize, Duration) = (5, Duration::from_millis(5050));

/// The pace of one destination.
#[derive(Debug)]
pub(crate) struct Pace {
    window: Window,
    not_before: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { window: Window::new(BURST.0, BURST.1), not_before: now }
    }

    /// How long until the next message.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        self.not_before.saturating_duration_since(now).max(self.window.wait(now))
    }

    /// A message is sent now.
    pub(crate) fn sending(&mut self, now: Instant) {
        self.window.count(now);
        self.not_before = self.not_before.max(now + INTERVAL);
    }

    /// Discord said this in its answer.
    pub(crate) fn heard(&mut self, limits: &Limits, now: Instant) {
        if limits.remaining == Some(0)
            && let Some(reset_after) = limits.reset_after
        {
            self.not_before = self.not_before.max(now + reset_after);
        }
    }

    /// Nothing may be sent for so long.
    pub(crate) fn hold(&mut self, now: Instant, time: Duration) {
        self.not_before = self.not_before.max(now + time);
    }

    /// Whether nothing would change if this were forgotten.
    pub(crate) fn is_idle(&mut self, now: Instant) -> bool {
        self.wait(now).is_zero() && now.saturating_duration_since(self.not_before) > BURST.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_a_second_and_slower_when_told() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut times = Vec::new();
        for _ in 0..12 {
            tokio::time::sleep(pace.wait(Instant::now())).await;
            let now = Instant::now();
            pace.sending(now);
            times.push(now - start);
        }
        for window in times.windows(2) {
            assert!(window[1] - window[0] >= Duration::from_secs(1));
        }
        for window in times.windows(6) {
            assert!(window[5] - window[0] >= Duration::from_secs(5));
        }
        let now = Instant::now();
        let told =
            |remaining| Limits { remaining, reset_after: Some(Duration::from_secs(9)), ..Limits::default() };
        pace.heard(&told(Some(1)), now);
        assert!(pace.wait(now) < Duration::from_secs(2));
        pace.heard(&told(Some(0)), now);
        assert_eq!(pace.wait(now), Duration::from_secs(9));
    }
}
