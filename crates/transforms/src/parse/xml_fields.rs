//! The paths and fields of `xml.XmlParser`.

use std::fmt;

use pipeline_core::{BuildErrors, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::ordered_fields::{FieldSpec, OrderedFields};
use super::xml::{Child, Node};
use crate::convert::{FieldType, convert, trim};

/// A path of element names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    text: String,
    names: Vec<String>,
    /// The attribute at its end.
    attr: Option<String>,
}

impl Path {
    /// A path from the root to elements.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn rows(text: &str) -> Result<Self, String> {
        let path = Self::new(text.trim().strip_prefix('/').unwrap_or(text.trim()))?;
        if path.attr.is_some() || path.names.is_empty() {
            return Err(format!("`{text}` is not a path from the root to elements, such as `catalog/book`"));
        }
        Ok(path)
    }

    /// A path within a row.
    fn new(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || format!("`{text}` is not a path, such as `title`, `price/@currency`, `@id` or `.`");
        let mut names: Vec<String> = match text {
            "." => Vec::new(),
            _ => text.split('/').map(|name| name.trim().to_owned()).collect(),
        };
        let attr = match names.last().and_then(|last| last.strip_prefix('@')) {
            Some(attr) => {
                let attr = attr.to_owned();
                names.pop();
                Some(attr)
            }
            None => None,
        };
        let is_name = |name: &String| {
            name == "*"
                || (!name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || ".-_:".contains(c)))
        };
        if !names.iter().chain(&attr).all(is_name) {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), names, attr })
    }

    /// Whether open elements stand at this path.
    pub(super) fn is_place(&self, open: &[String]) -> bool {
        open.len() == self.names.len()
            && open.iter().zip(&self.names).all(|(name, wanted)| matches(wanted, name))
    }

    /// Hands over the texts at the path, until told to stop.
    fn find(&self, row: &Node, found: &mut dyn FnMut(String) -> bool) -> bool {
        fn walk(
            node: &Node,
            names: &[String],
            attr: Option<&String>,
            found: &mut dyn FnMut(String) -> bool,
        ) -> bool {
            let Some((first, rest)) = names.split_first() else {
                return match attr {
                    Some(wanted) => {
                        let value = node.attrs.iter().find(|(name, _)| matches(wanted, name));
                        value.is_none_or(|(_, value)| found(value.clone()))
                    }
                    None => found(text(node)),
                };
            };
            node.children.iter().all(|child| match child {
                Child::Element(node) if matches(first, &node.name) => walk(node, rest, attr, found),
                _ => true,
            })
        }
        walk(row, &self.names, self.attr.as_ref(), found)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name without a prefix means elements of that name with any prefix.
fn matches(wanted: &str, name: &str) -> bool {
    wanted == "*" || wanted == name || (!wanted.contains(':') && name.rsplit(':').next() == Some(wanted))
}

/// All text inside, in order.
fn text(node: &Node) -> String {
    fn collect(node: &Node, all: &mut String) {
        for child in &node.children {
            match child {
                Child::Text(text) => all.push_str(text),
                Child::Element(node) => collect(node, all),
            }
        }
    }
    let mut all = String::new();
    collect(node, &mut all);
    all
}

/// The row as XML again, for the item of its error.
pub(super) fn write(node: &Node, out: &mut String) {
    let escaped = |text: &str| quick_xml::escape::escape(text).into_owned();
    out.push('<');
    out.push_str(&node.name);
    for (name, value) in &node.attrs {
        out.push_str(&format!(" {name}=\"{}\"", escaped(value)));
    }
    out.push('>');
    for child in &node.children {
        match child {
            Child::Text(text) => out.push_str(&escaped(text)),
            Child::Element(node) => write(node, out),
        }
    }
    out.push_str(&format!("</{}>", node.name));
}

/// The fields of a row.
pub(crate) type Fields = OrderedFields<FieldKwargs>;

impl FieldSpec for FieldKwargs {
    const MAP: &'static str = "XmlFields";
    const EXPECTED: &'static str = "a map from names to paths";
}

/// One field: a path, or a map.
#[derive(Debug)]
pub(crate) struct FieldKwargs {
    map: FieldMap,
    /// Whether it was written as one text.
    short: bool,
}

/// What a field may say.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FieldMap {
    /// The path within the row.
    path: String,
    /// Take all elements at the path, as a list.
    #[serde(default)]
    all: bool,
    /// What the text is converted to.
    #[serde(rename = "type", default)]
    kind: FieldType,
    /// Whether numbers are written `1.234,56`.
    #[serde(default)]
    decimal_comma: bool,
    /// The value where there is none.
    #[serde(default, deserialize_with = "present")]
    default: Option<Value>,
    /// Whether the item fails where there is no value (default: yes, unless there is a `default`);
    /// without it the value is null.
    required: Option<bool>,
}

