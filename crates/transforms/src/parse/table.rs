//! What CSV files and spreadsheets share: which columns there are, what they are called and what they hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pipeline_core::{BuildErrors, Record, Shape, Value, suggest};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::meta::Meta;
use crate::convert::{FieldType, convert, trim};

/// The `columns` of a table: names by position, or new names for those of the header row.
#[derive(Debug, Clone)]
pub(super) enum Columns {
    /// A list replaces the header row; a position without a name is dropped.
    Names(Vec<Option<String>>),
    /// A map renames; a column that gets no name is dropped, one that is not mentioned keeps its own.
    Renamed(Vec<(String, Option<String>)>),
}

struct ColumnsVisitor;

fn named(name: Option<String>) -> Option<String> {
    name.map(|name| trim(&name).to_owned()).filter(|name| !name.is_empty())
}

impl<'de> Visitor<'de> for ColumnsVisitor {
    type Value = Columns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names, or a map from the names in the header to new ones")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Columns, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(named(name));
        }
        Ok(Columns::Names(names))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
        let mut names = Vec::new();
        while let Some((old, new)) = map.next_entry::<String, _>()? {
            names.push((trim(&old).to_owned(), named(new)));
        }
        Ok(Columns::Renamed(names))
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnsVisitor)
    }
}

impl schemars::JsonSchema for Columns {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Columns".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A list of names by position, or a map from the names in the header to new ones; a column whose name is empty or null is dropped",
            "oneOf": [
                {"type": "array", "items": {"type": ["string", "null"]}},
                {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
            ],
        })
    }
}

/// How the rows of a table become records; the columns themselves are known only from the first row.
#[derive(Debug, Clone)]
pub(super) struct Table {
    columns: Option<Columns>,
    types: BTreeMap<String, FieldType>,
    trim: bool,
    decimal_comma: bool,
    meta: Meta,
    /// Whether the first row holds the names.
    pub(super) header: bool,
}

impl Table {
    /// # Errors
    /// All that does not fit together.
    pub(super) fn new(
        columns: Option<Columns>,
        types: BTreeMap<String, FieldType>,
        (trim, decimal_comma, header): (bool, bool, bool),
        meta: Option<Meta>,
    ) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        let meta = meta.unwrap_or_default();
        match &columns {
            Some(Columns::Names(names)) => {
                let names: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
                if names.is_empty() {
                    errors.push("columns", "none of the columns has a name");
                }
                for (at, name) in names.iter().enumerate() {
                    if names[..at].contains(name) {
                        errors.push("columns", format!("the name `{name}` is given twice"));
                    }
                }
                for name in types.keys().filter(|name| !names.contains(&name.as_str())) {
                    errors.push(
                        format!("types.{name}"),
                        format!("there is no column `{name}`{}", hint(name, &names)),
                    );
                }
            }
            Some(Columns::Renamed(_)) if !header => {
                errors.push(
                    "columns",
                    "a map renames what the header says; with `header: false` give a list of names",
                );
            }
            _ => {}
        }
        errors.into_result()?;
        Ok(Self { columns, types, trim, decimal_comma, meta, header })
    }

    /// The layout of the rows, from the cells of the header or, where there is none, of the first row.
    /// `metadata` is that of the payload.
    ///
    /// # Errors
    /// Where the names of the file and those of the configuration do not fit together.
    pub(super) fn layout(&self, first: &[String], metadata: &Record) -> Result<Layout<'_>, String> {
        let mut names = self.names(first)?;
        for (at, name) in names.iter().enumerate() {
            let Some(name) = name else { continue };
            if let Some(other) = names[..at].iter().position(|other| other.as_ref() == Some(name)) {
                return Err(format!(
                    "the columns {} and {} are both called `{name}`: give a list of names with `columns`",
                    other + 1,
                    at + 1
                ));
            }
        }
        let known: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        if known.is_empty() {
            return Err("no column has a name".to_owned());
        }
        if let Some(name) = self.types.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("`types` names `{name}`, and there is no such column{}", hint(name, &known)));
        }
        self.meta.refuse_names(&known)?;
        let types = names.iter().flatten().map(|name| self.types.get(name).copied()).collect();
        let kept = names.iter().map(Option::is_some).collect::<Vec<_>>();
        let meta = self.meta.values(metadata);
        let shape =
            Shape::new(names.iter_mut().filter_map(Option::take).chain(self.meta.names().map(str::to_owned)));
        Ok(Layout { table: self, kept, types, shape, meta })
    }

    /// How many columns a list of names has places for.
    pub(super) fn names_given(&self) -> usize {
        match &self.columns {
            Some(Columns::Names(names)) => names.len(),
            _ => 0,
        }
    }

    fn names(&self, first: &[String]) -> Result<Vec<Option<String>>, String> {
        let clean = |name: &String| named(Some(name.clone()));
        match &self.columns {
            None if self.header => Ok(first.iter().map(clean).collect()),
            None => Ok((1..=first.len()).map(|number| Some(format!("column_{number}"))).collect()),
            Some(Columns::Names(names)) if names.len() > first.len() => Err(format!(
                "`columns` lists {} names, and {} has {} cells",
                names.len(),
                if self.header { "the header" } else { "the first row" },
                first.len()
            )),
            Some(Columns::Names(names)) => {
                let mut names = names.clone();
                names.resize(first.len(), None);
                Ok(names)
            }
            Some(Columns::Renamed(renamed)) => {
                let mut names: Vec<Option<String>> = first.iter().map(clean).collect();
                let header = names.clone();
                for (old, new) in renamed {
                    let found = header.iter().position(|name| name.as_ref() == Some(old));
                    let Some(at) = found else {
                        let known: Vec<&str> = header.iter().flatten().map(String::as_str).collect();
                        return Err(format!(
                            "`columns` renames `{old}`, and there is no such column{}; there are {}",
                            hint(old, &known),
                            known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                        ));
                    };
                    names[at].clone_from(new);
                }
                Ok(names)
            }
        }
    }
}

