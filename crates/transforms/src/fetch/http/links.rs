//! The links of a page: to the next one, and to what it lists.

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use pipeline_core::Value;
use scraper::{ElementRef, Html, Selector};
use url::Url;

use crate::encoding;

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
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(header) = text.strip_prefix("header:") {
            return match header.trim().eq_ignore_ascii_case("link") {
                true => Ok(Self::Header),
                false => Err(format!("`{text}`: only the header `link` names pages; write `header: link`")),
            };
        }
        match text.strip_prefix('/') {
            Some(pointer) => Ok(Self::Pointer(pointer.split('/').map(unescape).collect())),
            None => LinkSelector::parse(text).map(Self::Css),
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

/// Links of a page: `css`, or `css @attr` where it is not the `href`.
#[derive(Debug, Clone)]
pub(super) struct LinkSelector {
    selector: Arc<Selector>,
    attribute: Option<String>,
}

impl LinkSelector {
    /// Compiles it.
    ///
    /// # Errors
    /// Says what is wrong with the selector.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (css, attribute) = match text.rsplit_once('@') {
            Some((css, name)) if !name.is_empty() && name.chars().all(is_name) => {
                (css.trim(), Some(name.to_ascii_lowercase()))
            }
            _ => (text, None),
        };
        let selector =
            Selector::parse(css).map_err(|error| format!("`{css}` is not a CSS selector: {error}"))?;
        Ok(Self { selector: Arc::new(selector), attribute })
    }

    fn of<'a>(&self, element: ElementRef<'a>) -> Option<&'a str> {
        let attribute =
            |name: &str| element.value().attr(name).map(str::trim).filter(|link| !link.is_empty());
        match &self.attribute {
            Some(name) => attribute(name),
            None => attribute("href").or_else(|| attribute("src")),
        }
    }

    /// The links of a page in their order, whole, each once. Links that lead nowhere on the web (`javascript:`,
    /// `mailto:`) are left out.
    pub(super) fn links(&self, page: &Html, base: &Url) -> Vec<Url> {
        let mut links: Vec<Url> = Vec::new();
        for element in page.select(&self.selector) {
            if let Some(link) = self.of(element).and_then(|link| whole(link, base)) {
                if !links.contains(&link) {
                    links.push(link);
                }
            }
        }
        links
    }

    /// The first link of a page.
    pub(super) fn first(&self, page: &Html, base: &Url) -> Option<Url> {
        page.select(&self.selector).find_map(|element| self.of(element).and_then(|link| whole(link, base)))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':')
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

/// The text of a page: by its byte order mark, its header, its `meta`, else as UTF-8.
fn decode<'a>(bytes: &'a [u8], content_type: Option<&str>) -> std::borrow::Cow<'a, str> {
    let named = content_type.and_then(encoding::of_content_type);
    let encoding = named.or_else(|| meta_charset(bytes)).unwrap_or(UTF_8);
    encoding.decode(bytes).0
}

/// The encoding that a page names itself, in its first kilobyte.
fn meta_charset(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    let at = head.find("charset")?;
    let rest = head[at + "charset".len()..].trim_start().strip_prefix('=')?.trim_start();
    let label = rest.trim_start_matches(['"', '\'']);
    let end =
        label.find(|c: char| c == '"' || c == '\'' || c == '>' || c == ';' || c == '/' || c.is_whitespace());
    Encoding::for_label(label[..end.unwrap_or(label.len())].as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(selector: &str, html: &str) -> Vec<String> {
        let url: Url = "http://h.example/a/b.html?x=1".parse().unwrap();
        let (page, base) = parse_page(html.as_bytes(), None, &url);
        LinkSelector::parse(selector).unwrap().links(&page, &base).into_iter().map(Into::into).collect()
    }

    #[test]
    fn links_are_found_and_whole() {
        let cases: [(&str, &str, &[&str]); 8] = [
            ("li.next a @href", r#"<li class=next><a href="c.html">"#, &["http://h.example/a/c.html"]),
            ("li.next a@href", r#"<li class=next><a href="/c">"#, &["http://h.example/c"]),
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
            let found = LinkSelector::parse("a").unwrap().first(&page, &base).unwrap();
            assert_eq!(found.as_str(), "http://h.example/%C3%A5");
        }
    }

    #[test]
    fn a_next_page_has_three_forms() {
        assert!(matches!(NextPage::parse("li.next a @href"), Ok(NextPage::Css(_))));
        assert!(matches!(NextPage::parse("header: link"), Ok(NextPage::Header)));
        assert!(matches!(NextPage::parse(" Header:Link"), Err(_) | Ok(NextPage::Css(_))));
        match NextPage::parse("/links/a~1b/~0/0") {
            Ok(NextPage::Pointer(parts)) => assert_eq!(parts, ["links", "a/b", "~", "0"]),
            other => panic!("{other:?}"),
        }
        for wrong in ["header: x-next", "li..next", ""] {
            assert!(NextPage::parse(wrong).is_err(), "{wrong}");
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
            let Ok(NextPage::Pointer(pointer)) = NextPage::parse(text) else { panic!("{text}") };
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
