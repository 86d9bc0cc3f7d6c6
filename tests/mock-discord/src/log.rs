//! The log of captured requests.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

/// An uploaded file.
#[derive(Debug, Clone)]
pub struct File {
    /// Name of the form field: `files[0]`.
    pub field: String,
    /// The file's name.
    pub name: String,
    /// Its declared type.
    pub content_type: Option<String>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// One request as it arrived, and how it was answered.
#[derive(Debug, Clone)]
pub struct Captured {
    /// When its head had arrived.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// The path below `/api/v10`, without the query.
    pub path: String,
    /// The query, empty where there is none.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The JSON body, or the `payload_json` part of a form.
    pub body: Value,
    /// The files of a form.
    pub files: Vec<File>,
    /// The status of the answer; `None` while there is none (also where the connection was reset instead).
    pub status: Option<u16>,
}

/// A captured request as the control interface shows it.
#[derive(Serialize)]
pub(crate) struct CapturedView<'a> {
    at_ms: u128,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    authorization: Option<&'a str>,
    body: &'a Value,
    files: Vec<(&'a str, usize)>,
    status: Option<u16>,
}

impl Captured {
    /// Whether this is a request of that method whose path matches the pattern; `*` stands for one path segment.
    pub fn is(&self, method: &str, pattern: &str) -> bool {
        (method == "*" || self.method == method) && path_matches(pattern, &self.path)
    }

    pub(crate) fn view(&self, start: Instant) -> CapturedView<'_> {
        CapturedView {
            at_ms: self.at.duration_since(start).as_millis(),
            method: &self.method,
            path: &self.path,
            query: &self.query,
            authorization: self.authorization.as_deref(),
            body: &self.body,
            files: self.files.iter().map(|f| (f.name.as_str(), f.bytes.len())).collect(),
            status: self.status,
        }
    }
}

/// Whether a path matches a pattern in which `*` stands for one segment and a final `**` for any rest.
pub(crate) fn path_matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.trim_matches('/').split('/');
    let mut actual = path.trim_matches('/').split('/');
    loop {
        match (wanted.next(), actual.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some(w), Some(a)) if w == "*" || w == a => {}
            _ => return false,
        }
    }
}
