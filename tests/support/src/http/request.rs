//! A request as the server got it.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use tokio::time::Instant;

/// A request as the server got it.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The request target as it was sent: a path with its query, or a whole URL where the server is a proxy.
    pub target: String,
    /// The headers in the order of their arrival.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When its head had arrived.
    pub at: Instant,
}

impl Request {
    /// The value of a header, in any case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.path_and_query().split('?').next().unwrap_or_default()
    }

    /// The query, empty where there is none.
    pub fn query(&self) -> &str {
        self.path_and_query().split_once('?').map_or("", |(_, query)| query)
    }

    /// The path with the query, also where the target is a whole URL.
    pub fn path_and_query(&self) -> &str {
        match self.target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => &self.target,
        }
    }

    /// The value of a parameter of the query, as it was sent.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query()
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads the next request of a connection; `None` where it was closed instead.
    pub(super) async fn read(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let Some(first) = line(reader).await? else { return Ok(None) };
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            at: Instant::now(),
        };
        loop {
            let Some(header) = line(reader).await? else { return Ok(None) };
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                request.headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        if let Some(length) = request.header("content-length").and_then(|length| length.parse().ok()) {
            request.body.resize(length, 0);
            reader.read_exact(&mut request.body).await?;
        } else if request.header("transfer-encoding").is_some() {
            request.body = chunks(reader).await?;
        }
        Ok(Some(request))
    }
}

async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end().to_owned()))
}

async fn chunks(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(reader).await?.unwrap_or_default();
        let size = usize::from_str_radix(&size, 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a chunk without a size"))?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..]).await?;
        line(reader).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}
