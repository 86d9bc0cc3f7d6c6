//! Reaching into values: what the interpreter asks of them.

use std::sync::Arc;

use compact_str::CompactString;
use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{Error, Exn, ValR, ValX};
use jaq_json::Num;

use super::meter;
use super::ops::{is_integer, metered, refusal};
use super::text::Text;
use super::value::{List, Object, Val};

const ITERABLE: &str = "iterable (array or object)";
const SLICEABLE: &str = "rangeable (array or string)";

impl From<bool> for Val {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<isize> for Val {
    fn from(number: isize) -> Self {
        Self::Num(Num::Int(number))
    }
}

impl From<usize> for Val {
    fn from(number: usize) -> Self {
        Self::Num(Num::from_integral(number))
    }
}

impl From<f64> for Val {
    fn from(number: f64) -> Self {
        Self::Num(Num::Float(number))
    }
}

impl From<String> for Val {
    fn from(text: String) -> Self {
        Self::Text(Text::from_string(text))
    }
}

impl From<Range<Self>> for Val {
    fn from(range: Range<Self>) -> Self {
        let mut object = Object::default();
        for (name, bound) in [("start", range.start), ("end", range.end)] {
            if let Some(bound) = bound {
                object.insert(name.into(), bound);
            }
        }
        Self::object(object)
    }
}

/// The values of an array or object, moved out of it where nobody else has it.
struct Values {
    of: Val,
    at: usize,
}

impl Iterator for Values {
    type Item = Val;

    fn next(&mut self) -> Option<Val> {
        let at = self.at;
        let value = match &mut self.of {
            Val::Arr(list) => {
                let shared = list.as_slice().get(at)?;
                // To move a scalar out would be no gain.
                match matches!(shared, Val::Arr(_) | Val::Obj(_) | Val::Text(_)) {
                    true => match Arc::get_mut(list) {
                        Some(list) => list.take(at),
                        None => list.as_slice().get(at)?.clone(),
                    },
                    false => shared.clone(),
                }
            }
            Val::Obj(object) => object.at(at)?.1.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(value)
    }
}

/// Counts the steps of walking through a value.
fn walk(value: &Val) -> Result<usize, Error<Val>> {
    let length = match value {
        Val::Arr(list) => list.as_slice().len(),
        Val::Obj(object) => object.len(),
        _ => 0,
    };
    if meter::spend(1 + length as u64 / 16) { Ok(length) } else { Err(refusal()) }
}

/// Where an index points: from the start, or from the end.
enum Place {
    Start(usize),
    End(usize),
}

impl Place {
    fn of(value: &Val) -> Result<Self, Error<Val>> {
        match value {
            Val::Num(Num::Int(number)) if *number >= 0 => Ok(Self::Start(number.unsigned_abs())),
            Val::Num(Num::Int(number)) => Ok(Self::End(number.unsigned_abs())),
            Val::Num(number @ Num::BigInt(_)) if *number >= Num::Int(0) => Ok(Self::Start(usize::MAX)),
            Val::Num(Num::BigInt(_)) => Ok(Self::End(usize::MAX)),
            other => Err(Error::typ(other.clone(), "integer")),
        }
    }

    /// The place of an element among so many.
    fn within(&self, length: usize) -> Option<usize> {
        match self {
            Self::Start(at) => Some(*at),
            Self::End(back) => length.checked_sub(*back),
        }
        .filter(|at| *at < length)
    }

