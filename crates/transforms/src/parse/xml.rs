//! `xml.XmlParser`: records from XML, read as it comes.

use std::io::BufReader;
use std::sync::Arc;

use pipeline_core::{
    BuildContext, BuildErrors, Definition, ParsedItem, Parser, ParserOutput, RawItem, Record, Shape,
    StageContext, StageError, Topic, Transform, Value, parser,
};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, escape};
use schemars::JsonSchema;
use serde::Deserialize;

use super::meta::Meta;
use super::rows::{NoRows, Rows};
use super::xml_fields::{Field, Fields, Path};
use crate::{encoding, topics};

/// A row that takes more memory, or is nested deeper than the other, is refused.
const ROW: usize = 64 << 20;
const DEPTH: usize = 512;

/// An element with more attributes is refused: each is compared with all before it.
const ATTRIBUTES: usize = 10_000;

/// What `xml.XmlParser` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct XmlParserKwargs {
    /// The topic of the items.
    topic: Topic,
    /// The path from the root to the elements that are items: `catalog/book`. `*` stands for any element.
    /// Names match whatever their prefix, unless they are written with one.
    rows: String,
    /// The fields of an item, by their paths within the row: `title`, `price/@currency`, `@id` (the row's
    /// attribute), `.` (the row's own text); or a map with `path`, `all`, `type`, `decimal_comma`,
    /// `default`, `required`. A field that is not found, is empty or cannot be converted is an error of the
    /// item, unless it has a `default` or `required: false`.
    fields: Fields,
    /// Fields to take from the metadata of the payload, such as `url`: a list of names, or a map from the
    /// names of fields to them.
    meta: Option<Meta>,
    /// What a document is in which `rows` matches nothing.
    #[serde(default)]
    no_rows: NoRows,
}

/// Makes an item of each row.
pub(crate) struct XmlParser {
    topic: Topic,
    rows: Path,
    fields: Vec<Field>,
    shape: Arc<Shape>,
    meta: Meta,
    no_rows: NoRows,
}

impl Definition for XmlParser {
    const CLASS: &'static str = "xml.XmlParser";
    const SUMMARY: &'static str =
        "Makes an item of each element at a path in an XML document, of whatever size.";
    const EXAMPLE: &'static str = "\
class: xml.XmlParser
kwargs:
  topic: catalog.book
  rows: catalog/book
  fields:
    id: '@id'
    title: title
    price: {path: price, type: number}
    currency: {path: price/@currency, default: EUR}
";

    type Kwargs = XmlParserKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let topic = errors.collect(topics::fixed(kwargs.topic));
        let rows = errors.collect(Path::rows(&kwargs.rows).map_err(|error| BuildErrors::at("rows", error)));
        let meta = kwargs.meta.unwrap_or_default();
        let names: Vec<String> = kwargs.fields.0.iter().map(|(name, _)| name.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if names.is_empty() {
            errors.push("fields", "a record needs at least one field");
        }
        errors.collect(meta.refuse_names(&names).map_err(|error| BuildErrors::at("meta", error)));
        let shape = Shape::new(names.iter().copied().chain(meta.names()));
        let fields = kwargs.fields.0.into_iter();
        let fields = fields.filter_map(|(name, field)| errors.collect(Field::new(name, field))).collect();
        errors.clone().into_result()?;
        let (Some(topic), Some(rows)) = (topic, rows) else { return Err(errors) };
        Ok(parser(Self { topic, rows, fields, shape, meta, no_rows: kwargs.no_rows }))
    }
}

/// An element of a row, kept while the row is read.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) attrs: Vec<(String, String)>,
    pub(super) children: Vec<Child>,
}

#[derive(Debug)]
pub(super) enum Child {
    Element(Node),
    Text(String),
}

impl Parser for XmlParser {
    fn parse(&self, raw: RawItem, ctx: &StageContext, out: &mut ParserOutput) -> Result<(), StageError> {
        let (payload, rows) = Rows::new(raw, ctx, out);
        let bytes = rows.open(payload)?;
        let charset = rows.metadata.get_str("content_type").and_then(encoding::of_content_type);
        let text = encoding::xml_reader(bytes, charset.unwrap_or(encoding_rs::UTF_8))
            .map_err(|error| rows.failed("cannot be read").caused_by(error))?;
        let mut reader = Reader::from_reader(BufReader::with_capacity(64 * 1024, text));
        reader.config_mut().expand_empty_elements = true;
        let meta = self.meta.values(&rows.metadata);
        let mut document = Document {
            parser: self,
            meta,
            rows,
            line: 1,
            open: Vec::new(),
            row: Vec::new(),
            size: 0,
            number: 0,
        };
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let event = match reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(error) => return Err(document.broken().caused_by(error)),
            };
            match document.take(event)? {
                Next::GoOn => {}
                Next::Closed => return Ok(()),
                Next::End => return document.end(),
            }
        }
    }
}

