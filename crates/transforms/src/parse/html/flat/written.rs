//! Tags as they are written: names and attributes.

use super::Attr;
use super::build::{Builder, Written};
use super::tags::{self, Tag, UNKNOWN};

/// More attributes of an element, or own names of a page, than this are no plain page.
const ATTRS: usize = 64;
const NAMES: usize = 256;

impl<'h> Builder<'h> {
    fn name(&self) -> &'h [u8] {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
        &rest[..length.unwrap_or(rest.len())]
    }

    /// The number of a name, however it is written.
    fn tag_of(&mut self, name: &[u8]) -> Option<Tag> {
        if let Some(tag) = tags::known(name) {
            return Some(tag);
        }
        let lower = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        tags::known(lower.as_bytes()).or_else(|| self.own_name(&lower))
    }

    pub(super) fn own_name(&mut self, name: &str) -> Option<Tag> {
        let at = match self.names.iter().position(|known| known == name) {
            Some(at) => at,
            None if self.names.len() == NAMES => return None,
            None => {
                self.names.push(name.to_owned());
                self.names.len() - 1
            }
        };
        Some(UNKNOWN + at as Tag)
    }

    /// Reads a tag as far as its `>`; the attributes are kept.
    pub(super) fn written(&mut self, from: usize) -> Option<Written> {
        let name = self.name();
        self.at += name.len();
        let tag = self.tag_of(name)?;
        let attrs = self.attrs.len();
        let mut self_closing = false;
        loop {
            let byte = *self.bytes.get(self.at)?;
            match byte {
                b'>' => {
                    self.at += 1;
                    return Some(Written { tag, attrs: attrs as u32, self_closing, from });
                }
                b'/' => {
                    self_closing = self.bytes.get(self.at + 1) == Some(&b'>');
                    self.at += 1;
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => {
                    let attr = self.attribute()?;
                    let all = &self.attrs[attrs..];
                    if all.len() == ATTRS {
                        return None;
                    }
                    // Of an attribute that stands twice the first one counts.
                    let name = attr.name(self.bytes);
                    if !all.iter().any(|known| known.name(self.bytes).eq_ignore_ascii_case(name)) {
                        self.attrs.push(attr);
                    }
                }
            }
        }
    }

    fn attribute(&mut self) -> Option<Attr> {
        let from = self.at;
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'=');
        // An equals sign at the start belongs to the name.
        self.at += 1 + self.bytes[from + 1..].iter().position(is_end)?;
        let name_to = self.at;
        self.skip_space();
        if self.bytes.get(self.at) != Some(&b'=') {
            self.at = name_to;
            return Some(Attr::new((from, name_to), (name_to, name_to)));
        }
        self.at += 1;
        self.skip_space();
        let value = match *self.bytes.get(self.at)? {
            quote @ (b'"' | b'\'') => {
                let from = self.at + 1;
                let length = memchr::memchr(quote, &self.bytes[from..])?;
                self.at = from + length + 1;
                (from, from + length)
            }
            b'>' => (self.at, self.at),
            _ => {
                let from = self.at;
                let rest = &self.bytes[from..];
                self.at += rest.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'>')?;
                // Both kinds of quotes at once would make it hard to read again.
                let value = &self.bytes[from..self.at];
                if value.contains(&b'"') && value.contains(&b'\'') {
                    return None;
                }
                (from, self.at)
            }
        };
        Some(Attr::new((from, name_to), value))
    }

    fn skip_space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
}
