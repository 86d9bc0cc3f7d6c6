//! Why sending failed, as it is stored with the messages: for people, and for knowing when to give up after a restart.

use chrono::{DateTime, SecondsFormat, Utc};

/// How long what may heal is tried.
const PATIENCE_HOURS: i64 = 24;
/// How often what should not have happened is tried.
const TRIES: u32 = 10;

/// What went wrong before, read back from a stored text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Since when it fails.
    since: Option<DateTime<Utc>>,
    /// How often it failed in ways that do not heal by themselves.
    other: u32,
}

/// What to store, or that it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Again(String),
    GiveUp(String),
}

impl Past {
    /// Reads it back. Without attempts (also after a person asked for another try) there is no past.
    pub(crate) fn read(attempts: u32, error: Option<&str>) -> Self {
        let (Some(error), true) = (error, attempts > 0) else { return Self::default() };
        let Some((_, tail)) = error.rsplit_once(" [since ") else { return Self::default() };
        let tail = tail.trim_end_matches(']');
        let (since, other) = tail.split_once(", failure ").unwrap_or((tail, "0"));
        let other = other.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Self { since: DateTime::parse_from_rfc3339(since).ok().map(|at| at.to_utc()), other }
    }

    /// It failed in a way that heals: no connection, a 5xx, a 429.
    pub(crate) fn heals(self, why: &str, now: DateTime<Utc>) -> Next {
        self.note(why, now)
    }

    /// It failed in another way.
    pub(crate) fn other(mut self, why: &str, now: DateTime<Utc>) -> Next {
        self.other += 1;
        if self.other >= TRIES { Next::GiveUp(format!("{why}, {TRIES} times")) } else { self.note(why, now) }
    }

    fn note(self, why: &str, now: DateTime<Utc>) -> Next {
        let since = self.since.unwrap_or(now);
        if (now - since).num_hours() >= PATIENCE_HOURS {
            return Next::GiveUp(format!("{why}, for {PATIENCE_HOURS} h"));
        }
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let failure =
            if self.other > 0 { format!(", failure {} of {TRIES}", self.other) } else { String::new() };
        Next::Again(format!("{why} [since {since}{failure}]"))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn patience_ends_after_a_day() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let Next::Again(stored) = Past::default().heals("503", start) else { panic!("given up at once") };
        assert_eq!(stored, "503 [since 1970-01-12T13:46:40Z]");
        let past = Past::read(1, Some(&stored));
        assert!(
            matches!(past.heals("503", start + TimeDelta::hours(23)), Next::Again(text) if text == stored)
        );
        assert_eq!(past.heals("503", start + TimeDelta::hours(24)), Next::GiveUp("503, for 24 h".into()));
        // A person asked for another try.
        assert_eq!(Past::read(0, Some(&stored)), Past::default());
    }

    #[test]
    fn ten_odd_failures_are_enough_whatever_comes_between() {
        let now = DateTime::UNIX_EPOCH;
        let mut stored = String::new();
        for i in 1..10 {
            let Next::Again(text) = Past::read(i, Some(&stored)).other("418", now) else {
                panic!("given up at {i}")
            };
            let Next::Again(text) = Past::read(i, Some(&text)).heals("503", now) else {
                panic!("given up at {i}")
            };
            stored = text;
        }
        assert_eq!(stored, "503 [since 1970-01-01T00:00:00Z, failure 9 of 10]");
        assert_eq!(Past::read(9, Some(&stored)).other("418", now), Next::GiveUp("418, 10 times".into()));
        assert_eq!(Past::read(9, Some("nonsense [since tomorrow]")), Past::default());
    }
}
