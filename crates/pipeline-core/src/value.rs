//! The content of an item: a JSON-like value, and a record whose field names are shared.
//!
//! A run carries millions of records of the same few shapes. A map per record would allocate every
//! name again, which costs more than all the stages together; here the names live once in a [`Shape`],
//! and a [`Record`] is a pointer to it and a vector of values.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use compact_str::CompactString;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value of an item's content: what JSON can say, with integers kept apart from floats.
#[derive(Clone, Default)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Int(i64),
    /// A finite floating point number.
    Float(f64),
    /// A number that neither an `i64` nor an `f64` holds exactly, as its decimal text.
    BigNumber(Box<str>),
    /// Text; up to 24 bytes are stored in place.
    Text(CompactString),
    /// A list.
    Array(Box<Vec<Value>>),
    /// A nested object.
    Object(Box<Record>),
}

impl Value {
    /// Returns the text of a [`Value::Text`].
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number of a [`Value::Int`], or of a [`Value::Float`] without a fraction.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Float(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => Some(*number as i64),
            _ => None,
        }
    }

    /// Returns any number as a float, rounded where it must be.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::BigNumber(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Returns the truth value of a [`Value::Bool`].
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the record of a [`Value::Object`].
    pub fn as_object(&self) -> Option<&Record> {
        match self {
            Self::Object(record) => Some(record),
            _ => None,
        }
    }

    /// Returns the list of a [`Value::Array`].
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(list) => Some(list),
            _ => None,
        }
    }

    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// A float, or null where JSON has no number for it (NaN and the infinities).
    pub fn float(number: f64) -> Self {
        if number.is_finite() { Self::Float(number) } else { Self::Null }
    }

    /// A number from its decimal text: an integer, a float, or the text itself where neither is exact.
    ///
    /// Returns `None` when the text is not a JSON number.
    pub fn number(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i64>() {
            return is_json_number(text).then_some(Self::Int(number));
        }
        if !is_json_number(text) {
            return None;
        }
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && (digits <= 17 || text.contains(['.', 'e', 'E'])) => {
                Some(Self::Float(number))
            }
            _ => Some(Self::BigNumber(text.into())),
        }
    }

    /// The name of the value's type, as an error message says it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) | Self::BigNumber(_) => "number",
            Self::Text(_) => "text",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// The value as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn is_json_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

impl PartialEq for Value {
    /// Numbers are equal by value, objects whatever the order of their fields.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Int(a), Self::Float(b)) | (Self::Float(b), Self::Int(a)) => *a as f64 == *b,
            (Self::BigNumber(a), Self::BigNumber(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Value {
    /// The value as JSON text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

macro_rules! value_from {
    ($($type:ty => |$v:ident| $make:expr),* $(,)?) => {
        $(impl From<$type> for Value {
            fn from($v: $type) -> Self { $make }
        })*
    };
}

value_from! {
    bool => |v| Self::Bool(v),
    i64 => |v| Self::Int(v),
    i32 => |v| Self::Int(v.into()),
    u32 => |v| Self::Int(v.into()),
    usize => |v| i64::try_from(v).map_or_else(|_| Self::BigNumber(v.to_string().into()), Self::Int),
    u64 => |v| i64::try_from(v).map_or_else(|_| Self::BigNumber(v.to_string().into()), Self::Int),
    f64 => |v| Self::float(v),
    &str => |v| Self::Text(v.into()),
    String => |v| Self::Text(v.into()),
    CompactString => |v| Self::Text(v),
    Record => |v| Self::Object(Box::new(v)),
    Vec<Value> => |v| Self::Array(Box::new(v)),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(integer) => Self::Int(integer),
                None if number.is_u64() => Self::BigNumber(number.to_string().into()),
                None => number.as_f64().map_or(Self::Null, Self::float),
            },
            serde_json::Value::String(text) => Self::Text(text.into()),
            serde_json::Value::Array(list) => {
                Self::from(list.into_iter().map(Self::from).collect::<Vec<_>>())
            }
            serde_json::Value::Object(map) => {
                Self::from(map.into_iter().map(|(name, value)| (name, Self::from(value))).collect::<Record>())
            }
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(number) => (*number).into(),
            Value::Float(number) => serde_json::Number::from_f64(*number).map_or(Self::Null, Self::Number),
            Value::BigNumber(text) => match text.parse::<u64>() {
                Ok(number) => number.into(),
                Err(_) => Self::String(text.to_string()),
            },
            Value::Text(text) => Self::String(text.to_string()),
            Value::Array(list) => Self::Array(list.iter().map(Self::from).collect()),
            Value::Object(record) => Self::Object(record.to_json_map()),
        }
    }
}

/// Serialises a big number as a bare number where the format is JSON.
struct RawNumber<'a>(&'a str);

