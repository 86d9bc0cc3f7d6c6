//! YAML text to [`Node`]s. The only module that knows YAML libraries.
//!
//! Two readers look at a file. `saphyr-parser` goes first: it knows the place of everything, and gives events one
//! by one, so that hostile files (alias bombs, endless nesting) are refused before anything is built of them.
//! `serde_yaml` then reads the content in step with it, and decides what a scalar is. Where the two disagree
//! about the shape of a file, it is refused: what two readers understand differently, a person may too.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::merge;
use super::node::{Entry, Kind, Node, Position, Text};
use super::path::KeyPath;

/// Lists and maps within each other.
const MAX_DEPTH: usize = 64;
/// Values of a file, those behind aliases counted each time.
const MAX_NODES: usize = 500_000;
/// Values that aliases add.
const MAX_ALIASED: usize = 100_000;

/// Something that makes the text no YAML that we read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    pub(crate) path: KeyPath,
    pub(crate) message: String,
}

/// Reads a text: its content, and what is wrong with the keys of its maps.
///
/// # Errors
/// The first fault that makes the rest unreadable.
pub(crate) fn read(text: &str) -> Result<(Node, Vec<Fault>), Fault> {
    let located = Locator::default().locate(text).map_err(|fault| explain(fault, text))?;
    let mut node = (InStep { place: &located })
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| from_serde(&error, text))?;
    let mut faults = Vec::new();
    merge::settle_keys(&mut node, &KeyPath::root(), &mut faults);
    Ok((node, faults))
}

fn position(marker: &Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}

/// The shape of a file with its places.
struct Located {
    at: Position,
    shape: Shape,
    /// The number of values in it.
    size: usize,
}

enum Shape {
    Scalar { raw: String, plain: bool },
    List(Vec<Rc<Located>>),
    Map(Vec<(Rc<Located>, Rc<Located>)>),
}

/// A list or map that is not complete yet.
struct Open {
    at: Position,
    anchor: usize,
    is_map: bool,
    /// Elements, or keys and values in turn.
    children: Vec<Rc<Located>>,
}

#[derive(Default)]
struct Locator {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Located>>,
    nodes: usize,
    aliased: usize,
    root: Option<Rc<Located>>,
}

impl Locator {
    fn locate(mut self, text: &str) -> Result<Rc<Located>, Fault> {
        let mut parser = Parser::new_from_str(text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                // The scanner has a limit of its own, which it may reach before the nesting is seen here.
                Err(error) if error.info().contains("recursion limit") => {
                    return Err(self.fault(position(error.marker()), too_deep()));
                }
                Err(error) => {
                    let message = format!("invalid YAML: {}", error.info());
                    return Err(self.fault(position(error.marker()), message));
                }
            };
            let at = position(&span.start);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.fault(at, "a second document starts here: a file holds one"));
                    }
                }
                Event::Alias(anchor) => {
                    let Some(node) = self.anchors.get(&anchor).cloned() else {
                        return Err(self.fault(at, "this alias stands within what it names"));
                    };
                    self.aliased = self.aliased.saturating_add(node.size);
                    if self.aliased > MAX_ALIASED {
                        let message =
                            format!("the aliases of this file unfold to more than {MAX_ALIASED} values");
                        return Err(self.fault(at, message));
                    }
                    self.add(at, node)?;
                }
                Event::Scalar(raw, style, anchor, tag) => {
                    self.check_tag(at, tag.as_deref())?;
                    let plain = style == ScalarStyle::Plain;
                    let shape = Shape::Scalar { raw: raw.into_owned(), plain };
                    let node = Rc::new(Located { at, shape, size: 1 });
                    self.name(anchor, &node);
                    self.add(at, node)?;
                }
                Event::SequenceStart(anchor, tag) => self.start(at, anchor, false, tag.as_deref())?,
                Event::MappingStart(anchor, tag) => self.start(at, anchor, true, tag.as_deref())?,
                Event::SequenceEnd | Event::MappingEnd => self.end()?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        let start = Position { line: 1, column: 1 };
        let blank =
            |root: &Rc<Located>| matches!(&root.shape, Shape::Scalar { raw, plain: true } if raw.is_empty());
        match self.root.take() {
            Some(root) if !blank(&root) => Ok(root),
            _ => {
                Err(self.fault(start, "the file is empty: it needs `pipelines:` with at least one pipeline"))
            }
        }
    }

    fn start(&mut self, at: Position, anchor: usize, is_map: bool, tag: Option<&Tag>) -> Result<(), Fault> {
        self.check_tag(at, tag)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(
                self.fault(at, format!("more than {MAX_DEPTH} lists and maps stand within each other"))
            );
        }
        self.open.push(Open { at, anchor, is_map, children: Vec::new() });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let size = open.children.iter().fold(1usize, |sum, child| sum.saturating_add(child.size));
        let shape = if open.is_map {
            let mut pairs = Vec::with_capacity(open.children.len() / 2);
            let mut children = open.children.into_iter();
            while let (Some(key), Some(value)) = (children.next(), children.next()) {
                pairs.push((key, value));
            }
            Shape::Map(pairs)
        } else {
            Shape::List(open.children)
        };
        let node = Rc::new(Located { at: open.at, shape, size });
        self.name(open.anchor, &node);
        self.add(open.at, node)
    }

    fn name(&mut self, anchor: usize, node: &Rc<Located>) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn add(&mut self, at: Position, node: Rc<Located>) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes.saturating_add(self.aliased) > MAX_NODES {
            return Err(self.fault(at, format!("the file holds more than {MAX_NODES} values")));
        }
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn check_tag(&self, at: Position, tag: Option<&Tag>) -> Result<(), Fault> {
        const KNOWN: [&str; 7] = ["str", "int", "float", "bool", "null", "map", "seq"];
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && KNOWN.contains(&tag.suffix.as_str()) => Ok(()),
            Some(tag) => Err(self.fault(at, format!("the tag `{tag}` means nothing here: leave it out"))),
            None => Ok(()),
        }
    }

    /// A fault, with the path of what is being read.
    fn fault(&self, at: Position, message: impl Into<String>) -> Fault {
        let mut path = KeyPath::root();
        for open in &self.open {
            if !open.is_map {
                path = path.index(open.children.len());
            } else if open.children.len() % 2 == 1
                && let Some(Shape::Scalar { raw, .. }) = open.children.last().map(|key| &key.shape)
            {
                path = path.key(raw);
            }
        }
        Fault { at, path, message: message.into() }
    }
}

