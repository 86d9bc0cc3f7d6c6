//! What Discord answered, and what it says about rates.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use twilight_http::api_error::ApiError;

/// No wait longer than this is believed.
const LONGEST: f64 = 24.0 * 3600.0;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) limits: Limits,
    pub(crate) body: Bytes,
}

/// What an answer says about rates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Limits {
    /// Requests that are left in the bucket.
    pub(crate) remaining: Option<u64>,
    /// When the bucket is full again.
    pub(crate) reset_after: Option<Duration>,
    /// How long a 429 asks to wait, where it says so.
    pub(crate) retry_after: Option<Duration>,
    /// Whether a 429 is about the whole bot.
    pub(crate) global: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, headers: &HeaderMap, body: Bytes) -> Self {
        let limits = Limits::read(status, headers, &body);
        Self { status, limits, body }
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Discord's own error code, where the body has one.
    pub(crate) fn code(&self) -> Option<u64> {
        match serde_json::from_slice(&self.body) {
            Ok(ApiError::General(error)) => Some(error.code),
            _ => None,
        }
    }

    /// Status, code and message, short enough for a log line. Bodies of errors hold no secrets, but a broken
    /// server may send anything, so only a message in Discord's form is repeated.
    pub(crate) fn describe(&self) -> String {
        match serde_json::from_slice(&self.body) {
            Ok(ApiError::General(error)) => {
                let message: String = error.message.chars().filter(|c| !c.is_control()).take(200).collect();
                format!("{} (code {}: {message})", self.status, error.code)
            }
            _ => format!("{}", self.status),
        }
    }

    /// The id of the message in the body, where there is one.
    pub(crate) fn message_id(&self) -> Option<u64> {
        #[derive(serde::Deserialize)]
        struct Sent {
            id: String,
        }
        serde_json::from_slice::<Sent>(&self.body).ok()?.id.parse().ok()
    }
}

impl Limits {
    fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
        let seconds = |name: &str| text(name).and_then(|t| t.parse::<f64>().ok()).and_then(duration);
        let mut limits = Self {
            remaining: text("x-ratelimit-remaining").and_then(|t| t.parse().ok()),
            reset_after: seconds("x-ratelimit-reset-after"),
            ..Self::default()
        };
        if status == 429 {
            let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
            let in_body =
                said.as_ref().and_then(|b| b.get("retry_after")).and_then(serde_json::Value::as_f64);
            // The header is rounded and the body may be missing: the longer of the two is safe.
            limits.retry_after =
                [seconds("retry-after"), in_body.and_then(duration)].into_iter().flatten().max();
            if limits.retry_after.is_none() {
                limits.retry_after = limits.reset_after;
            }
            limits.global = text("x-ratelimit-global").is_some_and(|t| t.eq_ignore_ascii_case("true"))
                || text("x-ratelimit-scope") == Some("global")
                || said.as_ref().and_then(|b| b.get("global")).and_then(serde_json::Value::as_bool)
                    == Some(true);
        }
        limits
    }
}

fn duration(seconds: f64) -> Option<Duration> {
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    Duration::try_from_secs_f64(seconds.min(LONGEST)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_a_429() {
        let s = Duration::from_secs_f64;
        type Row<'a> = (&'a [(&'static str, &'a str)], &'a str, Option<Duration>, bool);
        let table: [Row<'_>; 8] = [
            (
                &[("retry-after", "2"), ("x-ratelimit-scope", "user")],
                r#"{"retry_after":1.5,"global":false}"#,
                Some(s(2.0)),
                false,
            ),
            (&[("retry-after", "1.5")], "<html>", Some(s(1.5)), false),
            (&[], r#"{"retry_after":0.25}"#, Some(s(0.25)), false),
            (&[("x-ratelimit-global", "true"), ("retry-after", "3")], "", Some(s(3.0)), true),
            (&[("x-ratelimit-scope", "global")], r#"{"retry_after":64,"global":true}"#, Some(s(64.0)), true),
            (&[("x-ratelimit-reset-after", "4.5")], "", Some(s(4.5)), false),
            (&[("retry-after", "-1")], "nonsense", None, false),
            (&[("retry-after", "1e30")], "", Some(s(LONGEST)), false),
        ];
        for (headers, body, retry_after, global) in table {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            let limits = Answer::new(429, &map, Bytes::from(body.to_owned())).limits;
            assert_eq!((limits.retry_after, limits.global), (retry_after, global), "{headers:?} {body}");
        }
    }

    #[test]
    fn only_discords_own_messages_are_repeated() {
        let answer = |body: &str| Answer::new(404, &HeaderMap::new(), Bytes::from(body.to_owned()));
        let known = answer(r#"{"code":10003,"message":"Unknown Channel"}"#);
        assert_eq!(
            (known.code(), known.describe().as_str()),
            (Some(10003), "404 (code 10003: Unknown Channel)")
        );
        assert_eq!(answer("<html>secret</html>").describe(), "404");
    }
}
