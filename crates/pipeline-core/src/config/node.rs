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

impl Position {
    /// The first character.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
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
    /// A number or boolean as the file spells it: `1.10`, `0x1f`. Empty for everything else.
    pub written: Box<str>,
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
    /// A node.
    pub fn new(at: Position, kind: Kind) -> Self {
        Self { at, kind, written: Box::default() }
    }

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

    /// JSON as a node, without places.
    pub fn from_json(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(*value),
            Value::Number(number) => match number.as_i128() {
                Some(number) => Kind::Int(number),
                None => Kind::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Kind::Text(Text { value: text.clone(), ..Text::default() }),
            Value::Array(elements) => Kind::List(elements.iter().map(Self::from_json).collect()),
            Value::Object(fields) => Kind::Map(
                fields
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_at: Position::START,
                        value: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        let written = match value {
            Value::Bool(_) | Value::Number(_) => value.to_string().into(),
            _ => Box::default(),
        };
        Self { at: Position::START, kind, written }
    }

    /// The node as JSON. Secrets are hidden; maps keep their order.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(number) => match serde_json::Number::from_i128(*number) {
                Some(number) => Value::Number(number),
                None => Value::String(number.to_string()),
            },
            Kind::Float(number) => (*number).into(),
            Kind::Text(text) if text.secret => crate::redact::REDACTED.into(),
            Kind::Text(text) => text.value.as_str().into(),
            Kind::List(elements) => elements.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
            }
        }
    }

    /// Itself, or an empty map at the same place where it is nothing.
    #[must_use]
    pub fn or_empty_map(self) -> Self {
        match self.kind {
            Kind::Null => Self::new(self.at, Kind::Map(Vec::new())),
            _ => self,
        }
    }

    /// The place of what stands at a path such as `fields.price.regex` or `urls[2]`; of the nearest thing
    /// around it where there is nothing.
    pub fn locate(&self, path: &str) -> Position {
        super::path::walk(self, path).at
    }

    /// The node in the words of a message: `the text `abc``, `a list`.
    pub fn describe(&self) -> String {
        super::decode::describe(self)
    }
}