fn too_deep() -> String {
    format!("more than {MAX_DEPTH} lists and maps stand within each other")
}

/// Makes a fault of the syntax say what to do, where the cause is a common one.
fn explain(mut fault: Fault, text: &str) -> Fault {
    let line = usize::try_from(fault.at.line).unwrap_or(usize::MAX);
    let upto = || text.lines().take(line).skip(line.saturating_sub(2));
    let indented_by_tab = |line: &str| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    if upto().any(indented_by_tab) {
        fault.message.push_str(" (a tab stands in the indentation: YAML wants spaces)");
    }
    fault
}

fn from_serde(error: &serde_yaml::Error, text: &str) -> Fault {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut message = error.to_string();
    let mut at = Position { line: 1, column: 1 };
    if let Some(place) = error.location() {
        at = Position { line: number(place.line()), column: number(place.column()) };
        let suffix = format!(" at line {} column {}", place.line(), place.column());
        message = message.replace(&suffix, "");
    }
    explain(Fault { at, path: KeyPath::root(), message }, text)
}

/// Reads the content of what stands at a known place.
#[derive(Clone, Copy)]
struct InStep<'a> {
    place: &'a Located,
}

impl InStep<'_> {
    fn node(&self, kind: Kind) -> Node {
        let written = match (&kind, &self.place.shape) {
            (Kind::Bool(_) | Kind::Int(_) | Kind::Float(_), Shape::Scalar { raw, .. }) => raw.as_str().into(),
            _ => Box::default(),
        };
        Node { at: self.place.at, kind, written }
    }

    fn scalar<E: serde::de::Error>(&self, kind: Kind) -> Result<Node, E> {
        match self.place.shape {
            Shape::Scalar { .. } => Ok(self.node(kind)),
            Shape::List(_) | Shape::Map(_) => Err(E::custom(self.disagreement())),
        }
    }

    fn disagreement(&self) -> String {
        let at = self.place.at;
        format!(
            "what stands at line {}, column {} can be read in two ways: indent or quote it",
            at.line, at.column
        )
    }
}

impl<'de> DeserializeSeed<'de> for InStep<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for InStep<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
        self.scalar(Kind::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        self.scalar(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Node, E> {
        self.scalar(Kind::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(Kind::Int(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(Kind::Int(value.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Node, E> {
        self.scalar(Kind::Int(value))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Node, E> {
        let value = i128::try_from(value).map_err(|_| E::custom(format!("{value} is too large a number")))?;
        self.scalar(Kind::Int(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        self.scalar(Kind::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Node, E> {
        let plain = matches!(self.place.shape, Shape::Scalar { plain: true, .. });
        self.scalar(Kind::Text(Text { value: value.to_owned(), plain, ..Text::default() }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let Shape::List(places) = &self.place.shape else {
            return Err(A::Error::custom(self.disagreement()));
        };
        let mut elements = Vec::with_capacity(places.len());
        for place in places {
            match seq.next_element_seed(InStep { place })? {
                Some(element) => elements.push(element),
                None => return Err(A::Error::custom(self.disagreement())),
            }
        }
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom(self.disagreement()));
        }
        Ok(self.node(Kind::List(elements)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let Shape::Map(places) = &self.place.shape else {
            return Err(A::Error::custom(self.disagreement()));
        };
        let mut entries = Vec::with_capacity(places.len());
        for (key_place, place) in places {
            if map.next_key::<IgnoredAny>()?.is_none() {
                return Err(A::Error::custom(self.disagreement()));
            }
            let mut value = map.next_value_seed(InStep { place })?;
            let Shape::Scalar { raw, .. } = &key_place.shape else {
                let at = key_place.at;
                return Err(A::Error::custom(format!(
                    "the key at line {}, column {} is a list or a map: a key is a text",
                    at.line, at.column
                )));
            };
            if matches!(&place.shape, Shape::Scalar { raw, plain: true } if raw.is_empty()) {
                // Nothing stands there: its key is what a reader can find.
                value.at = key_place.at;
            }
            entries.push(Entry { key: raw.clone(), key_at: key_place.at, value });
        }
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom(self.disagreement()));
        }
        Ok(self.node(Kind::Map(entries)))
    }
}
