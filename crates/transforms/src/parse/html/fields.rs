//! The `fields` of `html.HtmlParser`: how a file writes them, and what is made of that.

use std::fmt;

use pipeline_core::{BuildErrors, Value};
use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::query::Query;
use crate::convert::FieldType;
use crate::parse::ordered_fields::{FieldSpec, OrderedFields};

/// The fields of a row.
pub(crate) type Fields = OrderedFields<FieldKwargs>;

impl FieldSpec for FieldKwargs {
    const MAP: &'static str = "Fields";
    const EXPECTED: &'static str = "a map from names to CSS selectors";
}

/// One field: `"css"`, `"css @attr"`, or a map.
#[derive(Debug, Default)]
pub(crate) struct FieldKwargs {
    pub(super) map: FieldMap,
    /// Whether it was written as one text.
    short: bool,
}

/// What a field may say.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FieldMap {
    /// A CSS selector within the row; `css @attr` takes an attribute. Absent, it is the row itself.
    pub(super) select: Option<String>,
    /// The attribute to take instead of the text.
    pub(super) attr: Option<String>,
    /// Take the HTML inside the element instead of its text.
    pub(super) html: bool,
    /// Take all elements that match, as a list.
    pub(super) all: bool,
    /// Take the first group of this regular expression in the text, or else what the whole of it matches.
    pub(super) regex: Option<String>,
    /// What the text is converted to.
    #[serde(rename = "type")]
    pub(super) kind: FieldType,
    /// Whether numbers are written `1.234,56`.
    pub(super) decimal_comma: bool,
    /// Make a link absolute, against the page's URL.
    pub(super) absolute: bool,
    /// The value where there is none.
    #[serde(deserialize_with = "present")]
    pub(super) default: Option<Value>,
    /// Whether the item fails where there is no value (default: yes, unless there is a `default`);
    /// without it the value is null.
    pub(super) required: Option<bool>,
    /// A CSS selector: the field is whether something matches it. It stands alone.
    pub(super) exists: Option<String>,
}

/// A `default` of null is a default.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = FieldKwargs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CSS selector (`css` or `css @attr`), or a map with `select`, `attr`, `regex`, `type` and so on")
    }

    fn visit_str<E>(self, text: &str) -> Result<FieldKwargs, E> {
        Ok(FieldKwargs {
            map: FieldMap { select: Some(text.to_owned()), ..FieldMap::default() },
            short: true,
        })
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
        "Field".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let map = generator.subschema_for::<FieldMap>();
        schemars::json_schema!({"oneOf": [{"type": "string", "description": "`css` or `css @attr`"}, map]})
    }
}

/// A field ready to be looked for.
#[derive(Debug)]
pub(crate) struct Field {
    pub(super) name: String,
    /// Where it is; the row itself where absent.
    pub(super) query: Option<Query>,
    pub(super) take: Take,
    pub(super) all: bool,
    pub(super) regex: Option<Regex>,
    pub(super) kind: FieldType,
    pub(super) decimal_comma: bool,
    pub(super) absolute: bool,
    /// The value where there is none; without it the item fails.
    pub(super) otherwise: Option<Value>,
}

/// What is taken of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Take {
    Text,
    Attr(String),
    Html,
    Exists,
}

