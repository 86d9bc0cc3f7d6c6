//! What a file may write for a diff.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use pipeline_core::{BuildErrors, Topic};
use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// Fields that every diff item has beside the key's.
pub(super) const RESERVED: [&str; 5] = ["change", "old", "new", "changed_fields", "event_timestamp"];

/// Compares each item with the snapshot that the last successful run left, and passes it on. After an item
/// that differs comes an item `<topic>.diff` with `change` (`new`, `changed`, `removed`), the key's fields,
/// `old` and `new` (the whole content, or null), `changed_fields` and `event_timestamp`.
///
/// At the end of the stream known keys that did not come are told as removed: only those of topics that were
/// seen in the run, and none where an earlier stage left items out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffParserKwargs {
    /// The fields that together identify an item within its topic. A key that comes twice in a run, is null
    /// or is absent is an error of that item.
    #[schemars(length(min = 1))]
    pub key: Vec<String>,
    /// The fields whose change is told; all but the key's where absent.
    #[serde(default)]
    pub compare: Option<Vec<String>>,
    /// By field, how far a number may move without being told. The snapshot then keeps the old number, so
    /// that slow drift is seen in the end.
    #[serde(default)]
    pub tolerance: BTreeMap<String, f64>,
    /// The topics to compare; others pass untouched. All where absent, but for those that end in `.diff`.
    #[serde(default)]
    pub topics: Option<Vec<Topic>>,
    /// The SQLite file that keeps the snapshots; the pipeline's own state file where absent. Where a
    /// `sql.DatabaseSink` writes the same file, rows and snapshots become visible in one step.
    #[serde(default)]
    pub db_path: Option<PathBuf>,
    /// Whether known keys that did not come are told as removed.
    #[serde(default = "yes")]
    pub removals: bool,
    /// The most that a run may remove of a topic: a share of the known rows (`20%`), or a number of them.
    /// A run that would remove more fails and changes nothing.
    #[serde(default)]
    pub max_removed: MaxRemoved,
    /// Takes the first snapshot from a table that exists already.
    #[serde(default)]
    pub baseline: Option<BaselineKwargs>,
}

/// A table that holds what is known before the first run. Where it does not exist, nothing is known.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineKwargs {
    /// The table.
    pub table: String,
    /// Its columns that hold the key's fields, in the order of `key`; the same names where absent.
    #[serde(default)]
    pub key: Option<Vec<String>>,
    /// The topic whose items it holds; needed where the diff sees several.
    #[serde(default)]
    pub topic: Option<Topic>,
    /// The SQLite file; the diff's `db_path` where absent.
    #[serde(default)]
    pub db_path: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

/// How many rows of a topic a run may remove.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxRemoved {
    /// So many in a hundred of the known rows.
    Percent(f64),
    /// So many rows.
    Rows(u64),
}

impl Default for MaxRemoved {
    fn default() -> Self {
        Self::Percent(20.0)
    }
}

impl MaxRemoved {
    /// Whether `removed` of `known` rows are within the limit.
    pub fn allows(self, removed: u64, known: u64) -> bool {
        match self {
            Self::Percent(percent) => removed as f64 * 100.0 <= percent * known as f64,
            Self::Rows(rows) => removed <= rows,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().ok()?;
            return (0.0..=100.0).contains(&percent).then_some(Self::Percent(percent));
        }
        text.parse().ok().map(Self::Rows)
    }
}

impl fmt::Display for MaxRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Rows(rows) => write!(f, "{rows}"),
        }
    }
}

impl<'de> Deserialize<'de> for MaxRemoved {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MaxRemovedVisitor;
        impl Visitor<'_> for MaxRemovedVisitor {
            type Value = MaxRemoved;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as `20%` (0% to 100%), or a number of rows")
            }
            fn visit_u64<E: Error>(self, rows: u64) -> Result<MaxRemoved, E> {
                Ok(MaxRemoved::Rows(rows))
            }
            fn visit_i64<E: Error>(self, rows: i64) -> Result<MaxRemoved, E> {
                let rows = u64::try_from(rows);
                rows.map(MaxRemoved::Rows).map_err(|_| E::custom("`max_removed` cannot be negative"))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<MaxRemoved, E> {
                MaxRemoved::parse(text).ok_or_else(|| {
                    E::custom(format!(
                        "`{text}` is neither a share such as `20%` (0% to 100%) nor a number of rows"
                    ))
                })
            }
        }
        deserializer.deserialize_any(MaxRemovedVisitor)
    }
}

