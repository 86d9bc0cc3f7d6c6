//! The content of a file, each part with the place where it stands.

use std::fmt;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub at: Position,
    /// What it is.
    pub kind: Kind,
}

/// What stands in a part of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A number.
    Float(f64),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file; keys are unique.
    Map(Vec<Entry>),
}

/// A text in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    /// The text, with its variables replaced.
    pub value: String,
    /// Whether it stands without quotes.
    pub plain: bool,
    /// Whether a variable was replaced in it: then it may become whatever type its place asks for.
    pub substituted: bool,
    /// Whether it must never be shown.
    pub secret: bool,
}

/// A key of a map, and what stands under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_at: Position,
    /// What stands under it.
    pub value: Node,
}

impl Node {
    /// What stands under this key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// This key of a map, with its place.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none where it is something else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list; none where it is something else.
    pub fn elements(&self) -> &[Node] {
        match &self.kind {
            Kind::List(elements) => elements,
            _ => &[],
        }
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(&text.value),
            _ => None,
        }
    }

    /// Whether it is nothing.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }
}
