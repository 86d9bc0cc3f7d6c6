//! Fields that come from the metadata of the payload: the page's URL, values that the fetcher kept.

use std::fmt;

use pipeline_core::{Record, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The `meta` of a parser: fields and the names of their values in the metadata.
#[derive(Debug, Clone, Default)]
pub(super) struct Meta(Vec<(String, String)>);

impl Meta {
    /// The names of the fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(field, _)| field.as_str())
    }

    /// The values of the fields, in the same order; null where the metadata has none.
    pub(super) fn values(&self, metadata: &Record) -> Vec<Value> {
        self.0.iter().map(|(_, name)| metadata.get(name).cloned().unwrap_or_default()).collect()
    }

    /// # Errors
    /// Where a field is among these, which come from the payload itself.
    pub(super) fn refuse_names(&self, names: &[&str]) -> Result<(), String> {
        match self.names().find(|name| names.contains(name)) {
            Some(name) => Err(format!("`meta` names the field `{name}`, which the rows have themselves")),
            None => Ok(()),
        }
    }
}

struct MetaVisitor;

impl<'de> Visitor<'de> for MetaVisitor {
    type Value = Meta;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names in the metadata, or a map from fields to them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Meta, A::Error> {
        let mut fields: Vec<(String, String)> = Vec::new();
        while let Some(name) = list.next_element::<String>()? {
            if fields.iter().all(|(field, _)| *field != name) {
                fields.push((name.clone(), name));
            }
        }
        Ok(Meta(fields))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Meta, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Meta(fields))
    }
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MetaVisitor)
    }
}

impl schemars::JsonSchema for Meta {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Meta".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A list of names in the metadata, or a map from the names of fields to them",
            "oneOf": [
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": {"type": "string"}},
            ],
        })
    }
}