    /// The end of a slice of so many.
    fn bound(&self, length: usize) -> usize {
        match self {
            Self::Start(at) => (*at).min(length),
            Self::End(back) => length.saturating_sub(*back),
        }
    }
}

/// From where to where a slice of a value goes.
fn slice(range: &Range<&Val>, length: usize) -> Result<std::ops::Range<usize>, Error<Val>> {
    let bound = |bound: Option<&Val>, none: usize| match bound {
        None | Some(Val::Null) => Ok(none),
        Some(value) => Place::of(value).map(|place| place.bound(length)),
    };
    let (from, to) = (bound(range.start, 0)?, bound(range.end, length)?);
    Ok(from..to.max(from))
}

/// The same for a text: characters are counted, bytes are given.
fn slice_text(range: &Range<&Val>, text: &str) -> Result<std::ops::Range<usize>, Error<Val>> {
    if text.is_ascii() {
        return slice(range, text.len());
    }
    let characters = slice(range, text.chars().count())?;
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let from = starts.by_ref().nth(characters.start).unwrap_or(text.len());
    let to = match characters.end - characters.start {
        0 => from,
        more => starts.nth(more - 1).unwrap_or(text.len()),
    };
    Ok(from..to)
}

fn slice_of(object: &Object) -> Range<&Val> {
    object.get("start")..object.get("end")
}

impl Val {
    /// The value at an index; `None` where there is none.
    ///
    /// # Errors
    /// Where a value of this kind has no such indices.
    pub(super) fn at(self, index: &Self) -> Result<Option<Self>, Error<Self>> {
        match (self, index) {
            (Self::Null, _) => Ok(None),
            (Self::Arr(list), Self::Num(number)) if is_integer(number) => {
                let at = Place::of(index)?.within(list.as_slice().len());
                Ok(at.and_then(|at| list.as_slice().get(at)).cloned())
            }
            (Self::Arr(list), Self::Arr(part)) => Ok(Some(places(&list, part))),
            (Self::Obj(object), Self::Text(name)) => Ok(object.get(name.as_str()).cloned()),
            (Self::Obj(_), _) => Ok(None),
            (value @ (Self::Text(_) | Self::Arr(_)), Self::Obj(range)) => {
                jaq_core::ValT::range(value, slice_of(range)).map(Some)
            }
            (value, index) => Err(Error::index(value, index.clone())),
        }
    }
}

/// Where a part stands in an array.
pub(super) fn places(list: &List, part: &List) -> Val {
    let part = part.as_slice();
    if part.is_empty() {
        return std::iter::empty().collect();
    }
    let windows = list.as_slice().windows(part.len()).enumerate();
    windows.filter(|(_, window)| *window == part).map(|(at, _)| Val::from(at)).collect()
}

/// The name of a field.
fn name(value: Val) -> Result<CompactString, Error<Val>> {
    match value {
        Val::Text(Text::Small(name)) => Ok(name),
        Val::Text(text) => Ok(text.as_str().into()),
        other => Err(Error::str(format_args!("an object has the key {other}, which is no text"))),
    }
}

impl jaq_core::ValT for Val {
    fn from_num(number: &str) -> ValR<Self> {
        Ok(Self::Num(number_of(number)))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(fields: I) -> ValR<Self> {
        let mut object = Object::default();
        for (key, value) in fields {
            if !object.insert(name(key)?, value) {
                break;
            }
        }
        metered(Self::object(object))
    }

    fn key_values(self) -> Box<dyn Iterator<Item = ValR<(Self, Self), Self>>> {
        if let Err(error) = walk(&self) {
            return Box::new(std::iter::once(Err(error)));
        }
        match self {
            Self::Arr(_) => Box::new(
                Values { of: self, at: 0 }.enumerate().map(|(at, value)| Ok((Self::from(at), value))),
            ),
            Self::Obj(object) => Box::new((0..object.len()).filter_map(move |at| {
                let (name, value) = object.at(at)?;
                Some(Ok((Self::Text(Text::Small(name.clone())), value.clone())))
            })),
            other => Box::new(std::iter::once(Err(Error::typ(other, ITERABLE)))),
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR<Self>>> {
        match self {
            Self::Arr(_) | Self::Obj(_) => match walk(&self) {
                Ok(_) => Box::new(Values { of: self, at: 0 }.map(Ok)),
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
            other => Box::new(std::iter::once(Err(Error::typ(other, ITERABLE)))),
        }
    }

    fn index(self, index: &Self) -> ValR<Self> {
        self.at(index).map(Option::unwrap_or_default)
    }

    fn range(self, range: Range<&Self>) -> ValR<Self> {
        match self {
            Self::Text(text) => {
                let text = text.as_str();
                metered(Self::text(&text[slice_text(&range, text)?]))
            }
            Self::Arr(list) => {
                let part = slice(&range, list.as_slice().len())?;
                metered(list.as_slice()[part].iter().cloned().collect())
            }
            other => Err(Error::typ(other, SLICEABLE)),
        }
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        walk(&self)?;
        match self {
            Self::Arr(_) => {
                let values = Values { of: self, at: 0 };
                let mapped = values.flat_map(f).collect::<Result<Self, Exn<'a, Self>>>()?;
                Ok(metered(mapped)?)
            }
            Self::Obj(mut object) => {
                let mut mapped = Object::with_room(object.len());
                for at in 0..object.len() {
                    let Some((name, value)) = object.at(at) else { break };
                    let (name, mut value) = (name.clone(), value.clone());
                    if let Some(unique) = Arc::get_mut(&mut object) {
                        // Nobody else has the object: the value is to be nobody else's either.
                        drop(value);
                        value = unique.take(&name).unwrap_or_default();
                    }
                    if let Some(value) = f(value).next().transpose()?
                        && !mapped.insert(name, value)
                    {
                        break;
                    }
                }
                Ok(metered(Self::object(mapped))?)
            }
            other => opt.fail(other, |other| Exn::from(Error::typ(other, ITERABLE))),
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        index: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match (self, index) {
            (value @ (Self::Text(_) | Self::Arr(_)), Self::Obj(range)) => {
                value.map_range(slice_of(range), opt, f)
            }
            (Self::Obj(mut object), _) => {
                let key = name(index.clone())?;
                let fields = Arc::make_mut(&mut object);
                let old = fields.take(&key);
                let is_new = old.is_none();
                match f(old.unwrap_or_default()).next().transpose()? {
                    Some(value) => {
                        fields.insert(key, value);
                    }
                    None if is_new => {}
                    None => fields.remove(&key),
                }
                Ok(metered(Self::Obj(object))?)
            }
            // What is not there yet is made: `.a.b = 1` on null or {}.
            (Self::Null, Self::Text(_)) => Self::object(Object::default()).map_index(index, opt, f),
            (Self::Null, Self::Num(_)) => Self::from_iter([]).map_index(index, opt, f),
            (Self::Arr(mut list), Self::Num(Num::Int(at)))
                if usize::try_from(*at).is_ok_and(|at| at >= list.as_slice().len()) =>
            {
                let at = at.unsigned_abs();
                let Some(value) = f(Self::Null).next().transpose()? else { return Ok(Self::Arr(list)) };
                if !meter::spend(at as u64 / 16)
                    || !meter::has_room((at as u64 + 1).saturating_mul(size_of::<Self>() as u64))
                {
                    return Err(refusal().into());
                }
                let length = list.as_slice().len();
                let items = Arc::make_mut(&mut list).iter().cloned();
                let filled = items.chain(std::iter::repeat_n(Self::Null, at - length)).chain([value]);
                Ok(metered(filled.collect())?)
            }
            (Self::Arr(mut list), _) => {
                let length = list.as_slice().len();
                let place = Place::of(index).and_then(|place| {
                    let outside = || Error::str(format_args!("index {index} out of bounds"));
                    place.within(length).ok_or_else(outside)
                });
                let at = match place {
                    Ok(at) => at,
                    Err(error) => return opt.fail(Self::Arr(list), |_| Exn::from(error)),
                };
                let items = Arc::make_mut(&mut list);
                match f(items.take(at)).next().transpose()? {
                    Some(value) => items.put(at, value),
                    None => items.remove(at),
                }
                Ok(metered(Self::Arr(list))?)
            }
            (other, _) => opt.fail(other, |other| Exn::from(Error::typ(other, ITERABLE))),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match self {
            Self::Arr(list) => {
                let items = list.as_slice();
                let part = match slice(&range, items.len()) {
                    Ok(part) => part,
                    Err(error) => return opt.fail(Self::Arr(list), |_| Exn::from(error)),
                };
                let new = match f(items[part.clone()].iter().cloned().collect()).next().transpose()? {
                    None => Arc::default(),
                    Some(Self::Arr(new)) => new,
                    Some(other) => return Err(Error::typ(other, "array").into()),
                };
                let whole = items[..part.start].iter().chain(new.iter()).chain(&items[part.end..]);
                Ok(metered(whole.cloned().collect())?)
            }
            Self::Text(text) => {
                let whole = text.as_str();
                let part = match slice_text(&range, whole) {
                    Ok(part) => part,
                    Err(error) => return opt.fail(Self::Text(text), |_| Exn::from(error)),
                };
                let new = match f(Self::text(&whole[part.clone()])).next().transpose()? {
                    None => Text::new(""),
                    Some(Self::Text(new)) => new,
                    Some(other) => return Err(Error::typ(other, "string").into()),
                };
                let whole = Text::concat(&[&whole[..part.start], new.as_str(), &whole[part.end..]]);
                Ok(metered(Self::Text(whole))?)
            }
            other => opt.fail(other, |other| Exn::from(Error::typ(other, SLICEABLE))),
        }
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        match self {
            Self::Text(_) => self,
            other => other.to_json(),
        }
    }
}

/// A number as it is written.
pub(super) fn number_of(text: &str) -> Num {
    Num::from_str_radix(text, 10).unwrap_or_else(|| Num::Dec(jaq_json::Rc::new(text.to_owned())))
}
