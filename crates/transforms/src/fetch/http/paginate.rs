//! Lists whose pages do not name the next one: by offset, by number, by cursor.

use std::fmt;

use percent_encoding::utf8_percent_encode;
use pipeline_core::{BuildErrors, Record, Value};
use schemars::JsonSchema;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::jq::{Jq, JqVars};
use crate::template::COMPONENT;

/// How a list is paged where its answers do not hold the next URL. One of the three parameters is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PaginateKwargs {
    /// The name of the parameter that says how many records to skip.
    offset_param: Option<String>,
    /// The name of the parameter that is the number of the page.
    page_param: Option<String>,
    /// The name of the parameter that is the cursor of the last page.
    cursor_param: Option<String>,
    /// The first offset (0), the first page's number (1), or the first cursor (none is sent).
    start: Option<Value>,
    /// The number of records on a full page. It is the step of the offset; without it an offset grows by the
    /// records that came.
    #[schemars(range(min = 1))]
    page_size: Option<u64>,
    /// A jq program that gives the records of a page, each or as one list (default: the page itself is the
    /// list).
    records: Option<String>,
    /// A jq program that gives the next cursor from a page; null, false, an empty text and nothing at all end
    /// the list.
    cursor: Option<String>,
    /// When the list is at its end (default: `short_page` where `page_size` is given, else `empty_page`; a list
    /// with a cursor ends with that).
    stop: Option<StopKwargs>,
}

/// When a list is at its end.
#[derive(Debug, Clone)]
enum StopKwargs {
    ShortPage,
    EmptyPage,
    Jq(String),
}

impl<'de> Deserialize<'de> for StopKwargs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StopVisitor;
        impl<'de> Visitor<'de> for StopVisitor {
            type Value = StopKwargs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`short_page`, `empty_page` or `{jq: program}`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StopKwargs, E> {
                match text {
                    "short_page" => Ok(StopKwargs::ShortPage),
                    "empty_page" => Ok(StopKwargs::EmptyPage),
                    other => Err(E::unknown_variant(other, &["short_page", "empty_page", "{jq: program}"])),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StopKwargs, A::Error> {
                let mut program = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key != "jq" {
                        return Err(serde::de::Error::unknown_field(&key, &["jq"]));
                    }
                    program = Some(map.next_value()?);
                }
                program.map(StopKwargs::Jq).ok_or_else(|| serde::de::Error::missing_field("jq"))
            }
        }
        deserializer.deserialize_any(StopVisitor)
    }
}

impl JsonSchema for StopKwargs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PaginateStop".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [
                {"enum": ["short_page", "empty_page"]},
                {
                    "type": "object",
                    "properties": {"jq": {
                        "type": "string",
                        "description": "A jq condition on the page; where it holds, the page is the last.",
                    }},
                    "required": ["jq"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// How a list is paged, compiled.
#[derive(Debug, Clone)]
pub(super) struct Paginate {
    parameter: String,
    first: Position,
    page_size: Option<u64>,
    records: Jq,
    /// Whether the file says what the records are.
    records_given: bool,
    cursor: Option<Jq>,
    stop: Option<Stop>,
}

#[derive(Debug, Clone)]
enum Stop {
    ShortPage(u64),
    EmptyPage,
    Jq(Jq),
}

/// Where a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    Offset(u64),
    Page(u64),
    Cursor(Option<String>),
}

/// What a page says about the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// How many records it has, where that is known.
    pub(super) count: Option<u64>,
    /// Where to go on; `None` at the end.
    pub(super) next: Option<Position>,
}

