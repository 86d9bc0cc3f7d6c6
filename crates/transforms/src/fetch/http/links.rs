//! The links of a page: to the next one, and to what it lists.

use std::borrow::Cow;
use std::fmt;

use pipeline_core::{BuildErrors, Value};
use regex::Regex;
use schemars::JsonSchema;
use scraper::{ElementRef, Html, Selector};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::parse::{Query, decode, split_attr};

/// A link in a file: `css`, `css @attr`, or a map.
#[derive(Debug, Clone)]
pub(super) struct LinkKwargs(LinkMap);

/// How a link is found on a page.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LinkMap {
    /// A CSS selector; `css @attr` takes an attribute.
    select: String,
    /// The attribute that holds the link (default: `href`, else `src`).
    attr: Option<String>,
    /// Take the first group of this regular expression in the attribute, or else what the whole of it matches.
    regex: Option<String>,
}

impl LinkKwargs {
    fn text(select: &str) -> Self {
        Self(LinkMap { select: select.to_owned(), attr: None, regex: None })
    }
}

impl<'de> Deserialize<'de> for LinkKwargs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LinkVisitor;
        impl<'de> Visitor<'de> for LinkVisitor {
            type Value = LinkKwargs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a CSS selector (`css` or `css @attr`), or a map with `select`, `attr` and `regex`",
                )
            }
            fn visit_str<E>(self, text: &str) -> Result<LinkKwargs, E> {
                Ok(LinkKwargs::text(text))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LinkKwargs, A::Error> {
                LinkMap::deserialize(MapAccessDeserializer::new(map)).map(LinkKwargs)
            }
        }
        deserializer.deserialize_any(LinkVisitor)
    }
}

impl JsonSchema for LinkKwargs {
    fn schema_name() -> Cow<'static, str> {
        "Link".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let map = generator.subschema_for::<LinkMap>();
        schemars::json_schema!({"oneOf": [{"type": "string"}, map]})
    }
}

/// Where the next page is named.
#[derive(Debug, Clone)]
pub(super) enum NextPage {
    /// By a link of the page.
    Css(LinkSelector),
    /// By a value of the JSON answer.
    Pointer(Vec<String>),
    /// By the `Link` header, `rel="next"`.
    Header,
}

impl NextPage {
    /// Reads what a file says.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn new(kwargs: &LinkKwargs) -> Result<Self, BuildErrors> {
        let LinkMap { select, attr: None, regex: None } = &kwargs.0 else {
            return LinkSelector::new(kwargs).map(Self::Css);
        };
        let text = select.trim();
        if let Some((name, header)) = text.split_once(':')
            && name.trim().eq_ignore_ascii_case("header")
        {
            return match header.trim().eq_ignore_ascii_case("link") {
                true => Ok(Self::Header),
                false => {
                    let message = format!("`{text}`: only one header names pages; write `header: link`");
                    Err(BuildErrors::at("", message))
                }
            };
        }
        match text.strip_prefix('/') {
            Some(pointer) => Ok(Self::Pointer(pointer.split('/').map(unescape).collect())),
            None => LinkSelector::new(kwargs).map(Self::Css),
        }
    }
}

/// One part of a JSON pointer, RFC 6901.
fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// The value that a pointer names.
pub(super) fn point<'a>(value: &'a Value, pointer: &[String]) -> Option<&'a Value> {
    pointer.iter().try_fold(value, |value, part| match value {
        Value::Object(record) => record.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The target of `rel="next"` in a `Link` header, RFC 8288.
pub(super) fn next_of_header(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let start = rest.find('<')?;
        let end = start + rest[start..].find('>')?;
        let target = &rest[start + 1..end];
        let (parameters, after) = parameters(&rest[end + 1..]);
        let is_next = parameters.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("rel")
                && value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.trim());
        }
        rest = after;
    }
}

