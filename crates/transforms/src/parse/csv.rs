//! `csv.CsvParser`: delimited text, read as it comes.

use std::cell::Cell as Shared;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};
use encoding_rs::Encoding;
use pipeline_core::{
    BuildContext, BuildErrors, Definition, ParsedItem, Parser, ParserOutput, RawItem, StageContext,
    StageError, Topic, Transform, parser,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::meta::Meta;
use super::rows::Rows;
use super::table::{Cell, Columns, Layout, Table};
use crate::convert::FieldType;
use crate::{encoding, topics};

/// A row longer than this is a quote that was never closed.
const ROW: u64 = 64 << 20;

/// What `csv.CsvParser` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsvParserKwargs {
    /// The topic of the items.
    topic: Topic,
    /// The character between cells; `tab` is understood.
    #[serde(default = "comma")]
    delimiter: String,
    /// The encoding of the file, as `utf-8`, `windows-1252` or `utf-16`. A byte order mark decides over it
    /// and is removed.
    #[serde(default = "utf8")]
    encoding: String,
    /// How many lines to leave out before the header.
    #[serde(default)]
    skip_rows: u64,
    /// Whether the first row holds the names of the columns. Without it, and without a list in `columns`,
    /// they are called `column_1`, `column_2` and so on.
    #[serde(default = "yes")]
    header: bool,
    /// New names: a map renames columns, a list names them by position instead of the header row. A
    /// column whose name is empty or null is dropped.
    columns: Option<Columns>,
    /// The types of columns, by their new names. An empty cell of such a column is null.
    #[serde(default)]
    types: BTreeMap<String, FieldType>,
    /// Whether spaces and no-break spaces around cells are removed.
    #[serde(default = "yes")]
    trim: bool,
    /// Whether numbers are written `1.234,56`.
    #[serde(default)]
    decimal_comma: bool,
    /// Fields to take from the metadata of the payload, such as `url`: a list of names, or a map from the
    /// names of fields to them.
    meta: Option<Meta>,
}

fn comma() -> String {
    ",".to_owned()
}

fn utf8() -> String {
    "utf-8".to_owned()
}

fn yes() -> bool {
    true
}

/// Makes an item of each row.
pub(crate) struct CsvParser {
    topic: Topic,
    delimiter: u8,
    encoding: &'static Encoding,
    skip_rows: u64,
    table: Table,
}

impl Definition for CsvParser {
    const CLASS: &'static str = "csv.CsvParser";
    const SUMMARY: &'static str = "Makes an item of each row of a CSV file, of whatever size.";
    const EXAMPLE: &'static str = "\
class: csv.CsvParser
kwargs:
  topic: fi.position
  delimiter: ';'
  columns: {Innehavare: holder, Position i procent: percent}
  types: {percent: number}
  decimal_comma: true
";

    type Kwargs = CsvParserKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let topic = errors.collect(topics::fixed(kwargs.topic));
        let delimiter =
            errors.collect(delimiter(&kwargs.delimiter).map_err(|error| BuildErrors::at("delimiter", error)));
        let encoding = errors
            .collect(encoding::by_name(&kwargs.encoding).map_err(|error| BuildErrors::at("encoding", error)));
        let flags = (kwargs.trim, kwargs.decimal_comma, kwargs.header);
        let table = errors.collect(Table::new(kwargs.columns, kwargs.types, flags, kwargs.meta));
        let (Some(topic), Some(delimiter), Some(encoding), Some(table)) = (topic, delimiter, encoding, table)
        else {
            return Err(errors);
        };
        Ok(parser(Self { topic, delimiter, encoding, skip_rows: kwargs.skip_rows, table }))
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [b'\n' | b'\r' | b'"'] => Err(format!("{text:?} cannot stand between cells")),
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err(format!("`{text}` is not one ASCII character (or `tab`)")),
    }
}

impl Parser for CsvParser {
    fn parse(&self, raw: RawItem, ctx: &StageContext, out: &mut ParserOutput) -> Result<(), StageError> {
        let (payload, mut rows) = Rows::new(raw, ctx, out);
        let bytes = rows.open(payload)?;
        let unreadable = |rows: &Rows<'_>, error: io::Error| rows.failed("cannot be read").caused_by(error);
        let text = encoding::utf8_reader(bytes, self.encoding).map_err(|error| unreadable(&rows, error))?;
        let mut text = BufReader::with_capacity(64 * 1024, text);
        for _ in 0..self.skip_rows {
            text.skip_until(b'\n').map_err(|error| unreadable(&rows, error))?;
        }
        let since = Rc::new(Shared::new(0));
        let mut reader = ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(64 * 1024)
            .from_reader(Bounded { reader: text, since: since.clone() });
        let mut row = ByteRecord::new();
        let mut layout: Option<Layout<'_>> = None;
        let mut number = 0;
        loop {
            since.set(0);
            match reader.read_byte_record(&mut row) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => {
                    let line = self.skip_rows + reader.position().line();
                    return Err(rows.failed(format!("cannot be read after line {line}")).caused_by(error));
                }
            }
            let line = self.skip_rows + row.position().map_or(0, csv::Position::line);
            let layout = match &layout {
                Some(layout) => layout,
                None => {
                    let first = texts(&row).map_err(|error| rows.failed_at(format!("line {line}"), error))?;
                    let layout = &*layout.insert(
                        self.table.layout(&first, &rows.metadata).map_err(|error| rows.failed(error))?,
                    );
                    if self.table.header {
                        continue;
                    }
                    layout
                }
            };
            number += 1;
            let going_on = match self.record(&row, layout) {
                Ok(content) => {
                    let discovered_at = rows.ctx.now();
                    rows.emit(ParsedItem { topic: self.topic.clone(), content, discovered_at })
                }
                Err(message) => rows.error(format!("row {number} (line {line})"), message, self.text(&row)),
            };
            if !going_on {
                return Ok(());
            }
        }
    }
}

