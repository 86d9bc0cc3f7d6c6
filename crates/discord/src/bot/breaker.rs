//! Keeps a bot that Discord does not answer, or does not want, from asking again and again.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::lock;
use crate::window::Window;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open at first, and at most.
const OPEN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// Discord bans an address that made 10,000 invalid requests in 10 minutes; this stays far below.
const INVALID: (usize, Duration) = (500, Duration::from_secs(600));

/// The breaker of the requests that nobody waits for with a stopwatch.
#[derive(Debug)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug)]
struct State {
    failures: u32,
    opened: u32,
    closed_until: Option<Instant>,
    /// Nothing at all may be sent before this: a global 429.
    paused_until: Option<Instant>,
    /// Nothing may be sent with the bot's token before this: it was refused.
    refused_until: Option<Instant>,
    invalid: Window,
}

/// Why nothing may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open(pub(crate) Duration);

impl Breaker {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            failures: 0,
            opened: 0,
            closed_until: None,
            paused_until: None,
            refused_until: None,
            invalid: Window::new(INVALID.0, INVALID.1),
        }))
    }

    /// Whether a request may be sent now, with the bot's token or without; otherwise how long not.
    pub(crate) fn admit(&self, now: Instant, authorised: bool) -> Result<(), Open> {
        let mut state = lock(&self.0);
        let waits = [state.closed_until, state.paused_until, state.refused_until.filter(|_| authorised)];
        let wait = waits.into_iter().flatten().map(|until| until.saturating_duration_since(now)).max();
        let wait = wait.unwrap_or_default().max(state.invalid.wait(now));
        if wait.is_zero() { Ok(()) } else { Err(Open(wait)) }
    }

    /// Discord answered with sense.
    pub(crate) fn succeeded(&self) {
        let mut state = lock(&self.0);
        state.failures = 0;
        state.opened = 0;
        state.closed_until = None;
    }

    /// Discord did not answer, or with a 5xx.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = lock(&self.0);
        state.failures += 1;
        if state.failures >= FAILURES {
            let time = OPEN.0.saturating_mul(2_u32.saturating_pow(state.opened)).min(OPEN.1);
            state.closed_until = Some(now + time);
            state.opened = state.opened.saturating_add(1);
            // When it closes again, one more failure opens it again.
            state.failures = FAILURES - 1;
        }
    }

    /// Discord answered 401, 403 or 429.
    pub(crate) fn invalid(&self, now: Instant) {
        lock(&self.0).invalid.count(now);
    }

    /// Discord refused the bot's token.
    pub(crate) fn token_refused(&self, now: Instant, time: Duration) {
        lock(&self.0).refused_until = Some(now + time);
    }

    /// Discord asked the whole bot to wait.
    pub(crate) fn pause(&self, now: Instant, time: Duration) {
        let mut state = lock(&self.0);
        state.paused_until = state.paused_until.max(Some(now + time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_and_closes() {
        let breaker = Breaker::new();
        let start = Instant::now();
        for _ in 0..FAILURES {
            assert_eq!(breaker.admit(start, true), Ok(()));
            breaker.failed(start);
        }
        assert_eq!(breaker.admit(start, true), Err(Open(OPEN.0)));
        let later = start + OPEN.0;
        assert_eq!(breaker.admit(later, true), Ok(()));
        breaker.failed(later);
        assert_eq!(breaker.admit(later, true), Err(Open(OPEN.0 * 2)));
        breaker.succeeded();
        assert_eq!(breaker.admit(later, true), Ok(()));
        breaker.token_refused(later, Duration::from_secs(1));
        assert_eq!((breaker.admit(later, false), breaker.admit(later, true).is_err()), (Ok(()), true));
        breaker.pause(later, Duration::from_secs(3));
        assert_eq!(breaker.admit(later, true), Err(Open(Duration::from_secs(3))));
        for _ in 0..INVALID.0 {
            breaker.invalid(later);
        }
        assert!(breaker.admit(later + Duration::from_secs(300), true).is_err());
        assert!(breaker.admit(later + Duration::from_secs(600), true).is_ok());
    }
}