impl Paginate {
    /// Checks and compiles.
    ///
    /// # Errors
    /// All that is wrong, with paths.
    pub(super) fn new(kwargs: PaginateKwargs) -> Result<Self, BuildErrors> {
        let mut errors = BuildErrors::default();
        let named =
            [("offset", kwargs.offset_param), ("page", kwargs.page_param), ("cursor", kwargs.cursor_param)];
        let mut named: Vec<(&str, String)> =
            named.into_iter().filter_map(|(kind, name)| Some((kind, name?))).collect();
        if named.len() != 1 {
            let message = "give one of `offset_param`, `page_param` and `cursor_param`";
            return Err(BuildErrors::at("paginate", message));
        }
        let (kind, parameter) = named.remove(0);
        if parameter.is_empty() {
            errors.push(format!("paginate.{kind}_param"), "the name of a parameter must not be empty");
        }
        let first = first(kind, kwargs.start.as_ref()).unwrap_or_else(|message| {
            errors.push("paginate.start", message);
            Position::Page(1)
        });
        let mut program = |path: &str, text: Option<&str>| {
            let compiled = text.map(|text| Jq::compile(text).map_err(|error| errors.push(path, error)));
            compiled.and_then(Result::ok)
        };
        let records = program("paginate.records", Some(kwargs.records.as_deref().unwrap_or(".")));
        let cursor = program("paginate.cursor", kwargs.cursor.as_deref());
        let by_program = match &kwargs.stop {
            Some(StopKwargs::Jq(text)) => program("paginate.stop.jq", Some(text)).map(Stop::Jq),
            _ => None,
        };
        if (kind == "cursor") != kwargs.cursor.is_some() {
            errors.push(
                "paginate.cursor",
                "`cursor_param` and `cursor` go together: the jq program gives the next cursor",
            );
        }
        if kwargs.page_size == Some(0) {
            errors.push("paginate.page_size", "a page has at least one record");
        }
        let stop = match (kwargs.stop, kwargs.page_size) {
            (Some(StopKwargs::Jq(_)), _) => by_program,
            (Some(StopKwargs::ShortPage), None) => {
                errors.push("paginate.stop", "`short_page` needs `page_size`, to know a short page");
                None
            }
            (Some(StopKwargs::EmptyPage), _) => Some(Stop::EmptyPage),
            (None, _) if kind == "cursor" => None,
            (_, Some(size)) => Some(Stop::ShortPage(size)),
            (None, None) => Some(Stop::EmptyPage),
        };
        errors.into_result()?;
        let records = records.ok_or_else(BuildErrors::default)?;
        let (page_size, records_given) = (kwargs.page_size, kwargs.records.is_some());
        Ok(Self { parameter, first, page_size, records, records_given, cursor, stop })
    }

    /// Where the list begins.
    pub(super) fn first(&self) -> Position {
        self.first.clone()
    }

    /// The URL of a position.
    pub(super) fn url(&self, base: &Url, position: &Position) -> Url {
        let value = match position {
            Position::Offset(number) | Position::Page(number) => number.to_string(),
            Position::Cursor(Some(cursor)) => cursor.clone(),
            Position::Cursor(None) => return base.clone(),
        };
        let mut url = base.clone();
        set_parameter(&mut url, &self.parameter, &value);
        url
    }

    /// Whether the links that are followed are the records.
    pub(super) fn counts_links(&self, follows: bool) -> bool {
        follows && !self.records_given
    }

    /// Whether no program looks into a page, so that it need not be JSON.
    pub(super) fn reads_links_only(&self) -> bool {
        self.cursor.is_none() && !matches!(self.stop, Some(Stop::Jq(_)))
    }

    /// Looks at a page: `page` is its JSON, `links` the number of its links where these are its records.
    ///
    /// # Errors
    /// Where a program fails.
    pub(super) fn turn(
        &self,
        position: &Position,
        page: &Value,
        links: Option<u64>,
        vars: &JqVars,
    ) -> Result<Turn, String> {
        let count = match links {
            Some(links) => Some(links),
            None if self.needs_count() => Some(self.count(page, vars)?),
            None => None,
        };
        let at_end = match &self.stop {
            Some(Stop::ShortPage(size)) => count.is_some_and(|count| count < *size),
            Some(Stop::EmptyPage) => count == Some(0),
            Some(Stop::Jq(program)) => truthy(program.run(page, vars)?.first()),
            None => false,
        };
        if at_end {
            return Ok(Turn { count, next: None });
        }
        let next = match (position, &self.cursor) {
            (Position::Offset(offset), _) => {
                Some(Position::Offset(offset + self.page_size.or(count).unwrap_or(0)))
            }
            (Position::Page(page), _) => Some(Position::Page(page + 1)),
            (Position::Cursor(_), None) => None,
            (Position::Cursor(_), Some(program)) => {
                next_cursor(program.run(page, vars)?.first())?.map(|cursor| Position::Cursor(Some(cursor)))
            }
        };
        Ok(Turn { count, next })
    }

    fn needs_count(&self) -> bool {
        let by_count = matches!(self.stop, Some(Stop::ShortPage(_) | Stop::EmptyPage));
        by_count
            || (matches!(self.first, Position::Offset(_)) && self.page_size.is_none())
            || self.records_given
    }

