//! The links of a page: to the next one, and to what it lists.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use pipeline_core::{BuildErrors, Value};
use regex::Regex;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::parse::{Query, Wanted, attributes, split_attr};

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
    /// The attributes that may hold the link.
    attributes: Vec<String>,
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
        let attributes = match attribute {
            Some(name) => vec![name],
            None => vec!["href".to_owned(), "src".to_owned()],
        };
        Ok(Self { query, attributes, regex })
    }

    /// The link in an attribute, where there is one.
    fn link<'a>(&self, value: &'a str) -> Option<&'a str> {
        let link = match &self.regex {
            Some(regex) => {
                let found = regex.captures(value)?;
                found.get(1).or_else(|| found.get(0))?.as_str()
            }
            None => value,
        };
        Some(link.trim()).filter(|link| !link.is_empty())
    }
}

/// The links of a page by each of some selectors: whole, in their order, each once. Links that lead nowhere on
/// the web (`javascript:`, `mailto:`) are left out.
///
/// # Errors
/// Where the page would take far too much to read.
pub(super) fn links(
    page: &[u8],
    content_type: Option<&str>,
    url: &Url,
    selectors: &[&LinkSelector],
) -> Result<Vec<Vec<Url>>, String> {
    let wanted: Vec<Wanted<'_>> = selectors
        .iter()
        .map(|selector| Wanted { query: &selector.query, names: &selector.attributes })
        .collect();
    let found = attributes(page, content_type, &wanted)?;
    let base = found.base.and_then(|base| url.join(base.trim()).ok()).unwrap_or_else(|| url.clone());
    let whole_ones = |(selector, values): (&&LinkSelector, Vec<String>)| {
        let mut seen = HashSet::new();
        let links =
            values.iter().filter_map(|value| selector.link(value).and_then(|link| whole(link, &base)));
        links.filter(|link| seen.insert(link.clone())).collect()
    };
    Ok(selectors.iter().zip(found.found).map(whole_ones).collect())
}

/// A link as a whole URL without its fragment, where it leads to the web.
pub(super) fn whole(link: &str, base: &Url) -> Option<Url> {
    let mut url = base.join(link.trim()).ok()?;
    url.set_fragment(None);
    matches!(url.scheme(), "http" | "https").then_some(url)
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

    fn links_of(kwargs: serde_json::Value, html: &[u8], content_type: Option<&str>) -> Vec<String> {
        let url: Url = "http://h.example/a/b.html?x=1".parse().unwrap();
        let selector = selector(kwargs).unwrap();
        let mut found = links(html, content_type, &url, &[&selector, &selector]).unwrap();
        assert_eq!(found[0], found[1]);
        found.remove(0).into_iter().map(Into::into).collect()
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
            assert_eq!(links_of(selector.into(), html.as_bytes(), None), expected, "{selector} {html}");
        }
    }

    #[test]
    fn pages_say_how_they_are_encoded() {
        let page = b"<meta charset='iso-8859-1'><a href='/\xe5'>";
        let plain = b"<a href='/\xe5'>";
        let cases: [(&[u8], Option<&str>); 2] = [(page, None), (plain, Some("text/html; charset=latin1"))];
        for (bytes, content_type) in cases {
            assert_eq!(links_of("a".into(), bytes, content_type), ["http://h.example/%C3%A5"]);
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
        let html = br#"<button onclick="go('/page/2')" data-a="x">"#;
        let found = |kwargs| links_of(kwargs, html, None);
        let by_group = serde_json::json!({"select": "button", "attr": "onClick", "regex": "go\\('([^']+)'"});
        assert_eq!(found(by_group), ["http://h.example/page/2"]);
        let whole = serde_json::json!({"select": "button @onclick", "regex": "/page/\\d"});
        assert_eq!(found(whole), ["http://h.example/page/2"]);
        assert!(found(serde_json::json!({"select": "button @onclick", "regex": "none"})).is_empty());
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
