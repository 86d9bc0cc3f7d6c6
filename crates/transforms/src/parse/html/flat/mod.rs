//! Pages that are written well, read in one pass.
//!
//! Most pages nest their elements just as they are written, and then nothing of what a browser does to
//! mend the others is needed: [`Page::parse`] reads such a page an order of magnitude faster than the whole
//! machinery does, into one flat list of nodes, and [`select::Selector`] finds elements in it. Both are
//! careful to answer `None` where they are not sure to give what the whole machinery gives.

mod build;
mod rules;
pub(super) mod select;
mod tags;
mod text;
mod written;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::extract::Element;
use super::query::Query;
use super::text::{Folded, is_block, is_code};
use tags::Tag;

const NONE: u32 = u32::MAX;

/// Whether an element of this name (in lower case) has no content, or ends where the next one begins.
pub(super) fn needs_no_end(name: &[u8]) -> bool {
    tags::known(name).is_some_and(|tag| {
        tags::is_void(tag)
            || matches!(tag, tags::DD | tags::DT | tags::LI | tags::OPTION | tags::P)
            || matches!(tag, tags::TR | tags::TD | tags::TH | tags::TBODY)
    })
}

/// A node, in the order of the page.
#[derive(Debug, Clone, Copy)]
struct Node {
    tag: Tag,
    /// Whether it is of SVG.
    foreign: bool,
    /// The node after its last descendant.
    end: u32,
    parent: u32,
    /// The element before it with the same parent.
    prev: u32,
    /// Its number among the elements with the same parent, from 1, and how many elements it has.
    number: u32,
    children: u32,
    attrs: (u32, u32),
    class: u32,
    id: u32,
    /// Where it is written.
    from: u32,
    to: u32,
}

impl Node {
    const EMPTY: Self = Self {
        tag: tags::TEXT,
        foreign: false,
        end: NONE,
        parent: NONE,
        prev: NONE,
        number: 1,
        children: 0,
        attrs: (0, 0),
        class: NONE,
        id: NONE,
        from: 0,
        to: 0,
    };

    fn is_element(&self) -> bool {
        !matches!(self.tag, tags::TEXT | tags::RAW)
    }
}

/// An attribute, by where it is written.
#[derive(Debug, Clone, Copy)]
struct Attr {
    name: (u32, u32),
    value: (u32, u32),
}

impl Attr {
    fn new(name: (usize, usize), value: (usize, usize)) -> Self {
        let place = |(from, to): (usize, usize)| (from as u32, to as u32);
        Self { name: place(name), value: place(value) }
    }

    fn name(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.name.0 as usize..self.name.1 as usize]
    }
}

/// A page.
#[derive(Debug)]
pub(super) struct Page<'h> {
    html: &'h str,
    nodes: Vec<Node>,
    attrs: Vec<Attr>,
    /// The names of elements that HTML does not know.
    names: Vec<String>,
}

impl<'h> Page<'h> {
    /// The page, or `None` where it is not plain what a browser would make of it.
    pub(super) fn parse(html: &'h str) -> Option<Self> {
        build::Builder::new(html).build()
    }

    /// The `html` element.
    pub(super) fn root(&self) -> FlatElement<'_> {
        FlatElement { page: self, at: 0 }
    }

    fn tag_name(&self, tag: Tag) -> &str {
        tags::name(tag).unwrap_or_else(|| &self.names[usize::from(tag - tags::UNKNOWN)])
    }

    fn attribute(&self, node: &Node, name: &str) -> Option<Attr> {
        let attrs = &self.attrs[node.attrs.0 as usize..node.attrs.1 as usize];
        let bytes = self.html.as_bytes();
        attrs.iter().copied().find(|attr| attr.name(bytes).eq_ignore_ascii_case(name.as_bytes()))
    }

    fn value(&self, attr: Attr) -> Cow<'_, str> {
        text::attribute(&self.html[attr.value.0 as usize..attr.value.1 as usize])
    }

    fn written(&self, node: &Node) -> &str {
        &self.html[node.from as usize..node.to as usize]
    }
}

/// An element of a page.
#[derive(Clone, Copy)]
pub(super) struct FlatElement<'p> {
    page: &'p Page<'p>,
    at: u32,
}

impl<'p> FlatElement<'p> {
    fn node(self) -> &'p Node {
        &self.page.nodes[self.at as usize]
    }

    /// The element as it is written.
    pub(super) fn html(self) -> String {
        self.page.written(self.node()).to_owned()
    }

    /// Whether it matches.
    pub(super) fn matches(self, query: &Query) -> bool {
        query.flat.as_ref().is_some_and(|selector| selector.matches(self.page, self.at))
    }

    fn find(self, query: &Query) -> impl Iterator<Item = Self> + use<'p, '_> {
        let selector = query.flat.as_ref();
        let (page, descendants) = (self.page, self.at + 1..self.node().end);
        descendants
            .filter(move |at| selector.is_some_and(|selector| selector.matches(page, *at)))
            .map(move |at| Self { page, at })
    }
}

impl<'p> Element<'p> for FlatElement<'p> {
    fn first(self, query: &Query) -> Option<Self> {
        self.find(query).next()
    }

    fn all(self, query: &Query) -> Vec<Self> {
        self.find(query).collect()
    }

    fn attr(self, name: &str) -> Option<Cow<'p, str>> {
        self.page.attribute(self.node(), name).map(|attr| self.page.value(attr))
    }

    fn text(self) -> String {
        let (page, node) = (self.page, self.node());
        let inner = self.at as usize + 1..node.end as usize;
        if is_code(page.tag_name(node.tag)) {
            let mut code = String::new();
            for node in &page.nodes[inner] {
                match node.tag {
                    tags::RAW => code.push_str(&page.written(node).replace("\r\n", "\n").replace('\r', "\n")),
                    tags::TEXT => code.push_str(&text::text(page.written(node))),
                    _ => {}
                }
            }
            return code;
        }
        let mut folded = Folded::default();
        // Where the blocks that are open end, the innermost last.
        let mut blocks: Vec<u32> = Vec::new();
        let mut at = inner.start;
        while at < inner.end {
            while blocks.last().is_some_and(|end| *end as usize <= at) {
                blocks.pop();
                folded.edge();
            }
            let node = &page.nodes[at];
            at += 1;
            match node.tag {
                tags::TEXT => folded.push(&text::text(page.written(node))),
                tags::RAW => folded.push(page.written(node)),
                tag => {
                    let name = page.tag_name(tag);
                    if is_block(name) {
                        folded.edge();
                        blocks.push(node.end);
                    }
                    if is_code(name) {
                        at = node.end as usize;
                    }
                }
            }
        }
        folded.finish()
    }

    fn inner_html(self) -> String {
        // Only the whole machinery writes HTML anew; the build never asks for it here.
        let node = self.node();
        let first =
            self.page.nodes.get(self.at as usize + 1).map_or(node.to, |inner| inner.from.min(node.to));
        self.page.html[first as usize..node.to as usize].to_owned()
    }
}