    fn count(&self, page: &Value, vars: &JqVars) -> Result<u64, String> {
        let results = self.records.run(page, vars).map_err(|error| format!("`paginate.records`: {error}"))?;
        match results.as_slice() {
            [Value::Array(list)] => Ok(list.len() as u64),
            [Value::Null] => Ok(0),
            [only] if !self.records_given => Err(format!(
                "the page is {} and not a list; `paginate.records` says where its records are",
                only.type_name()
            )),
            results => Ok(results.len() as u64),
        }
    }
}

fn first(kind: &str, start: Option<&Value>) -> Result<Position, String> {
    let number = |default: u64| match start {
        None => Ok(default),
        Some(Value::Int(number)) if *number >= 0 => Ok(number.unsigned_abs()),
        Some(Value::Text(text)) => text.parse().map_err(|_| format!("`{text}` is not a number")),
        Some(other) => Err(format!("`{other}` is not a whole number from 0")),
    };
    match kind {
        "offset" => number(0).map(Position::Offset),
        "page" => number(1).map(Position::Page),
        _ => next_cursor(start).map(Position::Cursor),
    }
}

/// A cursor as it is sent.
fn next_cursor(value: Option<&Value>) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => Ok(None),
        Some(Value::Text(text)) if text.is_empty() => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.to_string())),
        Some(number @ (Value::Int(_) | Value::Float(_) | Value::BigNumber(_))) => Ok(Some(number.to_json())),
        Some(other) => Err(format!("a cursor is a text or a number, not {}", other.type_name())),
    }
}

fn truthy(value: Option<&Value>) -> bool {
    !matches!(value, None | Some(Value::Null | Value::Bool(false)))
}

/// Sets a parameter of a query, at its place where it has one. All others stay as they are written.
pub(super) fn set_parameter(url: &mut Url, name: &str, value: &str) {
    let pair = format!("{}={}", utf8_percent_encode(name, COMPONENT), utf8_percent_encode(value, COMPONENT));
    let mut placed = false;
    let mut pairs: Vec<&str> = Vec::new();
    let query = url.query().unwrap_or_default().to_owned();
    for known in query.split('&').filter(|known| !known.is_empty()) {
        let known_name = known.split('=').next().unwrap_or_default().replace('+', " ");
        let known_name = percent_encoding::percent_decode_str(&known_name).decode_utf8_lossy();
        if known_name != name {
            pairs.push(known);
        } else if !placed {
            placed = true;
            pairs.push(&pair);
        }
    }
    if !placed {
        pairs.push(&pair);
    }
    url.set_query(Some(&pairs.join("&")));
}

