//! CSS selectors on flat pages: the part of CSS that pages are scraped with.

use std::borrow::Cow;

use super::tags::{self, Tag};
use super::{NONE, Node, Page};

/// A selector: alternatives, of which one must match.
#[derive(Debug, Clone)]
pub(in crate::parse::html) struct Selector(Vec<Complex>);

/// A sequence such as `ul > li a`: the last part first, with how each is reached from the one after it.
#[derive(Debug, Clone)]
struct Complex {
    last: Compound,
    before: Vec<(Combinator, Compound)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Combinator {
    Descendant,
    Child,
    Next,
    Later,
}

/// What one element must be: `a.b[c]:first-child`.
#[derive(Debug, Clone, Default)]
struct Compound {
    tag: Option<Name>,
    id: Option<String>,
    classes: Vec<String>,
    attrs: Vec<AttrTest>,
    places: Vec<Place>,
    not: Vec<Compound>,
}

#[derive(Debug, Clone)]
enum Name {
    Known(Tag),
    Other(String),
}

#[derive(Debug, Clone)]
struct AttrTest {
    name: String,
    test: Test,
    value: String,
    /// Whether HTML says that capitals do not matter in the value.
    any_case: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Exists,
    Equals,
    Word,
    Dash,
    Prefix,
    Suffix,
    Contains,
}

/// The place of an element among its siblings: `a·n + b`, counted from the start or from the end.
#[derive(Debug, Clone, Copy)]
struct Place {
    a: i64,
    b: i64,
    from_end: bool,
}

impl Selector {
    /// The selector, or `None` where it needs the whole machinery.
    pub(in crate::parse::html) fn parse(css: &str) -> Option<Self> {
        let mut parser = Parser { rest: css.trim() };
        let mut all = vec![parser.complex()?];
        while parser.eat(',') {
            parser.space();
            all.push(parser.complex()?);
        }
        parser.rest.is_empty().then_some(Self(all))
    }

    /// Whether a node matches.
    pub(super) fn matches(&self, page: &Page<'_>, at: u32) -> bool {
        let node = &page.nodes[at as usize];
        node.is_element() && self.0.iter().any(|complex| complex.matches(page, node))
    }
}

impl Complex {
    fn matches(&self, page: &Page<'_>, node: &Node) -> bool {
        self.last.matches(page, node) && reach(page, node, &self.before) == Reach::Whole
    }
}

/// How far the parts before an element match. What does not match tells whether another place for the
/// part after it could help: without that, each part would be tried with each element above, and the time
/// would grow with the power of the depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Whole,
    /// Another element before, in the same list, might do.
    Later,
    /// Another element above might do.
    Above,
    /// None would.
    Nowhere,
}

fn reach(page: &Page<'_>, node: &Node, before: &[(Combinator, Compound)]) -> Reach {
    let Some(((combinator, compound), rest)) = before.split_first() else { return Reach::Whole };
    let up = matches!(combinator, Combinator::Descendant | Combinator::Child);
    let mut at = if up { node.parent } else { node.prev };
    loop {
        if at == NONE {
            return if up { Reach::Nowhere } else { Reach::Above };
        }
        let node = &page.nodes[at as usize];
        let reached = match (compound.matches(page, node), combinator) {
            (true, _) => reach(page, node, rest),
            (false, Combinator::Descendant | Combinator::Child) => Reach::Above,
            (false, Combinator::Next | Combinator::Later) => Reach::Later,
        };
        match (reached, combinator) {
            (Reach::Whole | Reach::Nowhere, _) => return reached,
            (_, Combinator::Descendant) | (Reach::Later, Combinator::Later) => {}
            // Whatever is beside or above it, the part after it must find another place.
            (_, Combinator::Child) => return Reach::Above,
            (reached, Combinator::Next | Combinator::Later) => return reached,
        }
        at = if up { node.parent } else { node.prev };
    }
}

impl Compound {
    fn matches(&self, page: &Page<'_>, node: &Node) -> bool {
        let named = match &self.tag {
            None => true,
            Some(Name::Known(tag)) => node.tag == *tag,
            Some(Name::Other(name)) => node.tag >= tags::UNKNOWN && page.tag_name(node.tag) == name,
        };
        named
            && self
                .id
                .as_ref()
                .is_none_or(|id| node.id != NONE && page.value(page.attrs[node.id as usize]) == *id)
            && self.has_classes(page, node)
            && self.attrs.iter().all(|test| test.holds(page, node))
            && self.places.iter().all(|place| place.holds(page, node))
            && !self.not.iter().any(|not| not.matches(page, node))
    }

