//! `text.RegexParser`: records from text, by a regular expression with named groups.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use encoding_rs::Encoding;
use pipeline_core::{
    BuildContext, BuildErrors, Definition, ParsedItem, Parser, ParserOutput, RawItem, Record, Shape,
    StageContext, StageError, Topic, Transform, Value, parser,
};
use regex::{Captures, Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use schemars::JsonSchema;
use serde::Deserialize;

use super::html::regex_error;
use super::meta::Meta;
use super::rows::Rows;
use crate::convert::{FieldType, convert, trim};
use crate::{encoding, topics};

/// A line longer than this, or a text that must be read whole and is longer, is refused.
const TEXT: u64 = 256 << 20;

/// What `text.RegexParser` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegexParserKwargs {
    /// The topic of the items.
    topic: Topic,
    /// A regular expression; each match is an item and its named groups, `(?<name>…)`, are the fields. A
    /// group that took no part is null. `^` and `$` stand for the ends of a line. An expression that
    /// cannot match a line break is looked for line by line, in texts of any size.
    pattern: String,
    /// The types of fields; an empty one is null then.
    #[serde(default)]
    types: BTreeMap<String, FieldType>,
    /// Whether numbers are written `1.234,56`.
    #[serde(default)]
    decimal_comma: bool,
    /// The encoding of the text. A byte order mark decides over it.
    #[serde(default = "utf8")]
    encoding: String,
    /// Fields to take from the metadata of the payload, such as `url`: a list of names, or a map from the
    /// names of fields to them.
    meta: Option<Meta>,
}

fn utf8() -> String {
    "utf-8".to_owned()
}

/// Makes an item of each match.
pub(crate) struct RegexParser {
    topic: Topic,
    pattern: Regex,
    /// Whether a match never reaches over a line break.
    by_line: bool,
    /// The groups that have names, and what they hold.
    groups: Vec<(usize, Option<FieldType>)>,
    decimal_comma: bool,
    shape: Arc<Shape>,
    encoding: &'static Encoding,
    meta: Meta,
}

impl Definition for RegexParser {
    const CLASS: &'static str = "text.RegexParser";
    const SUMMARY: &'static str = "Makes an item of each match of a regular expression with named groups.";
    const EXAMPLE: &'static str = "\
class: text.RegexParser
kwargs:
  topic: web.request
  pattern: '^(?<host>\\S+) .*?\"(?<method>[A-Z]+) (?<path>\\S+).*?\" (?<status>\\d{3})'
  types: {status: integer}
";

    type Kwargs = RegexParserKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let topic = errors.collect(topics::fixed(kwargs.topic));
        let encoding = errors
            .collect(encoding::by_name(&kwargs.encoding).map_err(|error| BuildErrors::at("encoding", error)));
        let meta = kwargs.meta.unwrap_or_default();
        let pattern = RegexBuilder::new(&kwargs.pattern).multi_line(true).crlf(true).build();
        let pattern =
            errors.collect(pattern.map_err(|error| BuildErrors::at("pattern", regex_error(&error))));
        let Some(pattern) = pattern else { return Err(errors) };
        let names: Vec<&str> = pattern.capture_names().flatten().collect();
        if names.is_empty() {
            errors.push("pattern", "has no named group, such as `(?<price>[0-9.]+)`, and so no field");
        }
        for name in kwargs.types.keys().filter(|name| !names.contains(&name.as_str())) {
            errors.push(format!("types.{name}"), format!("`pattern` has no group `{name}`"));
        }
        errors.collect(meta.refuse_names(&names).map_err(|error| BuildErrors::at("meta", error)));
        let shape = Shape::new(names.iter().copied().chain(meta.names()));
        let groups = pattern.capture_names().enumerate();
        let groups = groups.filter_map(|(at, name)| Some((at, kwargs.types.get(name?).copied()))).collect();
        let (Some(topic), Some(encoding)) = (topic, encoding) else { return Err(errors) };
        errors.into_result()?;
        let by_line = stays_in_line(&kwargs.pattern);
        let decimal_comma = kwargs.decimal_comma;
        Ok(parser(Self { topic, pattern, by_line, groups, decimal_comma, shape, encoding, meta }))
    }
}

/// Whether no match of a pattern can hold a line break or depend on where the text begins or ends.
fn stays_in_line(pattern: &str) -> bool {
    let parsed = regex_syntax::ParserBuilder::new().multi_line(true).crlf(true).build().parse(pattern);
    parsed.is_ok_and(|hir| in_line(&hir))
}

