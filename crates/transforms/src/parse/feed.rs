//! `feed.FeedParser`: RSS, Atom and JSON Feed.

use std::io::{self, Read};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use feed_rs::model::{Entry, Feed, FeedType, Person, Text};
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
        let mut base = page_url(&rows.metadata, &rows.source);
        let text = without_declaration(&text);
        let mut feed = read(text, base.as_ref()).map_err(|error| failed(&rows, error))?;
        if base.is_none() && feed.entries.iter().any(has_relative_link) {
            // The feed was read from a file: what it says about itself is all that is known of its place.
            base = own_url(&feed);
            if base.is_some() {
                feed = read(text, base.as_ref()).map_err(|error| failed(&rows, error))?;
            }
        }
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

/// Reads a feed. Links are relative to the nearest `xml:base`, and that to the base.
fn read(text: &[u8], base: Option<&Url>) -> Result<Feed, ParseFeedError> {
    Builder::new()
        .base_uri(base.map(Url::as_str))
        .sanitize_content(false)
        // An entry without an id has none: a made-up one would only look like a key.
        .id_generator(|_, _, _| String::new())
        .build()
        .parse(text)
}

/// The URL of a feed by its own account: its own link, else that of the site.
fn own_url(feed: &Feed) -> Option<Url> {
    let named = |rel: &[Option<&str>]| {
        let links = feed.links.iter().filter(|link| rel.contains(&link.rel.as_deref()));
        links.filter_map(|link| Url::parse(trim(&link.href)).ok()).find(|url| !url.cannot_be_a_base())
    };
    let site = || named(&[Some("alternate"), None]);
    match feed.feed_type {
        // Both are read, without a name, and the feed's own is the last.
        FeedType::JSON => feed.links.last().and_then(|link| Url::parse(trim(&link.href)).ok()).or_else(site),
        _ => named(&[Some("self")]).or_else(site),
    }
}

fn has_relative_link(entry: &Entry) -> bool {
    link_of(entry).is_some_and(|link| Url::parse(link).is_err())
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
    let link = link_of(&entry).map(|link| absolute(link, base));
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

/// The link of an entry, as it is written.
fn link_of(entry: &Entry) -> Option<&str> {
    let mut links = entry.links.iter();
    let page = links.find(|link| link.rel.as_deref().is_none_or(|rel| rel == "alternate"));
    page.or_else(|| entry.links.first()).map(|link| trim(&link.href))
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

    /// The links of a feed that came from this URL, or from a file.
    async fn links(feed: &str, url: Option<&str>) -> String {
        let metadata: Record = match url {
            Some(url) => [("url", url)].into_iter().collect(),
            None => [("path", "data/feed.xml")].into_iter().collect(),
        };
        let raw = RawItem {
            source: "data/feed.xml".into(),
            payload: Payload::from(feed.to_owned()),
            fetched_at: chrono::DateTime::UNIX_EPOCH,
            metadata,
        };
        let kwargs = json!({"topic": "t"});
        let done = run_on(vec![Item::from(raw)], "feed.FeedParser", kwargs, OnError::Fail, options()).await;
        done.succeeded();
        let links = done.parsed().map(|item| item.content.get_str("link").unwrap_or("null").to_owned());
        links.collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn links_are_absolute() {
        let from = Some("http://news.example/feeds/rss.xml");
        let rss = |head: &str, item: &str| {
            format!(
                r#"<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>{head}<item>{item}</item></channel></rss>"#
            )
        };
        let atom = |head: &str, entry: &str| {
            format!(r#"<feed xmlns="http://www.w3.org/2005/Atom"{head}<entry>{entry}</entry></feed>"#)
        };
        let own = r#"<atom:link rel="self" href="http://own.example/f/rss.xml"/>"#;
        let site = "<link>http://site.example/start/</link>";
        let json = |head: &str| {
            format!(
                r#"{{"version":"https://jsonfeed.org/version/1.1","title":"N",{head}"items":[{{"id":"1","url":"a"}}]}}"#
            )
        };
        let cases = [
            (rss("", "<link>a</link>"), from, "http://news.example/feeds/a"),
            (rss(site, "<link>/a</link>"), from, "http://news.example/a"),
            (rss(site, "<link>a</link>"), None, "http://site.example/start/a"),
            (rss(site, "<link>//cdn.example/a</link>"), None, "http://cdn.example/a"),
            (rss(&format!("{site}{own}"), "<link>a</link>"), None, "http://own.example/f/a"),
            (rss(&format!("{own}{site}"), "<link>?p=1</link>"), None, "http://own.example/f/rss.xml?p=1"),
            (rss("<link>/start/</link>", "<link>a</link>"), None, "a"),
            (rss("", "<link>a</link>"), None, "a"),
            (rss("", "<link>https://other.example/a</link>"), None, "https://other.example/a"),
            (
                rss(site, r#"<link xml:base="http://base.example/b/">a</link>"#),
                from,
                "http://base.example/b/a",
            ),
            (atom(">", r#"<link href="a"/>"#), from, "http://news.example/feeds/a"),
            (
                atom(r#" xml:base="http://base.example/b/">"#, r#"<link href="a"/>"#),
                from,
                "http://base.example/b/a",
            ),
            (
                atom(r#" xml:base="http://base.example/b/">"#, r#"<link href="a"/>"#),
                None,
                "http://base.example/b/a",
            ),
            (atom(r#" xml:base="sub/">"#, r#"<link href="a"/>"#), from, "http://news.example/feeds/sub/a"),
            (
                atom(
                    r#" xml:base="sub/"><link rel="self" href="http://own.example/f/"/>"#,
                    r#"<link href="a"/>"#,
                ),
                None,
                "http://own.example/f/sub/a",
            ),
            (
                atom(r#"><link rel="alternate" href="http://site.example/s/"/>"#, r#"<link href="a"/>"#),
                None,
                "http://site.example/s/a",
            ),
            (
                atom(r#"><link href="http://site.example/s/"/>"#, r#"<link href="a"/>"#)
                    .replace("<entry>", r#"<entry xml:base="http://base.example/e/">"#),
                None,
                "http://base.example/e/a",
            ),
            (
                atom(r#"><link href="http://site.example/s/"/>"#, r#"<link href="a"/>"#)
                    .replace("<entry>", r#"<entry xml:base="deep/">"#),
                None,
                "http://site.example/s/deep/a",
            ),
            (json(""), from, "http://news.example/feeds/a"),
            (json(r#""home_page_url":"http://site.example/s/","#), None, "http://site.example/s/a"),
            (
                json(
                    r#""home_page_url":"http://site.example/s/","feed_url":"http://own.example/f/feed.json","#,
                ),
                None,
                "http://own.example/f/a",
            ),
        ];
        for (feed, url, expected) in cases {
            assert_eq!(links(&feed, url).await, expected, "{url:?} {feed}");
        }
    }

    #[tokio::test]
    async fn entities_that_a_feed_defines_are_not_followed() {
        let mut entities = r#"<!ENTITY l0 "lol">"#.to_owned();
        for level in 1..=12 {
            let inner = format!("&l{};", level - 1).repeat(10);
            entities.push_str(&format!(r#"<!ENTITY l{level} "{inner}">"#));
        }
        let rss = format!(
            r#"<?xml version="1.0"?><!DOCTYPE rss [{entities}]><rss version="2.0"><channel><item><title>&l12;</title></item></channel></rss>"#
        );
        let done = parse(&rss).await;
        done.succeeded();
        assert_eq!(done.parsed().next().unwrap().content.get_str("title"), Some("&l12;"));
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