fn hint(name: &str, known: &[&str]) -> String {
    suggest::nearest(name, known.iter().copied())
        .map(|near| format!(", did you mean `{near}`?"))
        .unwrap_or_default()
}

/// A cell of a row.
pub(super) enum Cell<'a> {
    /// Text, to be converted.
    Text(&'a str),
    /// A value that the file itself has a type for.
    Value(Value),
}

/// The layout of the rows of one payload.
pub(super) struct Layout<'a> {
    table: &'a Table,
    /// For each cell of a row whether it is kept.
    kept: Vec<bool>,
    /// The types of the kept ones.
    types: Vec<Option<FieldType>>,
    shape: Arc<Shape>,
    meta: Vec<Value>,
}

impl Layout<'_> {
    /// The number of cells that each row has.
    pub(super) fn width(&self) -> usize {
        self.kept.len()
    }

    /// Makes a record of a row, which has as many cells as the layout is wide.
    ///
    /// # Errors
    /// Says which column holds what it should not.
    pub(super) fn record<'c>(
        &self,
        cells: impl Iterator<Item = Result<Cell<'c>, String>>,
    ) -> Result<Record, String> {
        let mut values = Vec::with_capacity(self.shape.names().len());
        for (cell, kept) in cells.zip(&self.kept) {
            if *kept {
                let at = values.len();
                let value = cell.and_then(|cell| self.value(cell, self.types[at]));
                values.push(value.map_err(|error| format!("{}: {error}", self.shape.names()[at]))?);
            }
        }
        values.extend(self.meta.iter().cloned());
        Ok(Record::from_shape(self.shape.clone(), values))
    }

    fn value(&self, cell: Cell<'_>, wanted: Option<FieldType>) -> Result<Value, String> {
        let text = match cell {
            Cell::Value(value) => return typed(value, wanted, self.table.decimal_comma),
            Cell::Text(text) if self.table.trim => trim(text),
            Cell::Text(text) => text,
        };
        match wanted {
            None => Ok(Value::from(text)),
            Some(_) if trim(text).is_empty() => Ok(Value::Null),
            Some(wanted) => convert(text, wanted, self.table.decimal_comma),
        }
    }
}

