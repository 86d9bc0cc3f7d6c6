//! Between the values of items and those of jq programs.

use std::cell::RefCell;
use std::sync::Arc;

use jaq_json::Num;
use pipeline_core::{Record, ShapeCache, Value};

use super::access::number_of;
use super::meter;
use super::value::{List, Object, Val};

/// A number with more digits than this is calculated with as a decimal one: reading a whole one takes the
/// square of its length.
const DIGITS: usize = 4096;

/// Counts the nodes of the value in `nodes`.
pub(super) fn to_val(value: &Value, nodes: &mut u64) -> Val {
    *nodes += 1;
    match value {
        Value::Null => Val::Null,
        Value::Bool(value) => Val::Bool(*value),
        Value::Int(number) => match isize::try_from(*number) {
            Ok(number) => Val::Num(Num::Int(number)),
            Err(_) => Val::Num(Num::from_integral(*number)),
        },
        Value::Float(number) => Val::from(*number),
        Value::BigNumber(text) if text.len() > DIGITS => {
            Val::Num(Num::Dec(jaq_json::Rc::new(text.to_string())))
        }
        Value::BigNumber(text) => Val::Num(number_of(text)),
        Value::Text(text) => Val::text(text),
        Value::Array(list) => {
            let mut values = List::with_room(list.len());
            for value in list.iter() {
                values.push(to_val(value, nodes));
            }
            Val::Arr(Arc::new(values))
        }
        Value::Object(record) => record_to_val(record, nodes),
    }
}

pub(super) fn record_to_val(record: &Record, nodes: &mut u64) -> Val {
    *nodes += 1;
    let mut object = Object::with_room(record.len());
    for (name, value) in record.iter() {
        object.insert(name.into(), to_val(value, nodes));
    }
    Val::object(object)
}

/// A value that the library has read from JSON.
pub(super) fn from_jaq(value: &jaq_json::Val) -> Val {
    use jaq_json::Val as Read;
    match value {
        Read::Null => Val::Null,
        Read::Bool(value) => Val::Bool(*value),
        Read::Num(number) => Val::Num(number.clone()),
        Read::TStr(text) | Read::BStr(text) => Val::text(&String::from_utf8_lossy(text)),
        Read::Arr(list) => list.iter().map(from_jaq).collect(),
        Read::Obj(map) => {
            let mut object = Object::with_room(map.len());
            for (name, value) in map.iter() {
                if let Val::Text(name) = from_jaq(name)
                    && !object.insert(name.as_str().into(), from_jaq(value))
                {
                    break;
                }
            }
            Val::object(object)
        }
    }
}

thread_local! {
    /// The results of one program have few shapes, and so share their names.
    static SHAPES: RefCell<ShapeCache> = RefCell::default();
}

/// The value of an item; `None` where it would be too large, and the program is refused.
pub(super) fn from_val(value: &Val) -> Option<Value> {
    let has_room = meter::has_room(value.weight());
    has_room.then(|| SHAPES.with_borrow_mut(|shapes| convert(value, shapes)))
}

fn convert(value: &Val, shapes: &mut ShapeCache) -> Value {
    match value {
        Val::Null => Value::Null,
        Val::Bool(value) => Value::Bool(*value),
        Val::Num(Num::Int(number)) => Value::Int(*number as i64),
        Val::Num(Num::Float(number)) => Value::float(*number),
        Val::Num(Num::BigInt(number)) => {
            let text = number.to_string();
            Value::number(&text).unwrap_or_else(|| Value::BigNumber(text.into()))
        }
        Val::Num(Num::Dec(text)) => {
            Value::number(text).unwrap_or_else(|| Value::float(text.parse().unwrap_or(f64::NAN)))
        }
        Val::Text(text) => Value::from(text.as_str()),
        Val::Arr(list) => Value::from(list.iter().map(|value| convert(value, shapes)).collect::<Vec<_>>()),
        Val::Obj(object) => {
            let names: Vec<&str> = object.iter().map(|(name, _)| name.as_str()).collect();
            let shape = shapes.shape(&names);
            let values = object.iter().map(|(_, value)| convert(value, shapes)).collect();
            Value::from(Record::from_shape(shape, values))
        }
    }
}

/// A value as an error message shows it: its JSON, cut where it is long.
pub(crate) fn excerpt(value: &Value) -> String {
    shorten(&value.to_json())
}

/// A text cut to what a message can bear.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 160;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
