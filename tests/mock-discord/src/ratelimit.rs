//! Buckets, their headers, and the shapes of a 429.

use std::collections::HashMap;
use std::time::Duration;

use hyper::header::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::faults::LimitShape;

/// Buckets by key.
#[derive(Debug, Default)]
pub(crate) struct Buckets(HashMap<String, Bucket>);

#[derive(Debug)]
struct Bucket {
    used: u32,
    resets: Instant,
}

/// What a bucket says of a request.
#[derive(Debug, Clone)]
pub(crate) struct Ruling {
    key: String,
    limit: u32,
    remaining: u32,
    reset_after: Duration,
    /// Whether the request may pass.
    pub(crate) admitted: bool,
}

impl Buckets {
    /// Counts a request.
    pub(crate) fn admit(&mut self, key: &str, limit: u32, period: Duration) -> Ruling {
        let now = Instant::now();
        let bucket = self.0.entry(key.to_owned()).or_insert(Bucket { used: 0, resets: now + period });
        if bucket.resets <= now {
            *bucket = Bucket { used: 0, resets: now + period };
        }
        let admitted = bucket.used < limit;
        if admitted {
            bucket.used += 1;
        }
        Ruling {
            key: key.to_owned(),
            limit,
            remaining: limit - bucket.used,
            reset_after: bucket.resets - now,
            admitted,
        }
    }
}

impl Ruling {
    /// How long until the bucket is full again.
    pub(crate) fn reset_after(&self) -> Duration {
        self.reset_after
    }

    /// The headers that every answer of a bucket carries.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        let hash = self.key.bytes().fold(5381_u64, |h, b| h.wrapping_mul(33) ^ u64::from(b));
        set(headers, "x-ratelimit-limit", self.limit.to_string());
        set(headers, "x-ratelimit-remaining", self.remaining.to_string());
        set(headers, "x-ratelimit-reset-after", format!("{:.3}", self.reset_after.as_secs_f64()));
        set(headers, "x-ratelimit-bucket", format!("{hash:016x}"));
    }
}

/// Headers and body of a 429.
pub(crate) fn refusal(shape: LimitShape, seconds: f64) -> (HeaderMap, Value) {
    let mut headers = HeaderMap::new();
    let whole = format!("{}", seconds.ceil());
    match shape {
        LimitShape::User => {
            set(&mut headers, "x-ratelimit-limit", "5".into());
            set(&mut headers, "x-ratelimit-remaining", "0".into());
            set(&mut headers, "x-ratelimit-reset-after", format!("{seconds:.3}"));
            set(&mut headers, "x-ratelimit-bucket", "abcd1234".into());
            set(&mut headers, "x-ratelimit-scope", "user".into());
            set(&mut headers, "retry-after", whole);
        }
        LimitShape::Shared => {
            set(&mut headers, "x-ratelimit-bucket", "abcd1234".into());
            set(&mut headers, "x-ratelimit-scope", "shared".into());
            set(&mut headers, "retry-after", whole);
        }
        LimitShape::Global => {
            set(&mut headers, "x-ratelimit-global", "true".into());
            set(&mut headers, "x-ratelimit-scope", "global".into());
            set(&mut headers, "retry-after", whole);
        }
        LimitShape::Proxy => set(&mut headers, "retry-after", format!("{seconds}")),
        LimitShape::BodyOnly | LimitShape::Silent => {}
    }
    let body = match shape {
        LimitShape::Proxy => {
            Value::String("<html><body>error 1015: you are being rate limited</body></html>".into())
        }
        LimitShape::Silent => Value::String(String::new()),
        _ => json!({"message": "You are being rate limited.", "retry_after": seconds,
            "global": shape == LimitShape::Global}),
    };
    (headers, body)
}

fn set(headers: &mut HeaderMap, name: &'static str, value: String) {
    if let Ok(value) = value.parse() {
        headers.insert(name, value);
    }
}
