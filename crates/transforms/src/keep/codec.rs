//! Values as bytes: exact, compact, and readable by every later version.
//!
//! Snapshots of a diff are stored in this form, so the tags below never change their meaning.

use compact_str::CompactString;
use pipeline_core::{Record, ShapeCache, Value};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const BIG: u8 = 5;
const TEXT: u8 = 6;
const ARRAY: u8 = 7;
const OBJECT: u8 = 8;
const JSON: u8 = 9;

/// A value as a column holds it: nested ones are JSON text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Big(&'a str),
    Text(&'a str),
    Json(&'a str),
}

/// Appends an unsigned number, seven bits a byte.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a text with its length.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_int(out: &mut Vec<u8>, number: i64) {
    out.push(INT);
    // Zigzag: small numbers of both signs stay short.
    put_number(out, ((number << 1) ^ (number >> 63)) as u64);
}

/// Appends a value.
pub(crate) fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Array(list) => {
            out.push(ARRAY);
            put_number(out, list.len() as u64);
            for value in list.iter() {
                put_value(out, value);
            }
        }
        Value::Object(record) => {
            out.push(OBJECT);
            put_record(out, record);
        }
        scalar => put_cell(out, scalar),
    }
}

/// Appends a record with its names.
pub(crate) fn put_record(out: &mut Vec<u8>, record: &Record) {
    put_number(out, record.len() as u64);
    for (name, value) in record.iter() {
        put_text(out, name);
        put_value(out, value);
    }
}

/// Appends a value as a [`Cell`].
pub(crate) fn put_cell(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(number) => put_int(out, *number),
        Value::Float(number) => {
            out.push(FLOAT);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::BigNumber(text) => {
            out.push(BIG);
            put_text(out, text);
        }
        Value::Text(text) => {
            out.push(TEXT);
            put_text(out, text);
        }
        Value::Array(_) | Value::Object(_) => {
            out.push(JSON);
            put_text(out, &value.to_json());
        }
    }
}

/// Reads what the functions above wrote; `None` where the bytes are not of this form.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn scalar(&mut self, tag: u8) -> Option<Cell<'a>> {
        Some(match tag {
            NULL => Cell::Null,
            FALSE => Cell::Bool(false),
            TRUE => Cell::Bool(true),
            INT => {
                let number = self.number()?;
                Cell::Int((number >> 1) as i64 ^ -((number & 1) as i64))
            }
            FLOAT => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
                self.rest = rest;
                Cell::Float(f64::from_le_bytes(*bytes))
            }
            BIG => Cell::Big(self.text()?),
            TEXT => Cell::Text(self.text()?),
            JSON => Cell::Json(self.text()?),
            _ => return None,
        })
    }

    pub(crate) fn cell(&mut self) -> Option<Cell<'a>> {
        let tag = self.byte()?;
        self.scalar(tag)
    }

    pub(crate) fn value(&mut self, shapes: &mut ShapeCache) -> Option<Value> {
        let tag = self.byte()?;
        Some(match tag {
            ARRAY => {
                let count = self.count()?;
                let list: Option<Vec<Value>> = (0..count).map(|_| self.value(shapes)).collect();
                Value::from(list?)
            }
            OBJECT => Value::from(self.record(shapes)?),
            tag => match self.scalar(tag)? {
                Cell::Null => Value::Null,
                Cell::Bool(value) => Value::Bool(value),
                Cell::Int(number) => Value::Int(number),
                Cell::Float(number) => Value::Float(number),
                Cell::Big(text) => Value::BigNumber(text.into()),
                Cell::Text(text) | Cell::Json(text) => Value::Text(CompactString::new(text)),
            },
        })
    }

    /// Reads a record; records alike share their names through `shapes`.
    pub(crate) fn record(&mut self, shapes: &mut ShapeCache) -> Option<Record> {
        let count = self.count()?;
        let mut names = Vec::with_capacity(count);
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            names.push(self.text()?);
            values.push(self.value(shapes)?);
        }
        Some(Record::from_shape(shapes.shape(&names), values))
    }

    /// A count of things that take a byte at least, so that nonsense allocates nothing.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::float),
            "[0-9]{20,40}".prop_map(|text| Value::BigNumber(text.into())),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[a-z]{1,4}", inner), 0..5)
                    .prop_map(|fields| Value::from(fields.into_iter().collect::<Record>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were(value in any_value()) {
            let mut bytes = Vec::new();
            put_value(&mut bytes, &value);
            let mut decoder = Decoder::new(&bytes);
            let back = decoder.value(&mut ShapeCache::default()).unwrap();
            prop_assert_eq!(back.to_json(), value.to_json());
            prop_assert!(decoder.rest.is_empty());
        }

        #[test]
        fn nonsense_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            Decoder::new(&bytes).record(&mut ShapeCache::default());
            Decoder::new(&bytes).cell();
        }
    }

    #[test]
    fn a_nested_value_is_json_in_a_cell() {
        let mut bytes = Vec::new();
        put_cell(&mut bytes, &serde_json::from_str(r#"{"a":[1,null]}"#).unwrap());
        assert_eq!(Decoder::new(&bytes).cell(), Some(Cell::Json(r#"{"a":[1,null]}"#)));
    }
}
