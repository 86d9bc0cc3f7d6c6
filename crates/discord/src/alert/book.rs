//! What is known of failing pipelines, and what has been told of it. Pure: no clock, no network.

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
    /// Which process is about to tell something of it.
    #[serde(default)]
    pub(crate) teller: Option<Teller>,
}

/// A process that is about to tell something: until then no other one does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Teller {
    pub(crate) name: String,
    pub(crate) until: DateTime<Utc>,
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

/// What is known after the end of a run, by what was known before; `None` where that changes nothing.
pub(crate) fn noted(known: Option<&Entry>, notice: &RunNotice) -> Option<Entry> {
    let failing = known.filter(|entry| entry.recovered.is_none());
    let many = match notice.kind {
        AlertKind::Succeeded => {
            let recovery = Recovery { at: notice.at, run_id: notice.run_id.clone() };
            return failing.map(|entry| Entry { recovered: Some(recovery), ..entry.clone() });
        }
        AlertKind::Missed(count) => count.max(1),
        _ => 1,
    };
    let error = notice.error.as_deref().map(|error| cut(error, 1500).into_owned());
    if let Some(entry) = failing.filter(|entry| same(entry, notice.kind, error.as_deref())) {
        return Some(Entry {
            count: entry.count + many,
            total: entry.total + many,
            last_at: notice.at,
            run_id: notice.run_id.clone(),
            error,
            ..entry.clone()
        });
    }
    // A failure that differs, or one after a recovery that could not be told yet, is told anew.
    let (total, since) = failing.map_or((0, notice.at), |entry| (entry.total, entry.since));
    Some(Entry {
        kind: notice.kind,
        error,
        run_id: notice.run_id.clone(),
        first_at: notice.at,
        last_at: notice.at,
        count: many,
        total: total + many,
        since,
        message: None,
        told: 0,
        lost: 0,
        recovered: None,
        teller: None,
    })
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

    /// Until when another process than this one tells something of it.
    pub(crate) fn told_by_others(&self, name: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let other = self.teller.as_ref().filter(|teller| teller.name != name)?;
        (other.until > now).then_some(other.until)
    }

    /// The same, with nobody about to tell anything.
    pub(crate) fn free(&self) -> Self {
        Self { teller: None, ..self.clone() }
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

    /// A pipeline of which it is noted what happens, and told what is due.
    #[derive(Default)]
    struct Known(Option<Entry>);

    impl Known {
        fn note(&mut self, notice: RunNotice) -> bool {
            let changed = noted(self.0.as_ref(), &notice);
            let any = changed.is_some();
            self.0 = changed.or(self.0.take());
            any
        }

        fn tell(&mut self) -> Option<Due> {
            let entry = self.0.as_mut()?;
            let due = entry.due()?;
            match due {
                Due::Post => (entry.message, entry.told) = (Some(99), entry.count),
                Due::Edit(_) => entry.told = entry.count,
                Due::Recovered => self.0 = None,
            }
            Some(due)
        }

        fn entry(&self) -> &Entry {
            self.0.as_ref().unwrap()
        }
    }

    #[test]
    fn a_failure_is_counted_and_ends() {
        let mut known = Known::default();
        assert!(!known.note(notice(AlertKind::Succeeded, "", 0)), "nothing to recover from");
        known.note(notice(AlertKind::Failed, "row 17 of page 3 is bad", 1));
        assert_eq!(known.tell(), Some(Due::Post));
        assert_eq!(known.tell(), None);
        for at in 2..9 {
            known.note(notice(AlertKind::Failed, &format!("row {at} of page 4 is bad"), at));
        }
        assert_eq!(known.tell(), Some(Due::Edit(99)));
        assert_eq!((known.entry().count, known.entry().run_id.as_str()), (8, "run-8"));
        // Another failure is another message; the end is told once for both.
        known.note(notice(AlertKind::TimedOut, "", 9));
        assert_eq!((known.tell(), known.entry().count, known.entry().total), (Some(Due::Post), 1, 9));
        known.note(notice(AlertKind::Succeeded, "", 10));
        assert!(!known.note(notice(AlertKind::Succeeded, "", 11)));
        assert_eq!(known.tell(), Some(Due::Recovered));
        assert_eq!(known.0, None);
    }

    #[test]
    fn what_could_not_be_told_is_told_later_in_order() {
        let mut known = Known::default();
        known.note(notice(AlertKind::Missed(30), "", 1));
        known.note(notice(AlertKind::Missed(2), "", 2));
        known.note(notice(AlertKind::Succeeded, "", 3));
        assert_eq!((known.tell(), known.entry().count), (Some(Due::Post), 32));
        // It fails again before the recovery was told: the newest news is that it fails.
        known.note(notice(AlertKind::Failed, "x", 4));
        assert_eq!((known.tell(), known.entry().total), (Some(Due::Post), 1));
        assert_eq!(known.tell(), None);
    }

    #[test]
    fn only_one_process_tells_at_a_time() {
        let mut known = Known::default();
        known.note(notice(AlertKind::Failed, "x", 1));
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let teller = Teller { name: "one".into(), until: at(60) };
        let entry = Entry { teller: Some(teller), ..known.entry().clone() };
        for (name, now, expected) in [("one", 59, None), ("two", 59, Some(at(60))), ("two", 60, None)] {
            assert_eq!(entry.told_by_others(name, at(now)), expected, "{name} {now}");
        }
        assert_eq!(entry.free().told_by_others("two", at(0)), None);
    }
}