/// Converts a value of a spreadsheet to the wanted type.
fn typed(value: Value, wanted: Option<FieldType>, decimal_comma: bool) -> Result<Value, String> {
    match (wanted, value) {
        (None, value) | (_, value @ Value::Null) => Ok(value),
        (Some(FieldType::Number), Value::Int(number)) if number.unsigned_abs() < 1 << 53 => {
            Ok(Value::Float(number as f64))
        }
        (Some(FieldType::Number), value @ (Value::Int(_) | Value::Float(_)))
        | (Some(FieldType::Integer), value @ Value::Int(_))
        | (Some(FieldType::Boolean), value @ Value::Bool(_))
        | (Some(FieldType::String), value @ Value::Text(_)) => Ok(value),
        (Some(FieldType::Integer), value @ Value::Float(_)) if value.as_i64().is_some() => {
            Ok(value.as_i64().map_or(Value::Null, Value::Int))
        }
        // A whole number is written without a point, whatever the file keeps it as.
        (Some(wanted), value) => {
            let text = match (&value, value.as_i64()) {
                (Value::Text(text), _) => text.to_string(),
                (_, Some(number)) => number.to_string(),
                _ => value.to_json(),
            };
            let decimal_comma = decimal_comma && matches!(value, Value::Text(_));
            if trim(&text).is_empty() { Ok(Value::Null) } else { convert(&text, wanted, decimal_comma) }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(columns: serde_json::Value, types: serde_json::Value, header: bool) -> Result<Table, String> {
        let columns = serde_json::from_value(columns).map_err(|error| error.to_string())?;
        let types = serde_json::from_value(types).unwrap();
        Table::new(columns, types, (true, false, header), None).map_err(|errors| errors.to_string())
    }

    fn row(table: &Table, first: &[&str], cells: &[&str]) -> Result<String, String> {
        let first: Vec<String> = first.iter().map(|cell| (*cell).to_owned()).collect();
        let layout = table.layout(&first, &Record::new())?;
        layout.record(cells.iter().map(|cell| Ok(Cell::Text(cell)))).map(|record| record.to_json())
    }

    #[test]
    fn columns_are_named_renamed_and_dropped() {
        let cases = [
            (json!(null), true, r#"{"a":"1","b":"2"}"#),
            (json!(null), false, r#"{"column_1":"1","column_2":"2"}"#),
            (json!(["x", "y"]), true, r#"{"x":"1","y":"2"}"#),
            (json!(["x"]), true, r#"{"x":"1"}"#),
            (json!([null, "y"]), false, r#"{"y":"2"}"#),
            (json!(["", "y"]), true, r#"{"y":"2"}"#),
            (json!({"a": "x"}), true, r#"{"x":"1","b":"2"}"#),
            (json!({"a": null}), true, r#"{"b":"2"}"#),
            (json!({"a": "b", "b": "a"}), true, r#"{"b":"1","a":"2"}"#),
        ];
        for (columns, header, expected) in cases {
            let found = row(
                &table(columns.clone(), json!({}), header).unwrap(),
                &["a", " b\u{a0}"],
                &["1", " 2\u{a0}"],
            );
            assert_eq!(found.as_deref(), Ok(expected), "{columns}");
        }
    }

    #[test]
    fn cells_of_typed_columns_are_converted() {
        let types = json!({"a": "integer", "b": "number", "c": "boolean", "d": "datetime"});
        let table = table(json!(null), types, true).unwrap();
        let names = ["a", "b", "c", "d", "e"];
        let cases = [
            (["1", "1.5", "yes", "2024-01-31", "x"], r#"{"a":1,"b":1.5,"c":true,"d":"2024-01-31","e":"x"}"#),
            (["", " ", "\u{a0}", "", ""], r#"{"a":null,"b":null,"c":null,"d":null,"e":""}"#),
        ];
        for (cells, expected) in cases {
            assert_eq!(row(&table, &names, &cells).as_deref(), Ok(expected));
        }
        assert_eq!(row(&table, &names, &["x", "", "", "", ""]).unwrap_err(), "a: `x` is not an integer");
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let first = |columns, types, header, first: &[&str]| match table(columns, types, header) {
            Ok(table) => row(&table, first, &[]).unwrap_err(),
            Err(error) => error,
        };
        let none = || json!({});
        let cases = [
            (first(json!(null), none(), true, &["a", "a"]), "the columns 1 and 2 are both called `a`"),
            (first(json!({"a": "b"}), none(), true, &["a", "b"]), "the columns 1 and 2 are both called `b`"),
            (
                first(json!({"prise": "p"}), none(), true, &["price"]),
                "no such column, did you mean `price`?; there are `price`",
            ),
            (
                first(json!(["x", "y"]), none(), true, &["a"]),
                "`columns` lists 2 names, and the header has 1 cells",
            ),
            (
                first(json!(null), json!({"b": "number"}), true, &["a"]),
                "`types` names `b`, and there is no such column",
            ),
            (first(json!(["x", "x"]), none(), true, &[]), "columns: the name `x` is given twice"),
            (first(json!([null]), none(), true, &[]), "columns: none of the columns has a name"),
            (first(json!(["x"]), json!({"y": "number"}), true, &[]), "types.y: there is no column `y`"),
            (first(json!({"a": "b"}), none(), false, &[]), "columns: a map renames what the header says"),
            (first(json!(5), none(), true, &[]), "expected a list of names, or a map"),
            (first(json!(null), none(), true, &["", " "]), "no column has a name"),
        ];
        for (error, expected) in cases {
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn values_of_the_file_keep_their_type() {
        use FieldType::{Boolean, Datetime, Integer, Number, String};
        let cases = [
            (Value::Float(1.0), None, "1.0"),
            (Value::Int(1), Some(Number), "1.0"),
            (Value::Float(1.5), Some(Number), "1.5"),
            (Value::Float(3.0), Some(Integer), "3"),
            (Value::Float(3.0), Some(String), "\"3\""),
            (Value::Float(3.5), Some(String), "\"3.5\""),
            (Value::Bool(true), Some(Boolean), "true"),
            (Value::Float(1.0), Some(Boolean), "true"),
            (Value::Null, Some(Number), "null"),
            (Value::from(" "), Some(Number), "null"),
            (Value::from("1,234"), Some(Integer), "1234"),
            (Value::from("2024-01-01"), Some(Datetime), "\"2024-01-01\""),
        ];
        for (value, wanted, expected) in cases {
            let shown = format!("{value} as {wanted:?}");
            assert_eq!(
                typed(value, wanted, false).map(|value| value.to_json()).as_deref(),
                Ok(expected),
                "{shown}"
            );
        }
        assert!(typed(Value::Float(1.5), Some(Integer), false).is_err());
    }
}