enum Next {
    GoOn,
    /// Nobody reads any more.
    Closed,
    End,
}

/// A document being read.
struct Document<'a> {
    parser: &'a XmlParser,
    meta: Vec<Value>,
    rows: Rows<'a>,
    line: u64,
    /// The names of the open elements outside of a row.
    open: Vec<String>,
    /// The open elements of the row, from its own.
    row: Vec<Node>,
    size: usize,
    number: u64,
}

impl Document<'_> {
    fn broken(&self) -> StageError {
        self.rows.failed(format!("is not XML: line {}", self.line))
    }

    fn take(&mut self, event: Event<'_>) -> Result<Next, StageError> {
        match &event {
            Event::Start(start) => self.start(start)?,
            Event::End(_) => return Ok(if self.end_element() { Next::GoOn } else { Next::Closed }),
            Event::Text(text) => self.text(&text.xml10_content())?,
            Event::CData(text) => self.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let text = self.resolve(reference)?;
                self.text(&text)?;
            }
            Event::Eof => return Ok(Next::End),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
        let text: &str = match &event {
            Event::Start(start) => start.as_ref(),
            Event::Text(text) | Event::Comment(text) | Event::DocType(text) => text.as_ref(),
            Event::CData(text) => text.as_ref(),
            _ => "",
        };
        self.line += memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64;
        Ok(Next::GoOn)
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), StageError> {
        let name = start.name().as_ref().to_owned();
        if self.row.is_empty() {
            self.open.push(name);
            if !self.parser.rows.is_place(&self.open) {
                return Ok(());
            }
            self.open.pop();
            self.size = 0;
            let node = self.node(start)?;
            self.row.push(node);
            return Ok(());
        }
        if self.row.len() == DEPTH {
            return Err(self.rows.failed(format!("line {}: nested deeper than {DEPTH} elements", self.line)));
        }
        let node = self.node(start)?;
        self.row.push(node);
        Ok(())
    }

    fn node(&mut self, start: &BytesStart<'_>) -> Result<Node, StageError> {
        let mut node = Node { name: start.name().as_ref().to_owned(), ..Node::default() };
        self.size += size_of::<Child>() + node.name.len();
        for attribute in start.attributes() {
            if node.attrs.len() == ATTRIBUTES {
                let message = format!("line {}: an element has more than {ATTRIBUTES} attributes", self.line);
                return Err(self.rows.failed(message));
            }
            let attribute = attribute.map_err(|error| self.broken().caused_by(error))?;
            let value = escape::unescape(&attribute.value)
                .map_err(|error| self.broken().caused_by(error))?
                .into_owned();
            self.size += value.len();
            node.attrs.push((attribute.key.as_ref().to_owned(), value));
        }
        self.check_size()?;
        Ok(node)
    }

    fn check_size(&self) -> Result<(), StageError> {
        if self.size > ROW {
            let message = format!("line {}: a row holds more than {} MiB", self.line, ROW >> 20);
            return Err(self.rows.failed(message));
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), StageError> {
        if self.row.is_empty() {
            return Ok(());
        }
        self.size += text.len();
        self.check_size()?;
        let Some(node) = self.row.last_mut() else { return Ok(()) };
        match node.children.last_mut() {
            Some(Child::Text(before)) => before.push_str(text),
            _ => node.children.push(Child::Text(text.to_owned())),
        }
        Ok(())
    }

    /// The text that a reference such as `&amp;` stands for. Those that a document defines itself are not
    /// followed: they can grow without bound.
    fn resolve(&self, reference: &BytesRef<'_>) -> Result<String, StageError> {
        let resolved = reference.resolve_char_ref().map_err(|error| self.broken().caused_by(error))?;
        if let Some(character) = resolved {
            return Ok(character.to_string());
        }
        let name: &str = reference;
        escape::resolve_xml_entity(name).map(str::to_owned).ok_or_else(|| {
            self.rows.failed(format!("line {}: the entity `&{name};` is not one of XML's own", self.line))
        })
    }

    /// Returns false when nobody reads any more.
    fn end_element(&mut self) -> bool {
        let Some(node) = self.row.pop() else {
            self.open.pop();
            return true;
        };
        if let Some(parent) = self.row.last_mut() {
            parent.children.push(Child::Element(node));
            return true;
        }
        self.number += 1;
        match self.record(&node) {
            Ok(content) => {
                let discovered_at = self.rows.ctx.now();
                self.rows.emit(ParsedItem { topic: self.parser.topic.clone(), content, discovered_at })
            }
            Err(message) => {
                let place = format!("row {} (before line {})", self.number, self.line + 1);
                let mut text = String::new();
                super::xml_fields::write(&node, &mut text);
                self.rows.error(place, message, text)
            }
        }
    }

    fn record(&self, row: &Node) -> Result<Record, String> {
        let mut values = Vec::with_capacity(self.parser.shape.names().len());
        for field in &self.parser.fields {
            values.push(field.value(row)?);
        }
        values.extend_from_slice(&self.meta);
        Ok(Record::from_shape(self.parser.shape.clone(), values))
    }

    fn end(self) -> Result<(), StageError> {
        if !self.open.is_empty() || !self.row.is_empty() {
            return Err(self.broken().hint("the document is cut off"));
        }
        if self.number == 0 {
            return self.rows.none(self.parser.no_rows, &format!("no element is at `{}`", self.parser.rows));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::{Item, OnError, Payload};
    use serde_json::json;

    use super::*;
    use crate::fetch::testing::{Done, build_error, options, run_on};

    async fn parse(xml: &[u8], rows: &str, fields: serde_json::Value, on_error: OnError) -> Done {
        let kwargs = json!({"topic": "t", "rows": rows, "fields": fields, "meta": {"page": "url"}});
        let metadata: Record = [("url", "http://x/")].into_iter().collect();
        let payload = Payload::from(xml.to_vec());
        let raw =
            RawItem { source: "a.xml".into(), payload, fetched_at: chrono::DateTime::UNIX_EPOCH, metadata };
        run_on(vec![Item::from(raw)], "xml.XmlParser", kwargs, on_error, options()).await
    }

    const CATALOG: &str = r#"<?xml version="1.0"?>
<!DOCTYPE catalog [<!ENTITY me "x">]>
<c:catalog xmlns:c="urn:c"><!-- <book/> -->
  <book id="1"><title>A &amp; B &#x41;</title><price currency="SEK">1.5</price><tag>x</tag><tag/><tag>y</tag></book>
  <other><book id="9"><title>not here</title></book></other>
  <c:book id="2">
    <title lang='sv'><![CDATA[C <i>]]> d<!-- x --> e</title><sub><title>inner</title></sub>
    <price>2</price>text<book id="3"/>
  </c:book>
</c:catalog>"#;

    #[tokio::test]
    async fn elements_are_items() {
        let cases = [
            (json!("@id"), r#"["1","2"]"#),
            (json!("title"), r#"["A & B A","C <i> d e"]"#),
            (json!({"path": "price", "type": "number"}), "[1.5,2.0]"),
            (json!({"path": "price/@currency", "default": "EUR"}), r#"["SEK","EUR"]"#),
            (json!({"path": "price/@currency", "required": false}), r#"["SEK",null]"#),
            (json!({"path": "tag", "all": true, "default": []}), r#"[["x","","y"],[]]"#),
            (json!({"path": "sub/title", "required": false}), r#"[null,"inner"]"#),
            (json!({"path": "*/@lang", "required": false}), r#"[null,"sv"]"#),
            (json!({"path": "book/@id", "type": "integer", "default": 0}), "[0,3]"),
            (json!({"path": ".", "required": false}), r#"["A & B A1.5xy","C <i> d einner\n    2text"]"#),
        ];
        for (field, expected) in cases {
            let done = parse(CATALOG.as_bytes(), "catalog/book", json!({"f": field}), OnError::Fail).await;
            done.succeeded();
            let found: Vec<_> = done.parsed().map(|item| item.content.get("f").unwrap().to_json()).collect();
            assert_eq!(format!("[{}]", found.join(",")), expected, "{field}");
        }
        for (rows, expected) in [("c:catalog/c:book", "2"), ("/catalog/other/book", "9"), ("*/*/book", "9")] {
            let done = parse(CATALOG.as_bytes(), rows, json!({"id": "@id"}), OnError::Fail).await;
            done.succeeded();
            let expected = format!(r#"{{"id":"{expected}","page":"http://x/"}}"#);
            assert!(done.contents().contains(&expected), "{rows}: {:?}", done.contents());
        }
    }

    #[tokio::test]
    async fn encodings_are_understood() {
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a><b>\xe9</b></a>".to_vec();
        let utf16: Vec<u8> =
            "\u{feff}<a><b>\u{e9}</b></a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [latin, utf16] {
            let done = parse(&bytes, "a/b", json!({"f": "."}), OnError::Fail).await;
            done.succeeded();
            assert_eq!(done.contents(), ["{\"f\":\"\u{e9}\",\"page\":\"http://x/\"}"]);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_names_the_place() {
        let cases = [
            ("<a>\n<b>1</b>\n<b></b></a>", "a.xml: row 2 (before line 4): f: the row is empty"),
            ("<a>\n<b>1</b>\n<b>x</a>", "a.xml: is not XML: line 3: "),
            ("<a><b>1</b>", "a.xml: is not XML: line 1 (the document is cut off)"),
            ("<a><b>&me;</b></a>", "line 1: the entity `&me;` is not one of XML's own"),
            (
                "<!DOCTYPE a [<!ENTITY x \"xx\"><!ENTITY y \"&x;&x;\">]><a><b>&y;</b></a>",
                "line 1: the entity `&y;` is not one of XML's own",
            ),
            ("<!DOCTYPE a [<!ENTITY x \"xx\">]><a><b c=\"&x;\"/></a>", "a.xml: is not XML: line 1: "),
            (
                "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a><b>&x;</b></a>",
                "the entity `&x;` is not one of XML's own",
            ),
            ("<a><b>&#xffffffff;</b></a>", "a.xml: is not XML: line 1: "),
            ("<a><b x=1>1</b></a>", "a.xml: is not XML: line 1: "),
        ];
        for (xml, expected) in cases {
            let done = parse(xml.as_bytes(), "a/b", json!({"f": "."}), OnError::Fail).await;
            assert!(done.error().contains(expected), "{xml}: {}", done.error());
        }
        let done = parse(b"<a><b>1</b><b/><b>3</b></a>", "a/b", json!({"f": "."}), OnError::Skip).await;
        done.succeeded();
        assert_eq!(done.contents().len(), 2);
        let deep = format!("<a>{}", "<b>".repeat(100_000));
        let done = parse(deep.as_bytes(), "a/b", json!({"f": "."}), OnError::Fail).await;
        assert!(done.error().contains("nested deeper than 512"), "{}", done.error());
        let attributes: String = (0..20_000).map(|n| format!(" a{n}=\"1\"")).collect();
        let hostile = [
            (format!("<a><b>{}</b></a>", "<c/>".repeat(1_000_000)), "line 1: a row holds more than 64 MiB"),
            (format!("<a><b{attributes}/></a>"), "line 1: an element has more than 10000 attributes"),
        ];
        for (xml, expected) in hostile {
            let done = parse(xml.as_bytes(), "a/b", json!({"f": "."}), OnError::Fail).await;
            assert!(done.error().contains(expected), "{}", done.error());
        }
    }

    #[test]
    fn mistakes_are_found_when_the_file_is_read() {
        let cases = [
            (json!({"topic": "t", "rows": "a//b", "fields": {"f": "x"}}), "rows: `a//b`"),
            (json!({"topic": "t", "rows": "a/@b", "fields": {"f": "x"}}), "rows: `a/@b`"),
            (json!({"topic": "t", "rows": "a", "fields": {"f": "@a/b"}}), "fields.f: `@a/b`"),
            (json!({"topic": "t", "rows": "a", "fields": {}}), "fields: a record needs"),
            (
                json!({"topic": "t", "rows": "a", "fields": {"f": {"path": "x", "default": 1, "required": true}}}),
                "fields.f.required",
            ),
        ];
        for (kwargs, expected) in cases {
            let error = build_error("xml.XmlParser", kwargs);
            assert!(error.contains(expected), "{error}");
        }
    }
}
