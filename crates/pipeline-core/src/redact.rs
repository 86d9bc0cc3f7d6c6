//! Keeps secrets out of logs, errors, the store and messages.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// A set of secret texts that is shared by all who write something down; cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<String>>>);

impl Redactor {
    /// A set without secrets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a secret. Texts under 4 bytes are not added: replacing them would garble everything.
    pub fn add(&self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < 4 {
            return;
        }
        let mut secrets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for form in [secret.to_owned(), percent_encode(secret), json_escape(secret)] {
            if !secrets.contains(&form) {
                secrets.push(form);
            }
        }
        // The longest first, so that a secret which contains another one goes as a whole.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Whether a variable of this name holds a secret.
    pub fn is_secret_name(name: &str) -> bool {
        let name = name.to_ascii_uppercase();
        ["TOKEN", "SECRET", "PASSWORD", "KEY"].iter().any(|word| name.contains(word))
    }

    /// The text without its secrets, and without the passwords of URLs in it.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = redact_urls(text);
        for secret in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
            }
        }
        text
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

fn percent_encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn json_escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Hides the password of every `scheme://user:password@host` in a text.
fn redact_urls(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let authority_start = at + 3;
        let authority = &rest[authority_start..];
        let end = authority
            .find(|c: char| c == '/' || c == '?' || c == '#' || c.is_whitespace() || c == '"' || c == '\'')
            .unwrap_or(authority.len());
        let authority = &authority[..end];
        result.push_str(&rest[..authority_start]);
        match authority.rfind('@').and_then(|host| authority[..host].find(':').map(|colon| (colon, host))) {
            Some((colon, host)) => {
                result.push_str(&authority[..=colon]);
                result.push_str(REDACTED);
                result.push_str(&authority[host..]);
            }
            None => result.push_str(authority),
        }
        rest = &rest[authority_start + end..];
    }
    result.push_str(rest);
    if result == text { Cow::Borrowed(text) } else { Cow::Owned(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_every_spelling() {
        let redactor = Redactor::new();
        redactor.add("s3cr\"et/x");
        redactor.add("abc");
        let cases = [
            ("nothing here", "nothing here"),
            ("is s3cr\"et/x here", "is [redacted] here"),
            (r#"json s3cr\"et/x"#, "json [redacted]"),
            ("url s3cr%22et%2Fx", "url [redacted]"),
            ("abc is too short to hide", "abc is too short to hide"),
            ("postgres://me:pw@host/db and http://h/p", "postgres://me:[redacted]@host/db and http://h/p"),
            ("postgres://me:p@ss@host/db", "postgres://me:[redacted]@host/db"),
            ("http://host:80/a@b", "http://host:80/a@b"),
        ];
        for (text, expected) in cases {
            assert_eq!(redactor.redact(text), expected);
        }
    }
}