impl CsvParser {
    fn record(&self, row: &ByteRecord, layout: &Layout<'_>) -> Result<pipeline_core::Record, String> {
        if row.len() != layout.width() {
            return Err(format!(
                "has {} cells where {} has {}{}",
                row.len(),
                if self.table.header { "the header" } else { "the first row" },
                layout.width(),
                if row.len() == 1 || layout.width() == 1 { "; is the `delimiter` right?" } else { "" }
            ));
        }
        layout.record(row.iter().map(|cell| text(cell, self.encoding).map(Cell::Text)))
    }

    /// The row as it stood in the file, but for needless quotes.
    fn text(&self, row: &ByteRecord) -> Vec<u8> {
        let mut writer =
            WriterBuilder::new().delimiter(self.delimiter).flexible(true).from_writer(Vec::new());
        // Writing to memory does not fail.
        writer.write_byte_record(row).ok();
        writer.into_inner().unwrap_or_default()
    }
}

fn text<'a>(cell: &'a [u8], encoding: &Encoding) -> Result<&'a str, String> {
    std::str::from_utf8(cell).map_err(|_| {
        let shown = String::from_utf8_lossy(cell);
        let shown = crate::convert::excerpt(&shown);
        if encoding == encoding_rs::UTF_8 {
            format!("`{shown}` is not utf-8; set the `encoding` of the file, such as windows-1252")
        } else {
            format!("`{shown}` is not text")
        }
    })
}

fn texts(row: &ByteRecord) -> Result<Vec<String>, String> {
    row.iter().map(|cell| text(cell, encoding_rs::UTF_8).map(str::to_owned)).collect()
}

