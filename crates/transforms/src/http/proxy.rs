//! The proxy that a file names.

use url::Url;

/// The address of a proxy, checked.
#[derive(Debug, Clone)]
pub(crate) struct ProxyUrl(Url);

impl ProxyUrl {
    /// Reads an address; an empty text is none, so that `${HTTP_PROXY:-}` can be written.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let example = "write `http://host:port`, `https://…`, `socks5://…` or `socks5h://…`";
        let url: Url =
            text.parse().map_err(|error| format!("not the URL of a proxy: {error} ({example})"))?;
        if !matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h") {
            return Err(format!("a proxy cannot be reached by `{}` ({example})", url.scheme()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(format!("the URL of the proxy names no host ({example})"));
        }
        Ok(Some(Self(url)))
    }

    /// Whether the way to the proxy is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Its host.
    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Its password, to be kept out of logs.
    pub(crate) fn password(&self) -> Option<String> {
        let password = self.0.password()?;
        Some(percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned())
    }

    /// For the client.
    ///
    /// # Errors
    /// Where the client does not take it.
    pub(crate) fn to_reqwest(&self) -> reqwest::Result<reqwest::Proxy> {
        reqwest::Proxy::all(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_checked() {
        let cases = [
            ("http://127.0.0.1:3128", Some(true)),
            ("socks5h://user:pass@proxy.example:1080", Some(true)),
            ("", Some(false)),
            ("  ", Some(false)),
            ("proxy.example:3128", None),
            ("ftp://proxy", None),
            ("http://", None),
        ];
        for (text, expected) in cases {
            let found = ProxyUrl::parse(text);
            assert_eq!(found.as_ref().ok().map(Option::is_some), expected, "{text}: {found:?}");
            if let Ok(Some(proxy)) = found {
                assert!(proxy.to_reqwest().is_ok(), "{text}");
            }
        }
    }
}
