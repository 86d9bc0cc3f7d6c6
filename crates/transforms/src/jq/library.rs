//! The functions on values that are not written in jq.

use jaq_core::native::{self, bome, unary, v};
use jaq_core::{Error, Exn, RunPtr, ValR, ValXs};
use jaq_json::Num;

use super::access::places;
use super::compile::Kind;
use super::convert;
use super::meter;
use super::ops::{is_integer, metered, refusal};
use super::value::Val;

/// The longest run of digits that is read as a number: beyond it, reading takes the square of it.
const DIGITS: usize = 64 * 1024;

/// What a byte of JSON may take while it is read.
const READ: u64 = 8;

impl jaq_std::ValT for Val {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        match self {
            // The copies of the values are not counted: they are given back soon.
            Self::Arr(list) if meter::has_room(size_of_val(list.as_slice()) as u64) => {
                Ok(list.iter().cloned().collect())
            }
            other => Err(other),
        }
    }

    fn is_int(&self) -> bool {
        matches!(self, Self::Num(number) if is_integer(number))
    }

    fn as_isize(&self) -> Option<isize> {
        match self {
            Self::Num(number) => number.as_isize(),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Num(Num::Int(number)) => Some(*number as f64),
            Self::Num(Num::Float(number)) => Some(*number),
            Self::Num(number) => number.to_string().parse().ok(),
            _ => None,
        }
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_str().as_bytes()),
            _ => None,
        }
    }

    fn as_sub_str(&self, part: &[u8]) -> Self {
        Self::text(&String::from_utf8_lossy(part))
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self::text(&String::from_utf8_lossy(bytes.as_ref()))
    }
}

type Function = native::Filter<RunPtr<Kind>>;

/// The functions.
pub(super) fn functions() -> Box<[Function]> {
    Box::new([
        ("fromjson", v(0), |cv| from_json(&cv.1)),
        ("tojson", v(0), |cv| bome(metered(cv.1.to_json()))),
        ("length", v(0), |cv| bome(length(cv.1))),
        ("contains", v(1), |cv| unary(cv, |a, b| Ok(Val::Bool(contains(&a, &b))))),
        ("has", v(1), |cv| unary(cv, |value, key| value.at(&key).map(|found| found.is_some().into()))),
        ("indices", v(1), |cv| unary(cv, |value, part| indices(&value, &part))),
        ("bsearch", v(1), |cv| {
            unary(cv, |value, wanted| match value {
                Val::Arr(list) => Ok(match list.as_slice().binary_search(&wanted) {
                    Ok(at) => Val::from(at),
                    Err(at) => Val::from(-1 - at.cast_signed()),
                }),
                other => Err(Error::typ(other, "array")),
            })
        }),
    ])
}

fn from_json<'a>(value: &Val) -> ValXs<'a, Val> {
    let Val::Text(text) = value else { return bome(Err(Error::typ(value.clone(), "string"))) };
    let wrong = |error: &dyn std::fmt::Display| {
        Exn::from(Error::str(format_args!("cannot parse {value} as JSON: {error}")))
    };
    let text = text.as_str();
    if !can_be_read(text) {
        return bome(Err(refusal()));
    }
    let mut values = Vec::new();
    for read in jaq_json::read::parse_many(text.as_bytes()) {
        match read {
            Ok(value) => values.push(Ok(convert::from_jaq(&value))),
            Err(error) => {
                values.push(Err(wrong(&error)));
                break;
            }
        }
    }
    match meter::may_go_on() {
        true => Box::new(values.into_iter()),
        false => bome(Err(refusal())),
    }
}

/// Whether a text can be read as JSON within the program's limits.
fn can_be_read(text: &str) -> bool {
    let (mut depth, mut digits, mut within_text) = (0_u32, 0, false);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        digits = if byte.is_ascii_digit() && !within_text { digits + 1 } else { 0 };
        match byte {
            b'"' => within_text = !within_text,
            b'\\' if within_text => {
                bytes.next();
            }
            b'[' | b'{' if !within_text => depth += 1,
            b']' | b'}' if !within_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > meter::DEPTH {
            return meter::refuse_depth();
        }
        if digits > DIGITS {
            return meter::refuse_digits();
        }
    }
    meter::has_room((text.len() as u64).saturating_mul(READ))
}

fn length(value: Val) -> ValR<Val> {
    Ok(match value {
        Val::Null => Val::from(0_usize),
        Val::Num(number) if number < Num::Int(0) => Val::Num(-number),
        Val::Num(Num::Dec(text)) => Val::Num(Num::from_dec_str(&text)),
        Val::Num(number) => Val::Num(number),
        Val::Text(text) => Val::from(text.as_str().chars().count()),
        Val::Arr(list) => Val::from(list.as_slice().len()),
        Val::Obj(object) => Val::from(object.len()),
        Val::Bool(_) => return Err(Error::str(format_args!("{value} has no length"))),
    })
}

/// Whether a value holds another: a part of a text, for each element one that holds it, for each field
/// one that holds it.
fn contains(value: &Val, other: &Val) -> bool {
    match (value, other) {
        (Val::Text(a), Val::Text(b)) => a.as_str().contains(b.as_str()),
        (Val::Arr(a), Val::Arr(b)) => {
            let heavy = (a.as_slice().len() as u64).saturating_mul(b.as_slice().len() as u64) >> 4;
            meter::spend(1 + heavy) && b.iter().all(|b| a.iter().any(|a| contains(a, b)))
        }
        (Val::Obj(a), Val::Obj(b)) => {
            meter::spend(1) && b.iter().all(|(name, b)| a.get(name).is_some_and(|a| contains(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Where a part stands: in characters of a text, or in elements of an array.
fn indices(value: &Val, part: &Val) -> ValR<Val> {
    metered(match (value, part) {
        (Val::Text(_), Val::Text(part)) if part.len() == 0 => std::iter::empty().collect(),
        (Val::Text(text), Val::Text(part)) => {
            let (text, part) = (text.as_str(), part.as_str());
            let starts = text.char_indices().enumerate();
            starts
                .filter(|(_, (at, _))| text[*at..].starts_with(part))
                .map(|(number, _)| Val::from(number))
                .collect()
        }
        (Val::Arr(list), Val::Arr(part)) => places(list, part),
        (Val::Arr(list), value) => {
            let all = list.iter().enumerate().filter(|(_, item)| *item == value);
            all.map(|(at, _)| Val::from(at)).collect()
        }
        (value, part) => return Err(Error::index(value.clone(), part.clone())),
    })
}

#[expect(dead_code, reason = "proves that a value of a program may cross threads")]
fn values_cross_threads(value: Val) -> std::sync::Arc<dyn Send + Sync> {
    std::sync::Arc::new(value)
}
