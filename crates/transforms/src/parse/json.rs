//! `json.JsonParser`: JSON documents and JSON lines.

use std::io::Read;
use std::ops::ControlFlow;

use pipeline_core::{
    BuildContext, BuildErrors, Definition, Parser, ParserOutput, RawItem, StageContext, StageError, Topic,
    Transform, Value, parser,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::rows::Rows;
use crate::encoding;
use crate::jq::{Jq, JqVars};
use crate::json::{JsonReader, Streamed};
use crate::topics::TopicChoice;

/// What `json.JsonParser` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonParserKwargs {
    /// The topic of the items. `"*"`: each result is `{topic, content}` and chooses its own, so that one
    /// answer can feed several tables.
    topic: Topic,
    /// A jq program, run on each JSON value of the payload; each of its results is an item and must be an
    /// object. It sees `$meta` (the metadata of the payload: `url`, `status`, kept values) and `$run`.
    /// With a program that begins with a path and `[]`, such as `.data.items[] | …`, the elements are
    /// read one by one, so that a file of any size needs no more memory than one of them.
    #[serde(default = "identity")]
    records: String,
}

fn identity() -> String {
    ".".to_owned()
}

/// Makes an item of each result of a jq program.
pub(crate) struct JsonParser {
    topic: TopicChoice,
    records: Jq,
    /// The path whose elements are read one by one, and the program for each.
    streamed: Option<(Vec<String>, Jq)>,
}

impl Definition for JsonParser {
    const CLASS: &'static str = "json.JsonParser";
    const SUMMARY: &'static str = "Makes items of JSON, of one document or of JSON lines, with a jq program.";
    const EXAMPLE: &'static str = "\
class: json.JsonParser
kwargs:
  topic: shop.book
  records: '.data.books[] | {title, price: .price.amount, page: $meta.url}'
";

    type Kwargs = JsonParserKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let topic = errors.collect(TopicChoice::new(kwargs.topic));
        let records =
            errors.collect(Jq::compile(&kwargs.records).map_err(|error| BuildErrors::at("records", error)));
        let (Some(topic), Some(records)) = (topic, records) else { return Err(errors) };
        Ok(parser(Self { topic, streamed: records.split_elements(), records }))
    }
}

impl Parser for JsonParser {
    fn parse(&self, raw: RawItem, ctx: &StageContext, out: &mut ParserOutput) -> Result<(), StageError> {
        let charset = raw.metadata.get_str("content_type").and_then(encoding::of_content_type);
        let vars = JqVars::new(ctx).with_meta(&raw.metadata);
        let (payload, rows) = Rows::new(raw, ctx, out);
        let bytes = rows.open(payload)?;
        let text = encoding::utf8_reader(bytes, charset.unwrap_or(encoding_rs::UTF_8))
            .map_err(|error| rows.failed("cannot be read").caused_by(error))?;
        Run { parser: self, vars, rows, record: 0, closed: false }.read(JsonReader::new(text))
    }
}

/// One payload being parsed.
struct Run<'a> {
    parser: &'a JsonParser,
    vars: JqVars,
    rows: Rows<'a>,
    /// The number of the value or element, from 1.
    record: u64,
    closed: bool,
}

