//! What is known of failing pipelines, and what has been told of it. Pure: no clock, no network.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::text::cut;

/// What a run came to, as far as alerts are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// It succeeded: where the pipeline was failing, it has recovered.
    Succeeded,
    /// It failed.
    Failed,
    /// An attempt took longer than it may.
    TimedOut,
    /// Its process died, and no attempt was left.
    Abandoned,
    /// So many fires were not run, because they were too late.
    Missed(u64),
}

/// The end of a run, or fires that were missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunNotice {
    /// The pipeline.
    pub pipeline: String,
    /// The run, or the row of the missed fires.
    pub run_id: String,
    /// What it came to.
    pub kind: AlertKind,
    /// Why, redacted.
    pub error: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A channel and a pipeline.
pub(crate) type Key = (u64, String);

/// A failing pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) kind: AlertKind,
    pub(crate) error: Option<String>,
    /// The newest run that failed so.
    pub(crate) run_id: String,
    pub(crate) first_at: DateTime<Utc>,
    pub(crate) last_at: DateTime<Utc>,
    /// How often it failed so.
    pub(crate) count: u64,
    /// How often it failed at all, since it last succeeded, and since when.
    pub(crate) total: u64,
    pub(crate) since: DateTime<Utc>,
    /// The message that tells of it.
    pub(crate) message: Option<u64>,
    /// The count that has been told.
    pub(crate) told: u64,
    /// How often that message was deleted by somebody, and had to be sent anew.
    #[serde(default)]
    pub(crate) lost: u32,
    /// When it succeeded again.
    pub(crate) recovered: Option<Recovery>,
}

/// The success that ended a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    pub(crate) at: DateTime<Utc>,
    pub(crate) run_id: String,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// A message about a failure.
    Post,
    /// A higher counter on the message with this id.
    Edit(u64),
    /// A message that it has recovered.
    Recovered,
}

/// All failing pipelines.
#[derive(Debug, Default)]
pub(crate) struct Book(pub(crate) BTreeMap<Key, Entry>);

impl Book {
    /// Notes the end of a run; whether that changes anything.
    pub(crate) fn note(&mut self, channel: u64, notice: RunNotice) -> bool {
        let key = (channel, notice.pipeline);
        let known = self.0.get_mut(&key);
        let many = match notice.kind {
            AlertKind::Succeeded => {
                let Some(entry) = known.filter(|entry| entry.recovered.is_none()) else { return false };
                entry.recovered = Some(Recovery { at: notice.at, run_id: notice.run_id });
                return true;
            }
            AlertKind::Missed(count) => count.max(1),
            _ => 1,
        };
        let error = notice.error.map(|error| cut(&error, 1500).into_owned());
        match known {
            Some(entry) if entry.recovered.is_none() && same(entry, notice.kind, error.as_deref()) => {
                entry.count += many;
                entry.total += many;
                entry.last_at = notice.at;
                entry.run_id = notice.run_id;
                entry.error = error;
            }
            known => {
                // A failure that differs, or one after a recovery that could not be told yet, is told anew.
                let before = known.filter(|entry| entry.recovered.is_none());
                let (total, since) = before.map_or((0, notice.at), |entry| (entry.total, entry.since));
                let entry = Entry {
                    kind: notice.kind,
                    error,
                    run_id: notice.run_id,
                    first_at: notice.at,
                    last_at: notice.at,
                    count: many,
                    total: total + many,
                    since,
                    message: None,
                    told: 0,
                    lost: 0,
                    recovered: None,
                };
                self.0.insert(key, entry);
            }
        }
        true
    }
}

impl Entry {
    /// What is to be told of it, if anything.
    pub(crate) fn due(&self) -> Option<Due> {
        match (self.told, self.message) {
            (0, _) => Some(Due::Post),
            (told, Some(message)) if told < self.count => Some(Due::Edit(message)),
            _ if self.recovered.is_some() => Some(Due::Recovered),
            _ => None,
        }
    }
}

/// Whether it is the same failure: errors that differ only in numbers are the same.
fn same(entry: &Entry, kind: AlertKind, error: Option<&str>) -> bool {
    let shape = |text: Option<&str>| -> String {
        let text = text.unwrap_or_default();
        let mut shape = String::with_capacity(text.len());
        for word in text.split_whitespace() {
            let has_digit = word.bytes().any(|b| b.is_ascii_digit());
            shape.push_str(if has_digit { "#" } else { word });
            shape.push(' ');
        }
        shape
    };
    std::mem::discriminant(&entry.kind) == std::mem::discriminant(&kind)
        && shape(entry.error.as_deref()) == shape(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: AlertKind, error: &str, at: i64) -> RunNotice {
        RunNotice {
            pipeline: "books".into(),
            run_id: format!("run-{at}"),
            kind,
            error: (!error.is_empty()).then(|| error.to_owned()),
            at: DateTime::from_timestamp(at, 0).unwrap(),
        }
    }

    fn entry(book: &Book) -> &Entry {
        &book.0[&(1, "books".to_owned())]
    }

    fn tell(book: &mut Book) -> Option<Due> {
        let entry = book.0.get_mut(&(1, "books".to_owned()))?;
        let due = entry.due()?;
        match due {
            Due::Post => (entry.message, entry.told) = (Some(99), entry.count),
            Due::Edit(_) => entry.told = entry.count,
            Due::Recovered => drop(book.0.remove(&(1, "books".to_owned()))),
        }
        Some(due)
    }

    #[test]
    fn a_failure_is_counted_and_ends() {
        let mut book = Book::default();
        assert!(!book.note(1, notice(AlertKind::Succeeded, "", 0)), "nothing to recover from");
        book.note(1, notice(AlertKind::Failed, "row 17 of page 3 is bad", 1));
        assert_eq!(tell(&mut book), Some(Due::Post));
        assert_eq!(tell(&mut book), None);
        for at in 2..9 {
            book.note(1, notice(AlertKind::Failed, &format!("row {at} of page 4 is bad"), at));
        }
        assert_eq!(tell(&mut book), Some(Due::Edit(99)));
        assert_eq!((entry(&book).count, entry(&book).run_id.as_str()), (8, "run-8"));
        // Another failure is another message; the end is told once for both.
        book.note(1, notice(AlertKind::TimedOut, "", 9));
        assert_eq!((tell(&mut book), entry(&book).count, entry(&book).total), (Some(Due::Post), 1, 9));
        book.note(1, notice(AlertKind::Succeeded, "", 10));
        assert!(!book.note(1, notice(AlertKind::Succeeded, "", 11)));
        assert_eq!(tell(&mut book), Some(Due::Recovered));
        assert!(book.0.is_empty());
    }

    #[test]
    fn what_could_not_be_told_is_told_later_in_order() {
        let mut book = Book::default();
        book.note(1, notice(AlertKind::Missed(30), "", 1));
        book.note(1, notice(AlertKind::Missed(2), "", 2));
        book.note(1, notice(AlertKind::Succeeded, "", 3));
        assert_eq!((tell(&mut book), entry(&book).count), (Some(Due::Post), 32));
        // It fails again before the recovery was told: the newest news is that it fails.
        book.note(1, notice(AlertKind::Failed, "x", 4));
        assert_eq!((tell(&mut book), entry(&book).total), (Some(Due::Post), 1));
        assert_eq!(tell(&mut book), None);
    }
}
