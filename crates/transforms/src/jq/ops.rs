//! Calculating with values, and comparing them.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};
use std::sync::Arc;

use jaq_core::ops::Math;
use jaq_core::{Error, ValR};
use jaq_json::Num;

use super::meter;
use super::value::{Object, Val};

/// The most bits of an integer: far more than any that means something, few enough to be written out.
const BITS: u64 = 1 << 18;

/// The result of an operation, where the program is not refused.
pub(super) fn metered(value: Val) -> ValR<Val> {
    if meter::may_go_on() { Ok(value) } else { Err(refusal()) }
}

pub(super) fn refusal() -> Error<Val> {
    Error::str(meter::why())
}

impl Add for Val {
    type Output = ValR<Self>;

    fn add(self, other: Self) -> ValR<Self> {
        metered(match (self, other) {
            (Self::Null, value) | (value, Self::Null) => value,
            (Self::Num(a), Self::Num(b)) => Self::Num(a + b),
            (Self::Text(a), Self::Text(b)) => Self::Text(a.join(&b)),
            (Self::Arr(mut a), Self::Arr(b)) => {
                Arc::make_mut(&mut a).extend(b);
                Self::Arr(a)
            }
            (Self::Obj(mut a), Self::Obj(b)) => {
                Arc::make_mut(&mut a).extend(b);
                Self::Obj(a)
            }
            (a, b) => return Err(Error::math(a, Math::Add, b)),
        })
    }
}

impl Sub for Val {
    type Output = ValR<Self>;

    fn sub(self, other: Self) -> ValR<Self> {
        metered(match (self, other) {
            (Self::Num(a), Self::Num(b)) => Self::Num(a - b),
            (Self::Arr(mut a), Self::Arr(b)) => {
                let gone: BTreeSet<&Self> = b.iter().collect();
                Arc::make_mut(&mut a).retain(|value| !gone.contains(value));
                Self::Arr(a)
            }
            (a, b) => return Err(Error::math(a, Math::Sub, b)),
        })
    }
}

impl Mul for Val {
    type Output = ValR<Self>;

    fn mul(self, other: Self) -> ValR<Self> {
        metered(match (self, other) {
            (Self::Num(a), Self::Num(b)) => {
                if bits(&a).saturating_add(bits(&b)) > BITS {
                    meter::refuse_digits();
                    return Err(refusal());
                }
                Self::Num(a * b)
            }
            (Self::Text(text), Self::Num(Num::Int(times)))
            | (Self::Num(Num::Int(times)), Self::Text(text)) => match usize::try_from(times) {
                Ok(times @ 1..) => Self::Text(text.repeat(times)),
                _ => Self::Null,
            },
            (Self::Text(text), Self::Num(times @ Num::BigInt(_)))
            | (Self::Num(times @ Num::BigInt(_)), Self::Text(text)) => {
                if times < Num::Int(0) {
                    Self::Null
                } else {
                    Self::Text(text.repeat(usize::MAX))
                }
            }
            (Self::Obj(mut a), Self::Obj(b)) => {
                merge(&mut a, &b);
                Self::Obj(a)
            }
            (a, b) => return Err(Error::math(a, Math::Mul, b)),
        })
    }
}

/// About how many bits an integer has that is larger than a machine's.
fn bits(number: &Num) -> u64 {
    match number {
        Num::BigInt(number) => number.bits(),
        _ => 0,
    }
}

/// Merges objects, and those in them.
fn merge(into: &mut Arc<Object>, from: &Object) {
    let into = Arc::make_mut(into);
    for (name, value) in from.iter() {
        let value = match (into.get(name), value) {
            (Some(Val::Obj(_)), Val::Obj(from)) => {
                let Some(Val::Obj(mut inner)) = into.take(name) else { return };
                merge(&mut inner, from);
                Val::Obj(inner)
            }
            (_, value) => value.clone(),
        };
        if !into.insert(name.clone(), value) {
            return;
        }
    }
}

impl Div for Val {
    type Output = ValR<Self>;

    fn div(self, other: Self) -> ValR<Self> {
        metered(match (self, other) {
            (Self::Num(a), Self::Num(b)) => Self::Num(a / b),
            (Self::Text(text), Self::Text(by)) => {
                let (text, by) = (text.as_str(), by.as_str());
                if text.is_empty() {
                    std::iter::empty().collect()
                } else if by.is_empty() {
                    let mut buffer = [0; 4];
                    text.chars().map(|char| Self::text(char.encode_utf8(&mut buffer))).collect()
                } else {
                    text.split(by).map(Self::text).collect()
                }
            }
            (a, b) => return Err(Error::math(a, Math::Div, b)),
        })
    }
}

impl Rem for Val {
    type Output = ValR<Self>;

    fn rem(self, other: Self) -> ValR<Self> {
        match (self, other) {
            (Self::Num(a), Self::Num(b)) if !(is_integer(&a) && is_integer(&b) && b == Num::Int(0)) => {
                metered(Self::Num(a % b))
            }
            (a, b) => Err(Error::math(a, Math::Rem, b)),
        }
    }
}

impl Neg for Val {
    type Output = ValR<Self>;

    fn neg(self) -> ValR<Self> {
        match self {
            Self::Num(number) => Ok(Self::Num(-number)),
            other => Err(Error::typ(other, "number")),
        }
    }
}

pub(super) fn is_integer(number: &Num) -> bool {
    matches!(number, Num::Int(_) | Num::BigInt(_))
}

impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Num(a), Self::Num(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a.as_str() == b.as_str(),
            (Self::Arr(a), Self::Arr(b)) => {
                a.as_slice().len() == b.as_slice().len()
                    && spend(self, other)
                    && a.iter().zip(b.iter()).all(|(a, b)| a == b)
            }
            (Self::Obj(a), Self::Obj(b)) => {
                a.len() == b.len()
                    && spend(self, other)
                    && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| other == value))
            }
            _ => false,
        }
    }
}

impl Eq for Val {}

/// Counts the steps of a comparison, which are many where large parts are shared within the values.
fn spend(a: &Val, b: &Val) -> bool {
    let heavy = a.weight().min(b.weight()) >> 10;
    heavy == 0 || meter::spend(heavy)
}

impl PartialOrd for Val {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Val {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Num(a), Self::Num(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_str().cmp(b.as_str()),
            (Self::Arr(a), Self::Arr(b)) if spend(self, other) => a.iter().cmp(b.iter()),
            (Self::Obj(a), Self::Obj(b)) if spend(self, other) => {
                // First the names, then the values, by their names.
                let (a, b) = (sorted(a), sorted(b));
                let names = a.iter().map(|(name, _)| name).cmp(b.iter().map(|(name, _)| name));
                names.then_with(|| a.iter().map(|(_, value)| value).cmp(b.iter().map(|(_, value)| value)))
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

fn sorted(object: &Object) -> Vec<(&str, &Val)> {
    let mut all: Vec<_> = object.iter().map(|(name, value)| (name.as_str(), value)).collect();
    all.sort_unstable_by_key(|(name, _)| *name);
    all
}

/// The order of the kinds of values.
fn rank(value: &Val) -> u8 {
    match value {
        Val::Null => 0,
        Val::Bool(_) => 1,
        Val::Num(_) => 2,
        Val::Text(_) => 3,
        Val::Arr(_) => 4,
        Val::Obj(_) => 5,
    }
}
