//! What flows through a chain: the seed, raw payloads, parsed items and events.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::value::Record;

/// One element of the stream between two stages.
#[derive(Debug)]
pub enum Item {
    /// The empty item that seeds a chain; a fetcher runs when its first input arrives.
    Trigger,
    /// A payload as fetched.
    Raw(Box<RawItem>),
    /// A record that a parser made.
    Parsed(ParsedItem),
    /// Something worth telling, that is no data.
    Event(Box<Event>),
}

impl Item {
    /// The topic of a parsed item.
    pub fn topic(&self) -> Option<&Topic> {
        match self {
            Self::Parsed(item) => Some(&item.topic),
            _ => None,
        }
    }

    /// Whether this is the seed item, which is not counted.
    pub fn is_trigger(&self) -> bool {
        matches!(self, Self::Trigger)
    }
}

impl From<ParsedItem> for Item {
    fn from(item: ParsedItem) -> Self {
        Self::Parsed(item)
    }
}

impl From<RawItem> for Item {
    fn from(item: RawItem) -> Self {
        Self::Raw(Box::new(item))
    }
}

impl From<Event> for Item {
    fn from(event: Event) -> Self {
        Self::Event(Box::new(event))
    }
}

/// The logical table that an item belongs to, such as `shop.book`; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// A topic of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic under which the changes of this one are told: `<topic>.diff`.
    pub fn diff(&self) -> Self {
        Self(format!("{}.diff", self.0).into())
    }
}

impl std::ops::Deref for Topic {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Topic {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl schemars::JsonSchema for Topic {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Topic".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "minLength": 1})
    }
}

/// A payload as fetched, with where it came from.
#[derive(Debug)]
pub struct RawItem {
    /// Where it came from: a URL, a path, or the name that the stage was given.
    pub source: String,
    /// The bytes.
    pub payload: Payload,
    /// When it was fetched.
    pub fetched_at: DateTime<Utc>,
    /// What is known about it: `url`, `status`, kept values.
    pub metadata: Record,
}

/// A record that a parser made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ParsedItem {
    /// The logical table.
    pub topic: Topic,
    /// The fields.
    pub content: Record,
    /// When it was found.
    pub discovered_at: DateTime<Utc>,
}

/// Something worth telling that is no data; sinks pass it on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// How grave it is.
    pub level: EventLevel,
    /// What happened.
    pub message: String,
    /// Who says so.
    pub source: String,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// Further facts.
    #[serde(default)]
    pub metadata: Record,
}

/// How grave an [`Event`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventLevel {
    /// Of interest when looking for a fault.
    Debug,
    /// Normal.
    Info,
    /// Unexpected; the run goes on.
    Warning,
    /// Something failed.
    Error,
}

/// The bytes of a [`RawItem`]: in memory, in a file, or read as they come.
pub enum Payload {
    /// All bytes in memory.
    Bytes(Bytes),
    /// A file that stays where it is.
    File(PathBuf),
    /// A file of its own that is removed when the payload is dropped.
    Spooled(SpooledFile),
    /// A reader, used from a thread that may block.
    Reader(Box<dyn Read + Send + Sync>),
}

/// A temporary file that goes when it is dropped.
#[derive(Debug)]
pub struct SpooledFile(PathBuf);

impl SpooledFile {
    /// Takes over an existing file.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SpooledFile {
    fn drop(&mut self) {
        // Nobody is left to tell; the system's cleaner of temporary files is the second net.
        std::fs::remove_file(&self.0).ok();
    }
}

impl Payload {
    /// Opens the payload for reading.
    ///
    /// # Errors
    /// Where its file cannot be opened.
    pub fn into_reader(self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Self::File(path) => Box::new(File::open(path)?),
            Self::Spooled(file) => Box::new(SpooledReader { file: File::open(file.path())?, _keep: file }),
            Self::Reader(reader) => reader,
        })
    }

    /// Reads the payload whole, refusing more than `limit` bytes.
    ///
    /// # Errors
    /// Where it cannot be read, or is longer than `limit` ([`io::ErrorKind::FileTooLarge`]).
    pub fn into_bytes(self, limit: u64) -> io::Result<Bytes> {
        let too_large = || {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("the payload is larger than {limit} bytes"))
        };
        if let Self::Bytes(bytes) = self {
            return if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) };
        }
        let mut bytes = Vec::new();
        self.into_reader()?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes.into()) }
    }

    /// The number of bytes, where it is known without reading them.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(path) => std::fs::metadata(path).ok().map(|meta| meta.len()),
            Self::Spooled(file) => std::fs::metadata(file.path()).ok().map(|meta| meta.len()),
            Self::Reader(_) => None,
        }
    }

    /// Whether it is known to hold nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// A second payload with the same bytes, where that is possible without reading them.
    pub fn try_clone(&self) -> Option<Self> {
        match self {
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::File(path) => Some(Self::File(path.clone())),
            Self::Spooled(_) | Self::Reader(_) => None,
        }
    }
}

struct SpooledReader {
    file: File,
    _keep: SpooledFile,
}

impl Read for SpooledReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Spooled(file) => f.debug_tuple("Spooled").field(&file.0).finish(),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(text.as_bytes()))
    }
}
