//! Reads a page in one pass, as long as it is plain what a browser would make of it.
//!
//! HTML has many rules for pages that are not written well: ends that are left out, elements that stand
//! where they must not, names that close each other. Here a page is followed only while none of them
//! applies, so that the elements nest just as they are written; at the first doubt it is given up, and
//! read by the whole machinery instead. The doubts err on the safe side, and a test compares the trees.

use super::tags::{Tag, *};
use super::{Attr, NONE, Node, Page};

/// More nested elements than this are no plain page.
const DEPTH: usize = 512;
/// And more nodes than this are more than the whole machinery reads.
const NODES: usize = 8_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Initial,
    BeforeHtml,
    BeforeHead,
    InHead,
    AfterHead,
    InBody,
    AfterBody,
    AfterHtml,
}

/// An element that is open.
pub(super) struct Open {
    node: u32,
    pub(super) tag: Tag,
    /// The last element within it so far.
    last: u32,
    pub(super) foreign: bool,
    /// A `tbody` that is not written.
    pub(super) implied: bool,
}

/// How many of an element are open, for those where that matters.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) p: u32,
    pub(super) a: u32,
    pub(super) nobr: u32,
    pub(super) button: u32,
    pub(super) form: u32,
    pub(super) select: u32,
}

impl Counts {
    pub(super) fn of(&mut self, tag: Tag) -> Option<&mut u32> {
        Some(match tag {
            P => &mut self.p,
            A => &mut self.a,
            NOBR => &mut self.nobr,
            BUTTON => &mut self.button,
            FORM => &mut self.form,
            SELECT => &mut self.select,
            _ => return None,
        })
    }
}

pub(super) struct Builder<'h> {
    pub(super) html: &'h str,
    pub(super) bytes: &'h [u8],
    pub(super) at: usize,
    pub(super) mode: Mode,
    pub(super) nodes: Vec<Node>,
    pub(super) attrs: Vec<Attr>,
    pub(super) names: Vec<String>,
    pub(super) open: Vec<Open>,
    pub(super) counts: Counts,
    /// A line break that follows at once does not count, as after `<pre>`.
    pub(super) skip_line_break: bool,
}

/// A tag as it is written.
pub(super) struct Written {
    pub(super) tag: Tag,
    pub(super) attrs: u32,
    pub(super) self_closing: bool,
    /// Where it begins.
    pub(super) from: usize,
}

impl<'h> Builder<'h> {
    pub(super) fn new(html: &'h str) -> Self {
        Self {
            html,
            bytes: html.as_bytes(),
            at: 0,
            mode: Mode::Initial,
            nodes: Vec::with_capacity(html.len() / 24),
            attrs: Vec::with_capacity(html.len() / 48),
            names: Vec::new(),
            open: Vec::with_capacity(32),
            counts: Counts::default(),
            skip_line_break: false,
        }
    }

