//! Lines of bounded length from a stream of bytes.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What is done with the part of a line that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooLong {
    /// It is read and dropped.
    Cut,
    /// Reading fails.
    Fail,
}

/// A line, without its end.
pub(super) struct Text<'a> {
    pub(super) line: &'a [u8],
    /// Whether it had an end; only the last line of a stream may have none.
    pub(super) finished: bool,
}

/// Reads lines of at most `limit` bytes.
pub(super) struct Lines<R> {
    reader: R,
    limit: usize,
    too_long: TooLong,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, limit: usize, too_long: TooLong) -> Self {
        Self { reader, limit, too_long, line: Vec::new() }
    }

    /// The next line; `None` at the end of the stream.
    ///
    /// # Errors
    /// Where the stream fails, or a line is too long.
    pub(super) async fn next(&mut self) -> io::Result<Option<Text<'_>>> {
        self.line.clear();
        let (mut any, mut finished) = (false, false);
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                break;
            }
            any = true;
            let end = memchr::memchr(b'\n', available);
            let part = &available[..end.unwrap_or(available.len())];
            let room = self.limit - self.line.len();
            if part.len() > room && self.too_long == TooLong::Fail {
                let message = format!("a line is longer than {} bytes", self.limit);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(available.len(), |end| end + 1);
            self.reader.consume(used);
            finished = end.is_some();
            if finished {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(Some(Text { line: &self.line, finished }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str, limit: usize, too_long: TooLong) -> Vec<String> {
        // A small buffer, so that lines come in parts.
        let reader = tokio::io::BufReader::with_capacity(3, text.as_bytes());
        let mut lines = Lines::new(reader, limit, too_long);
        let mut found = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(text)) => found.push(String::from_utf8(text.line.to_vec()).unwrap()),
                Ok(None) => return found,
                Err(error) => {
                    found.push(error.to_string());
                    return found;
                }
            }
        }
    }

    #[tokio::test]
    async fn lines_come_whole_and_bounded() {
        let cases: [(&str, &[&str], &[&str]); 5] = [
            ("", &[], &[]),
            ("a\nbcdef\n", &["a", "bcdef"], &["a", "bcdef"]),
            ("a\r\n\nb", &["a", "", "b"], &["a", "", "b"]),
            ("12345678\nx\n", &["12345", "x"], &["a line is longer than 5 bytes"]),
            ("\n12345\n123456", &["", "12345", "12345"], &["", "12345", "a line is longer than 5 bytes"]),
        ];
        for (text, cut, failed) in cases {
            assert_eq!(read(text, 5, TooLong::Cut).await, cut, "{text:?}");
            assert_eq!(read(text, 5, TooLong::Fail).await, failed, "{text:?}");
        }
    }
}