impl Serialize for RawNumber<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(number) = self.0.parse::<u64>() {
            return serializer.serialize_u64(number);
        }
        if let Ok(number) = self.0.parse::<i128>() {
            return serializer.serialize_i128(number);
        }
        serializer.serialize_str(self.0)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::BigNumber(text) => RawNumber(text).serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(list) => {
                let mut sequence = serializer.serialize_seq(Some(list.len()))?;
                for value in list.iter() {
                    sequence.serialize_element(value)?;
                }
                sequence.end()
            }
            Self::Object(record) => record.serialize(serializer),
        }
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::float(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(Box::new(list)))
    }
    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        RecordVisitor.visit_map(access).map(Value::from)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl schemars::JsonSchema for Value {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::Schema::default()
    }
}

/// The field names of a record, in order, shared by all records that have them.
#[derive(Debug)]
pub struct Shape {
    names: Vec<Arc<str>>,
    /// Positions by name, kept for shapes too wide to scan.
    index: Option<HashMap<Arc<str>, u32>>,
}

/// Up to this many names a scan is faster than a hash.
const SCAN_LIMIT: usize = 12;

impl Shape {
    /// A shape with these names; a repeated name counts once, at its first position.
    pub fn new<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Arc<Self> {
        let mut shape = Self { names: Vec::new(), index: None };
        for name in names {
            let name = name.into();
            if shape.position(&name).is_none() {
                shape.push(name);
            }
        }
        Arc::new(shape)
    }

    /// The shape without a field.
    pub fn empty() -> Arc<Self> {
        static EMPTY: OnceLock<Arc<Shape>> = OnceLock::new();
        EMPTY.get_or_init(|| Arc::new(Self { names: Vec::new(), index: None })).clone()
    }

    /// The names, in order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Where a name stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).map(|position| *position as usize),
            None => self.names.iter().position(|known| &**known == name),
        }
    }

    fn push(&mut self, name: Arc<str>) {
        if self.index.is_none() && self.names.len() >= SCAN_LIMIT {
            self.index = Some(self.names.iter().cloned().zip(0..).collect());
        }
        if let Some(index) = &mut self.index {
            index.insert(name.clone(), self.names.len() as u32);
        }
        self.names.push(name);
    }

    fn with(&self, name: Arc<str>) -> Self {
        let mut shape = Self { names: self.names.clone(), index: self.index.clone() };
        shape.push(name);
        shape
    }
}

/// A JSON object with its fields in order.
#[derive(Clone)]
pub struct Record {
    shape: Arc<Shape>,
    values: Vec<Value>,
}

impl Record {
    /// An empty record.
    pub fn new() -> Self {
        Self { shape: Shape::empty(), values: Vec::new() }
    }

    /// A record of a known shape: the cheapest way to make many alike.
    ///
    /// Missing values are null, surplus ones are dropped.
    pub fn from_shape(shape: Arc<Shape>, mut values: Vec<Value>) -> Self {
        values.resize(shape.names.len(), Value::Null);
        Self { shape, values }
    }

    /// The shape, to make further records alike.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The values, in the order of the shape's names.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The values, to change in place, in the order of the shape's names.
    pub fn values_mut(&mut self) -> &mut [Value] {
        &mut self.values
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of a field; `None` where the field is absent, which is not the same as null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.shape.position(name).map(|position| &self.values[position])
    }

