//! Searching texts by regular expressions, as jq does: with all of Unicode.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use jaq_core::native::{self, bome, v};
use jaq_core::{Error, RunPtr, ValR};
use regex::{Captures, Regex, RegexBuilder};

use super::compile::Kind;
use super::meter;
use super::ops::{metered, refusal};
use super::text::Text;
use super::value::{Object, Val};

/// What a match takes at least.
const MATCH: u64 = 160;
/// So many patterns are kept compiled by a thread.
const KEPT: usize = 64;

thread_local! {
    /// A program searches with the same few patterns in each item, and compiling one takes longer than a search.
    static PATTERNS: RefCell<HashMap<(String, String), Rc<Pattern>>> = RefCell::default();
}

struct Pattern {
    regex: Regex,
    global: bool,
    ignores_empty: bool,
}

/// The functions.
pub(super) fn functions() -> Box<[native::Filter<RunPtr<Kind>>]> {
    Box::new([
        ("matches", v(2), |mut cv| {
            let (flags, pattern) = (cv.0.pop_var(), cv.0.pop_var());
            bome(search(&cv.1, &pattern, &flags, false, true))
        }),
        ("split_matches", v(2), |mut cv| {
            let (flags, pattern) = (cv.0.pop_var(), cv.0.pop_var());
            bome(search(&cv.1, &pattern, &flags, true, true))
        }),
        ("split_", v(2), |mut cv| {
            let (flags, pattern) = (cv.0.pop_var(), cv.0.pop_var());
            bome(search(&cv.1, &pattern, &flags, true, false))
        }),
        ("_concat", v(0), |cv| bome(concat(&cv.1))),
    ])
}

fn text(value: &Val) -> Result<&str, Error<Val>> {
    match value {
        Val::Text(text) => Ok(text.as_str()),
        other => Err(Error::typ(other.clone(), "string")),
    }
}

fn pattern(pattern: &str, flags: &str) -> Result<Rc<Pattern>, Error<Val>> {
    let key = (pattern.to_owned(), flags.to_owned());
    if let Some(known) = PATTERNS.with_borrow(|known| known.get(&key).cloned()) {
        return Ok(known);
    }
    if let Some(unknown) = flags.chars().find(|flag| !"gnimslxp".contains(*flag)) {
        return Err(Error::str(format_args!(
            "`{unknown}` is no flag of a regular expression (g, n, i, m, s, l, x, p)"
        )));
    }
    let has = |flag| flags.contains(flag);
    let regex = RegexBuilder::new(pattern)
        .case_insensitive(has('i'))
        .multi_line(has('m') || has('p'))
        .dot_matches_new_line(has('s') || has('p'))
        .swap_greed(has('l'))
        .ignore_whitespace(has('x'))
        .build()
        .map_err(|error| Error::str(format_args!("the regular expression is wrong: {error}")))?;
    let compiled = Rc::new(Pattern { regex, global: has('g'), ignores_empty: has('n') });
    PATTERNS.with_borrow_mut(|known| {
        if known.len() == KEPT {
            known.clear();
        }
        known.insert(key, compiled.clone());
    });
    Ok(compiled)
}

/// What is between the matches, and the matches: each an array of the whole and its groups.
fn search(value: &Val, wanted: &Val, flags: &Val, between: bool, matches: bool) -> ValR<Val> {
    let value = text(value)?;
    let pattern = pattern(text(wanted)?, text(flags)?)?;
    let mut found: Vec<Val> = Vec::new();
    let mut last = 0;
    let mut characters = Characters { of: value, byte: 0, number: 0 };
    for captures in pattern.regex.captures_iter(value) {
        let Some(whole) = captures.get(0) else { continue };
        if pattern.ignores_empty && whole.is_empty() {
            continue;
        }
        if !meter::spend(1) || !meter::has_room((found.len() as u64 + 1).saturating_mul(MATCH)) {
            return Err(refusal());
        }
        if between {
            found.push(Val::text(&value[last..whole.start()]));
            last = whole.end();
        }
        if matches {
            found.push(groups(&pattern.regex, &captures, &mut characters)?);
        }
        if !pattern.global {
            break;
        }
    }
    if between {
        found.push(Val::text(&value[last..]));
    }
    metered(found.into_iter().collect())
}

fn groups(regex: &Regex, captures: &Captures<'_>, characters: &mut Characters<'_>) -> ValR<Val> {
    let start = captures.get(0).map_or(0, |whole| whole.start());
    characters.go_to(start);
    let group = |(found, name): (Option<regex::Match<'_>>, Option<&str>)| {
        let mut object = Object::default();
        let (offset, length, string) = match found {
            // A group may stand before another one, but not before the whole.
            Some(found) => {
                let mut place = characters.clone();
                place.go_to(found.start());
                let length = found.as_str().chars().count();
                (place.number.cast_signed(), length.cast_signed(), Val::text(found.as_str()))
            }
            None => (-1, 0, Val::Null),
        };
        object.insert("offset".into(), Val::from(offset));
        object.insert("length".into(), Val::from(length));
        object.insert("string".into(), string);
        if let Some(name) = name {
            object.insert("name".into(), Val::text(name));
        }
        Val::object(object)
    };
    metered(captures.iter().zip(regex.capture_names()).map(group).collect())
}

/// Counts the characters of a text up to a byte.
#[derive(Clone)]
struct Characters<'t> {
    of: &'t str,
    byte: usize,
    number: usize,
}

impl Characters<'_> {
    /// Not back.
    fn go_to(&mut self, byte: usize) {
        if let Some(between) = self.of.get(self.byte..byte) {
            self.number += between.chars().count();
            self.byte = byte;
        }
    }
}

/// The texts of an array as one.
fn concat(value: &Val) -> ValR<Val> {
    let Val::Arr(list) = value else { return Err(Error::typ(value.clone(), "array")) };
    let parts = list.iter().map(text).collect::<Result<Vec<&str>, _>>()?;
    metered(Val::Text(Text::concat(&parts)))
}
