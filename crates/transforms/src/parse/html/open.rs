//! Which elements of a page are open, as far as its tags tell.
//!
//! A small part of the rules for building a tree (HTML, 13.2.6): what an end tag, a cell, an item of a list or a
//! paragraph closes with it. Where the rules are more intricate than this, fewer elements are closed here than there,
//! so that what is open is never taken for less than it is.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::flat;

/// So many `<b>`s that are written alike last over the end of their block.
const ALIKE: usize = 3;

/// What an element is to those who look for another one among the open elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Nothing that is no block is closed across it.
    Special,
    /// Nothing is closed across it.
    Scope,
    /// The same; its cells close one another.
    Table,
    /// The same.
    Cell,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        match name {
            b"table" => Self::Table,
            b"td" | b"th" | b"caption" => Self::Cell,
            // Some of these hold only text, and only for a browser: what is written in them neither opens nor closes
            // anything outside.
            b"applet" | b"object" | b"marquee" | b"select" | b"noscript" | b"iframe" | b"noembed"
            | b"noframes" | b"xmp" | b"textarea" | b"title" => Self::Scope,
            b"button" | b"frame" | b"script" | b"style" | b"plaintext" => Self::Special,
            name if closes_paragraph(name) => Self::Special,
            _ => Self::Plain,
        }
    }

    fn ends_scope(self) -> bool {
        matches!(self, Self::Scope | Self::Table | Self::Cell)
    }
}

/// Blocks, before which an open paragraph ends. A table does so only on some pages.
fn closes_paragraph(name: &[u8]) -> bool {
    matches!(
        name,
        b"address"
            | b"article"
            | b"aside"
            | b"blockquote"
            | b"center"
            | b"dd"
            | b"details"
            | b"dialog"
            | b"dir"
            | b"div"
            | b"dl"
            | b"dt"
            | b"fieldset"
            | b"figcaption"
            | b"figure"
            | b"footer"
            | b"form"
            | b"h1"
            | b"h2"
            | b"h3"
            | b"h4"
            | b"h5"
            | b"h6"
            | b"header"
            | b"hgroup"
            | b"li"
            | b"listing"
            | b"main"
            | b"menu"
            | b"nav"
            | b"ol"
            | b"p"
            | b"pre"
            | b"search"
            | b"section"
            | b"summary"
            | b"ul"
    )
}

fn is_heading(name: &[u8]) -> bool {
    matches!(name, [b'h', b'1'..=b'6'])
}

/// Elements that are opened again in the blocks that follow, until their end.
fn is_lasting(name: &[u8]) -> bool {
    matches!(
        name,
        b"a" | b"b"
            | b"big"
            | b"code"
            | b"em"
            | b"font"
            | b"i"
            | b"nobr"
            | b"s"
            | b"small"
            | b"strike"
            | b"strong"
            | b"tt"
            | b"u"
    )
}

/// What is of the whole page, and is open or not whatever its tags say.
fn is_frame_of_page(name: &[u8]) -> bool {
    matches!(name, b"html" | b"head" | b"body" | b"frameset")
}

/// Elements of SVG that hold others of it, and nothing else.
fn is_part_of_image(name: &[u8]) -> bool {
    matches!(
        name,
        b"svg"
            | b"g"
            | b"defs"
            | b"symbol"
            | b"marker"
            | b"mask"
            | b"pattern"
            | b"clippath"
            | b"filter"
            | b"lineargradient"
            | b"radialgradient"
            | b"path"
            | b"use"
            | b"rect"
            | b"circle"
            | b"text"
    )
}

/// Whether a tag ends with `/>`, where `/` is not of a value without quotes.
fn ends_itself(written: &[u8]) -> bool {
    written.strip_suffix(b"/>").is_some_and(|tag| {
        let last = tag.last().copied().unwrap_or_default();
        matches!(last, b'"' | b'\'') || last.is_ascii_whitespace() || !tag.contains(&b'=')
    })
}

/// Elements of SVG.
fn is_of_image(name: &[u8]) -> bool {
    is_part_of_image(name)
        || matches!(
            name,
            b"line"
                | b"polyline"
                | b"polygon"
                | b"ellipse"
                | b"stop"
                | b"tspan"
                | b"textpath"
                | b"image"
                | b"animate"
                | b"animatetransform"
                | b"animatemotion"
                | b"set"
                | b"switch"
                | b"metadata"
                | b"feblend"
                | b"fecolormatrix"
                | b"fecomposite"
                | b"feflood"
                | b"fegaussianblur"
                | b"femerge"
                | b"femergenode"
                | b"feoffset"
                | b"fedropshadow"
                | b"femorphology"
                | b"feturbulence"
        )
}

#[derive(Debug)]
struct Element {
    name: Vec<u8>,
    kind: Kind,
    /// Of a `<b>` and the like: its number.
    lasting: Option<u64>,
}