impl Field {
    /// # Errors
    /// All that is wrong with it, with the paths within `fields.NAME`.
    pub(super) fn new(name: String, kwargs: FieldKwargs) -> Result<Self, BuildErrors> {
        let FieldKwargs { map, short } = kwargs;
        let mut errors = BuildErrors::default();
        let path = |key: &str| if short { format!("fields.{name}") } else { format!("fields.{name}.{key}") };
        let query = |key: &str, css: &str, errors: &mut BuildErrors| {
            errors.collect(Query::new(css).map_err(|error| BuildErrors::at(path(key), error)))
        };
        if let Some(css) = &map.exists {
            if map.says_more_than_exists() {
                errors.push(path("exists"), "stands alone: its value is true or false in any case");
            }
            let query = query("exists", css, &mut errors);
            errors.into_result()?;
            return Ok(Self {
                name,
                query,
                take: Take::Exists,
                all: false,
                regex: None,
                kind: FieldType::Boolean,
                decimal_comma: false,
                absolute: false,
                otherwise: None,
            });
        }
        let (css, attr) = match &map.select {
            Some(select) => split_attr(select),
            None => (None, None),
        };
        let query = css.and_then(|css| query("select", css, &mut errors));
        let attr = match (attr, &map.attr) {
            (Some(_), Some(_)) => {
                errors.push(path("attr"), "`select` names an attribute already");
                None
            }
            (attr, given) => attr.map(str::to_owned).or_else(|| given.clone()),
        };
        if attr.as_ref().is_some_and(|attr| attr.trim().is_empty()) {
            errors.push(path("attr"), "an attribute must have a name");
        }
        if map.html && attr.is_some() {
            errors.push(path("html"), "an attribute holds no HTML; leave `attr` or `html` out");
        }
        let numeric = matches!(map.kind, FieldType::Number | FieldType::Integer);
        if map.decimal_comma && !numeric {
            errors.push(path("decimal_comma"), "is for the types `number` and `integer`");
        }
        if map.absolute && map.kind != FieldType::String {
            errors.push(path("absolute"), "is for links, which are of the type `string`");
        }
        if map.default.is_some() && map.required == Some(true) {
            errors.push(path("required"), "a field with a `default` never lacks a value");
        }
        let regex = map.regex.as_ref().and_then(|pattern| {
            errors.collect(
                Regex::new(pattern).map_err(|error| BuildErrors::at(path("regex"), regex_error(&error))),
            )
        });
        errors.into_result()?;
        let otherwise = match map.default {
            Some(default) => Some(default),
            None if map.required == Some(false) => Some(Value::Null),
            None => None,
        };
        let take = match attr {
            Some(attr) => Take::Attr(attr.trim().to_owned()),
            None if map.html => Take::Html,
            None => Take::Text,
        };
        Ok(Self {
            name,
            query,
            take,
            all: map.all,
            regex,
            kind: map.kind,
            decimal_comma: map.decimal_comma,
            absolute: map.absolute,
            otherwise,
        })
    }
}

impl FieldMap {
    fn says_more_than_exists(&self) -> bool {
        self.select.is_some()
            || self.attr.is_some()
            || self.html
            || self.all
            || self.regex.is_some()
            || self.kind != FieldType::String
            || self.decimal_comma
            || self.absolute
            || self.default.is_some()
            || self.required.is_some()
    }
}

/// Splits `css @attr`; `@attr` alone is an attribute of the row.
pub(crate) fn split_attr(select: &str) -> (Option<&str>, Option<&str>) {
    let select = select.trim();
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ':' | '.'))
    };
    match select.rsplit_once('@') {
        Some(("", name)) if is_name(name) => (None, Some(name)),
        Some((css, name)) if css.ends_with(char::is_whitespace) && is_name(name) => {
            (Some(css.trim_end()), Some(name))
        }
        _ => (Some(select), None),
    }
}

/// The last line of a pattern's error, which says what is wrong; the others draw a picture of it.
pub(in crate::parse) fn regex_error(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    format!("is not a regular expression: {}", last.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_stands_at_the_end() {
        let cases = [
            ("h3 a @title", (Some("h3 a"), Some("title"))),
            ("@data-id", (None, Some("data-id"))),
            (" .price ", (Some(".price"), None)),
            (r#"a[href="x @y"]"#, (Some(r#"a[href="x @y"]"#), None)),
            ("a@href", (Some("a@href"), None)),
            ("svg use @xlink:href", (Some("svg use"), Some("xlink:href"))),
        ];
        for (select, expected) in cases {
            assert_eq!(split_attr(select), expected, "{select}");
        }
    }

    #[test]
    fn fields_are_checked() {
        let cases = [
            (r#""a >""#, "fields.f: `a >` is not a CSS selector"),
            (r#"{"select": "a[" }"#, "fields.f.select: `a[` is not a CSS selector"),
            (r#"{"select": "a @b", "attr": "c"}"#, "fields.f.attr: `select` names an attribute already"),
            (r#"{"select": "a @b", "html": true}"#, "fields.f.html: an attribute holds no HTML"),
            (r#"{"regex": "("}"#, "fields.f.regex: is not a regular expression: unclosed group"),
            (r#"{"decimal_comma": true}"#, "fields.f.decimal_comma: is for the types"),
            (r#"{"absolute": true, "type": "number"}"#, "fields.f.absolute: is for links"),
            (r#"{"default": 1, "required": true}"#, "fields.f.required: a field with a `default`"),
            (r#"{"exists": ".a", "type": "number"}"#, "fields.f.exists: stands alone"),
            (r#"{"attr": " "}"#, "fields.f.attr: an attribute must have a name"),
        ];
        for (json, expected) in cases {
            let kwargs = serde_json::from_str(json).unwrap();
            let error = Field::new("f".to_owned(), kwargs).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
