//! Between the values of items and those of jq programs.

use std::cell::RefCell;
use std::sync::Arc;

use jaq_json::{Map, Num, Val};
use pipeline_core::{Record, ShapeCache, Value};

/// Results nested deeper than this are refused: they could not be walked without overflowing a stack.
const DEPTH: usize = 512;

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
        Value::BigNumber(text) => Val::Num(
            Num::from_str_radix(text, 10).unwrap_or_else(|| Num::Dec(jaq_json::Rc::new(text.to_string()))),
        ),
        Value::Text(text) => text_to_val(text),
        Value::Array(list) => list.iter().map(|value| to_val(value, nodes)).collect(),
        Value::Object(record) => record_to_val(record, nodes),
    }
}

pub(super) fn record_to_val(record: &Record, nodes: &mut u64) -> Val {
    *nodes += 1;
    let mut map = Map::with_capacity_and_hasher(record.len(), Default::default());
    for (name, value) in record.iter() {
        map.insert(text_to_val(name), to_val(value, nodes));
    }
    Val::obj(map)
}

fn text_to_val(text: &str) -> Val {
    Val::utf8_str(bytes::Bytes::copy_from_slice(text.as_bytes()))
}

thread_local! {
    /// The results of one program have few shapes, and so share their names.
    static SHAPES: RefCell<ShapeCache> = RefCell::default();
}

/// # Errors
/// Where the value is none that an item can hold.
pub(super) fn from_val(value: Val) -> Result<Value, String> {
    SHAPES.with_borrow_mut(|shapes| convert(value, shapes, DEPTH))
}

fn convert(value: Val, shapes: &mut ShapeCache, depth: usize) -> Result<Value, String> {
    if depth == 0 {
        return Err(format!("the result is nested deeper than {DEPTH} levels"));
    }
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(value) => Value::Bool(value),
        Val::Num(Num::Int(number)) => Value::Int(number as i64),
        Val::Num(Num::Float(number)) => Value::float(number),
        Val::Num(Num::BigInt(number)) => {
            let text = number.to_string();
            Value::number(&text).unwrap_or_else(|| Value::BigNumber(text.into()))
        }
        Val::Num(Num::Dec(text)) => {
            Value::number(&text).unwrap_or_else(|| Value::float(text.parse().unwrap_or(f64::NAN)))
        }
        Val::TStr(bytes) | Val::BStr(bytes) => Value::from(&*String::from_utf8_lossy(&bytes)),
        Val::Arr(list) => {
            let list = jaq_json::Rc::try_unwrap(list).unwrap_or_else(|shared| (*shared).clone());
            let values = list.into_iter().map(|value| convert(value, shapes, depth - 1));
            Value::from(values.collect::<Result<Vec<_>, _>>()?)
        }
        Val::Obj(map) => {
            let map = jaq_json::Rc::try_unwrap(map).unwrap_or_else(|shared| (*shared).clone());
            let mut names = Vec::with_capacity(map.len());
            let mut values = Vec::with_capacity(map.len());
            for (name, value) in map {
                match name {
                    Val::TStr(name) | Val::BStr(name) => {
                        names.push(String::from_utf8_lossy(&name).into_owned());
                    }
                    other => return Err(format!("an object has the key {other}, which is no text")),
                }
                values.push(convert(value, shapes, depth - 1)?);
            }
            Value::from(Record::from_shape(shapes.shape(&names), values))
        }
    })
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

#[expect(dead_code, reason = "proves that a value of a program may cross threads")]
fn values_cross_threads(value: Val) -> Arc<dyn Send + Sync> {
    Arc::new(value)
}
