//! What the server says, and how badly.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::request::Request;

/// An answer, and how it is sent.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    manner: Manner,
    gate: Option<Arc<Notify>>,
    etag: Option<String>,
    last_modified: Option<String>,
}

/// How an answer is sent.
#[derive(Debug, Clone)]
enum Manner {
    /// With its length, whole.
    Whole,
    /// In chunks of this size.
    Chunked(usize),
    /// With its length, but only so many bytes of it.
    Truncated(usize),
    /// With this length, whatever the body's.
    Length(usize),
    /// One chunk of this size, and no end.
    ChunkedAbort(usize),
    /// One byte at a time with this pause between them, from the first byte of the head on.
    Drip(Duration),
    /// The head, and then nothing for ever.
    Stalled,
    /// Nothing for ever.
    Silent,
    /// The connection is closed without a word.
    Closed,
    /// The body is all that is sent, head included.
    Verbatim,
}

impl Answer {
    /// An answer with a body of this type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            manner: Manner::Whole,
            gate: None,
            etag: None,
            last_modified: None,
        };
        if !content_type.is_empty() {
            answer.headers.push(("content-type".into(), content_type.into()));
        }
        answer
    }

    /// A page.
    pub fn html(body: impl Into<String>) -> Self {
        Self::new(200, "text/html; charset=utf-8", body.into())
    }

    /// Plain text.
    pub fn text(body: impl Into<String>) -> Self {
        Self::new(200, "text/plain; charset=utf-8", body.into())
    }

    /// JSON.
    pub fn json(body: &serde_json::Value) -> Self {
        Self::new(200, "application/json", body.to_string())
    }

    /// Only a status, with a word or two as the body.
    pub fn status(status: u16) -> Self {
        Self::new(status, "text/plain", format!("status {status}"))
    }

    /// A redirection.
    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::status(status).header("location", to.into())
    }

    /// No answer: the request is read, and nothing is ever sent.
    pub fn silent() -> Self {
        Self { manner: Manner::Silent, ..Self::text("") }
    }

    /// No answer: the connection is closed after the request.
    pub fn closed() -> Self {
        Self { manner: Manner::Closed, ..Self::text("") }
    }

    /// Exactly these bytes, head included; then the connection is closed.
    pub fn verbatim(bytes: impl Into<Vec<u8>>) -> Self {
        Self { manner: Manner::Verbatim, ..Self::new(200, "", bytes) }
    }

    /// A bomb: so many zero bytes, gzipped to about a thousandth.
    pub fn gzip_bomb(size: usize) -> Self {
        Self::new(200, "text/plain", vec![0; size]).gzip()
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Gives it a validator: a request that knows it gets a 304.
    #[must_use]
    pub fn etag(mut self, etag: &str) -> Self {
        self.etag = Some(etag.into());
        self.header("etag", etag)
    }

    /// Gives it a time of change: a request that knows it gets a 304.
    #[must_use]
    pub fn last_modified(mut self, date: &str) -> Self {
        self.last_modified = Some(date.into());
        self.header("last-modified", date)
    }

    /// Compresses the body.
    ///
    /// # Panics
    /// Never: writing into memory does not fail.
    #[must_use]
    pub fn gzip(self) -> Self {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&self.body).expect("memory can be written");
        let body = encoder.finish().expect("memory can be written");
        Self { body, ..self }.header("content-encoding", "gzip")
    }

    /// Compresses the body.
    ///
    /// # Panics
    /// Never: writing into memory does not fail.
    #[must_use]
    pub fn deflate(self) -> Self {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&self.body).expect("memory can be written");
        let body = encoder.finish().expect("memory can be written");
        Self { body, ..self }.header("content-encoding", "deflate")
    }

    /// Compresses the body.
    ///
    /// # Panics
    /// Never: writing into memory does not fail.
    #[must_use]
    pub fn brotli(self) -> Self {
        let mut body = Vec::new();
        let mut encoder = brotli::CompressorWriter::new(&mut body, 4096, 5, 22);
        encoder.write_all(&self.body).expect("memory can be written");
        drop(encoder);
        Self { body, ..self }.header("content-encoding", "br")
    }

    /// Sends the body in chunks of this size.
    #[must_use]
    pub fn chunked(self, size: usize) -> Self {
        Self { manner: Manner::Chunked(size), ..self }
    }

    /// Announces the whole body, sends so many bytes of it, and closes.
    #[must_use]
    pub fn truncated(self, sent: usize) -> Self {
        Self { manner: Manner::Truncated(sent), ..self }
    }

    /// Announces this length, whatever the body's, sends the body, and closes.
    #[must_use]
    pub fn with_length(self, length: usize) -> Self {
        Self { manner: Manner::Length(length), ..self }
    }

    /// Sends one chunk of this size and closes without an end.
    #[must_use]
    pub fn chunked_abort(self, size: usize) -> Self {
        Self { manner: Manner::ChunkedAbort(size), ..self }
    }

    /// Sends a byte at a time, with this pause between them.
    #[must_use]
    pub fn drip(self, pause: Duration) -> Self {
        Self { manner: Manner::Drip(pause), ..self }
    }

    /// Sends the head and never the body.
    #[must_use]
    pub fn stalled(self) -> Self {
        Self { manner: Manner::Stalled, ..self }
    }

    /// Waits for a permit of the gate ([`Notify::notify_one`]) before it is sent.
    #[must_use]
    pub fn gated(self, gate: &Arc<Notify>) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    /// Sends it. Returns whether the connection can go on.
    pub(super) async fn send(
        self,
        request: &Request,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> std::io::Result<bool> {
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        let not_modified = self.knows(request);
        let has_body = !not_modified && request.method != "HEAD" && self.status != 204;
        let mut head = format!("HTTP/1.1 {} Answer\r\n", if not_modified { 304 } else { self.status });
        for (name, value) in &self.headers {
            // A 304 names no encoding: it has no body to be encoded.
            if !(not_modified && name.eq_ignore_ascii_case("content-encoding")) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let length = match self.manner {
            Manner::Chunked(_) | Manner::ChunkedAbort(_) => None,
            Manner::Length(length) => Some(length),
            _ => Some(self.body.len()),
        };
        match length {
            Some(_) if not_modified || self.status == 204 => {}
            Some(length) => head.push_str(&format!("content-length: {length}\r\n")),
            None => head.push_str("transfer-encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        let body: &[u8] = if has_body { &self.body } else { &[] };
        match self.manner {
            Manner::Silent => return std::future::pending().await,
            Manner::Closed => return Ok(false),
            Manner::Verbatim => {
                to.write_all(&self.body).await?;
                return Ok(false);
            }
            Manner::Drip(pause) => {
                for byte in head.as_bytes().iter().chain(body) {
                    to.write_all(std::slice::from_ref(byte)).await?;
                    to.flush().await?;
                    tokio::time::sleep(pause).await;
                }
                return Ok(true);
            }
            _ => to.write_all(head.as_bytes()).await?,
        }
        match self.manner {
            Manner::Stalled => {
                to.flush().await?;
                return std::future::pending().await;
            }
            Manner::Chunked(size) if has_body => {
                for chunk in body.chunks(size.max(1)) {
                    write_chunk(to, chunk).await?;
                }
                to.write_all(b"0\r\n\r\n").await?;
            }
            Manner::ChunkedAbort(size) => {
                write_chunk(to, &body[..size.min(body.len())]).await?;
                return Ok(false);
            }
            Manner::Truncated(sent) => {
                to.write_all(&body[..sent.min(body.len())]).await?;
                return Ok(false);
            }
            Manner::Length(_) => {
                to.write_all(body).await?;
                return Ok(false);
            }
            _ => to.write_all(body).await?,
        }
        Ok(true)
    }

    fn knows(&self, request: &Request) -> bool {
        match (request.header("if-none-match"), &self.etag) {
            (Some(known), Some(etag)) => return known.split(',').any(|known| known.trim() == etag),
            (Some(_), None) => return false,
            _ => {}
        }
        self.last_modified.is_some() && request.header("if-modified-since") == self.last_modified.as_deref()
    }
}

async fn write_chunk(to: &mut (impl AsyncWrite + Unpin), chunk: &[u8]) -> std::io::Result<()> {
    to.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
    to.write_all(chunk).await?;
    to.write_all(b"\r\n").await?;
    to.flush().await
}