/// A `<b>` or the like that has not had its end tag.
#[derive(Debug)]
struct Lasting {
    /// In the order in which they came.
    number: u64,
    name: Vec<u8>,
    /// A hash of how it is written.
    written: u64,
    /// Whether it is among the open elements. If not, it is opened again before the next text.
    is_open: bool,
}

/// The open elements.
#[derive(Debug)]
pub(super) struct Open {
    /// Whether elements are closed by others than their own end tags: until a template, a formula, or a page within an
    /// image comes, which have rules of their own.
    follows_rules: bool,
    elements: Vec<Element>,
    /// Those of each open cell, after those that are in no cell.
    lasting: Vec<Vec<Lasting>>,
    number: u64,
    hashing: RandomState,
}

impl Open {
    /// Nothing is open.
    pub(super) fn new() -> Self {
        Self {
            follows_rules: true,
            elements: Vec::new(),
            lasting: vec![Vec::new()],
            number: 0,
            hashing: RandomState::new(),
        }
    }

    /// How many are open.
    pub(super) fn depth(&self) -> u64 {
        self.elements.len() as u64
    }

    /// How many elements a tag is compared with at most.
    pub(super) fn looks(&self) -> u64 {
        self.depth() + self.lasting.last().map_or(0, Vec::len) as u64
    }

    /// Opens again what lasts over the end of its block, as text and most start tags do. Returns how many.
    pub(super) fn reopen(&mut self) -> u64 {
        let Some(lasting) = self.lasting.last_mut() else { return 0 };
        let mut count = 0;
        for one in lasting.iter_mut().filter(|one| !one.is_open) {
            one.is_open = true;
            let (name, lasting) = (one.name.clone(), Some(one.number));
            self.elements.push(Element { name, kind: Kind::Plain, lasting });
            count += 1;
        }
        count
    }

    /// Whether what stands in a script is text, and no tags.
    pub(super) fn has_scripts(&self) -> bool {
        let other = |element: &Element| element.kind == Kind::Scope || element.name == b"svg";
        self.follows_rules && !self.elements.iter().any(other)
    }

    /// Whether the last element is of an image in SVG, where `/>` ends an element.
    fn within_image(&self) -> bool {
        let mut inner = self.elements.iter().rev().map(|element| element.name.as_slice());
        inner.find(|name| !is_part_of_image(name) || *name == b"svg") == Some(b"svg")
    }

    /// A start tag; `written` is all of it. Returns how many elements it opens.
    pub(super) fn start(&mut self, name: Vec<u8>, written: &[u8]) -> u64 {
        if is_frame_of_page(&name) {
            return 0;
        }
        let kind = Kind::of(&name);
        if self.within_image() {
            self.follows_rules &= is_of_image(&name);
            if self.follows_rules && ends_itself(written) {
                return 1;
            }
        } else if name == b"svg" && ends_itself(written) {
            return 1 + self.reopen();
        } else if matches!(name.as_slice(), b"template" | b"math") {
            self.follows_rules = false;
        }
        if self.follows_rules && !self.within_image() {
            match name.as_slice() {
                b"tr" | b"tbody" | b"thead" | b"tfoot" | b"colgroup" => {
                    self.close_cell(|_| true);
                    return 1;
                }
                b"td" | b"th" | b"caption" => {
                    self.close_cell(|_| true);
                    if self.scope() != Some(Kind::Table) {
                        return 0;
                    }
                    self.lasting.push(Vec::new());
                }
                b"option" if self.elements.last().is_some_and(|last| last.name == b"option") => {
                    self.elements.pop();
                }
                name if flat::needs_no_end(name) && !closes_paragraph(name) => return 1 + self.reopen(),
                b"li" | b"dd" | b"dt" => self.close_item(&name),
                _ => {}
            }
            if closes_paragraph(&name) {
                self.close_paragraph();
            }
        } else if !self.follows_rules && flat::needs_no_end(&name) {
            return 1 + self.reopen();
        }
        // A second one of these ends the first.
        match name.as_slice() {
            b"button" if self.follows_rules => {
                self.close(|element| element.name == b"button", Kind::ends_scope);
            }
            b"a" | b"nobr" if self.follows_rules => self.end_lasting(&name),
            _ => {}
        }
        let block = closes_paragraph(&name) || matches!(kind, Kind::Table | Kind::Cell);
        let reopened = if block { 0 } else { self.reopen() };
        let lasting = is_lasting(&name).then(|| self.last(&name, written));
        self.elements.push(Element { name, kind, lasting });
        1 + reopened
    }