impl JsonSchema for MaxRemoved {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MaxRemoved".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{"type": "string", "pattern": "^ *[0-9.]+ *%? *$"}, {"type": "integer", "minimum": 0}],
            "default": "20%"
        })
    }
}

impl DiffParserKwargs {
    /// Finds all that is wrong with the values.
    pub(super) fn check(self) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        if self.key.is_empty() {
            errors.push("key", "must name at least one field");
        }
        for (at, field) in self.key.iter().enumerate() {
            let path = format!("key[{at}]");
            if RESERVED.contains(&field.as_str()) {
                errors.push(
                    path,
                    format!("`{field}` is a field of every diff item; rename it before (map.Map)"),
                );
            } else if self.key[..at].contains(field) {
                errors.push(path, format!("`{field}` stands here twice"));
            }
        }
        for (at, field) in self.compare.iter().flatten().enumerate() {
            if self.key.contains(field) {
                errors.push(
                    format!("compare[{at}]"),
                    format!("`{field}` is part of the key: it cannot change"),
                );
            }
        }
        for (field, tolerance) in &self.tolerance {
            let path = format!("tolerance.{field}");
            if !tolerance.is_finite() || *tolerance < 0.0 {
                errors.push(path, format!("`{tolerance}` is not a number of 0 or more"));
            } else if self.key.contains(field) {
                errors.push(path, format!("`{field}` is part of the key: it cannot change"));
            } else if self.compare.as_ref().is_some_and(|compare| !compare.contains(field)) {
                errors.push(path, format!("`{field}` is not among the fields of `compare`"));
            }
        }
        if let Some(baseline) = &self.baseline {
            if baseline.db_path.is_none() && self.db_path.is_none() {
                errors.push("baseline", "needs a `db_path`, its own or that of the diff");
            }
            if baseline.key.as_ref().is_some_and(|columns| columns.len() != self.key.len()) {
                errors.push("baseline.key", "must name a column for each field of `key`, in that order");
            }
            match (&baseline.topic, &self.topics) {
                (None, Some(topics)) if topics.len() > 1 => {
                    errors.push("baseline", "must say with `topic` which of the topics it is for");
                }
                (Some(topic), Some(topics)) if !topics.contains(topic) => {
                    errors.push("baseline.topic", format!("`{topic}` is not among the diff's `topics`"));
                }
                _ => {}
            }
        }
        errors.into_result().map(|()| self)
    }

    /// Whether items of this topic are compared.
    pub(super) fn is_for(&self, topic: &Topic) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => !topic.ends_with(".diff"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_of_removals() {
        let cases = [
            (json!("20%"), 1, 5, true),
            (json!("20%"), 2, 5, false),
            (json!("33.4 %"), 1, 3, true),
            (json!("0%"), 1, 1000, false),
            (json!("100%"), 7, 7, true),
            (json!(3), 3, 3, true),
            (json!("3"), 4, 1000, false),
        ];
        for (written, removed, known, allowed) in cases {
            let limit: MaxRemoved = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(limit.allows(removed, known), allowed, "{written}: {removed} of {known}");
        }
        for wrong in [json!("101%"), json!("-1"), json!(-1), json!("many"), json!(1.5), json!("")] {
            assert!(serde_json::from_value::<MaxRemoved>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told() {
        let cases = [
            (json!({"key": []}), vec!["key"]),
            (json!({"key": ["a", "a", "old"]}), vec!["key[1]", "key[2]"]),
            (json!({"key": ["a"], "compare": ["a"]}), vec!["compare[0]"]),
            (
                json!({"key": ["a"], "compare": ["b"], "tolerance": {"a": 1, "b": -1, "c": 1}}),
                vec!["tolerance.a", "tolerance.b", "tolerance.c"],
            ),
            (json!({"key": ["a"], "baseline": {"table": "t"}}), vec!["baseline"]),
            (
                json!({"key": ["a"], "db_path": "x", "topics": ["p", "q"], "baseline": {"table": "t", "key": ["a", "b"]}}),
                vec!["baseline.key", "baseline"],
            ),
            (json!({"key": ["a"], "db_path": "x", "baseline": {"table": "t", "key": ["b"]}}), vec![]),
        ];
        for (written, paths) in cases {
            let kwargs: DiffParserKwargs = serde_json::from_value(written.clone()).unwrap();
            let found = kwargs.check().err().unwrap_or_default();
            let found: Vec<_> = found.0.iter().map(|problem| problem.path.as_str()).collect();
            assert_eq!(found, paths, "{written}");
        }
    }
}
