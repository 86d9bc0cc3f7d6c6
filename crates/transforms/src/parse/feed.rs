//! `feed.FeedParser`: RSS, Atom and JSON Feed.

use std::io::{self, Read};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use feed_rs::model::{Entry, FeedType, Person, Text};
use feed_rs::parser::{Builder, ParseErrorKind, ParseFeedError};
use pipeline_core::{
    BuildContext, BuildErrors, Definition, ParsedItem, Parser, ParserOutput, RawItem, Record, Shape,
    StageContext, StageError, Topic, Transform, Value, parser,
};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::html::page_url;
use super::meta::Meta;
use super::rows::Rows;
use crate::convert::trim;
use crate::{encoding, topics};

/// A feed larger than this is not one.
const FEED: u64 = 256 << 20;

/// The fields of every item.
const FIELDS: [&str; 8] = ["id", "title", "link", "published", "updated", "author", "summary", "content"];

/// What `feed.FeedParser` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedParserKwargs {
    /// The topic of the items. Their fields are `id`, `title`, `link` (absolute), `published`, `updated`
    /// (ISO 8601, UTC), `author`, `summary` and `content`; what an entry does not have is null.
    topic: Topic,
    /// Fields to take from the metadata of the payload, such as `url`: a list of names, or a map from the
    /// names of fields to them.
    meta: Option<Meta>,
}

/// Makes an item of each entry.
pub(crate) struct FeedParser {
    topic: Topic,
    shape: Arc<Shape>,
    meta: Meta,
}

impl Definition for FeedParser {
    const CLASS: &'static str = "feed.FeedParser";
    const SUMMARY: &'static str = "Makes an item of each entry of an RSS, Atom or JSON feed.";
    const EXAMPLE: &'static str = "\
class: feed.FeedParser
kwargs: {topic: news.entry, meta: {feed: url}}
";

    type Kwargs = FeedParserKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let topic = errors.collect(topics::fixed(kwargs.topic));
        let meta = kwargs.meta.unwrap_or_default();
        errors.collect(meta.refuse_names(&FIELDS).map_err(|error| BuildErrors::at("meta", error)));
        let shape = Shape::new(FIELDS.into_iter().chain(meta.names()));
        errors.clone().into_result()?;
        let Some(topic) = topic else { return Err(errors) };
        Ok(parser(Self { topic, shape, meta }))
    }
}

impl Parser for FeedParser {
    fn parse(&self, raw: RawItem, ctx: &StageContext, out: &mut ParserOutput) -> Result<(), StageError> {
        let (payload, mut rows) = Rows::new(raw, ctx, out);
        let charset = rows.metadata.get_str("content_type").and_then(encoding::of_content_type);
        let unreadable = |error: io::Error| rows.failed("cannot be read").caused_by(error);
        let mut text = Vec::new();
        encoding::xml_reader(rows.open(payload)?, charset.unwrap_or(encoding_rs::UTF_8))
            .and_then(|reader| reader.take(FEED + 1).read_to_end(&mut text))
            .map_err(unreadable)?;
        if text.len() as u64 > FEED {
            return Err(rows.failed(format!("is larger than {} MiB", FEED >> 20)));
        }
        let base = page_url(&rows.metadata, &rows.source);
        let feed = Builder::new()
            .base_uri(base.as_ref().map(Url::as_str))
            .sanitize_content(false)
            // An entry without an id has none: a made-up one would only look like a key.
            .id_generator(|_, _, _| String::new())
            .build()
            .parse(without_declaration(&text))
            .map_err(|error| failed(&rows, error))?;
        let meta = self.meta.values(&rows.metadata);
        for entry in feed.entries {
            let mut values = values(entry, &feed.feed_type, base.as_ref());
            values.extend_from_slice(&meta);
            let content = Record::from_shape(self.shape.clone(), values);
            let discovered_at = rows.ctx.now();
            if !rows.emit(ParsedItem { topic: self.topic.clone(), content, discovered_at }) {
                break;
            }
        }
        Ok(())
    }
}

/// The text is decoded already, and the declaration would have it decoded again.
fn without_declaration(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    match text
        .strip_prefix(b"<?xml")
        .and_then(|rest| memchr::memmem::find(rest, b"?>").map(|at| &rest[at + 2..]))
    {
        Some(rest) => rest,
        None => text,
    }
}

fn failed(rows: &Rows<'_>, error: ParseFeedError) -> StageError {
    match error {
        ParseFeedError::ParseError(ParseErrorKind::NoFeedRoot) => {
            rows.failed("is no feed: neither RSS nor Atom nor JSON Feed, or its XML is broken at the start")
        }
        error => rows.failed("is not a feed that can be read").caused_by(error),
    }
}

/// In the order of [`FIELDS`].
fn values(entry: Entry, kind: &FeedType, base: Option<&Url>) -> Vec<Value> {
    // RSS has no such time; the reader repeats the one of publication there.
    let updated = match kind {
        FeedType::Atom | FeedType::JSON => entry.updated,
        _ => None,
    };
    let link = entry
        .links
        .iter()
        .find(|link| link.rel.as_deref().is_none_or(|rel| rel == "alternate"))
        .or_else(|| entry.links.first())
        .map(|link| absolute(trim(&link.href), base));
    let authors: Vec<String> = entry.authors.iter().filter_map(name).collect();
    vec![
        text(&entry.id),
        entry.title.as_ref().map_or(Value::Null, content_of),
        link.map_or(Value::Null, |link| text(&link)),
        time(entry.published),
        time(updated),
        text(&authors.join(", ")),
        entry.summary.as_ref().map_or(Value::Null, content_of),
        entry.content.and_then(|content| content.body).map_or(Value::Null, |body| text(&body)),
    ]
}

