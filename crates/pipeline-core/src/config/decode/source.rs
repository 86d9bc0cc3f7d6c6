//! A node as a serde deserializer.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, SeqAccess, VariantAccess, Visitor};

use super::error::{DecodeError, unknown};
use super::fields::FieldAccess;
use super::made::Made;
use super::scalar;
use super::session::{Place, PlaceKey, Session, address};
use crate::config::node::{Kind, Node};
use crate::config::path::KeyPath;

/// How a place was reached; turned into text only where something is wrong.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    Root,
    Key(&'a Way<'a>, &'a str),
    Index(&'a Way<'a>, usize),
}

impl Way<'_> {
    pub(super) fn to_path(self) -> KeyPath {
        match self {
            Way::Root => KeyPath::root(),
            Way::Key(parent, key) => parent.to_path().key(key),
            Way::Index(parent, index) => parent.to_path().index(index),
        }
    }
}

/// A node to be read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) node: &'a Node,
    pub(super) way: Way<'a>,
    pub(super) session: &'a Session,
    /// Whether it is one of many, in a list or a map with free keys: there a number may be meant as text
    /// (`[sleep, 100]`), while a field that wants a text says what it is.
    pub(super) one_of_many: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(node: &'a Node, session: &'a Session) -> Self {
        Self { node, way: Way::Root, session, one_of_many: false }
    }

    pub(super) fn key(&self) -> PlaceKey {
        PlaceKey { node: address(self.node), missing: None }
    }

    pub(super) fn place(&self) -> Place {
        Place { key: self.key(), path: self.way.to_path(), at: self.node.at }
    }

    /// The made-up value, where the node's own was found wrong in an earlier pass.
    fn made(&self) -> Option<Made> {
        let variety = self.session.made(&self.key())?;
        Some(Made::new(variety, self.place()))
    }

    /// Notes that the node is not what was expected, and goes on with a made-up value.
    fn unfit(&self, expected: &str) -> Made {
        let message = scalar::unfit(self.node, expected);
        self.complain(message)
    }

    fn complain(&self, message: String) -> Made {
        self.session.complain(self.place(), message);
        Made::new(self.session.made(&self.key()).unwrap_or(0), self.place())
    }

    fn fields(self, known: Option<&'static [&'static str]>) -> FieldAccess<'a> {
        FieldAccess::new(self, known)
    }
}

