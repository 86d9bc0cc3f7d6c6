//! Templates over an item: `{{ content.id }}`, with minijinja's filters and conditions.
//!
//! A template sees `topic`, `content`, `discovered_at` and `run` (`started_at`, `date`, `pipeline`,
//! `scheduled_for`). What an item does not have is an error, never an empty text.

use std::sync::Arc;

use chrono::SecondsFormat;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pipeline_core::{ParsedItem, Record, RunContext, Value};

/// Everything but the unreserved characters of RFC 3986.
pub(crate) const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Around a value in a rendered URL, until it is known where in the URL it stands.
const VALUE_STARTS: char = '\u{E000}';
const VALUE_ENDS: char = '\u{E001}';

const NAME: &str = "template";
const VALUE: &str = "the_value";

/// A compiled template.
#[derive(Clone)]
pub(crate) struct Template {
    source: String,
    environment: Arc<Environment<'static>>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A JSON document: texts are escaped where they stand within its quotes.
    Json,
    Url,
    /// The source is one expression, whose value keeps its type.
    Expression,
}

/// What a template sees of a run and an item.
#[derive(Debug, Clone)]
pub(crate) struct Scope(Jinja);

impl Scope {
    /// The scope of an item in a run.
    pub(crate) fn new(run: &RunContext, item: &ParsedItem) -> Self {
        let at = |time: chrono::DateTime<chrono::Utc>| time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let started_at = run.started_at();
        let run = Jinja::from_pairs([
            ("started_at", Jinja::from(at(started_at))),
            ("date", Jinja::from(started_at.format("%Y-%m-%d").to_string())),
            ("pipeline", Jinja::from(run.pipeline())),
            ("scheduled_for", Jinja::from(at(run.identity().scheduled_for))),
        ]);
        Self(Jinja::from_pairs([
            ("topic", Jinja::from(item.topic.as_str())),
            ("content", record_to_jinja(&item.content)),
            ("discovered_at", Jinja::from(at(item.discovered_at))),
            ("run", run),
        ]))
    }
}