    /// An end tag.
    pub(super) fn end(&mut self, name: &[u8]) {
        if is_frame_of_page(name) {
            return;
        }
        if is_lasting(name) {
            return self.end_lasting(name);
        }
        if !self.follows_rules {
            return self.remove(|element| element.name == name);
        }
        match name {
            b"td" | b"th" | b"caption" => self.close_cell(|cell| cell == name),
            b"tr" | b"tbody" | b"thead" | b"tfoot" => self.close_cell(|cell| cell != b"caption"),
            b"p" => self.close_paragraph(),
            b"form" => self.remove(|element| element.name == name),
            b"table" => self.close(|element| element.name == name, |kind| kind == Kind::Scope),
            name if is_heading(name) => self.close(|element| is_heading(&element.name), Kind::ends_scope),
            b"li" => {
                let list = |element: &Element| matches!(element.name.as_slice(), b"li" | b"ul" | b"ol");
                if self.elements.iter().rev().find(|element| list(element)).is_some_and(|e| e.name == name) {
                    self.close(|element| element.name == name, Kind::ends_scope);
                }
            }
            name => match Kind::of(name) {
                Kind::Plain => self.close(|element| element.name == name, |kind| kind != Kind::Plain),
                _ => self.close(|element| element.name == name, Kind::ends_scope),
            },
        }
    }

    /// Closes the last such element with all that is in it, unless one that is in the way comes before it.
    fn close(&mut self, is_it: impl Fn(&Element) -> bool, is_in_the_way: impl Fn(Kind) -> bool) {
        for at in (0..self.elements.len()).rev() {
            if is_it(&self.elements[at]) {
                return self.truncate(at);
            }
            if is_in_the_way(self.elements[at].kind) {
                return;
            }
        }
    }

    fn close_paragraph(&mut self) {
        self.close(|element| element.name == b"p", |kind| kind != Kind::Plain);
    }

    /// A new item closes the one before it.
    fn close_item(&mut self, name: &[u8]) {
        for at in (0..self.elements.len()).rev() {
            let Element { name: open, kind, .. } = &self.elements[at];
            let alike = match name {
                b"li" => open == b"li",
                _ => matches!(open.as_slice(), b"dd" | b"dt"),
            };
            if alike {
                return self.truncate(at);
            }
            if *kind != Kind::Plain && !matches!(open.as_slice(), b"address" | b"div" | b"p") {
                return;
            }
        }
    }

    /// Closes the cell in which we are, if it is such a one.
    fn close_cell(&mut self, is_it: impl Fn(&[u8]) -> bool) {
        let last = self.elements.iter().rposition(|element| element.kind.ends_scope());
        if let Some(at) = last
            && self.elements[at].kind == Kind::Cell
            && is_it(&self.elements[at].name)
        {
            self.truncate(at);
        }
    }

    /// What we are in: a table, a cell, something else that nothing is closed across.
    fn scope(&self) -> Option<Kind> {
        self.elements.iter().rev().map(|element| element.kind).find(|kind| kind.ends_scope())
    }

    fn truncate(&mut self, at: usize) {
        while self.elements.len() > at {
            if let Some(element) = self.elements.pop() {
                self.closed(&element);
            }
        }
    }

    /// Takes out the last such element alone.
    fn remove(&mut self, is_it: impl Fn(&Element) -> bool) {
        if let Some(at) = self.elements.iter().rposition(is_it) {
            let element = self.elements.remove(at);
            self.closed(&element);
        }
    }

    fn closed(&mut self, element: &Element) {
        if element.kind == Kind::Cell {
            self.lasting.pop();
        }
        if let Some(number) = element.lasting
            && let Some(lasting) = self.lasting.last_mut()
            && let Ok(at) = lasting.binary_search_by_key(&number, |one| one.number)
        {
            lasting[at].is_open = false;
        }
    }

    /// Notes a `<b>` or the like. Returns its number.
    fn last(&mut self, name: &[u8], written: &[u8]) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        hasher.write(written);
        let written = hasher.finish();
        self.number += 1;
        if let Some(lasting) = self.lasting.last_mut() {
            let alike = |one: &Lasting| one.written == written;
            if lasting.iter().filter(|one| alike(one)).count() == ALIKE
                && let Some(first) = lasting.iter().position(alike)
            {
                lasting.remove(first);
            }
            let name = name.to_vec();
            lasting.push(Lasting { number: self.number, name, written, is_open: true });
        }
        self.number
    }

    /// Ends the last `<b>` or the like of this name. Where a block was opened within it, that stays open.
    fn end_lasting(&mut self, name: &[u8]) {
        let Some(lasting) = self.lasting.last_mut() else { return };
        // One that has given way to others like it is not there, and may still be open.
        if let Some(at) = lasting.iter().rposition(|one| one.name == name)
            && !lasting.remove(at).is_open
        {
            return;
        }
        let Some(at) = self.elements.iter().rposition(|element| element.name == name) else { return };
        if self.follows_rules && self.elements[at..].iter().all(|element| element.kind == Kind::Plain) {
            self.truncate(at);
        } else if !self.elements[at..].iter().any(|element| element.kind.ends_scope()) {
            self.elements.remove(at);
        }
    }
}