/// Reads a scalar through a function of `scalar`, which gives the value or says what was expected.
macro_rules! scalars {
    ($($method:ident $visit:ident $read:path,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            if let Some(made) = self.made() {
                return made.$method(visitor);
            }
            match $read(&self) {
                Ok(value) => visitor.$visit(value).map_err(|error: DecodeError| error.at(|| self.place())),
                Err(message) => self.complain(message).$method(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Source<'_> {
    type Error = DecodeError;

    scalars! {
        deserialize_bool visit_bool scalar::boolean,
        deserialize_i8 visit_i8 scalar::integer,
        deserialize_i16 visit_i16 scalar::integer,
        deserialize_i32 visit_i32 scalar::integer,
        deserialize_i64 visit_i64 scalar::integer,
        deserialize_i128 visit_i128 scalar::integer,
        deserialize_u8 visit_u8 scalar::integer,
        deserialize_u16 visit_u16 scalar::integer,
        deserialize_u32 visit_u32 scalar::integer,
        deserialize_u64 visit_u64 scalar::integer,
        deserialize_u128 visit_u128 scalar::integer,
        deserialize_f32 visit_f32 scalar::float32,
        deserialize_f64 visit_f64 scalar::float,
        deserialize_char visit_char scalar::character,
        deserialize_str visit_str scalar::text,
        deserialize_string visit_str scalar::text,
        deserialize_bytes visit_bytes scalar::bytes,
        deserialize_byte_buf visit_bytes scalar::bytes,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(made) = self.made() {
            return made.deserialize_any(visitor);
        }
        let result = match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (_, Ok(number)) => visitor.visit_u64(number),
                (Ok(number), _) => visitor.visit_i64(number),
                _ => visitor.visit_i128(*number),
            },
            Kind::Float(number) => visitor.visit_f64(*number),
            Kind::Text(text) => visitor.visit_str(&text.value),
            Kind::List(elements) => visitor.visit_seq(Elements::new(self, elements)),
            Kind::Map(_) => visitor.visit_map(self.fields(None)),
        };
        result.map_err(|error| error.at(|| self.place()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(made) = self.made() {
            return made.deserialize_option(visitor);
        }
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|error: DecodeError| error.at(|| self.place()))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.kind {
            Kind::Null => {}
            _ => drop(self.unfit("nothing")),
        }
        visitor.visit_unit().map_err(|error: DecodeError| error.at(|| self.place()))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self).map_err(|error: DecodeError| error.at(|| self.place()))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(made) = self.made() {
            return made.deserialize_seq(visitor);
        }
        match &self.node.kind {
            Kind::List(elements) => visitor
                .visit_seq(Elements::new(self, elements))
                .map_err(|error: DecodeError| error.at(|| self.place())),
            _ => self.unfit("a list").deserialize_seq(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(made) = self.made() {
            return made.deserialize_tuple(length, visitor);
        }
        match &self.node.kind {
            Kind::List(elements) if elements.len() == length => visitor
                .visit_seq(Elements::new(self, elements))
                .map_err(|error: DecodeError| error.at(|| self.place())),
            _ => self.unfit(&format!("a list of {length}")).deserialize_tuple(length, visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(made) = self.made() {
            return made.deserialize_map(visitor);
        }
        match &self.node.kind {
            Kind::Map(_) => {
                visitor.visit_map(self.fields(None)).map_err(|error: DecodeError| error.at(|| self.place()))
            }
            _ => self.unfit("a map").deserialize_map(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if let Some(made) = self.made() {
            return made.deserialize_struct(name, fields, visitor);
        }
        match &self.node.kind {
            Kind::Map(_) => visitor
                .visit_map(self.fields(Some(fields)))
                .map_err(|error: DecodeError| error.at(|| self.place())),
            _ => {
                let keys: Vec<String> = fields.iter().take(6).map(|field| format!("`{field}`")).collect();
                let more = if fields.len() > 6 { ", …" } else { "" };
                let expected = format!("a map ({}{more})", keys.join(", "));
                self.unfit(&expected).deserialize_struct(name, fields, visitor)
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if let Some(made) = self.made() {
            return made.deserialize_enum(name, variants, visitor);
        }
        let (variant, content) = match &self.node.kind {
            Kind::Text(text) => (text.value.as_str(), None),
            Kind::Map(entries) if entries.len() == 1 => (entries[0].key.as_str(), Some(&entries[0].value)),
            _ => {
                let names: Vec<String> = variants.iter().map(|name| format!("`{name}`")).collect();
                let expected = format!("one of {}", names.join(", "));
                return self.unfit(&expected).deserialize_enum(name, variants, visitor);
            }
        };
        if !variants.contains(&variant) {
            let shown = if scalar::is_secret(self.node) { crate::redact::REDACTED } else { variant };
            return self
                .complain(unknown("value", shown, variants))
                .deserialize_enum(name, variants, visitor);
        }
        visitor
            .visit_enum(Variant { source: self, variant, content })
            .map_err(|error: DecodeError| error.at(|| self.place()))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}

/// The elements of a list.
struct Elements<'a> {
    list: Source<'a>,
    elements: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a> Elements<'a> {
    fn new(list: Source<'a>, elements: &'a [Node]) -> Self {
        Self { list, elements: elements.iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some((index, node)) = self.elements.next() else { return Ok(None) };
        let way = Way::Index(&self.list.way, index);
        seed.deserialize(Source { node, way, session: self.list.session, one_of_many: true }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

/// A variant by name alone, or with something under it.
struct Variant<'a> {
    source: Source<'a>,
    variant: &'a str,
    content: Option<&'a Node>,
}

impl<'a> Variant<'a> {
    fn content<T>(self, read: impl FnOnce(Source<'_>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        match self.content {
            Some(node) => {
                let way = Way::Key(&self.source.way, self.variant);
                read(Source { node, way, session: self.source.session, one_of_many: false })
            }
            None => {
                let name = self.variant;
                Err(DecodeError::custom(format_args!("`{name}` needs a value: `{{{name}: …}}`")))
            }
        }
    }
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        let name = seed.deserialize(StrDeserializer::new(self.variant))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.content {
            None => Ok(()),
            Some(node) if node.is_null() => Ok(()),
            Some(_) => Err(DecodeError::custom(format_args!("`{}` takes no value", self.variant))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.content(|source| seed.deserialize(source))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.content(|source| source.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.content(|source| source.deserialize_struct("", fields, visitor))
    }
}
