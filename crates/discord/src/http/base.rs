//! Where Discord's REST interface is.

use std::str::FromStr;

use url::Url;

/// The REST interface of Discord, or of a proxy or test double in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiBase {
    /// Scheme, host and port, and a path where a proxy wants one; without a slash at the end.
    root: String,
    prefix: &'static str,
    is_override: bool,
}

/// A text that is no base URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no base for Discord's REST interface: {why}; write it as http://HOST:PORT or https://HOST"
)]
pub struct BadBase {
    text: String,
    why: String,
}

impl Default for ApiBase {
    fn default() -> Self {
        Self { root: "https://discord.com".into(), prefix: "/api/v10/", is_override: false }
    }
}

impl ApiBase {
    /// The URL of a path below `/api/v10/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.root, self.prefix)
    }

    /// A webhook's URL, with scheme and host replaced where another base was given.
    pub(crate) fn rebase(&self, url: &Url) -> String {
        if !self.is_override {
            return url.to_string();
        }
        let root = self.root.strip_suffix("/api/v10").unwrap_or(&self.root);
        let query = url.query().map(|q| format!("?{q}")).unwrap_or_default();
        format!("{root}{}{query}", url.path())
    }
}

impl FromStr for ApiBase {
    type Err = BadBase;

    fn from_str(text: &str) -> Result<Self, BadBase> {
        let bad = |why: String| BadBase { text: text.to_owned(), why };
        let url = Url::parse(text.trim()).map_err(|e| bad(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(bad("it has no host, or its scheme is neither http nor https".into()));
        }
        if url.username() != ""
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(BadBase {
                text: "…".into(),
                why: "it has more than a scheme, a host and a path".into(),
            });
        }
        let root = text.trim().trim_end_matches('/').to_owned();
        let prefix = if url.path().trim_end_matches('/').ends_with("/api/v10") { "/" } else { "/api/v10/" };
        Ok(Self { root, prefix, is_override: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined() {
        let table = [
            ("http://127.0.0.1:80", "http://127.0.0.1:80/api/v10/x"),
            ("http://127.0.0.1:80/", "http://127.0.0.1:80/api/v10/x"),
            ("https://proxy/discord", "https://proxy/discord/api/v10/x"),
            ("https://discord.com/api/v10/", "https://discord.com/api/v10/x"),
        ];
        for (base, expected) in table {
            assert_eq!(base.parse::<ApiBase>().unwrap().url("x"), expected, "{base}");
        }
        assert_eq!(ApiBase::default().url("x"), "https://discord.com/api/v10/x");
        for bad in ["", "127.0.0.1:80", "ws://host", "http://user:pw@host", "http://host?x=1"] {
            let error = bad.parse::<ApiBase>().unwrap_err().to_string();
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn webhooks_keep_their_path() {
        let hook = Url::parse("https://discord.com/api/webhooks/1/t?thread_id=2").unwrap();
        assert_eq!(ApiBase::default().rebase(&hook), hook.as_str());
        let base: ApiBase = "http://127.0.0.1:80".parse().unwrap();
        assert_eq!(base.rebase(&hook), "http://127.0.0.1:80/api/webhooks/1/t?thread_id=2");
    }
}