fn in_line(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty => true,
        HirKind::Literal(literal) => !literal.0.contains(&b'\n') && !literal.0.contains(&b'\r'),
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().all(|range| ['\n', '\r'].iter().all(|c| !(range.start()..=range.end()).contains(c)))
        }
        HirKind::Class(Class::Bytes(class)) => class
            .iter()
            .all(|range| [b'\n', b'\r'].iter().all(|c| !(range.start()..=range.end()).contains(c))),
        HirKind::Look(look) => !matches!(look, Look::Start | Look::End),
        HirKind::Repetition(repetition) => in_line(&repetition.sub),
        HirKind::Capture(capture) => in_line(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(in_line),
    }
}

impl Parser for RegexParser {
    fn parse(&self, raw: RawItem, ctx: &StageContext, out: &mut ParserOutput) -> Result<(), StageError> {
        let (payload, rows) = Rows::new(raw, ctx, out);
        let bytes = rows.open(payload)?;
        let unreadable =
            |rows: &Rows<'_>, error: std::io::Error| rows.failed("cannot be read").caused_by(error);
        let text = encoding::utf8_reader(bytes, self.encoding).map_err(|error| unreadable(&rows, error))?;
        let mut matches = Matches { parser: self, meta: self.meta.values(&rows.metadata), rows, number: 0 };
        let mut text = BufReader::with_capacity(64 * 1024, text);
        if !self.by_line {
            let mut bytes = Vec::new();
            text.take(TEXT + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&matches.rows, error))?;
            if bytes.len() as u64 > TEXT {
                let message = format!("is longer than {} MiB", TEXT >> 20);
                let hint = "a pattern that cannot match a line break is looked for line by line, in texts of any size";
                return Err(matches.rows.failed(message).hint(hint));
            }
            let Ok(text) = std::str::from_utf8(&bytes) else { return Err(matches.rows.failed(NOT_UTF8)) };
            matches.find(text, None);
            return Ok(());
        }
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            let read = (&mut text).take(TEXT).read_until(b'\n', &mut line);
            match read.map_err(|error| unreadable(&matches.rows, error))? {
                0 => break,
                length if length as u64 == TEXT => {
                    return Err(matches
                        .rows
                        .failed(format!("line {number} is longer than {} MiB", TEXT >> 20)));
                }
                _ => {}
            }
            let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
            let going_on = match std::str::from_utf8(&line[..end]) {
                Ok(text) => matches.find(text, Some(number)),
                Err(_) => matches.rows.error(format!("line {number}"), NOT_UTF8, line.clone()),
            };
            if !going_on {
                break;
            }
        }
        Ok(())
    }
}

const NOT_UTF8: &str = "is not utf-8; set the `encoding` of the text, such as windows-1252";

struct Matches<'a> {
    parser: &'a RegexParser,
    meta: Vec<Value>,
    rows: Rows<'a>,
    number: u64,
}