/// The parameters of one link, and what follows it. Commas within quotes are no end.
fn parameters(text: &str) -> (Vec<(&str, &str)>, &str) {
    let mut quoted = false;
    let end = text.find(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    let (own, after) = text.split_at(end.unwrap_or(text.len()));
    let mut found = Vec::new();
    let mut quoted = false;
    let parts = own.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    for part in parts {
        if let Some((name, value)) = part.split_once('=') {
            found.push((name.trim(), value.trim().trim_matches('"')));
        }
    }
    (found, after)
}

/// Links of a page, compiled.
#[derive(Debug, Clone)]
pub(super) struct LinkSelector {
    query: Query,
    attribute: Option<String>,
    regex: Option<Regex>,
}

impl LinkSelector {
    /// Compiles it.
    ///
    /// # Errors
    /// Says what is wrong with the selector or the pattern.
    pub(super) fn new(kwargs: &LinkKwargs) -> Result<Self, BuildErrors> {
        let LinkMap { select, attr, regex } = &kwargs.0;
        let (css, attribute) = split_attr(select);
        let query = match css {
            Some(css) => Query::new(css).map_err(|error| BuildErrors::at("", error))?,
            None => {
                let message = format!("`{select}` says which attribute, but not of which elements");
                return Err(BuildErrors::at("", message));
            }
        };
        if attribute.is_some() && attr.is_some() {
            return Err(BuildErrors::at("attr", "the attribute is given twice: in `select` and here"));
        }
        let regex = regex.as_deref().map(Regex::new).transpose();
        let regex = regex
            .map_err(|error| BuildErrors::at("regex", format!("is not a regular expression: {error}")))?;
        let attribute = attribute.or(attr.as_deref()).map(str::to_ascii_lowercase);
        Ok(Self { query, attribute, regex })
    }

    fn of<'a>(&self, element: ElementRef<'a>) -> Option<&'a str> {
        let attribute = |name: &str| element.value().attr(name);
        let text = match &self.attribute {
            Some(name) => attribute(name),
            None => attribute("href").or_else(|| attribute("src")),
        }?;
        let link = match &self.regex {
            Some(regex) => {
                let found = regex.captures(text)?;
                found.get(1).or_else(|| found.get(0))?.as_str()
            }
            None => text,
        };
        Some(link.trim()).filter(|link| !link.is_empty())
    }

    /// The links of a page in their order, whole, each once. Links that lead nowhere on the web (`javascript:`,
    /// `mailto:`) are left out.
    pub(super) fn links(&self, page: &Html, base: &Url) -> Vec<Url> {
        let mut links: Vec<Url> = Vec::new();
        for element in page.select(self.query.dom()) {
            if let Some(link) = self.of(element).and_then(|link| whole(link, base))
                && !links.contains(&link)
            {
                links.push(link);
            }
        }
        links
    }

    /// The first link of a page.
    pub(super) fn first(&self, page: &Html, base: &Url) -> Option<Url> {
        page.select(self.query.dom()).find_map(|element| self.of(element).and_then(|link| whole(link, base)))
    }
}

/// A link as a whole URL without its fragment, where it leads to the web.
pub(super) fn whole(link: &str, base: &Url) -> Option<Url> {
    let mut url = base.join(link.trim()).ok()?;
    url.set_fragment(None);
    matches!(url.scheme(), "http" | "https").then_some(url)
}

