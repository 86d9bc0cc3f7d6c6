//! Texts, numbers and words.

use std::io::Read;
use std::ops::Range;

use pipeline_core::Value;

use super::reader::{JsonError, JsonReader, Reading};

/// A text that was read: without escapes it still stands in the buffer.
pub(super) enum Text {
    Buffer(Range<usize>),
    Unescaped,
}

impl<R: Read> JsonReader<R> {
    pub(super) fn not_utf8(&self) -> JsonError {
        self.error("the text before is not UTF-8")
    }

    pub(super) fn bytes<'a>(&'a self, text: &Text) -> &'a [u8] {
        match text {
            Text::Buffer(range) => &self.buffer[range.clone()],
            Text::Unescaped => &self.unescaped,
        }
    }

    /// Reads a text in quotes, of which the first is here. It is not checked to be UTF-8.
    pub(super) fn text(&mut self) -> Reading<Text> {
        self.at += 1;
        let start = self.at;
        let (start, end) = self.plain_part(start)?;
        if self.buffer[end] == b'"' {
            self.at = end + 1;
            return Ok(Text::Buffer(start..end));
        }
        self.unescaped.clear();
        self.unescaped.extend_from_slice(&self.buffer[start..end]);
        self.at = end;
        loop {
            // A backslash is here.
            self.at += 1;
            self.escape()?;
            let (start, end) = self.plain_part(self.at)?;
            self.unescaped.extend_from_slice(&self.buffer[start..end]);
            self.at = end;
            if self.buffer[end] == b'"' {
                self.at += 1;
                return Ok(Text::Unescaped);
            }
        }
    }

    /// Looks for the quote or backslash after `start` (which is here); returns where both are now.
    fn plain_part(&mut self, mut start: usize) -> Reading<(usize, usize)> {
        let mut searched = start;
        loop {
            let rest = &self.buffer[searched..self.filled];
            let found = memchr::memchr2(b'"', b'\\', rest);
            let plain = &rest[..found.unwrap_or(rest.len())];
            if let Some(control) = plain.iter().position(|byte| *byte < 0x20) {
                let byte = plain[control];
                self.at = searched + control;
                return Err(self.error(match byte {
                    b'\n' => "the text does not end in its line".to_owned(),
                    byte => format!("the control character {byte:#04x} must be written \\u{byte:04x}"),
                }));
            }
            if let Some(length) = found {
                return Ok((start, searched + length));
            }
            let length = self.filled - start;
            self.at = self.filled;
            if !self.fill(start)? {
                return Err(self.error("the text does not end: the document is cut off"));
            }
            // The kept bytes may have moved; what was searched ends where reading goes on.
            start = self.at - length;
            searched = self.at;
        }
    }

    fn escape(&mut self) -> Reading<()> {
        let byte = self.byte()?;
        let plain = match byte {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'u') => {
                self.at += 1;
                let character = self.unicode_escape()?;
                self.unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.unexpected("an escape such as \\n or \\u00e9")),
        };
        self.at += 1;
        self.unescaped.push(plain);
        Ok(())
    }

    /// Half a surrogate pair alone becomes the replacement character, as in every browser.
    fn unicode_escape(&mut self) -> Reading<char> {
        let mut unit = self.hex4()?;
        loop {
            if !(0xd800..0xdc00).contains(&unit) {
                return Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            while self.filled - self.at < 2 {
                if !self.fill(self.at)? {
                    return Ok(char::REPLACEMENT_CHARACTER);
                }
            }
            if !self.buffer[self.at..].starts_with(b"\\u") {
                return Ok(char::REPLACEMENT_CHARACTER);
            }
            self.at += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.unescaped.extend_from_slice("\u{fffd}".as_bytes());
            unit = low;
        }
    }

    fn hex4(&mut self) -> Reading<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.byte()?.and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.unexpected("four hexadecimal digits")) };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    pub(super) fn word(&mut self, word: &[u8], value: Value) -> Reading<Value> {
        while self.filled - self.at <= word.len() && self.fill(self.at)? {}
        let rest = &self.buffer[self.at..self.filled];
        let ends = rest.get(word.len()).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if rest.starts_with(word) && ends {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.unexpected("a value"))
    }

    pub(super) fn number(&mut self) -> Reading<Value> {
        let mut length = 0;
        loop {
            let rest = &self.buffer[self.at + length..self.filled];
            let digits =
                rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
            length += digits.count();
            if self.at + length < self.filled || !self.fill(self.at)? {
                break;
            }
        }
        let bytes = &self.buffer[self.at..self.at + length];
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        match Value::number(text) {
            Some(number) => {
                self.at += length;
                Ok(number)
            }
            None => {
                let text = text.to_owned();
                Err(self.error(format!("`{text}` is not a number as JSON writes it")))
            }
        }
    }
}
