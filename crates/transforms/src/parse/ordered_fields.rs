//! `fields` as a file has them: a map whose order counts.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// What a kind of field says about itself.
pub(super) trait FieldSpec: JsonSchema {
    /// The name of the map of such fields in the schema.
    const MAP: &'static str;
    /// What a person may write as the map.
    const EXPECTED: &'static str;
}

/// The fields in the order in which the file has them.
#[derive(Debug)]
pub(crate) struct OrderedFields<T>(pub(super) Vec<(String, T)>);

struct FieldsVisitor<T>(PhantomData<T>);

impl<'de, T: FieldSpec + Deserialize<'de>> Visitor<'de> for FieldsVisitor<T> {
    type Value = OrderedFields<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedFields<T>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(OrderedFields(fields))
    }
}

impl<'de, T: FieldSpec + Deserialize<'de>> Deserialize<'de> for OrderedFields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor(PhantomData))
    }
}

impl<T: FieldSpec> JsonSchema for OrderedFields<T> {
    fn schema_name() -> Cow<'static, str> {
        T::MAP.into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let field = generator.subschema_for::<T>();
        schemars::json_schema!({"type": "object", "additionalProperties": field, "minProperties": 1})
    }
}
