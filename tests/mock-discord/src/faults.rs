//! Scripted faults, per route.

use std::time::Duration;

use serde_json::Value;

use crate::log::path_matches;

/// The shape of a 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitShape {
    /// A bucket of this bot: scope `user`, every header.
    User,
    /// A limit shared with others: scope `shared`.
    Shared,
    /// The limit of the whole bot: scope `global`, no bucket headers.
    Global,
    /// Only a body with `retry_after`, no header at all.
    BodyOnly,
    /// Only a `Retry-After` header with a fraction, and an HTML body, as a proxy in front sends.
    Proxy,
    /// Nothing that says how long.
    Silent,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status and JSON body instead of the real answer.
    Status(u16, Value),
    /// This status and an HTML page, as a broken edge server sends.
    Html(u16),
    /// The real answer, later.
    Delay(Duration),
    /// No answer, ever.
    Hang,
    /// The connection is closed before the request had any effect.
    Reset,
    /// The request has its effect, and then the connection is closed instead of an answer.
    ResetAfter,
    /// A 429 of that shape, to be tried again after so many seconds.
    RateLimit(LimitShape, f64),
}

/// A fault and the requests that it meets.
#[derive(Debug, Clone)]
pub struct Rule {
    method: String,
    pattern: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

impl Rule {
    /// Every request of this method (`*`: any) whose path matches (`*`: one segment, a final `**`: any rest).
    pub fn on(method: impl Into<String>, pattern: impl Into<String>, fault: Fault) -> Self {
        Self { method: method.into(), pattern: pattern.into(), skip: 0, times: usize::MAX, fault }
    }

    /// Lets the first `n` requests pass.
    #[must_use]
    pub fn after(mut self, n: usize) -> Self {
        self.skip = n;
        self
    }

    /// Strikes at most `n` times.
    #[must_use]
    pub fn times(mut self, n: usize) -> Self {
        self.times = n;
        self
    }

    /// The fault, where this rule strikes this request; counts it.
    pub(crate) fn strike(&mut self, method: &str, path: &str) -> Option<Fault> {
        if (self.method != "*" && self.method != method) || !path_matches(&self.pattern, path) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.checked_sub(1)?;
        Some(self.fault.clone())
    }
}
