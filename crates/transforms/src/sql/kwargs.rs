//! What a file may write for the database sink.

use std::collections::BTreeMap;
use std::fmt;

use pipeline_core::Topic;
use schemars::JsonSchema;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Writes items into tables of SQLite or PostgreSQL, and passes them on. Tables and columns are created and
/// added as the items need them: INTEGER, REAL, TEXT and BOOLEAN; nested values are kept as JSON text.
/// All that a run writes becomes visible in one step when it has succeeded, together with the stages' state
/// where that is in the same file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSinkKwargs {
    /// The SQLite file; `sqlite:///file.db` is understood too.
    #[serde(default)]
    pub db_path: Option<String>,
    /// The database's URL: `postgresql://user:password@host/name?sslmode=verify-full`, or `sqlite:///file.db`.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    pub db_url: Option<String>,
    /// By topic, where its items go. A topic without an entry is appended to the table of its name, with `_`
    /// for each `.`.
    #[serde(default)]
    pub tables: BTreeMap<String, Option<TableKwargs>>,
    /// The topics to write; others pass untouched. All where absent.
    #[serde(default)]
    pub topics: Option<Vec<Topic>>,
}

/// Where the items of a topic go.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableKwargs {
    /// The table; the topic with `_` for each `.` where absent. In PostgreSQL `schema.table` is understood.
    #[serde(default)]
    pub table: Option<String>,
    /// The fields that identify a row: an item with a known key updates its row, where a null clears a value
    /// and an absent field leaves it as it is. Items are appended where there is no key.
    #[serde(default)]
    pub key: Vec<String>,
    /// Whether the items of `<topic>.diff` are appended to `<table>_history`: the key's fields, `change`,
    /// `old`, `new`, `changed_fields`, `event_timestamp`.
    #[serde(default)]
    pub history: bool,
    /// Whether a column keeps when the row was first written: `true`, or the column's name.
    #[serde(default)]
    pub first_seen: TimeColumn,
    /// Whether a column keeps when the row was last written: `true`, or the column's name.
    #[serde(default)]
    pub last_seen: TimeColumn,
    /// By column, a jq program over the item's content that gives its value. Without it each field is a
    /// column. With an entry for `<topic>.diff`, an existing history table can go on.
    #[serde(default)]
    pub columns: Option<ColumnPrograms>,
}

/// No column, one with the default name, or one with a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimeColumn {
    /// None.
    #[default]
    Off,
    /// One that is called as the option is.
    On,
    /// One of this name.
    Named(String),
}

impl TimeColumn {
    /// The column's name, where there is one.
    pub fn name<'a>(&'a self, default: &'a str) -> Option<&'a str> {
        match self {
            Self::Off => None,
            Self::On => Some(default),
            Self::Named(name) => Some(name),
        }
    }
}

impl<'de> Deserialize<'de> for TimeColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeColumnVisitor;
        impl Visitor<'_> for TimeColumnVisitor {
            type Value = TimeColumn;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or the name of a column")
            }
            fn visit_unit<E: Error>(self) -> Result<TimeColumn, E> {
                Ok(TimeColumn::Off)
            }
            fn visit_bool<E: Error>(self, on: bool) -> Result<TimeColumn, E> {
                Ok(if on { TimeColumn::On } else { TimeColumn::Off })
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<TimeColumn, E> {
                Ok(match text {
                    "" | "false" => TimeColumn::Off,
                    "true" => TimeColumn::On,
                    name => TimeColumn::Named(name.to_owned()),
                })
            }
        }
        deserializer.deserialize_any(TimeColumnVisitor)
    }
}

impl JsonSchema for TimeColumn {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeColumn".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["boolean", "string"], "default": false})
    }
}

/// Columns in their order, each with its jq program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPrograms(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for ColumnPrograms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ProgramsVisitor;
        impl<'de> Visitor<'de> for ProgramsVisitor {
            type Value = ColumnPrograms;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from columns to jq programs")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ColumnPrograms, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(ColumnPrograms(columns))
            }
        }
        deserializer.deserialize_map(ProgramsVisitor)
    }
}

impl JsonSchema for ColumnPrograms {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ColumnPrograms".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1})
    }
}
