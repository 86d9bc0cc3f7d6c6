//! How a pipeline is run: what a file writes beside its chain.

use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::HumanDuration;

/// What becomes of a fire while a run of the same pipeline is queued or running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "skip"))]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// One waits; later ones are skipped.
    Queue,
    /// The running one is cancelled.
    Replace,
    /// It runs beside, up to `max_instances`.
    Allow,
}

/// What becomes of a run whose process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCrash {
    /// It runs again, at once, as its next attempt.
    #[default]
    Rerun,
    /// It is over: the run is tried at most once.
    Abandon,
}

/// When and how often a failed run is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub max_attempts: NonZeroU32,
    /// The wait before the second attempt; it doubles with each further one.
    pub backoff: HumanDuration,
    /// The longest wait.
    pub max_backoff: HumanDuration,
    /// What becomes of a run whose process died.
    pub on_crash: OnCrash,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroU32::MIN,
            backoff: HumanDuration::from_secs(30),
            max_backoff: HumanDuration::from_secs(600),
            on_crash: OnCrash::Rerun,
        }
    }
}

impl RetryPolicy {
    /// How far a wait is spread, either way, so that many runs that failed together do not come back together.
    const JITTER: f64 = 0.2;

    /// Whether another attempt may follow this one (from 1).
    pub fn allows_after(&self, attempt: u32) -> bool {
        attempt < self.max_attempts.get()
    }

    /// The wait after this failed attempt (from 1): `backoff` × 2^(attempt-1), at most `max_backoff`,
    /// give or take 20 %. `dice` is a random number from 0 to 1.
    pub fn delay_after(&self, attempt: u32, dice: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let base = self.backoff.0.saturating_mul(1 << doublings).min(self.max_backoff.0);
        let spread = 1.0 + Self::JITTER * (dice.clamp(0.0, 1.0) * 2.0 - 1.0);
        base.mul_f64(spread)
    }
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeoutPolicy {
    /// The file says nothing: each program has its own default.
    #[default]
    Unset,
    /// As long as it wants.
    Never,
    /// It is cancelled after this time.
    After(Duration),
}

impl TimeoutPolicy {
    /// The timeout, with this one where the file says nothing.
    pub fn or(self, default: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Unset => default,
            Self::Never => None,
            Self::After(timeout) => Some(timeout),
        }
    }
}

/// At most so many runs at a time over all pipelines that name the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitGroup {
    /// The group.
    pub name: String,
    /// Runs at a time.
    pub max: NonZeroU32,
}

/// Who is told of a failure. A channel or an address that is absent or empty is off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnFailure {
    /// A Discord channel.
    pub discord_channel_id: Option<u64>,
    /// An address that gets a POST request.
    pub webhook_url: Option<String>,
}

impl OnFailure {
    /// Whether nobody is told.
    pub fn is_off(&self) -> bool {
        self.discord_channel_id.is_none() && self.webhook_url.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = RetryPolicy { max_attempts: NonZeroU32::MAX, ..RetryPolicy::default() };
        let cases = [(1, 30), (2, 60), (3, 120), (5, 480), (6, 600), (100, 600), (u32::MAX, 600)];
        for (attempt, seconds) in cases {
            assert_eq!(
                retry.delay_after(attempt, 0.5),
                Duration::from_secs(seconds),
                "after attempt {attempt}"
            );
        }
        assert_eq!(retry.delay_after(1, 0.0), Duration::from_secs(24));
        assert_eq!(retry.delay_after(1, 1.0), Duration::from_secs(36));
    }

    #[test]
    fn attempts_are_counted_from_one() {
        let once = RetryPolicy::default();
        assert!(!once.allows_after(1));
        let thrice = RetryPolicy { max_attempts: NonZeroU32::new(3).unwrap(), ..once };
        assert!(thrice.allows_after(2));
        assert!(!thrice.allows_after(3));
    }

    #[test]
    fn a_timeout_that_is_never_beats_the_default() {
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(TimeoutPolicy::Unset.or(day), day);
        assert_eq!(TimeoutPolicy::Never.or(day), None);
        assert_eq!(TimeoutPolicy::After(Duration::from_secs(5)).or(day), Some(Duration::from_secs(5)));
    }
}
