//! When to ask again, and after how long.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How often and how soon a request is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// Repetitions after the first request.
    pub(crate) max_retries: u32,
    /// The delay before the first repetition; it doubles with each.
    pub(crate) base_delay: Duration,
    /// The longest delay.
    pub(crate) max_delay: Duration,
}

/// A server that names a delay itself is believed up to so many times the longest own delay.
const RETRY_AFTER_FACTOR: u32 = 10;

impl RetryPolicy {
    /// The delay before repetition `number` (from 1): `min(base·2^(number-1), max)` plus a random part of
    /// the base, so that clients which failed together do not come back together.
    pub(crate) fn delay(&self, number: u32) -> Duration {
        let doubled = self.base_delay.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)));
        doubled.min(self.max_delay) + self.base_delay.min(self.max_delay).mul_f64(random())
    }

    /// What the server wants, within bounds.
    pub(crate) fn retry_after(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
        let wanted = parse_retry_after(headers, now)?;
        Some(wanted.min(self.max_delay.saturating_mul(RETRY_AFTER_FACTOR)))
    }
}

/// Whether an answer of this status may be better the next time.
pub(crate) fn is_retryable(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Whether a status says that the server has too much to do.
pub(crate) fn is_throttling(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// `Retry-After` as seconds or as a date. A date is compared with the answer's own `Date`, so that a clock
/// that goes wrong on either side does not matter.
fn parse_retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = http_date(value)?;
    let sent = headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?)).unwrap_or(now);
    // A date that is past says: now.
    Some((at - sent).to_std().unwrap_or_default())
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(text.trim()).ok().map(Into::into)
}

/// A number from 0 to 1, unlike in each process and call.
fn random() -> f64 {
    let hash = RandomState::new().build_hasher().finish();
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy { max_retries: 5, base_delay: Duration::from_secs(1), max_delay: Duration::from_secs(60) }
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        for (number, seconds) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (u32::MAX, 60)] {
            for _ in 0..20 {
                let delay = policy().delay(number);
                let least = Duration::from_secs(seconds);
                assert!(delay >= least && delay <= least + Duration::from_secs(1), "{number}: {delay:?}");
            }
        }
        let none = RetryPolicy { base_delay: Duration::ZERO, ..policy() };
        assert_eq!(none.delay(3), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_understood_in_both_forms() {
        let now: DateTime<Utc> = "1994-11-06T08:49:30Z".parse().unwrap();
        let cases = [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("86400", None, Some(600)),
            ("99999999999999999999999", None, Some(600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None, Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None, Some(7)),
            ("Sun Nov  6 08:49:37 1994", None, Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", None, Some(0)),
            // The server's own clock is an hour ahead.
            ("Sun, 06 Nov 1994 09:49:40 GMT", Some("Sun, 06 Nov 1994 09:49:30 GMT"), Some(10)),
            ("-5", None, None),
            ("1.5", None, None),
            ("soon", None, None),
            ("", None, None),
        ];
        for (value, date, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            assert_eq!(policy().retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn only_what_may_pass_is_retried() {
        let retried: Vec<u16> = (100..600).filter(|status| is_retryable(*status)).collect();
        assert_eq!(retried, [408, 425, 429, 500, 502, 503, 504]);
    }
}