    /// The value of a field, to change in place.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.shape.position(name).map(|position| &mut self.values[position])
    }

    /// The text of a field, where it is text.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Whether the field is there, be it null.
    pub fn contains(&self, name: &str) -> bool {
        self.shape.position(name).is_some()
    }

    /// Sets a field, at its place where it exists, else at the end; returns the value it had.
    pub fn insert(
        &mut self,
        name: impl AsRef<str> + Into<Arc<str>>,
        value: impl Into<Value>,
    ) -> Option<Value> {
        let value = value.into();
        if let Some(position) = self.shape.position(name.as_ref()) {
            return Some(std::mem::replace(&mut self.values[position], value));
        }
        match Arc::get_mut(&mut self.shape) {
            Some(shape) => shape.push(name.into()),
            None => self.shape = Arc::new(self.shape.with(name.into())),
        }
        self.values.push(value);
        None
    }

    /// Removes a field and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let position = self.shape.position(name)?;
        let names = self.shape.names.iter().enumerate().filter(|(at, _)| *at != position);
        self.shape = Shape::new(names.map(|(_, name)| name.clone()));
        Some(self.values.remove(position))
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.shape.names.iter().map(|name| &**name).zip(&self.values)
    }

    /// The record as a `serde_json` map.
    pub fn to_json_map(&self) -> serde_json::Map<String, serde_json::Value> {
        self.iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
    }

    /// The record as JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.shape, &other.shape) {
            return self.values == other.values;
        }
        self.len() == other.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl<N: AsRef<str> + Into<Arc<str>>, V: Into<Value>> FromIterator<(N, V)> for Record {
    /// A repeated name keeps its first place and its last value.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut record =
            Self { shape: Arc::new(Shape { names: Vec::new(), index: None }), values: Vec::new() };
        for (name, value) in fields {
            record.insert(name, value);
        }
        record
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Record, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::with_capacity(access.size_hint().unwrap_or(8).min(64));
        while let Some(field) = access.next_entry::<String, Value>()? {
            fields.push(field);
        }
        Ok(fields.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

impl schemars::JsonSchema for Record {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Record".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object"})
    }
}

/// Remembers the last shapes seen, so that records read one by one share their names.
///
/// A parser that reads objects from text keeps one: [`ShapeCache::shape`] costs a comparison of
/// names where a record is like one of the last few, and an allocation only where it is not.
#[derive(Debug, Default)]
pub struct ShapeCache {
    recent: Vec<Arc<Shape>>,
}

impl ShapeCache {
    const KEPT: usize = 8;

    /// The shared shape with exactly these names, which must be distinct.
    pub fn shape(&mut self, names: &[impl AsRef<str>]) -> Arc<Shape> {
        let alike = |shape: &Arc<Shape>| {
            shape.names.len() == names.len() && shape.names.iter().zip(names).all(|(a, b)| **a == *b.as_ref())
        };
        if let Some(at) = self.recent.iter().position(alike) {
            if at > 0 {
                self.recent.swap(at, at - 1);
                return self.recent[at - 1].clone();
            }
            return self.recent[0].clone();
        }
        let shape = Shape::new(names.iter().map(|name| Arc::from(name.as_ref())));
        if self.recent.len() == Self::KEPT {
            self.recent.pop();
        }
        self.recent.insert(0, shape.clone());
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_three_words() {
        assert_eq!(size_of::<Value>(), 24);
    }

    #[test]
    fn numbers_keep_their_exact_value() {
        let cases = [
            ("1", "Int"),
            ("-5", "Int"),
            ("1.5", "Float"),
            ("9223372036854775808", "Big"),
            ("123456789012345678901234567890", "Big"),
            ("1e3", "Float"),
            ("01", "none"),
            ("+1", "none"),
            ("1.", "none"),
            ("x", "none"),
            ("", "none"),
        ];
        for (text, kind) in cases {
            let found = match Value::number(text) {
                Some(Value::Int(_)) => "Int",
                Some(Value::Float(_)) => "Float",
                Some(Value::BigNumber(_)) => "Big",
                Some(_) => "other",
                None => "none",
            };
            assert_eq!(found, kind, "{text}");
        }
        assert_eq!(Value::number("9223372036854775808").unwrap().to_json(), "9223372036854775808");
    }

    #[test]
    fn records_share_names_and_keep_order() {
        let mut record: Record = [("b", 1), ("a", 2), ("b", 3)].into_iter().collect();
        assert_eq!(record.to_json(), r#"{"b":3,"a":2}"#);
        let copy = record.clone();
        record.insert("c", "x");
        assert_eq!((copy.len(), record.len()), (2, 3));
        assert_eq!(record.remove("a"), Some(Value::Int(2)));
        assert_eq!(record.to_json(), r#"{"b":3,"c":"x"}"#);
        for n in 0..40 {
            record.insert(format!("f{n}"), n);
        }
        assert_eq!(record.get("f39"), Some(&Value::Int(39)));
        let back: Record = serde_json::from_str(&record.to_json()).unwrap();
        assert_eq!(back, record);
    }

    #[test]
    fn equality_ignores_order_and_number_kind() {
        let a: Record = serde_json::from_str(r#"{"x":1,"y":{"z":[1.0]}}"#).unwrap();
        let b: Record = serde_json::from_str(r#"{"y":{"z":[1]},"x":1.0}"#).unwrap();
        assert_eq!(a, b);
    }
}
