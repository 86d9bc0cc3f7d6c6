//! A request, and what of it may be shown to whom.

use std::collections::BTreeMap;

use base64::Engine;
use bytes::Bytes;
use pipeline_core::Redactor;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Auth {
    /// A name and a password.
    Basic(String, String),
    /// A token.
    Bearer(String),
}

impl Auth {
    /// The header's value.
    ///
    /// # Errors
    /// Where a token holds characters that no header can.
    pub(crate) fn header(&self) -> Result<HeaderValue, String> {
        let text = match self {
            Self::Basic(name, password) => {
                let pair = format!("{name}:{password}");
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| "it holds characters that a header cannot hold".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// The headers that the file gives, `Authorization` included.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// Where the secrets among the headers may go: the origin that the file's author named.
    pub(crate) home: Url,
}

impl Request {
    /// A request to where its author wants it to go. A name and password in the URL become a header.
    pub(crate) fn new(method: Method, mut url: Url, mut headers: HeaderMap, body: Option<Bytes>) -> Self {
        if let Some(auth) = take_userinfo(&mut url)
            && let Ok(value) = auth.header()
        {
            headers.entry(AUTHORIZATION).or_insert(value);
        }
        Self { method, home: url.clone(), url, headers, body }
    }

    /// A GET of another URL that was found in an answer; secrets go along only where it is at home.
    pub(crate) fn get(&self, mut url: Url) -> Self {
        // A page must not put words into our mouth.
        take_userinfo(&mut url);
        Self { method: Method::GET, url, headers: self.headers.clone(), body: None, home: self.home.clone() }
    }

    /// The headers for a request to `url`.
    pub(crate) fn headers_for(&self, url: &Url) -> HeaderMap {
        let mut headers = self.headers.clone();
        if !same_party(&self.home, url) {
            let secret: Vec<HeaderName> = headers.keys().filter(|name| is_secret(name)).cloned().collect();
            for name in secret {
                headers.remove(name);
            }
        }
        headers
    }
}

/// Whether two URLs belong to the same party: the same origin, or its encrypted twin.
pub(crate) fn same_party(home: &Url, other: &Url) -> bool {
    if home.host() != other.host() {
        return false;
    }
    let ports = (home.port_or_known_default(), other.port_or_known_default());
    match (home.scheme(), other.scheme()) {
        ("http", "https") => ports.0 == ports.1 || ports == (Some(80), Some(443)),
        // Never from an encrypted way to an open one.
        (home, other) => home == other && ports.0 == ports.1,
    }
}

/// Whether a header's value is for one party only.
pub(crate) fn is_secret(name: &HeaderName) -> bool {
    matches!(name, &AUTHORIZATION | &COOKIE)
        || name == reqwest::header::PROXY_AUTHORIZATION
        || Redactor::is_secret_name(name.as_str())
}

/// Takes name and password out of a URL.
fn take_userinfo(url: &mut Url) -> Option<Auth> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let auth = Auth::Basic(decode(url.username()), decode(url.password().unwrap_or_default()));
    // Both fail only for URLs that cannot have a host.
    url.set_username("").ok();
    url.set_password(None).ok();
    Some(auth)
}

/// Reads a URL that can be fetched.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let mut url: Url = text.trim().parse().map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => {
            format!("`{text}` is not a whole URL (it must begin with http:// or https://)")
        }
        error => format!("`{text}` is not a URL: {error}"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{text}` cannot be fetched: only http and https are known"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// Checks headers.
///
/// # Errors
/// Names the header and what is wrong with it.
pub(crate) fn parse_headers(headers: &BTreeMap<String, String>) -> Result<HeaderMap, Vec<(String, String)>> {
    let mut map = HeaderMap::new();
    let mut wrong = Vec::new();
    for (name, value) in headers {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.trim())) {
            (Ok(header), Ok(mut checked)) => {
                checked.set_sensitive(is_secret(&header));
                map.append(header, checked);
            }
            (Err(_), _) => wrong.push((name.clone(), format!("`{name}` cannot be the name of a header"))),
            (_, Err(_)) => {
                wrong.push((name.clone(), "the value holds characters that a header cannot hold".to_owned()));
            }
        }
    }
    if wrong.is_empty() { Ok(map) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn secrets_stay_with_their_party() {
        let cases = [
            ("http://a.example/x", "http://a.example/y", true),
            ("http://a.example/", "https://a.example/", true),
            ("https://a.example/", "http://a.example/", false),
            ("http://a.example/", "http://a.example:8080/", false),
            ("http://a.example:8080/", "https://a.example:8080/", true),
            ("http://a.example/", "http://b.a.example/", false),
            ("http://127.0.0.1:1/", "http://localhost:1/", false),
        ];
        for (home, other, same) in cases {
            assert_eq!(same_party(&url(home), &url(other)), same, "{home} {other}");
        }
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "x-api-key", "x-auth-token", "accept"] {
            headers.insert(name, HeaderValue::from_static("v"));
        }
        let request = Request::new(Method::GET, url("http://a.example/"), headers, None);
        assert_eq!(request.headers_for(&url("http://a.example/2")).len(), 5);
        let abroad = request.get(url("http://b.example/")).headers_for(&url("http://b.example/"));
        assert_eq!(abroad.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn a_password_in_a_url_becomes_a_header() {
        let request = Request::new(Method::GET, url("http://me:p%40ss@h.example/"), HeaderMap::new(), None);
        assert_eq!(request.url.as_str(), "http://h.example/");
        assert_eq!(request.headers[AUTHORIZATION], "Basic bWU6cEBzcw==");
        assert!(request.get(url("http://evil:x@h.example/")).url.username().is_empty());
    }

    #[test]
    fn urls_are_checked() {
        assert_eq!(parse_url(" http://h.example/a b#frag ").unwrap().as_str(), "http://h.example/a%20b");
        for (text, expected) in [
            ("page-1.html", "not a whole URL"),
            ("ftp://h.example/", "only http and https"),
            ("http://", "is not a URL"),
            ("http://[::1/", "is not a URL"),
        ] {
            assert!(parse_url(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