/// A `default` of null is a default.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = FieldKwargs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, or a map with `path`, `type` and so on")
    }

    fn visit_str<E>(self, text: &str) -> Result<FieldKwargs, E> {
        let map = FieldMap {
            path: text.to_owned(),
            all: false,
            kind: FieldType::String,
            decimal_comma: false,
            default: None,
            required: None,
        };
        Ok(FieldKwargs { map, short: true })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldKwargs, A::Error> {
        FieldMap::deserialize(MapAccessDeserializer::new(map)).map(|map| FieldKwargs { map, short: false })
    }
}

impl<'de> Deserialize<'de> for FieldKwargs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

impl JsonSchema for FieldKwargs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "XmlField".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<FieldMap>();
        schemars::json_schema!({"oneOf": [{"type": "string", "description": "The path within the row"}, map]})
    }
}

/// A field ready to be looked for.
#[derive(Debug)]
pub(super) struct Field {
    name: String,
    path: Path,
    all: bool,
    kind: FieldType,
    decimal_comma: bool,
    otherwise: Option<Value>,
}

impl Field {
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn new(name: String, kwargs: FieldKwargs) -> Result<Self, BuildErrors> {
        let FieldKwargs { map, short } = kwargs;
        let at = |key: &str| if short { format!("fields.{name}") } else { format!("fields.{name}.{key}") };
        let mut errors = BuildErrors::default();
        let path = errors.collect(Path::new(&map.path).map_err(|error| BuildErrors::at(at("path"), error)));
        if map.default.is_some() && map.required == Some(true) {
            errors.push(at("required"), "a field with a `default` never lacks a value");
        }
        if map.decimal_comma && !matches!(map.kind, FieldType::Number | FieldType::Integer) {
            errors.push(at("decimal_comma"), "is for the types `number` and `integer`");
        }
        errors.clone().into_result()?;
        let Some(path) = path else { return Err(errors) };
        let otherwise = match map.default {
            Some(default) => Some(default),
            None if map.required == Some(false) => Some(Value::Null),
            None => None,
        };
        Ok(Self { name, path, all: map.all, kind: map.kind, decimal_comma: map.decimal_comma, otherwise })
    }

    /// # Errors
    /// Says why there is no value.
    pub(super) fn value(&self, row: &Node) -> Result<Value, String> {
        match (self.find(row), &self.otherwise) {
            (Err(_), Some(otherwise)) => Ok(otherwise.clone()),
            (Err(error), None) => Err(format!("{}: {error}", self.name)),
            (found, _) => found,
        }
    }

    fn find(&self, row: &Node) -> Result<Value, String> {
        let mut texts = Vec::new();
        self.path.find(row, &mut |text| {
            texts.push(text);
            self.all
        });
        let convert = |text: &str| convert(text, self.kind, self.decimal_comma);
        if texts.is_empty() {
            return Err(format!("nothing is at `{}`", self.path));
        }
        if self.all {
            let values = texts.iter().map(|text| match (trim(text), self.kind) {
                ("", FieldType::String) => Ok(Value::from("")),
                ("", _) => Ok(Value::Null),
                (text, _) => convert(text),
            });
            return values.collect::<Result<Vec<_>, _>>().map(Value::from);
        }
        match (trim(&texts[0]), self.path.text.as_str()) {
            ("", ".") => Err("the row is empty".to_owned()),
            ("", path) => Err(format!("`{path}` is empty")),
            (text, _) => convert(text),
        }
    }
}