    fn has_classes(&self, page: &Page<'_>, node: &Node) -> bool {
        if self.classes.is_empty() {
            return true;
        }
        if node.class == NONE {
            return false;
        }
        let value = page.value(page.attrs[node.class as usize]);
        self.classes.iter().all(|class| value.split_ascii_whitespace().any(|word| word == class))
    }
}

impl AttrTest {
    fn holds(&self, page: &Page<'_>, node: &Node) -> bool {
        let Some(attr) = page.attribute(node, &self.name) else { return false };
        if self.test == Test::Exists {
            return true;
        }
        let (mut value, mut wanted) = (page.value(attr), Cow::Borrowed(self.value.as_str()));
        if self.any_case && !node.foreign {
            value = Cow::Owned(value.to_ascii_lowercase());
            wanted = Cow::Owned(wanted.to_ascii_lowercase());
        }
        let (value, wanted) = (&*value, &*wanted);
        match self.test {
            Test::Exists => true,
            Test::Equals => value == wanted,
            Test::Word => {
                !wanted.is_empty()
                    && value.split(|c: char| c.is_ascii_whitespace()).any(|word| word == wanted)
            }
            Test::Dash => {
                value.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            }
            Test::Prefix => !wanted.is_empty() && value.starts_with(wanted),
            Test::Suffix => !wanted.is_empty() && value.ends_with(wanted),
            Test::Contains => !wanted.is_empty() && value.contains(wanted),
        }
    }
}

impl Place {
    fn holds(self, page: &Page<'_>, node: &Node) -> bool {
        let number = match page.nodes.get(node.parent as usize) {
            Some(parent) if self.from_end => parent.children - node.number + 1,
            _ => node.number,
        };
        let steps = i64::from(number) - self.b;
        if self.a == 0 { steps == 0 } else { steps % self.a == 0 && steps / self.a >= 0 }
    }
}

/// Attributes whose values HTML compares whatever their case.
fn is_any_case(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-charset"
            | "align"
            | "alink"
            | "axis"
            | "bgcolor"
            | "charset"
            | "checked"
            | "clear"
            | "codetype"
            | "color"
            | "compact"
            | "declare"
            | "defer"
            | "dir"
            | "direction"
            | "disabled"
            | "enctype"
            | "face"
            | "frame"
            | "hreflang"
            | "http-equiv"
            | "lang"
            | "language"
            | "link"
            | "media"
            | "method"
            | "multiple"
            | "nohref"
            | "noresize"
            | "noshade"
            | "nowrap"
            | "readonly"
            | "rel"
            | "rev"
            | "rules"
            | "scope"
            | "scrolling"
            | "selected"
            | "shape"
            | "target"
            | "text"
            | "type"
            | "valign"
            | "valuetype"
            | "vlink"
    )
}

struct Parser<'c> {
    rest: &'c str,
}

impl<'c> Parser<'c> {
    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn space(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
        let found = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        found
    }

    fn complex(&mut self) -> Option<Complex> {
        let mut last = self.compound()?;
        let mut before = Vec::new();
        loop {
            let spaced = self.space();
            let combinator = match self.rest.chars().next() {
                None | Some(',') => break,
                Some('>') => Combinator::Child,
                Some('+') => Combinator::Next,
                Some('~') => Combinator::Later,
                Some(_) if spaced => Combinator::Descendant,
                Some(_) => return None,
            };
            if combinator != Combinator::Descendant {
                self.rest = &self.rest[1..];
                self.space();
            }
            let next = self.compound()?;
            before.push((combinator, std::mem::replace(&mut last, next)));
        }
        before.reverse();
        Some(Complex { last, before })
    }