    /// The page, where it is plain.
    pub(super) fn build(mut self) -> Option<Page<'h>> {
        if u32::try_from(self.bytes.len()).is_err()
            || self.html.starts_with('\u{feff}')
            || memchr::memchr(0, self.bytes).is_some()
        {
            return None;
        }
        let mut text_from = 0;
        while let Some(length) = memchr::memchr(b'<', &self.bytes[self.at..]) {
            let tag_at = self.at + length;
            match self.bytes.get(tag_at + 1) {
                Some(b'a'..=b'z' | b'A'..=b'Z') => {
                    self.text(text_from, tag_at)?;
                    self.at = tag_at;
                    self.start_tag()?;
                }
                Some(b'/') => {
                    self.text(text_from, tag_at)?;
                    self.at = tag_at;
                    self.end_tag()?;
                }
                Some(b'!') => {
                    self.text(text_from, tag_at)?;
                    self.at = tag_at;
                    self.declaration()?;
                }
                Some(b'?') => {
                    self.text(text_from, tag_at)?;
                    self.at = tag_at + memchr::memchr(b'>', &self.bytes[tag_at..])? + 1;
                }
                // Only text.
                _ => {
                    self.at = tag_at + 1;
                    continue;
                }
            }
            text_from = self.at;
        }
        self.text(text_from, self.bytes.len())?;
        if !matches!(self.mode, Mode::InBody | Mode::AfterBody | Mode::AfterHtml) {
            return None;
        }
        while !self.open.is_empty() {
            self.close(self.bytes.len());
        }
        Some(Page { html: self.html, nodes: self.nodes, attrs: self.attrs, names: self.names })
    }

    /// Text as far as the next tag.
    fn text(&mut self, mut from: usize, to: usize) -> Option<()> {
        let skip = std::mem::take(&mut self.skip_line_break);
        if from == to {
            return Some(());
        }
        let text = &self.bytes[from..to];
        let blank = text.iter().all(u8::is_ascii_whitespace);
        match self.mode {
            Mode::InBody => {}
            // White space around head and body is no part of any text that could be asked for.
            _ if blank => return Some(()),
            _ => return None,
        }
        let current = self.open.last()?;
        if is_table_part(current.tag) && !current.foreign {
            return blank.then_some(());
        }
        if skip {
            from += match text {
                [b'\r', b'\n', ..] => 2,
                [b'\r' | b'\n', ..] => 1,
                _ => 0,
            };
        }
        self.leaf(TEXT, from, to);
        Some(())
    }

    pub(super) fn leaf(&mut self, tag: Tag, from: usize, to: usize) {
        if from < to {
            let parent = self.open.last().map_or(NONE, |open| open.node);
            let end = self.nodes.len() as u32 + 1;
            self.nodes.push(Node { tag, end, parent, from: from as u32, to: to as u32, ..Node::EMPTY });
        }
    }

    /// A comment, or the document type.
    fn declaration(&mut self) -> Option<()> {
        let rest = &self.bytes[self.at + 2..];
        if rest.starts_with(b"--") {
            let inner = &rest[2..];
            // Comments that end at once, or with `--!>`, have rules of their own.
            if inner.starts_with(b">") || inner.starts_with(b"->") {
                return None;
            }
            let length = memchr::memmem::find(inner, b"-->")?;
            if memchr::memmem::find(&inner[..length + 2], b"--!").is_some() {
                return None;
            }
            self.at += 2 + 2 + length + 3;
            return Some(());
        }
        let is_type = rest.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"doctype"));
        if !is_type || self.mode != Mode::Initial {
            return None;
        }
        self.at += 2 + memchr::memchr(b'>', rest)? + 1;
        self.mode = Mode::BeforeHtml;
        Some(())
    }

    pub(super) fn push(&mut self, written: &Written, foreign: bool) -> Option<()> {
        if foreign {
            // Those that have capitals in SVG are asked for with them, and so never here.
            let (bytes, mut at) = (self.bytes, 0);
            self.attrs.retain(|attr| {
                at += 1;
                at <= written.attrs || !is_svg_attribute(attr.name(bytes))
            });
        }
        self.push_node(written, self.attrs.len() as u32, foreign)
    }

    pub(super) fn push_node(&mut self, written: &Written, attrs_to: u32, foreign: bool) -> Option<()> {
        if self.open.len() == DEPTH || self.nodes.len() >= NODES {
            return None;
        }
        let at = self.nodes.len() as u32;
        let (mut parent, mut prev, mut number) = (NONE, NONE, 1);
        if let Some(open) = self.open.last_mut() {
            parent = open.node;
            prev = std::mem::replace(&mut open.last, at);
            let children = &mut self.nodes[parent as usize].children;
            *children += 1;
            number = *children;
        }
        let attr = |name: &[u8]| {
            let all = &self.attrs[written.attrs as usize..attrs_to as usize];
            let found = all.iter().position(|attr| attr.name(self.bytes).eq_ignore_ascii_case(name));
            found.map_or(NONE, |found| written.attrs + found as u32)
        };
        let (class, id) = (attr(b"class"), attr(b"id"));
        self.nodes.push(Node {
            tag: written.tag,
            foreign,
            end: NONE,
            parent,
            prev,
            number,
            children: 0,
            attrs: (written.attrs, attrs_to),
            class,
            id,
            from: written.from as u32,
            to: NONE,
        });
        self.open.push(Open { node: at, tag: written.tag, last: NONE, foreign, implied: false });
        if !foreign && let Some(count) = self.counts.of(written.tag) {
            *count += 1;
        }
        Some(())
    }

    /// Ends the current element, at this place of the page.
    pub(super) fn close(&mut self, to: usize) {
        if let Some(open) = self.open.pop() {
            let end = self.nodes.len() as u32;
            let node = &mut self.nodes[open.node as usize];
            (node.end, node.to) = (end, to as u32);
            if !open.foreign
                && let Some(count) = self.counts.of(open.tag)
            {
                *count -= 1;
            }
        }
    }
}
