//! The cookies of a run.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use reqwest::cookie::{CookieStore, Jar};
use reqwest::header::HeaderValue;
use url::Url;

/// Cookies of a run, for all its stages. They live as long as the run.
///
/// Browsers send the cookies of a host to all its ports. Here only the default ports share them: what else
/// listens on a host (on loopback above all) is another service, and gets nothing that is not its own.
#[derive(Default)]
pub(crate) struct Cookies(Mutex<HashMap<u16, Jar>>);

impl Cookies {
    fn with<T>(&self, url: &Url, act: impl FnOnce(&Jar) -> T) -> T {
        let port = match url.port_or_known_default() {
            Some(80 | 443) | None => 0,
            Some(port) => port,
        };
        let mut jars = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(jars.entry(port).or_default())
    }
}

impl CookieStore for Cookies {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        // A cookie for a whole top-level domain would go to strangers.
        let mut own = headers.filter(|header| !is_for_top_level(header));
        self.with(url, |jar| jar.set_cookies(&mut own, url));
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        self.with(url, |jar| jar.cookies(url))
    }
}

/// Whether a cookie names a domain without an inner dot, such as `com`.
fn is_for_top_level(header: &HeaderValue) -> bool {
    let Ok(text) = header.to_str() else { return false };
    text.split(';').skip(1).any(|attribute| {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let domain = value.trim().trim_matches('.');
        name.trim().eq_ignore_ascii_case("domain")
            && !domain.is_empty()
            && !domain.contains('.')
            && !domain.eq_ignore_ascii_case("localhost")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_stay_with_their_service() {
        let cookies = Cookies::default();
        let set = |url: &str, cookie: &str| {
            let value = HeaderValue::from_str(cookie).unwrap();
            cookies.set_cookies(&mut std::iter::once(&value), &url.parse().unwrap());
        };
        set("http://shop.example/", "a=1");
        set("http://shop.example:8080/", "b=2");
        set("http://www.shop.example/", "c=3; Domain=shop.example; Path=/");
        set("http://evil.com/", "d=4; Domain=com");
        set("http://evil.com/", "e=5; Domain=shop.example");
        let cases = [
            ("http://shop.example/x", "a=1; c=3"),
            ("https://shop.example/x", "a=1; c=3"),
            ("http://shop.example:8080/x", "b=2"),
            ("http://www.shop.example/", "c=3"),
            ("http://other.com/", ""),
            ("http://evil.com/", ""),
        ];
        for (url, expected) in cases {
            let found = cookies.cookies(&url.parse().unwrap());
            let found = found.as_ref().map_or("", |value| value.to_str().unwrap());
            let mut parts: Vec<_> = found.split("; ").collect();
            parts.sort_unstable();
            assert_eq!(parts.join("; "), expected, "{url}");
        }
    }
}
