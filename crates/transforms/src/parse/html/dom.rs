//! Pages as a browser builds them, whatever state they are in.

use std::borrow::Cow;

use scraper::{ElementRef, Node};

use super::extract::Element;
use super::query::Query;
use super::text::{Folded, is_block, is_code};

impl<'p> Element<'p> for ElementRef<'p> {
    fn first(self, query: &Query) -> Option<Self> {
        self.select(&query.dom).next()
    }

    fn all(self, query: &Query) -> Vec<Self> {
        self.select(&query.dom).collect()
    }

    fn attr(self, name: &str) -> Option<Cow<'p, str>> {
        let attrs = self.value();
        let plain = attrs.attr(name).or_else(|| attrs.attr(&name.to_ascii_lowercase()));
        let found = plain.or_else(|| {
            // Some of SVG are of another namespace: `xlink:href`.
            let (prefix, local) =
                name.split_once(':').map_or((None, name), |(prefix, local)| (Some(prefix), local));
            let mut all = attrs.attrs.iter();
            let same = all.find(|(name, _)| {
                &*name.local == local
                    && name.prefix.as_deref().unwrap_or_default() == prefix.unwrap_or_default()
            });
            same.map(|(_, value)| &**value)
        });
        found.map(Cow::Borrowed)
    }

    fn text(self) -> String {
        if is_code(self.value().name()) {
            return ElementRef::text(&self).collect();
        }
        let mut folded = Folded::default();
        // Walked without recursion, since a page may nest as deeply as it likes.
        let mut node = *self;
        loop {
            let mut inner = None;
            match node.value() {
                Node::Text(text) => folded.push(text),
                Node::Element(element) => {
                    if is_block(element.name()) {
                        folded.edge();
                    }
                    if !is_code(element.name()) {
                        inner = node.first_child();
                    }
                }
                _ => {}
            }
            if let Some(child) = inner {
                node = child;
                continue;
            }
            // Up to the next node, which comes after the ends of all that it does not stand in.
            loop {
                if node.value().as_element().is_some_and(|element| is_block(element.name())) {
                    folded.edge();
                }
                if node.id() == self.id() {
                    return folded.finish();
                }
                if let Some(next) = node.next_sibling() {
                    node = next;
                    break;
                }
                match node.parent() {
                    Some(parent) => node = parent,
                    None => return folded.finish(),
                }
            }
        }
    }

    fn inner_html(self) -> String {
        ElementRef::inner_html(&self)
    }
}