impl Template {
    /// Compiles a template for a text.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn text(source: &str) -> Result<Self, String> {
        Self::compile(source, source, Kind::Text)
    }

    /// Compiles a template for a body: where it looks like a JSON document, texts are escaped as JSON wants
    /// it within quotes, so that `{"title": "{{ content.title }}"}` is always JSON.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn body(source: &str) -> Result<Self, String> {
        let start = source.trim_start();
        let opens_object = start.strip_prefix('{').is_some_and(|rest| !rest.starts_with(['{', '%', '#']));
        let kind = if opens_object || start.starts_with('[') { Kind::Json } else { Kind::Text };
        Self::compile(source, source, kind)
    }

    /// Whether it makes a JSON document.
    pub(crate) fn is_json(&self) -> bool {
        self.kind == Kind::Json
    }

    /// Compiles a template for a URL: values are percent-encoded as parts of it, but for one that stands at
    /// its very start, which is a URL itself.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn url(source: &str) -> Result<Self, String> {
        Self::compile(source, source, Kind::Url)
    }

    /// Compiles a template for a value: where it is one expression, its value keeps its type; else a text.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn value(source: &str) -> Result<Self, String> {
        let inner = source.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        match inner.filter(|inner| !["{{", "}}", "{%", "%}"].iter().any(|mark| inner.contains(mark))) {
            Some(expression) => {
                let expression = expression.trim_matches('-').trim();
                let assignment = format!("{{% set {VALUE} = ({expression}) %}}");
                Self::compile(source, &assignment, Kind::Expression)
            }
            None => Self::compile(source, source, Kind::Text),
        }
    }

    fn compile(source: &str, compiled: &str, kind: Kind) -> Result<Self, String> {
        let mut environment = Environment::new();
        // A template says exactly what is in it.
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_formatter(match kind {
            Kind::Url => write_marked,
            Kind::Json => write_json,
            Kind::Text | Kind::Expression => write_plain,
        });
        environment.add_filter("tojson", |value: &Jinja| {
            to_value(value).map(|value| Jinja::from_safe_string(value.to_json()))
        });
        let wrong = |error: Error| format!("`{source}` is not a template: {}", explain(&error));
        environment.add_template_owned(NAME, compiled.to_owned()).map_err(wrong)?;
        // Names of filters are only looked up when a template is filled in: do that once without an item.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        let tried = environment.get_template(NAME).and_then(|template| template.render(Jinja::from(())));
        if let Err(error) = tried
            && matches!(
                error.kind(),
                ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
            )
        {
            return Err(wrong(error));
        }
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        Ok(Self { source: source.to_owned(), environment: Arc::new(environment), kind })
    }

    /// Renders a text or a URL.
    ///
    /// # Errors
    /// Says what is missing.
    pub(crate) fn render(&self, scope: &Scope) -> Result<String, String> {
        let rendered = self.environment.get_template(NAME).and_then(|template| template.render(&scope.0));
        let rendered = rendered.map_err(|error| self.failed(&error))?;
        match self.kind {
            Kind::Url => {
                place_values(&rendered).map_err(|why| format!("the template `{}`: {why}", self.source))
            }
            Kind::Json => match serde_json::from_str::<serde::de::IgnoredAny>(&rendered) {
                Ok(_) => Ok(rendered),
                Err(error) => Err(format!("the template `{}` does not make JSON here: {error}", self.source)),
            },
            Kind::Text | Kind::Expression => Ok(rendered),
        }
    }

    /// The value of a template for a value.
    ///
    /// # Errors
    /// Says what is missing.
    pub(crate) fn evaluate(&self, scope: &Scope) -> Result<Value, String> {
        if self.kind != Kind::Expression {
            return self.render(scope).map(Value::from);
        }
        let template = self.environment.get_template(NAME).map_err(|error| self.failed(&error))?;
        let captured = template.render_captured(&scope.0).map_err(|error| self.failed(&error))?;
        match captured.state().lookup(VALUE) {
            Some(value) if !value.is_undefined() => to_value(&value).map_err(|error| self.failed(&error)),
            _ => Err(format!("the template `{}` has no value: the item lacks what it names", self.source)),
        }
    }

    fn failed(&self, error: &Error) -> String {
        let why = match error.kind() {
            ErrorKind::UndefinedError => "the item lacks what it names".to_owned(),
            _ => explain(error),
        };
        format!("the template `{}` cannot be filled in: {why}", self.source)
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

/// Whether a text has anything for a template to do.
pub(crate) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

fn explain(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// Texts as they are, everything else as JSON.
fn write_plain(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    out.write_str(&plain(value)?).map_err(Error::from)
}

fn plain(value: &Jinja) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    Ok(match to_value(value)? {
        Value::Text(text) => text.into(),
        other => other.to_json(),
    })
}

/// Texts escaped for the inside of quotes, everything else as JSON.
fn write_json(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    let text = plain(value)?;
    if value.is_safe() || value.kind() != ValueKind::String {
        return out.write_str(&text).map_err(Error::from);
    }
    let quoted = Value::from(text).to_json();
    out.write_str(&quoted[1..quoted.len() - 1]).map_err(Error::from)
}

/// Values of a URL in marks, but for those that the author calls safe.
fn write_marked(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    let kind = value.kind();
    if matches!(kind, ValueKind::None | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        let message = format!("a value is {kind}, which no URL can hold");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let text = plain(value)?;
    if value.is_safe() {
        return out.write_str(&text).map_err(Error::from);
    }
    let text = text.replace([VALUE_STARTS, VALUE_ENDS], "");
    out.write_str(&format!("{VALUE_STARTS}{text}{VALUE_ENDS}")).map_err(Error::from)
}

/// Encodes the marked values by their place.
fn place_values(rendered: &str) -> Result<String, String> {
    let mut url = String::with_capacity(rendered.len());
    let mut rest = rendered.trim();
    while let Some(start) = rest.find(VALUE_STARTS) {
        url.push_str(&rest[..start]);
        let inner = &rest[start + VALUE_STARTS.len_utf8()..];
        let end = inner.find(VALUE_ENDS).unwrap_or(inner.len());
        let value = &inner[..end];
        if url.is_empty() {
            url.push_str(value);
        } else if matches!(value, "." | "..") && !url.contains('?') {
            // An encoded dot is a dot: it would lead to another folder.
            return Err(format!("the value `{value}` must not be a part of a path"));
        } else {
            url.extend(utf8_percent_encode(value, COMPONENT));
        }
        rest = inner[end..].trim_start_matches(VALUE_ENDS);
    }
    url.push_str(rest);
    Ok(url)
}

fn record_to_jinja(record: &Record) -> Jinja {
    Jinja::from_pairs(record.iter().map(|(name, value)| (name, to_jinja(value))))
}

fn to_jinja(value: &Value) -> Jinja {
    match value {
        Value::Null => Jinja::from(()),
        Value::Bool(value) => Jinja::from(*value),
        Value::Int(number) => Jinja::from(*number),
        Value::Float(number) => Jinja::from(*number),
        Value::BigNumber(text) => match text.parse::<i128>() {
            Ok(number) => Jinja::from(number),
            Err(_) => Jinja::from(&**text),
        },
        Value::Text(text) => Jinja::from(text.as_str()),
        Value::Array(list) => list.iter().map(to_jinja).collect(),
        Value::Object(record) => record_to_jinja(record),
    }
}

fn to_value(value: &Jinja) -> Result<Value, Error> {
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => match (value.is_integer(), i64::try_from(value.clone()), value.to_string()) {
            (true, Ok(number), _) => Value::Int(number),
            (true, Err(_), text) => Value::number(&text).unwrap_or_default(),
            (false, _, _) => Value::float(f64::try_from(value.clone())?),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            Value::from(value.try_iter()?.map(|item| to_value(&item)).collect::<Result<Vec<_>, _>>()?)
        }
        ValueKind::Map => {
            let mut record = Record::new();
            for key in value.try_iter()? {
                let field = to_value(&value.get_item(&key)?)?;
                record.insert(key.to_string(), field);
            }
            Value::from(record)
        }
        _ => Value::from(value.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use pipeline_core::RunOptions;

    use super::*;
    use crate::fetch::testing::{identity, parsed};

    fn scope() -> Scope {
        let content = serde_json::json!({
            "id": 7, "name": "Å & B/ü", "link": "http://h.example/a?b=c d", "up": "..", "none": null,
            "list": [1, {"b": 2.5, "a": "x"}], "big": 18446744073709551615_u64, "yes": true, "price": 1.0, "quote": "say \"hi\"\n",
        });
        let pipeline_core::Item::Parsed(item) = parsed("shop.book", content) else { unreachable!() };
        Scope::new(&RunContext::new(RunOptions::new(identity())), &item)
    }

    #[track_caller]
    fn check(found: Result<String, String>, expected: &str) {
        match (&found, expected.strip_prefix("! ")) {
            (Err(error), Some(part)) => assert!(error.contains(part), "{error}"),
            (Ok(text), None) => assert_eq!(text, expected),
            _ => panic!("{found:?}, expected {expected}"),
        }
    }

    #[test]
    fn texts_are_filled_in() {
        let cases = [
            ("{{ topic }}: {{ content.name }} costs {{ content.price }}\n", "shop.book: Å & B/ü costs 1.0\n"),
            ("{{ content.list }} {{ content.none }} {{ content.yes }}", r#"[1,{"b":2.5,"a":"x"}] null true"#),
            ("{{ content.name | tojson }}{{ content.big }}", r#""Å & B/ü"18446744073709551615"#),
            ("{{ content.list[1].a | upper }}", "X"),
            ("{% if content.yes %}yes{% endif %}", "yes"),
            ("{{ content.missing or 'else' }}", "! lacks what it names"),
            ("{{ content.missing | default('else') }}", "else"),
            (
                "{{ content.missing }}",
                "! the template `{{ content.missing }}` cannot be filled in: the item lacks",
            ),
            ("{{ run.pipeline }} {{ run.scheduled_for }}", "test 1970-01-01T00:00:00Z"),
        ];
        for (source, expected) in cases {
            check(Template::text(source).and_then(|template| template.render(&scope())), expected);
        }
    }

    #[test]
    fn values_are_encoded_where_they_land_in_a_url() {
        let cases = [
            (
                "http://h.example/{{ content.id }}?q={{ content.name }}",
                "http://h.example/7?q=%C3%85%20%26%20B%2F%C3%BC",
            ),
            ("http://h.example/{{ content.name }}/x", "http://h.example/%C3%85%20%26%20B%2F%C3%BC/x"),
            ("{{ content.link }}", "http://h.example/a?b=c d"),
            (
                "{{ content.link }}&again={{ content.link }}",
                "http://h.example/a?b=c d&again=http%3A%2F%2Fh.example%2Fa%3Fb%3Dc%20d",
            ),
            ("http://h.example/{{ content.name | safe }}", "http://h.example/Å & B/ü"),
            ("http://h.example/{{ content.up }}/x", "! `..` must not be a part of a path"),
            ("http://h.example/?up={{ content.up }}", "http://h.example/?up=.."),
            ("http://h.example/{{ content.none }}", "! a value is none, which no URL can hold"),
            ("http://h.example/{{ content.list }}", "! which no URL can hold"),
            ("http://h.example/{{ content.missing }}", "! lacks what it names"),
        ];
        for (source, expected) in cases {
            check(Template::url(source).and_then(|template| template.render(&scope())), expected);
        }
    }

    #[test]
    fn one_expression_keeps_its_type() {
        let cases = [
            ("{{ content.id }}", "7"),
            (" {{- content.list -}} ", r#"[1,{"b":2.5,"a":"x"}]"#),
            ("{{ content.none }}", "null"),
            ("{{ content.id + 1 }}", "8"),
            ("{{ content.big }}", "18446744073709551615"),
            ("{{ content.price }}", "1.0"),
            ("{{ content.id }}!", r#""7!""#),
            ("plain", r#""plain""#),
            ("{{ content.id }}{{ content.id }}", r#""77""#),
            ("{{ content.missing }}", "! lacks what it names"),
        ];
        for (source, expected) in cases {
            let found = Template::value(source).and_then(|template| template.evaluate(&scope()));
            check(found.map(|value| value.to_json()), expected);
        }
    }

    #[test]
    fn a_body_that_looks_like_json_is_json() {
        let cases = [
            (r#"{"t": "{{ content.quote }}", "n": {{ content.id }}}"#, r#"{"t": "say \"hi\"\n", "n": 7}"#),
            (r#"[{{ content.quote | tojson }}, {{ content.none }}]"#, r#"["say \"hi\"\n", null]"#),
            (r#"{"list": {{ content.list }}}"#, r#"{"list": [1,{"b":2.5,"a":"x"}]}"#),
            (r#"{"t": {{ content.name }}}"#, "! does not make JSON here"),
            ("{{ content.quote }}!", "say \"hi\"\n!"),
        ];
        for (source, expected) in cases {
            check(Template::body(source).and_then(|template| template.render(&scope())), expected);
        }
    }

    #[test]
    fn what_is_no_template_is_said() {
        for source in ["{{ content.id", "{% if %}", "{{ }}", "{{ content.id | nonesuch }}"] {
            assert!(Template::text(source).is_err() || Template::value(source).is_err(), "{source}");
        }
        assert!(is_template("a{{ b }}") && !is_template("a{b}"));
    }
}