impl Matches<'_> {
    /// Emits the matches in a text. Returns false when nobody reads any more.
    fn find(&mut self, text: &str, line: Option<u64>) -> bool {
        for captures in self.parser.pattern.captures_iter(text) {
            self.number += 1;
            let going_on = match self.record(&captures) {
                Ok(content) => {
                    let discovered_at = self.rows.ctx.now();
                    self.rows.emit(ParsedItem { topic: self.parser.topic.clone(), content, discovered_at })
                }
                Err(message) => {
                    let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
                    let place = format!("match {}{line}", self.number);
                    self.rows.error(place, message, captures.get(0).map_or("", |all| all.as_str()))
                }
            };
            if !going_on {
                return false;
            }
        }
        true
    }

    fn record(&self, captures: &Captures<'_>) -> Result<Record, String> {
        let RegexParser { groups, shape, decimal_comma, .. } = self.parser;
        let mut values = Vec::with_capacity(shape.names().len());
        for (group, wanted) in groups {
            let value = match (captures.get(*group), wanted) {
                (None, _) => Ok(Value::Null),
                (Some(text), None) => Ok(Value::from(text.as_str())),
                (Some(text), Some(_)) if trim(text.as_str()).is_empty() => Ok(Value::Null),
                (Some(text), Some(wanted)) => convert(text.as_str(), *wanted, *decimal_comma),
            };
            values.push(value.map_err(|error| format!("{}: {error}", shape.names()[values.len()]))?);
        }
        values.extend_from_slice(&self.meta);
        Ok(Record::from_shape(shape.clone(), values))
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::{Item, OnError, Payload};
    use serde_json::json;

    use super::*;
    use crate::fetch::testing::{Done, build_error, options, run_on};

    async fn parse(text: &[u8], mut kwargs: serde_json::Value, on_error: OnError) -> Done {
        kwargs["topic"] = "t".into();
        let metadata: Record = [("url", "http://x/")].into_iter().collect();
        let payload = Payload::Reader(Box::new(std::io::Cursor::new(text.to_vec())));
        let raw =
            RawItem { source: "a.log".into(), payload, fetched_at: chrono::DateTime::UNIX_EPOCH, metadata };
        run_on(vec![Item::from(raw)], "text.RegexParser", kwargs, on_error, options()).await
    }

    #[tokio::test]
    async fn matches_are_items() {
        let cases: [(&[u8], serde_json::Value, &str); 9] = [
            (
                b"a=1\nb=2\r\nx\nc=3",
                json!({"pattern": "^(?<k>[a-z])=(?P<v>\\d)$"}),
                r#"{"k":"a","v":"1"} {"k":"b","v":"2"} {"k":"c","v":"3"}"#,
            ),
            (b"a=1 b=2", json!({"pattern": "(?<k>[a-z])=(\\d)"}), r#"{"k":"a"} {"k":"b"}"#),
            (
                b"a=1\nb=",
                json!({"pattern": "(?<k>[a-z])=(?<v>\\d)?"}),
                r#"{"k":"a","v":"1"} {"k":"b","v":null}"#,
            ),
            (
                b"a=1,5",
                json!({"pattern": "=(?<v>.*)", "types": {"v": "number"}, "decimal_comma": true}),
                r#"{"v":1.5}"#,
            ),
            (b"v= ", json!({"pattern": "=(?<v>.*)", "types": {"v": "number"}}), r#"{"v":null}"#),
            (
                b"<a>\n1\n</a><a>2</a>",
                json!({"pattern": "(?s)<a>(?<v>.*?)</a>"}),
                "{\"v\":\"\\n1\\n\"} {\"v\":\"2\"}",
            ),
            (b"x\ny", json!({"pattern": "\\A(?<v>.)"}), r#"{"v":"x"}"#),
            (
                b"caf\xe9",
                json!({"pattern": "(?<v>\\w+)", "encoding": "latin-1", "meta": ["url"]}),
                "{\"v\":\"caf\u{e9}\",\"url\":\"http://x/\"}",
            ),
            (b"", json!({"pattern": "(?<v>x)"}), ""),
        ];
        for (text, kwargs, expected) in cases {
            let done = parse(text, kwargs.clone(), OnError::Fail).await;
            done.succeeded();
            assert_eq!(done.contents().join(" "), expected, "{kwargs}");
        }
    }

    #[tokio::test]
    async fn wrong_matches_name_themselves() {
        let kwargs = json!({"pattern": "=(?<v>.*)", "types": {"v": "integer"}});
        let done = parse(b"a=1\nb=x\nc=3", kwargs.clone(), OnError::Fail).await;
        assert!(
            done.error().contains("a.log: match 2 (line 2): v: `x` is not an integer"),
            "{}",
            done.error()
        );
        let done = parse(b"a=1\nb=\xff\nc=3", kwargs, OnError::Skip).await;
        done.succeeded();
        assert_eq!(done.contents(), [r#"{"v":1}"#, r#"{"v":3}"#]);
    }

    #[test]
    fn patterns_that_stay_in_their_line_are_known() {
        let cases = [
            ("a.*b", true),
            ("^a$", true),
            ("[a-z]+ ", true),
            ("\\bx\\b", true),
            ("a\\s+b", false),
            ("a\\n", false),
            ("[^a]", false),
            ("(?s).", false),
            ("\\Ax", false),
            ("x\\z", false),
            ("(a|\\W)", false),
        ];
        for (pattern, expected) in cases {
            assert_eq!(stays_in_line(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn mistakes_are_found_when_the_file_is_read() {
        let cases = [
            (
                json!({"topic": "t", "pattern": "(?<a>x"}),
                "pattern: is not a regular expression: unclosed group",
            ),
            (json!({"topic": "t", "pattern": "(x)"}), "pattern: has no named group"),
            (
                json!({"topic": "t", "pattern": "(?<a>x)", "types": {"b": "number"}}),
                "types.b: `pattern` has no group `b`",
            ),
            (json!({"topic": "t", "pattern": "(?<a>x)", "meta": ["a"]}), "meta: `meta` names the field `a`"),
        ];
        for (kwargs, expected) in cases {
            let error = build_error("text.RegexParser", kwargs);
            assert!(error.contains(expected), "{error}");
        }
    }
}