fn text(text: &str) -> Value {
    match trim(text) {
        "" => Value::Null,
        text => Value::from(text),
    }
}

fn content_of(found: &Text) -> Value {
    text(&found.content)
}

fn name(person: &Person) -> Option<String> {
    let known = [person.name.as_ref(), person.email.as_ref(), person.uri.as_ref()];
    known
        .into_iter()
        .flatten()
        .map(|name| trim(name))
        .find(|name| !name.is_empty() && *name != "unknown")
        .map(str::to_owned)
}

fn time(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into())
}

fn absolute(link: &str, base: Option<&Url>) -> String {
    let joined = base.and_then(|base| base.join(link).ok()).or_else(|| Url::parse(link).ok());
    joined.map_or_else(|| link.to_owned(), String::from)
}

#[cfg(test)]
mod tests {
    use pipeline_core::{Item, OnError, Payload};
    use serde_json::json;

    use super::*;
    use crate::fetch::testing::{Done, build_error, options, run_on};

    async fn parse(feed: &str) -> Done {
        let metadata: Record = [("url", "http://news/feed/rss.xml")].into_iter().collect();
        let payload = Payload::from(feed.to_owned());
        let raw =
            RawItem { source: "feed".into(), payload, fetched_at: chrono::DateTime::UNIX_EPOCH, metadata };
        run_on(vec![Item::from(raw)], "feed.FeedParser", json!({"topic": "t"}), OnError::Fail, options())
            .await
    }

    #[tokio::test]
    async fn entries_are_items() {
        let cases = [
            (
                r#"<?xml version="1.0"?><rss version="2.0"><channel><title>N</title>
                <item><title>A &amp; B</title><link>/a</link><guid>g1</guid><author>x@y (Ann)</author>
                <pubDate>Thu, 29 Feb 2024 10:11:12 +0100</pubDate><description>&lt;p&gt;Hi&lt;/p&gt;</description></item>
                <item><title>No date</title><pubDate>soon</pubDate></item></channel></rss>"#,
                concat!(
                    r#"{"id":"g1","title":"A & B","link":"http://news/a","published":"2024-02-29T09:11:12Z","updated":null,"author":"x@y (Ann)","summary":"<p>Hi</p>","content":null}"#,
                    " ",
                    r#"{"id":null,"title":"No date","link":null,"published":null,"updated":null,"author":null,"summary":null,"content":null}"#
                ),
            ),
            (
                r#"<feed xmlns="http://www.w3.org/2005/Atom"><title>N</title><id>f</id>
                <entry><id>e1</id><title>A</title><link rel="self" href="s"/><link href="b?x=1"/><updated>2024-02-29T10:00:00Z</updated>
                <author><name>Ann</name></author><author><name>Bo</name></author><content type="html">&lt;b&gt;x</content></entry></feed>"#,
                r#"{"id":"e1","title":"A","link":"http://news/feed/b?x=1","published":null,"updated":"2024-02-29T10:00:00Z","author":"Ann, Bo","summary":null,"content":"<b>x"}"#,
            ),
            (
                r#"{"version":"https://jsonfeed.org/version/1.1","title":"N","items":[{"id":"1","url":"/x","title":"T","content_text":"c","date_published":"2024-02-29T10:00:00Z"}]}"#,
                r#"{"id":"1","title":"T","link":"http://news/x","published":"2024-02-29T10:00:00Z","updated":null,"author":null,"summary":null,"content":"c"}"#,
            ),
            (r#"<rss version="2.0"><channel><title>empty</title></channel></rss>"#, ""),
        ];
        for (feed, expected) in cases {
            let done = parse(feed).await;
            done.succeeded();
            assert_eq!(done.contents().join(" "), expected);
        }
    }

    #[tokio::test]
    async fn encodings_are_understood() {
        let feed = b"<?xml version=\"1.0\"   standalone=\"yes\"                                    encoding=\"iso-8859-1\" ?>\n<rss version=\"2.0\"><channel><item><title>\xe9</title></item></channel></rss>";
        let raw = RawItem {
            source: "feed".into(),
            payload: Payload::from(feed.to_vec()),
            fetched_at: chrono::DateTime::UNIX_EPOCH,
            metadata: Record::new(),
        };
        let kwargs = json!({"topic": "t"});
        let done = run_on(vec![Item::from(raw)], "feed.FeedParser", kwargs, OnError::Fail, options()).await;
        done.succeeded();
        assert_eq!(done.parsed().next().unwrap().content.get_str("title"), Some("\u{e9}"));
    }

    #[tokio::test]
    async fn what_is_no_feed_is_an_error() {
        for broken in [
            "",
            "<html><body>Not found</body></html>",
            "<rss version=\"2.0\"><channel><item><title>x</item>",
            "{}",
            "plain",
        ] {
            let done = parse(broken).await;
            assert!(done.error().contains("feed: is no"), "{broken}: {}", done.error());
        }
    }

    #[test]
    fn mistakes_are_found_when_the_file_is_read() {
        assert!(build_error("feed.FeedParser", json!({"topic": "t", "meta": ["title"]})).contains("`title`"));
    }
}
