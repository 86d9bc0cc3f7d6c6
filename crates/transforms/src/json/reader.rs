//! The reader of single values.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use pipeline_core::{CompactString, Record, Shape, ShapeCache, Value};

/// Values nested deeper than this are refused: whoever walks them later needs stack for it.
const DEPTH: usize = 256;

/// A single text or number longer than this is refused.
const TOKEN: usize = 256 << 20;

/// As much of a line is kept for the message about it.
const LINE: usize = 1 << 20;

/// What is wrong with a JSON text, and where.
#[derive(Debug)]
pub(crate) struct JsonError {
    /// The line, from 1.
    pub(crate) line: u64,
    /// The byte within the line, from 1.
    pub(crate) column: u64,
    message: String,
    io: Option<io::Error>,
}

impl JsonError {
    /// Whether the bytes could not be read at all.
    pub(crate) fn is_io(&self) -> bool {
        self.io.is_some()
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.io.as_ref().map(|error| error as &(dyn std::error::Error + 'static))
    }
}

pub(super) type Reading<T> = Result<T, JsonError>;

/// Reads UTF-8 JSON from a reader.
pub(crate) struct JsonReader<R> {
    reader: R,
    pub(super) buffer: Vec<u8>,
    pub(super) at: usize,
    pub(super) filled: usize,
    /// The position in the stream of `buffer[0]`.
    base: u64,
    line: u64,
    /// The position in the stream of the first byte of the line.
    line_start: u64,
    shapes: ShapeCache,
    /// The shape of the last object at each depth, which the next one probably has too.
    last: Vec<Option<Arc<Shape>>>,
    pub(super) unescaped: Vec<u8>,
}

impl<R: Read> JsonReader<R> {
    /// Reads from here; a byte order mark must be gone already.
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; 64 * 1024],
            at: 0,
            filled: 0,
            base: 0,
            line: 1,
            line_start: 0,
            shapes: ShapeCache::default(),
            last: Vec::new(),
            unescaped: Vec::new(),
        }
    }

    /// The next value, or `None` at the end.
    ///
    /// # Errors
    /// Where the text is not JSON, or cannot be read.
    pub(crate) fn next_value(&mut self) -> Reading<Option<Value>> {
        if self.peek_token()?.is_none() { Ok(None) } else { self.value(0).map(Some) }
    }

    /// The line that the reader stands in, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The first byte of the next value, after white space.
    ///
    /// # Errors
    /// Where nothing can be read.
    pub(crate) fn peek_token(&mut self) -> Reading<Option<u8>> {
        loop {
            while self.at < self.filled {
                match self.buffer[self.at] {
                    b'\n' => {
                        self.at += 1;
                        self.line += 1;
                        self.line_start = self.base + self.at as u64;
                    }
                    // The record separator precedes the values of a JSON text sequence.
                    b' ' | b'\t' | b'\r' | 0x1e => self.at += 1,
                    byte => return Ok(Some(byte)),
                }
            }
            if !self.fill(self.at)? {
                return Ok(None);
            }
        }
    }

    /// Whether only white space stands before this place in its line.
    pub(crate) fn at_line_start(&self) -> bool {
        let start = self.line_start.checked_sub(self.base).and_then(|start| usize::try_from(start).ok());
        start.is_some_and(|start| {
            self.buffer[start..self.at].iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | 0x1e))
        })
    }

    /// Leaves the rest of the line out; returns what is still known of the line.
    ///
    /// # Errors
    /// Where nothing can be read.
    pub(crate) fn skip_line(&mut self) -> Reading<Vec<u8>> {
        loop {
            if let Some(length) = memchr::memchr(b'\n', &self.buffer[self.at..self.filled]) {
                self.at += length;
                return Ok(self.known_line().to_vec());
            }
            self.at = self.filled;
            if !self.fill(self.at)? {
                return Ok(self.known_line().to_vec());
            }
        }
    }

    fn known_line(&self) -> &[u8] {
        let start = self.line_start.saturating_sub(self.base);
        let start = usize::try_from(start).unwrap_or(self.at).min(self.at);
        &self.buffer[start..self.at]
    }

    /// Reads on, keeping the bytes from `keep` and, while it is short, the line. Positions in the buffer
    /// move: [`Self::at`] stays true, others are to be counted from it. Returns false at the end.
    pub(super) fn fill(&mut self, keep: usize) -> Reading<bool> {
        let line = usize::try_from(self.line_start.saturating_sub(self.base)).unwrap_or(keep);
        let keep = if self.filled - line.min(self.filled) < LINE { keep.min(line) } else { keep };
        if keep > 0 {
            self.buffer.copy_within(keep..self.filled, 0);
            self.filled -= keep;
            self.at -= keep;
            self.base += keep as u64;
        }
        if self.filled == self.buffer.len() {
            if self.filled >= TOKEN {
                return Err(self.error(format!("a single text is longer than {} MiB", TOKEN >> 20)));
            }
            self.buffer.resize(self.filled * 2, 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.filled..]) {
                Ok(read) => {
                    self.filled += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let mut wrong = self.error(format!("cannot be read: {error}"));
                    wrong.io = Some(error);
                    return Err(wrong);
                }
            }
        }
    }

    /// The byte here, without skipping white space.
    pub(super) fn byte(&mut self) -> Reading<Option<u8>> {
        if self.at == self.filled && !self.fill(self.at)? {
            return Ok(None);
        }
        Ok(Some(self.buffer[self.at]))
    }

    pub(super) fn error(&self, message: impl Into<String>) -> JsonError {
        let column = (self.base + self.at as u64).saturating_sub(self.line_start) + 1;
        JsonError { line: self.line, column, message: message.into(), io: None }
    }

    /// Says what was expected, and what stands here.
    pub(super) fn unexpected(&mut self, expected: &str) -> JsonError {
        // What stands here is shown whole; where no more can be read, that is not what is at fault.
        while self.filled - self.at < 20 && matches!(self.fill(self.at), Ok(true)) {}
        let rest = &self.buffer[self.at..self.filled];
        let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let found = match rest {
            [] => return self.error(format!("expected {expected}, found the end: the text is cut off")),
            _ if word > 0 => String::from_utf8_lossy(&rest[..word.min(20)]).into_owned(),
            [byte, ..] if byte.is_ascii_graphic() => char::from(*byte).to_string(),
            _ => String::from_utf8_lossy(&rest[..rest.len().min(4)]).chars().take(1).collect(),
        };
        let hint = if matches!(&*found, "NaN" | "Infinity" | "undefined" | "None" | "True" | "False") {
            ", which JSON does not know"
        } else {
            ""
        };
        self.error(format!("expected {expected}, found `{found}`{hint}"))
    }

    /// Takes this byte, after white space.
    pub(super) fn expect(&mut self, wanted: u8, what: &str) -> Reading<()> {
        match self.peek_token()? {
            Some(byte) if byte == wanted => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// After an element: whether another one follows, or the end `close`.
    pub(super) fn another(&mut self, close: u8) -> Reading<bool> {
        match self.peek_token()? {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(if close == b']' { "`,` or `]`" } else { "`,` or `}`" })),
        }
    }

    /// Takes the opening bracket; whether something is in it.
    pub(super) fn opened(&mut self, close: u8) -> Reading<bool> {
        self.at += 1;
        if self.peek_token()? == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn value(&mut self, depth: usize) -> Reading<Value> {
        if depth == DEPTH {
            return Err(self.error(format!("nested deeper than {DEPTH} levels")));
        }
        match self.peek_token()? {
            Some(b'"') => {
                let text = self.text()?;
                let bytes = self.bytes(&text);
                match CompactString::from_utf8(bytes) {
                    Ok(text) => Ok(Value::Text(text)),
                    Err(_) => Err(self.not_utf8()),
                }
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => {
                let mut list = Vec::new();
                let mut more = self.opened(b']')?;
                while more {
                    list.push(self.value(depth + 1)?);
                    more = self.another(b']')?;
                }
                Ok(Value::from(list))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Reading<Value> {
        if self.last.len() <= depth {
            self.last.resize(depth + 1, None);
        }
        let likely = self.last[depth].clone();
        let likely_names = likely.as_ref().map_or(&[][..], |shape| shape.names());
        let mut values = Vec::with_capacity(likely_names.len());
        // Kept only from the first name on that differs from the likely shape.
        let mut names: Option<Vec<CompactString>> = None;
        let mut more = self.opened(b'}')?;
        while more {
            if self.peek_token()? != Some(b'"') {
                return Err(self.unexpected("a name in quotes"));
            }
            let text = self.text()?;
            let name = self.bytes(&text);
            let as_expected = names.is_none()
                && likely_names.get(values.len()).is_some_and(|likely| likely.as_bytes() == name);
            if !as_expected {
                let Ok(name) = CompactString::from_utf8(name) else { return Err(self.not_utf8()) };
                let known = || likely_names[..values.len()].iter().map(|name| CompactString::from(&**name));
                names.get_or_insert_with(|| known().collect()).push(name);
            }
            self.expect(b':', "`:`")?;
            values.push(self.value(depth + 1)?);
            more = self.another(b'}')?;
        }
        let shape = match (names, likely) {
            (None, Some(shape)) if shape.names().len() == values.len() => shape,
            (None, likely) => {
                let names = likely.as_ref().map_or(&[][..], |shape| &shape.names()[..values.len()]);
                self.shapes.shape(names)
            }
            (Some(mut names), _) => {
                keep_last(&mut names, &mut values);
                self.shapes.shape(&names)
            }
        };
        self.last[depth] = Some(shape.clone());
        Ok(Value::from(Record::from_shape(shape, values)))
    }

    /// Reads a value without keeping it.
    pub(super) fn skip_value(&mut self, depth: usize) -> Reading<()> {
        if depth == DEPTH {
            return Err(self.error(format!("nested deeper than {DEPTH} levels")));
        }
        match self.peek_token()? {
            Some(b'"') => self.text().map(drop),
            Some(b'{') => {
                let mut more = self.opened(b'}')?;
                while more {
                    if self.peek_token()? != Some(b'"') {
                        return Err(self.unexpected("a name in quotes"));
                    }
                    self.text()?;
                    self.expect(b':', "`:`")?;
                    self.skip_value(depth + 1)?;
                    more = self.another(b'}')?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut more = self.opened(b']')?;
                while more {
                    self.skip_value(depth + 1)?;
                    more = self.another(b']')?;
                }
                Ok(())
            }
            _ => self.value(depth).map(drop),
        }
    }
}

/// Of a name that stands twice the last value is kept, at the first place.
fn keep_last(names: &mut Vec<CompactString>, values: &mut Vec<Value>) {
    let mut kept = std::collections::HashMap::with_capacity(names.len());
    let mut count = 0;
    for at in 0..names.len() {
        match kept.entry(names[at].clone()) {
            std::collections::hash_map::Entry::Occupied(first) => {
                let first: usize = *first.get();
                values.swap(first, at);
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(count);
                names.swap(count, at);
                values.swap(count, at);
                count += 1;
            }
        }
    }
    names.truncate(count);
    values.truncate(count);
}