    fn compound(&mut self) -> Option<Compound> {
        let mut compound = Compound::default();
        let start = self.rest.len();
        if self.eat('*') {
            // Any element.
        } else if self.rest.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '-') {
            compound.tag = Some(self.tag()?);
        }
        loop {
            match self.rest.chars().next() {
                Some('.') => {
                    self.rest = &self.rest[1..];
                    compound.classes.push(self.identifier()?.to_owned());
                }
                Some('#') => {
                    self.rest = &self.rest[1..];
                    let id = self.identifier()?.to_owned();
                    if compound.id.as_ref().is_some_and(|other| *other != id) {
                        return None;
                    }
                    compound.id = Some(id);
                }
                Some('[') => compound.attrs.push(self.attr_test()?),
                Some(':') => self.pseudo(&mut compound)?,
                _ => break,
            }
        }
        (self.rest.len() < start).then_some(compound)
    }

    /// A name without escapes, which only the whole machinery understands.
    fn identifier(&mut self) -> Option<&'c str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii();
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(length);
        let plain = name.trim_start_matches('-');
        let starts = plain.starts_with(|c: char| !c.is_ascii_digit());
        if !starts || name.len() - plain.len() > 1 || rest.starts_with('\\') {
            return None;
        }
        self.rest = rest;
        Some(name)
    }

    /// The name of an element. One with capitals depends on whether it is of HTML.
    fn tag(&mut self) -> Option<Name> {
        let name = self.identifier()?;
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) || self.rest.starts_with('|') {
            return None;
        }
        Some(tags::known(name.as_bytes()).map_or_else(|| Name::Other(name.to_owned()), Name::Known))
    }

    fn attr_test(&mut self) -> Option<AttrTest> {
        self.rest = self.rest.strip_prefix('[')?;
        self.space();
        let name = self.identifier()?;
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) || name == "xmlns" {
            return None;
        }
        self.space();
        let mut test = AttrTest {
            name: name.to_owned(),
            test: Test::Exists,
            value: String::new(),
            any_case: is_any_case(name),
        };
        if self.eat(']') {
            return Some(test);
        }
        let kinds = [
            ("=", Test::Equals),
            ("~=", Test::Word),
            ("|=", Test::Dash),
            ("^=", Test::Prefix),
            ("$=", Test::Suffix),
            ("*=", Test::Contains),
        ];
        let (sign, kind) = kinds.into_iter().find(|(sign, _)| self.rest.starts_with(sign))?;
        self.rest = &self.rest[sign.len()..];
        self.space();
        let value = match self.rest.chars().next()? {
            quote @ ('"' | '\'') => {
                let inner = &self.rest[1..];
                let length = inner.find(quote)?;
                let value = &inner[..length];
                if value.contains(['\\', '\n', '\r', '\x0c']) {
                    return None;
                }
                self.rest = &inner[length + 1..];
                value
            }
            _ => self.identifier()?,
        };
        self.space();
        if !self.eat(']') {
            return None;
        }
        (test.test, test.value) = (kind, value.to_owned());
        Some(test)
    }

    fn pseudo(&mut self, compound: &mut Compound) -> Option<()> {
        self.rest = self.rest.strip_prefix(':')?;
        let name = self.identifier()?.to_ascii_lowercase();
        let place = |a, b, from_end| Place { a, b, from_end };
        if !self.rest.starts_with('(') {
            match name.as_str() {
                "first-child" => compound.places.push(place(0, 1, false)),
                "last-child" => compound.places.push(place(0, 1, true)),
                "only-child" => compound.places.extend([place(0, 1, false), place(0, 1, true)]),
                _ => return None,
            }
            return Some(());
        }
        self.rest = &self.rest[1..];
        self.space();
        match name.as_str() {
            "nth-child" | "nth-last-child" => {
                let length = self.rest.find(')')?;
                let (a, b) = step(&self.rest[..length])?;
                self.rest = &self.rest[length..];
                compound.places.push(place(a, b, name == "nth-last-child"));
            }
            "not" => {
                compound.not.push(self.compound()?);
                self.space();
                while self.eat(',') {
                    self.space();
                    compound.not.push(self.compound()?);
                    self.space();
                }
            }
            _ => return None,
        }
        self.eat(')').then_some(())
    }
}

/// `odd`, `even`, `3`, `2n+1`, `-n + 3`.
fn step(text: &str) -> Option<(i64, i64)> {
    let text = text.trim().to_ascii_lowercase();
    match text.as_str() {
        "odd" => return Some((2, 1)),
        "even" => return Some((2, 0)),
        _ => {}
    }
    let number = |text: &str| {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let plain =
            !digits.is_empty() && digits.len() < 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<i64>().ok()).flatten()
    };
    let Some((a, b)) = text.split_once('n') else { return Some((0, number(&text)?)) };
    let a = match a {
        "" | "+" => 1,
        "-" => -1,
        a => number(a)?,
    };
    let b = b.trim();
    if b.is_empty() {
        return Some((a, 0));
    }
    let digits = b.strip_prefix(['+', '-'])?.trim();
    let b_value = number(digits).filter(|_| digits.starts_with(|c: char| c.is_ascii_digit()))?;
    Some((a, if b.starts_with('-') { -b_value } else { b_value }))
}