/// Refuses to go on where a single row does not end.
struct Bounded<R> {
    reader: R,
    since: Rc<Shared<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let since = self.since.get() + read as u64;
        self.since.set(since);
        if since > ROW {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a row is longer than {} MiB: a quote is not closed", ROW >> 20),
            ));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::{Item, OnError, Payload, Record};
    use serde_json::json;

    use super::*;
    use crate::fetch::testing::{Done, build_error, options, run_on};

    async fn parse(bytes: &[u8], mut kwargs: serde_json::Value, on_error: OnError) -> Done {
        kwargs["topic"] = "t".into();
        let metadata: Record = [("url", "http://x/")].into_iter().collect();
        let payload = Payload::from(bytes.to_vec());
        let raw =
            RawItem { source: "a.csv".into(), payload, fetched_at: chrono::DateTime::UNIX_EPOCH, metadata };
        run_on(vec![Item::from(raw)], "csv.CsvParser", kwargs, on_error, options()).await
    }

    #[tokio::test]
    async fn rows_are_items() {
        let cases: [(&[u8], serde_json::Value, &str); 16] = [
            (b"a,b\n1,2\n3,4\n", json!({}), r#"{"a":"1","b":"2"} {"a":"3","b":"4"}"#),
            (b"\xef\xbb\xbfa;b\r\n1;2", json!({"delimiter": ";"}), r#"{"a":"1","b":"2"}"#),
            (b"a\tb\n1\t2", json!({"delimiter": "tab"}), r#"{"a":"1","b":"2"}"#),
            (b"a\tb\n1\t2", json!({"delimiter": "\t"}), r#"{"a":"1","b":"2"}"#),
            (b"a,b\n\"x,\n\"\"y\"\"\",2", json!({}), r#"{"a":"x,\n\"y\"","b":"2"}"#),
            (b"a,b\n 1 ,\xc2\xa02\n", json!({}), r#"{"a":"1","b":"2"}"#),
            (b"a,b\n 1 ,2\n", json!({"trim": false}), r#"{"a":" 1 ","b":"2"}"#),
            (b"junk \"\nmore,junk,\na,b\n1,2", json!({"skip_rows": 2}), r#"{"a":"1","b":"2"}"#),
            (
                b"1,2\n3,4",
                json!({"header": false}),
                r#"{"column_1":"1","column_2":"2"} {"column_1":"3","column_2":"4"}"#,
            ),
            (b"1,2,3", json!({"header": false, "columns": ["x", null, "z"]}), r#"{"x":"1","z":"3"}"#),
            (b"a,b\n1,2", json!({"columns": ["x"], "types": {"x": "integer"}}), r#"{"x":1}"#),
            (
                b"a,b\n\"1.234,5\",",
                json!({"types": {"a": "number", "b": "number"}, "decimal_comma": true}),
                r#"{"a":1234.5,"b":null}"#,
            ),
            (b"n\ncaf\xe9", json!({"encoding": "windows-1252"}), "{\"n\":\"caf\u{e9}\"}"),
            (b"a\n1", json!({"meta": {"page": "url", "x": "y"}}), r#"{"a":"1","page":"http://x/","x":null}"#),
            (b"", json!({}), ""),
            (b"a,b\n", json!({}), ""),
        ];
        for (bytes, kwargs, expected) in cases {
            let done = parse(bytes, kwargs.clone(), OnError::Fail).await;
            done.succeeded();
            assert_eq!(done.contents().join(" "), expected, "{kwargs}");
        }
        let utf16: Vec<u8> = "\u{feff}a;b\n1;\u{e9}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let done = parse(&utf16, json!({"delimiter": ";"}), OnError::Fail).await;
        assert_eq!(done.contents(), ["{\"a\":\"1\",\"b\":\"\u{e9}\"}"]);
    }

    #[tokio::test]
    async fn wrong_rows_name_themselves() {
        let cases: [(&[u8], serde_json::Value, &str); 8] = [
            (
                b"a,b\n1,2\n3\n",
                json!({}),
                "a.csv: row 2 (line 3): has 1 cells where the header has 2; is the `delimiter` right?",
            ),
            (b"a,b\n1,2,3\n", json!({}), "a.csv: row 1 (line 2): has 3 cells where the header has 2"),
            (
                b"x\na,b\n1,\"2\n\"\nz,y",
                json!({"skip_rows": 1, "types": {"b": "integer"}}),
                "a.csv: row 2 (line 5): b: `y` is not an integer",
            ),
            (b"a\ncaf\xe9", json!({}), "row 1 (line 2): a: `caf\u{fffd}` is not utf-8; set the `encoding`"),
            (b"a,a\n1,2", json!({}), "a.csv: the columns 1 and 2 are both called `a`"),
            (
                b"a\n1",
                json!({"columns": {"b": "c"}}),
                "a.csv: `columns` renames `b`, and there is no such column",
            ),
            (b"url\n1", json!({"meta": ["url"]}), "a.csv: `meta` names the field `url`, which the rows have"),
            (
                b"\x82\xa0,\x81",
                json!({"encoding": "shift_jis"}),
                "a.csv: cannot be read after line 1: the bytes before byte",
            ),
        ];
        for (bytes, kwargs, expected) in cases {
            let done = parse(bytes, kwargs.clone(), OnError::Fail).await;
            assert!(done.error().contains(expected), "{kwargs}: {}", done.error());
        }
    }

    #[tokio::test]
    async fn a_wrong_row_leaves_the_others() {
        let done = parse(b"a,b\n1,2\n3\n4,5,6\n7,8\n", json!({}), OnError::Skip).await;
        done.succeeded();
        assert_eq!(done.contents(), [r#"{"a":"1","b":"2"}"#, r#"{"a":"7","b":"8"}"#]);
        assert_eq!(done.report.stages[1].errors, 2);
    }

    /// A file whose first quote is never closed.
    struct Unclosed(bool);

    impl Read for Unclosed {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                buffer.fill(b'x');
                return Ok(buffer.len());
            }
            buffer[..3].copy_from_slice(b"a\n\"");
            Ok(3)
        }
    }

    #[tokio::test]
    async fn a_quote_without_end_is_found() {
        let payload = Payload::Reader(Box::new(Unclosed(false)));
        let metadata = Record::new();
        let raw =
            RawItem { source: "a.csv".into(), payload, fetched_at: chrono::DateTime::UNIX_EPOCH, metadata };
        let kwargs = json!({"topic": "t"});
        let done = run_on(vec![Item::from(raw)], "csv.CsvParser", kwargs, OnError::Fail, options()).await;
        assert!(
            done.error().contains("a row is longer than 64 MiB: a quote is not closed"),
            "{}",
            done.error()
        );
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let kwargs = json!({"topic": "*", "delimiter": ";;", "encoding": "x", "columns": ["a", "a"]});
        let error = build_error("csv.CsvParser", kwargs);
        for expected in [
            "topic: only the results",
            "delimiter: `;;` is not one",
            "encoding: `x`",
            "columns: the name `a`",
        ] {
            assert!(error.contains(expected), "{error}");
        }
        let error = build_error("csv.CsvParser", json!({"topic": "t", "types": {"a": "money"}}));
        assert!(error.contains("types.a: unknown value `money`"), "{error}");
    }
}