/// A page, and what its links are relative to.
pub(super) fn parse_page(bytes: &[u8], content_type: Option<&str>, url: &Url) -> (Html, Url) {
    let page = Html::parse_document(&decode(bytes, content_type));
    let base = Selector::parse("base[href]").ok().and_then(|selector| {
        let href = page.select(&selector).next()?.value().attr("href")?;
        url.join(href.trim()).ok()
    });
    (page, base.unwrap_or_else(|| url.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(kwargs: serde_json::Value) -> Result<LinkSelector, String> {
        let kwargs: LinkKwargs = serde_json::from_value(kwargs).map_err(|error| error.to_string())?;
        LinkSelector::new(&kwargs).map_err(|error| error.to_string())
    }

    fn next_page(text: &str) -> Result<NextPage, String> {
        NextPage::new(&LinkKwargs::text(text)).map_err(|error| error.to_string())
    }

    fn links(selector: &str, html: &str) -> Vec<String> {
        let url: Url = "http://h.example/a/b.html?x=1".parse().unwrap();
        let (page, base) = parse_page(html.as_bytes(), None, &url);
        self::selector(selector.into()).unwrap().links(&page, &base).into_iter().map(Into::into).collect()
    }

    #[test]
    fn links_are_found_and_whole() {
        let cases: [(&str, &str, &[&str]); 8] = [
            ("li.next a @href", r#"<li class=next><a href="c.html">"#, &["http://h.example/a/c.html"]),
            ("a[href='/c']", r#"<li class=next><a href="/c">"#, &["http://h.example/c"]),
            (".next a", r#"<p class=next><a href=" ?x=2#top ">"#, &["http://h.example/a/b.html?x=2"]),
            (
                "a",
                r##"<a href="1"><a href="2"><a href="1"><a href="#x">"##,
                &["http://h.example/a/1", "http://h.example/a/2", "http://h.example/a/b.html?x=1"],
            ),
            ("a", r#"<a href="javascript:go()"><a href="mailto:x@y"><a href=""><a>"#, &[]),
            (
                "a",
                r#"<base href="http://other.example/d/"><a href="e?f=1&amp;g=2">"#,
                &["http://other.example/d/e?f=1&g=2"],
            ),
            ("[data-url] @data-url", r#"<p data-url="//cdn.example/z">"#, &["http://cdn.example/z"]),
            ("img", r#"<img src="i.png">"#, &["http://h.example/a/i.png"]),
        ];
        for (selector, html, expected) in cases {
            assert_eq!(links(selector, html), expected, "{selector} {html}");
        }
    }

    #[test]
    fn pages_say_how_they_are_encoded() {
        let url: Url = "http://h.example/".parse().unwrap();
        let page = b"<meta charset='iso-8859-1'><a href='/\xe5'>";
        let plain = b"<a href='/\xe5'>";
        let cases: [(&[u8], Option<&str>); 2] = [(page, None), (plain, Some("text/html; charset=latin1"))];
        for (bytes, content_type) in cases {
            let (page, base) = parse_page(bytes, content_type, &url);
            let found = selector("a".into()).unwrap().first(&page, &base).unwrap();
            assert_eq!(found.as_str(), "http://h.example/%C3%A5");
        }
    }

    #[test]
    fn a_next_page_has_three_forms() {
        assert!(matches!(next_page("li.next a @href"), Ok(NextPage::Css(_))));
        assert!(matches!(next_page("header: link"), Ok(NextPage::Header)));
        assert!(matches!(next_page(" Header:Link"), Ok(NextPage::Header)));
        assert!(matches!(next_page("a:not(.x)"), Ok(NextPage::Css(_))));
        match next_page("/links/a~1b/~0/0") {
            Ok(NextPage::Pointer(parts)) => assert_eq!(parts, ["links", "a/b", "~", "0"]),
            other => panic!("{other:?}"),
        }
        for wrong in ["header: x-next", "li..next", ""] {
            assert!(next_page(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_link_may_be_a_map() {
        let url: Url = "http://h.example/".parse().unwrap();
        let html = r#"<button onclick="go('/page/2')" data-a="x">"#;
        let (page, base) = parse_page(html.as_bytes(), None, &url);
        let found = |kwargs| selector(kwargs).unwrap().first(&page, &base).map(String::from);
        let by_group = serde_json::json!({"select": "button", "attr": "onClick", "regex": "go\\('([^']+)'"});
        assert_eq!(found(by_group).as_deref(), Some("http://h.example/page/2"));
        let whole = serde_json::json!({"select": "button @onclick", "regex": "/page/\\d"});
        assert_eq!(found(whole).as_deref(), Some("http://h.example/page/2"));
        assert_eq!(found(serde_json::json!({"select": "button @onclick", "regex": "none"})), None);
        for (wrong, expected) in [
            (serde_json::json!({"select": "a @b", "attr": "c"}), "attr: the attribute is given twice"),
            (serde_json::json!({"select": "a", "regex": "("}), "regex: is not a regular expression"),
            (serde_json::json!({"select": "@href"}), "not of which elements"),
            (serde_json::json!({"selekt": "a"}), "unknown field `selekt`"),
        ] {
            let error = selector(wrong).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn pointers_lead_into_values() {
        let value: Value = serde_json::from_str(r#"{"a":{"b/c":[1,{"next":"x"}]}}"#).unwrap();
        let cases = [
            ("/a/b~1c/1/next", Some(r#""x""#)),
            ("/a/b~1c/0", Some("1")),
            ("/a/none", None),
            ("/a/b~1c/9", None),
        ];
        for (text, expected) in cases {
            let Ok(NextPage::Pointer(pointer)) = next_page(text) else { panic!("{text}") };
            assert_eq!(point(&value, &pointer).map(Value::to_json).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn link_headers_are_read() {
        let cases = [
            (
                r#"<https://h.example/?page=2>; rel="next", <https://h.example/?page=9>; rel="last""#,
                Some("https://h.example/?page=2"),
            ),
            (r#"<a,b;c>; title="x, <y>; rel=next"; rel="prev", <d>; rel=next"#, Some("d")),
            (r#"<a>; rel="start next""#, Some("a")),
            (r#"<a>; REL=Next"#, Some("a")),
            (r#"<a>; rel="prev""#, None),
            ("nonsense", None),
            ("<unfinished", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(next_of_header(header), expected, "{header}");
        }
    }
}
