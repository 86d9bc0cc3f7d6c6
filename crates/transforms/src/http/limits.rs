//! How fast a host is asked: a fixed rate, a gap that grows when it says that it is busy, and a pause when
//! it names one.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pipeline_core::duration;
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;

/// A rate in a file: `2/s`, `30/m`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    /// The time between two requests.
    pub(crate) interval: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let wrong = || format!("`{trimmed}` is not a rate (write `2/s`, `30/m`, `1/10s`)");
        let (count, per) = trimmed.split_once('/').ok_or_else(wrong)?;
        let count: f64 = count.trim().parse().map_err(|_| wrong())?;
        let per = per.trim();
        if per.is_empty() {
            return Err(wrong());
        }
        let per = match per.starts_with(|first: char| first.is_ascii_digit()) {
            true => duration::parse(per),
            false => duration::parse(&format!("1{per}")),
        };
        let per = per.map_err(|_| wrong())?;
        if !count.is_finite() || count <= 0.0 || per.is_zero() {
            return Err(wrong());
        }
        Duration::try_from_secs_f64(per.as_secs_f64() / count)
            .map(|interval| Self { interval })
            .map_err(|_| wrong())
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RateVisitor;
        impl serde::de::Visitor<'_> for RateVisitor {
            type Value = Rate;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate (`2/s`, `30/m`)")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rate, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(RateVisitor)
    }
}

impl schemars::JsonSchema for Rate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A rate: so many per second, minute or hour (`2/s`, `30/m`, `100/h`), or per time (`1/10s`).",
            "type": "string",
        })
    }
}

/// The gap that a busy host gets first; it doubles with each further complaint.
const FIRST_GAP: Duration = Duration::from_millis(250);

/// A gap below this is none.
const NO_GAP: Duration = Duration::from_millis(20);

/// Hosts that are remembered before those with nothing to remember are dropped.
const KEPT_HOSTS: usize = 1024;

/// The pace of each host, shared by all stages of a run.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<HashMap<String, Pace>>);

#[derive(Debug)]
struct Pace {
    /// When the next request may leave.
    next: Instant,
    /// Until when the host asked to be left alone.
    paused_until: Instant,
    /// What it needs between two requests, as its answers say.
    gap: Duration,
}

impl Limits {
    /// Waits for a turn at this host.
    pub(crate) async fn turn(&self, host: &str, rate: Option<Rate>) {
        let mut at = self.reserve(host, rate);
        loop {
            let now = Instant::now();
            if at <= now {
                // The host may have asked for a pause while this request waited for its turn.
                match self.paused_until(host) {
                    Some(until) if until > now => at = until,
                    _ => return,
                }
            }
            tokio::time::sleep_until(at).await;
        }
    }

    /// The host has too much to do: it gets a pause, and a growing gap between requests.
    pub(crate) fn throttled(&self, host: &str, pause: Duration, longest_gap: Duration) {
        self.with(host, |pace| {
            pace.gap = (pace.gap * 2).max(FIRST_GAP).min(longest_gap);
            pace.paused_until = pace.paused_until.max(Instant::now() + pause);
        });
    }

    /// The host answered well: the gap shrinks.
    pub(crate) fn went_well(&self, host: &str) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pace) = hosts.get_mut(host).filter(|pace| !pace.gap.is_zero()) {
            pace.gap = pace.gap.mul_f64(0.8);
            if pace.gap < NO_GAP {
                pace.gap = Duration::ZERO;
            }
        }
    }

    fn reserve(&self, host: &str, rate: Option<Rate>) -> Instant {
        self.with(host, |pace| {
            let at = Instant::now().max(pace.next).max(pace.paused_until);
            pace.next = at + rate.map_or(Duration::ZERO, |rate| rate.interval).max(pace.gap);
            at
        })
    }

    fn paused_until(&self, host: &str) -> Option<Instant> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get(host).map(|pace| pace.paused_until)
    }

    fn with<T>(&self, host: &str, change: impl FnOnce(&mut Pace) -> T) -> T {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if !hosts.contains_key(host) {
            if hosts.len() >= KEPT_HOSTS {
                hosts.retain(|_, pace| pace.next > now || pace.paused_until > now || !pace.gap.is_zero());
            }
            hosts.insert(host.to_owned(), Pace { next: now, paused_until: now, gap: Duration::ZERO });
        }
        match hosts.get_mut(host) {
            Some(pace) => change(pace),
            None => unreachable!("the host was inserted above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_as_people_write_them() {
        let cases = [
            ("2/s", Some(500)),
            ("30/m", Some(2000)),
            ("1 / 10s", Some(10_000)),
            ("0.5/s", Some(2000)),
            ("100/h", Some(36_000)),
            ("4000/s", Some(0)),
            ("2", None),
            ("0/s", None),
            ("-1/s", None),
            ("x/s", None),
            ("1/", None),
            ("1/fortnight", None),
            ("NaN/s", None),
            ("1e-300/h", None),
        ];
        for (text, millis) in cases {
            let found = text.parse::<Rate>().ok().map(|rate| rate.interval.as_millis());
            assert_eq!(found, millis, "{text}");
        }
    }

    /// When each of some requests may leave, in milliseconds from the first.
    async fn turns(limits: &Limits, host: &str, rate: Option<Rate>, count: usize) -> Vec<u128> {
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..count {
            limits.turn(host, rate).await;
            times.push(start.elapsed().as_millis());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_holds_for_each_host_without_a_burst() {
        let limits = Limits::default();
        let rate = "2/s".parse().ok();
        assert_eq!(turns(&limits, "a", rate, 4).await, [0, 500, 1000, 1500]);
        assert_eq!(turns(&limits, "b", rate, 2).await, [0, 500]);
        // An idle time is not saved up.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(turns(&limits, "a", rate, 3).await, [0, 500, 1000]);
        assert_eq!(turns(&limits, "c", None, 3).await, [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_host_gets_a_pause_and_a_gap_that_closes_again() {
        let limits = Limits::default();
        let longest = Duration::from_secs(1);
        for _ in 0..9 {
            limits.throttled("a", Duration::from_secs(3), longest);
        }
        assert_eq!(turns(&limits, "a", None, 3).await, [3000, 4000, 5000]);
        for _ in 0..30 {
            limits.went_well("a");
        }
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert_eq!(turns(&limits, "a", None, 3).await, [0, 0, 0]);
        assert_eq!(turns(&limits, "b", None, 2).await, [0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_also_for_those_who_wait() {
        let limits = Limits::default();
        let rate = "1/s".parse().ok();
        limits.turn("a", rate).await;
        let start = Instant::now();
        let waiting = limits.turn("a", rate);
        let complaint = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            limits.throttled("a", Duration::from_secs(10), Duration::from_secs(60));
        };
        tokio::join!(waiting, complaint);
        assert_eq!(start.elapsed(), Duration::from_millis(10_500));
    }

    #[tokio::test(start_paused = true)]
    async fn forgotten_hosts_take_no_memory() {
        let limits = Limits::default();
        for n in 0..10_000 {
            limits.turn(&format!("host-{n}"), None).await;
        }
        assert!(limits.0.lock().unwrap().len() <= KEPT_HOSTS);
    }
}