/// Adds parameters to a query; lists are repeated, null is left out.
pub(super) fn add_parameters(url: &mut Url, parameters: &Record) -> Result<(), String> {
    let mut query = url.query().unwrap_or_default().to_owned();
    for (name, value) in parameters.iter() {
        let values = match value {
            Value::Array(list) => list.as_slice(),
            other => std::slice::from_ref(other),
        };
        for value in values {
            let text = match value {
                Value::Null => continue,
                Value::Text(text) => text.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(format!(
                        "the parameter `{name}` is {} and no URL can hold it",
                        value.type_name()
                    ));
                }
                other => other.to_json(),
            };
            if !query.is_empty() && !query.ends_with('&') {
                query.push('&');
            }
            query.extend(utf8_percent_encode(name, COMPONENT));
            query.push('=');
            query.extend(utf8_percent_encode(&text, COMPONENT));
        }
    }
    url.set_query(if query.is_empty() { None } else { Some(&query) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use pipeline_core::{RunContext, RunOptions};
    use serde_json::json;

    use super::*;

    fn paginate(kwargs: serde_json::Value) -> Paginate {
        Paginate::new(serde_json::from_value(kwargs).unwrap()).unwrap()
    }

    fn walk(kwargs: serde_json::Value, pages: &[serde_json::Value]) -> Vec<String> {
        let vars = JqVars::new(&RunContext::new(RunOptions::new(crate::fetch::testing::identity())));
        let paginate = paginate(kwargs);
        let base: Url = "http://h.example/list?a=1".parse().unwrap();
        let mut position = Some(paginate.first());
        let mut steps = Vec::new();
        for page in pages {
            let Some(at) = position else { break };
            steps.push(paginate.url(&base, &at).query().unwrap_or_default().to_owned());
            match paginate.turn(&at, &Value::from(page.clone()), None, &vars) {
                Ok(turn) => position = turn.next,
                Err(error) => {
                    steps.push(error);
                    return steps;
                }
            }
        }
        steps.push(if position.is_some() { "goes on" } else { "end" }.to_owned());
        steps
    }

    #[test]
    fn lists_are_walked_to_their_end() {
        let full = json!({"items": [1, 2], "next": "c/2", "more": true});
        let short = json!({"items": [3], "next": null, "more": false});
        let empty = json!({"items": [], "next": ""});
        let pages = [full.clone(), full, short, empty];
        let cases: [(serde_json::Value, &[&str]); 9] = [
            (
                json!({"offset_param": "from", "page_size": 2, "records": ".items"}),
                &["a=1&from=0", "a=1&from=2", "a=1&from=4", "end"],
            ),
            (
                json!({"offset_param": "from", "records": ".items[]"}),
                &["a=1&from=0", "a=1&from=2", "a=1&from=4", "a=1&from=5", "end"],
            ),
            (
                json!({"page_param": "p", "records": ".items", "stop": "empty_page", "page_size": 2}),
                &["a=1&p=1", "a=1&p=2", "a=1&p=3", "a=1&p=4", "end"],
            ),
            (
                json!({"page_param": "a", "start": 0, "stop": {"jq": ".more | not"}}),
                &["a=0", "a=1", "a=2", "end"],
            ),
            (json!({"cursor_param": "c", "cursor": ".next"}), &["a=1", "a=1&c=c%2F2", "a=1&c=c%2F2", "end"]),
            (
                json!({"cursor_param": "c", "cursor": ".next", "start": "s", "stop": {"jq": "true"}}),
                &["a=1&c=s", "end"],
            ),
            (
                json!({"cursor_param": "c", "cursor": ".items"}),
                &["a=1", "a cursor is a text or a number, not array"],
            ),
            (
                json!({"page_param": "p"}),
                &[
                    "a=1&p=1",
                    "the page is object and not a list; `paginate.records` says where its records are",
                ],
            ),
            (
                json!({"page_param": "p", "records": ".items", "page_size": 3, "start": "7"}),
                &["a=1&p=7", "end"],
            ),
        ];
        for (kwargs, expected) in cases {
            assert_eq!(walk(kwargs.clone(), &pages), expected, "{kwargs}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (json!({}), "give one of"),
            (json!({"page_param": "p", "offset_param": "o"}), "give one of"),
            (json!({"page_param": ""}), "must not be empty"),
            (json!({"page_param": "p", "stop": "short_page"}), "needs `page_size`"),
            (json!({"page_param": "p", "start": "x"}), "`x` is not a number"),
            (json!({"page_param": "p", "start": -1}), "not a whole number"),
            (json!({"page_param": "p", "page_size": 0}), "at least one record"),
            (json!({"cursor_param": "c"}), "go together"),
            (json!({"page_param": "c", "cursor": "."}), "go together"),
            (json!({"page_param": "c", "records": "[", "stop": {"jq": "]"}}), "paginate.records"),
        ];
        for (kwargs, expected) in cases {
            let error = Paginate::new(serde_json::from_value(kwargs).unwrap()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for (kwargs, expected) in [
            (json!({"page_param": "p", "stop": "soon"}), "unknown variant `soon`"),
            (json!({"page_param": "p", "stop": {"js": "x"}}), "unknown field `js`"),
            (json!({"page_param": "p", "size": 1}), "unknown field `size`"),
        ] {
            let error = serde_json::from_value::<PaginateKwargs>(kwargs).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn parameters_are_set_and_added() {
        let mut url: Url = "http://h.example/?a=1&b+c=2&a=3&d=%20".parse().unwrap();
        set_parameter(&mut url, "a", "x y");
        assert_eq!(url.query(), Some("a=x%20y&b+c=2&d=%20"));
        set_parameter(&mut url, "b c", "9");
        assert_eq!(url.query(), Some("a=x%20y&b%20c=9&d=%20"));
        let parameters = serde_json::from_value(json!({"e": [1, "z"], "f": null, "g": true})).unwrap();
        add_parameters(&mut url, &parameters).unwrap();
        assert_eq!(url.query(), Some("a=x%20y&b%20c=9&d=%20&e=1&e=z&g=true"));
        let nested = serde_json::from_value(json!({"e": {"x": 1}})).unwrap();
        assert!(add_parameters(&mut url, &nested).unwrap_err().contains("no URL can hold it"));
    }
}