impl Run<'_> {
    fn read<R: Read>(mut self, mut reader: JsonReader<R>) -> Result<(), StageError> {
        loop {
            let first = match reader.peek_token() {
                Ok(None) => return Ok(()),
                Ok(Some(first)) => first,
                Err(error) => return Err(self.rows.failed("cannot be read").caused_by(error)),
            };
            let (line, alone) = (reader.line(), first == b'{' && reader.at_line_start());
            let read = match &self.parser.streamed {
                Some((path, program)) => self.read_elements(&mut reader, path, program),
                None => match reader.next_value() {
                    Ok(Some(value)) => match self.record(&value, &self.parser.records, line) {
                        ControlFlow::Continue(()) => Ok(()),
                        ControlFlow::Break(()) => return Ok(()),
                    },
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                },
            };
            if self.closed {
                return Ok(());
            }
            let Err(error) = read else { continue };
            // A broken line of JSON lines is one broken row; anything else breaks what follows too.
            if !alone || error.is_io() || error.line != line {
                return Err(self.rows.failed("is not JSON").caused_by(error));
            }
            let place = format!("line {line}");
            match reader.skip_line() {
                Ok(text) => {
                    if !self.rows.error(place, format!("is not JSON: {error}"), text) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(self.rows.failed("cannot be read").caused_by(error)),
            }
        }
    }

    fn read_elements<R: Read>(
        &mut self,
        reader: &mut JsonReader<R>,
        path: &[String],
        program: &Jq,
    ) -> Result<(), crate::json::JsonError> {
        let line = reader.line();
        let streamed =
            reader.elements(path, &mut |value, reader| self.record(&value, program, reader.line()))?;
        if let Streamed::NoElements(why) = streamed {
            self.record += 1;
            self.fail(&format!("`records`: {why}"), line, Vec::new());
        }
        Ok(())
    }

    /// Runs the program on a value.
    fn record(&mut self, value: &Value, program: &Jq, line: u64) -> ControlFlow<()> {
        self.record += 1;
        let (topic, vars) = (&self.parser.topic, self.vars.clone());
        let ran = program.run_each(value, &vars, |result| {
            let going_on = match topic.item(result, self.rows.ctx.now()) {
                Ok(item) => self.rows.emit(item),
                Err((message, result)) => {
                    let text = result.to_json();
                    self.fail(&format!("`records`: {message}"), line, text.into_bytes())
                }
            };
            if going_on { ControlFlow::Continue(()) } else { self.stop() }
        });
        if let Err(message) = ran
            && !self.fail(&format!("`records`: {message}"), line, value.to_json().into_bytes())
        {
            return self.stop();
        }
        if self.closed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn stop(&mut self) -> ControlFlow<()> {
        self.closed = true;
        ControlFlow::Break(())
    }

    fn fail(&mut self, message: &str, line: u64, text: Vec<u8>) -> bool {
        let place = format!("record {} (line {line})", self.record);
        let going_on = self.rows.error(place, message, text);
        self.closed |= !going_on;
        going_on
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::{Item, OnError, Payload, Record};
    use serde_json::json;

    use super::*;
    use crate::fetch::testing::{build_error, options, run_on};

    fn raw(payload: impl Into<Payload>, metadata: serde_json::Value) -> Vec<Item> {
        let metadata: Record = serde_json::from_value(metadata).unwrap();
        let fetched_at = chrono::DateTime::UNIX_EPOCH;
        vec![RawItem { source: "data.json".into(), payload: payload.into(), fetched_at, metadata }.into()]
    }

    async fn parse(text: &str, records: &str) -> Result<String, String> {
        let payload = Payload::from(text.to_owned());
        let kwargs = json!({"topic": "t", "records": records});
        let items = raw(payload, json!({"url": "http://x/"}));
        let done = run_on(items, "json.JsonParser", kwargs, OnError::Fail, options()).await;
        match &done.report.error {
            Some(error) => Err(error.clone()),
            None => Ok(done.contents().join(" ")),
        }
    }

    #[tokio::test]
    async fn results_are_items() {
        let cases = [
            (r#"{"a":1}"#, ".", r#"{"a":1}"#),
            (r#"[{"a":1},{"a":2}]"#, ".[]", r#"{"a":1} {"a":2}"#),
            ("{\"a\":1}\n{\"a\":2}\n", ".", r#"{"a":1} {"a":2}"#),
            ("{\"a\":1}{\"a\":2}", "select(.a > 1)", r#"{"a":2}"#),
            (r#"{"d":{"r":[{"a":1},{"a":2}]},"n":2}"#, ".d.r[]", r#"{"a":1} {"a":2}"#),
            (r#"{"d":{"r":[{"a":1},{"a":2}]},"n":2}"#, ".d.r[] | {b: .a}", r#"{"b":1} {"b":2}"#),
            (r#"{"d":[{"e":{"a":1}}]}"#, ".d[].e", r#"{"a":1}"#),
            (r#"{"d":[[{"a":1}]]}"#, ".d[][0]", r#"{"a":1}"#),
            (r#"{"d":[{"e":{"a":1}}],"n":7}"#, ".n as $n | .d[] | {n: $n}", r#"{"n":7}"#),
            (r#"{"x":{"a":1},"y":{"a":2}}"#, ".[]", r#"{"a":1} {"a":2}"#),
            (
                r#"{"a":1}"#,
                "{a, page: $meta.url, p: $run.pipeline}",
                r#"{"a":1,"page":"http://x/","p":"test"}"#,
            ),
            ("[{\"a\":123456789012345678901234567890}]", ".[]", r#"{"a":123456789012345678901234567890}"#),
            (r#"{"a":1,"a":2}"#, ".", r#"{"a":2}"#),
            ("", ".", ""),
            ("[]", ".[]", ""),
            ("\u{feff}{\"a\":1}", ".", r#"{"a":1}"#),
        ];
        for (text, records, expected) in cases {
            assert_eq!(parse(text, records).await.as_deref(), Ok(expected), "{records} on {text}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_names_the_place() {
        let cases = [
            (
                "{\"a\":1}\n{\"a\":x}\n",
                ".",
                "data.json: line 2: is not JSON: line 2, column 6: expected a value, found `x`",
            ),
            (
                "{\"a\":\n1,}",
                ".",
                "data.json: is not JSON: line 2, column 3: expected a name in quotes, found `}`",
            ),
            (
                "[{\"a\":1},",
                ".[]",
                "data.json: is not JSON: line 1, column 10: expected a value, found the end",
            ),
            ("<html>", ".", "data.json: is not JSON: line 1, column 1: expected a value, found `<`"),
            (
                "[1]",
                ".",
                "record 1 (line 1): `records`: the result is an array and not an object; end the program",
            ),
            ("[1]", ".[]", "record 1 (line 1): `records`: the result is an integer and not an object"),
            ("{\"a\":1}\n{\"b\":1}", ".b + {}", "record 2 (line 2): `records`: cannot calculate 1 + {}"),
            ("{\"a\":1}", ".b[]", "data.json: record 1 (line 1): `records`: cannot iterate over null"),
            ("{\"a\":1}", ".a.b[]", "`records`: cannot index 1 with \"b\""),
        ];
        for (text, records, expected) in cases {
            let error = parse(text, records).await.unwrap_err();
            assert!(error.contains(expected), "{records} on {text}: {error}");
        }
    }

    #[tokio::test]
    async fn a_broken_row_leaves_the_others() {
        let text = "{\"a\":1}\n{\"a\":}\n{\"a\":3}\n[]\n{\"a\":5}";
        let folder = tempfile::tempdir().unwrap();
        let options = crate::fetch::testing::options_in(folder.path());
        let kwargs = json!({"topic": "t"});
        let items = raw(Payload::from(text.to_owned()), json!({"url": "http://x/"}));
        let done = run_on(items, "json.JsonParser", kwargs, OnError::DeadLetter, options).await;
        done.succeeded();
        assert_eq!(done.contents().join(" "), r#"{"a":1} {"a":3} {"a":5}"#);
        assert_eq!(done.report.stages[1].errors, 2);
        let letters = std::fs::read_to_string(folder.path().join("dead_letters/test.jsonl")).unwrap();
        assert!(letters.contains(r#"{\"a\":}"#) && letters.contains("line 2: is not JSON"), "{letters}");
    }

    #[tokio::test]
    async fn one_answer_feeds_several_topics() {
        let text = r#"{"groups":[{"id":1}],"apps":[{"id":2}]}"#;
        let records = r#"(.groups[] | {topic: "g", content: .}), (.apps[] | {topic: "a", content: .})"#;
        let kwargs = json!({"topic": "*", "records": records});
        let done = run_on(raw(text, json!({})), "json.JsonParser", kwargs, OnError::Fail, options()).await;
        done.succeeded();
        let topics: Vec<_> =
            done.parsed().map(|item| (item.topic.as_str(), item.content.to_json())).collect();
        assert_eq!(topics, [("g", r#"{"id":1}"#.to_owned()), ("a", r#"{"id":2}"#.to_owned())]);
    }

    /// A document without end: it can only be read if its elements are handed on as they come.
    struct Endless(u64, Vec<u8>);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_empty() {
                let start = if self.0 == 0 { "{\"meta\":[{}],\"rows\":[" } else { "," };
                self.1 = format!("{start}{{\"n\":{}}}", self.0).into_bytes();
                self.0 += 1;
            }
            let length = buffer.len().min(self.1.len());
            buffer[..length].copy_from_slice(&self.1[..length]);
            self.1.drain(..length);
            Ok(length)
        }
    }

    #[tokio::test]
    async fn elements_of_a_stream_come_at_once() {
        use crate::fetch::testing::{Feed, build, run_chain};
        let chain = pipeline_core::Chain::new()
            .stage(
                "test.Feed",
                Box::new(Feed(raw(Payload::Reader(Box::new(Endless(0, Vec::new()))), json!({})))),
            )
            .stage(
                "json.JsonParser",
                build("json.JsonParser", json!({"topic": "t", "records": ".rows[] | {m: .n}"})),
            )
            .stage("limit.Limit", build("limit.Limit", json!({"items": 3})));
        let done = run_chain(chain, pipeline_core::RunContext::new(options())).await;
        done.succeeded();
        assert_eq!(done.contents(), [r#"{"m":0}"#, r#"{"m":1}"#, r#"{"m":2}"#]);
    }

    #[tokio::test]
    async fn encodings_are_understood() {
        let utf16: Vec<u8> = "\u{feff}{\"a\":\"\u{e9}\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let latin = b"{\"a\":\"\xe9\"}".to_vec();
        for (bytes, content_type) in
            [(utf16, "application/json"), (latin, "application/json; charset=iso-8859-1")]
        {
            let items = raw(bytes, json!({"content_type": content_type}));
            let done =
                run_on(items, "json.JsonParser", json!({"topic": "t"}), OnError::Fail, options()).await;
            done.succeeded();
            assert_eq!(done.contents(), ["{\"a\":\"\u{e9}\"}"]);
        }
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let error = build_error("json.JsonParser", json!({"topic": "", "records": ".a |"}));
        assert!(
            error.contains("topic: a topic must not be empty; records: line 1, column 5: expected"),
            "{error}"
        );
        assert!(build_error("json.JsonParser", json!({"topic": "t", "x": 1})).contains("unknown key `x`"));
        assert!(build_error("json.JsonParser", json!({})).contains("topic"));
    }
}
