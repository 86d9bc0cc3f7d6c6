//! At most so many of something in any period.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A sliding window. It holds at most `limit` instants.
#[derive(Debug)]
pub(crate) struct Window {
    limit: usize,
    period: Duration,
    seen: VecDeque<Instant>,
}

impl Window {
    pub(crate) fn new(limit: usize, period: Duration) -> Self {
        Self { limit, period, seen: VecDeque::new() }
    }

    /// How long to wait before the next one fits; zero where it fits now.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        self.forget(now);
        match self.seen.front() {
            Some(first) if self.seen.len() >= self.limit => {
                (*first + self.period).saturating_duration_since(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// Counts one.
    pub(crate) fn count(&mut self, now: Instant) {
        self.forget(now);
        if self.seen.len() >= self.limit {
            self.seen.pop_front();
        }
        self.seen.push_back(now);
    }

    fn forget(&mut self, now: Instant) {
        while self.seen.front().is_some_and(|at| now.saturating_duration_since(*at) >= self.period) {
            self.seen.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slides() {
        let mut window = Window::new(2, Duration::from_secs(10));
        let start = Instant::now();
        assert_eq!(window.wait(start), Duration::ZERO);
        window.count(start);
        window.count(start + Duration::from_secs(4));
        assert_eq!(window.wait(start + Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(window.wait(start + Duration::from_secs(10)), Duration::ZERO);
    }
}
