//! Reads a page in one pass, as long as it is plain what a browser would make of it.
//!
//! HTML has many rules for pages that are not written well: ends that are left out, elements that stand
//! where they must not, names that close each other. Here a page is followed only while none of them
//! applies, so that the elements nest just as they are written; at the first doubt it is given up, and
//! read by the whole machinery instead. The doubts err on the safe side, and a test compares the trees.

use super::tags::{self, Tag, *};
use super::{Attr, NONE, Node, Page};

/// More attributes, nested elements or own names than this are no plain page.
const ATTRS: usize = 64;
const DEPTH: usize = 512;
const NAMES: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
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
struct Open {
    node: u32,
    tag: Tag,
    /// The last element within it so far.
    last: u32,
    foreign: bool,
    /// A `tbody` that is not written.
    implied: bool,
}

/// How many of an element are open, for those where that matters.
#[derive(Default)]
struct Counts {
    p: u32,
    a: u32,
    nobr: u32,
    button: u32,
    form: u32,
    select: u32,
}

impl Counts {
    fn of(&mut self, tag: Tag) -> Option<&mut u32> {
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
    html: &'h str,
    bytes: &'h [u8],
    at: usize,
    mode: Mode,
    nodes: Vec<Node>,
    attrs: Vec<Attr>,
    names: Vec<String>,
    open: Vec<Open>,
    counts: Counts,
    /// A line break that follows at once does not count, as after `<pre>`.
    skip_line_break: bool,
}

/// A tag as it is written.
struct Written {
    tag: Tag,
    attrs: u32,
    self_closing: bool,
    /// Where it begins.
    from: usize,
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

    fn leaf(&mut self, tag: Tag, from: usize, to: usize) {
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

    fn name(&self) -> &'h [u8] {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
        &rest[..length.unwrap_or(rest.len())]
    }

    /// The number of a name, however it is written.
    fn tag_of(&mut self, name: &[u8]) -> Option<Tag> {
        if let Some(tag) = tags::known(name) {
            return Some(tag);
        }
        let lower = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        tags::known(lower.as_bytes()).or_else(|| self.own_name(&lower))
    }

    fn own_name(&mut self, name: &str) -> Option<Tag> {
        let at = match self.names.iter().position(|known| known == name) {
            Some(at) => at,
            None if self.names.len() == NAMES => return None,
            None => {
                self.names.push(name.to_owned());
                self.names.len() - 1
            }
        };
        Some(UNKNOWN + at as Tag)
    }

    /// Reads a tag as far as its `>`; the attributes are kept.
    fn written(&mut self, from: usize) -> Option<Written> {
        let name = self.name();
        self.at += name.len();
        let tag = self.tag_of(name)?;
        let attrs = self.attrs.len();
        let mut self_closing = false;
        loop {
            let byte = *self.bytes.get(self.at)?;
            match byte {
                b'>' => {
                    self.at += 1;
                    return Some(Written { tag, attrs: attrs as u32, self_closing, from });
                }
                b'/' => {
                    self_closing = self.bytes.get(self.at + 1) == Some(&b'>');
                    self.at += 1;
                }
                byte if byte.is_ascii_whitespace() => self.at += 1,
                _ => {
                    let attr = self.attribute()?;
                    let all = &self.attrs[attrs..];
                    if all.len() == ATTRS {
                        return None;
                    }
                    // Of an attribute that stands twice the first one counts.
                    let name = attr.name(self.bytes);
                    if !all.iter().any(|known| known.name(self.bytes).eq_ignore_ascii_case(name)) {
                        self.attrs.push(attr);
                    }
                }
            }
        }
    }

    fn attribute(&mut self) -> Option<Attr> {
        let from = self.at;
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'=');
        // An equals sign at the start belongs to the name.
        self.at += 1 + self.bytes[from + 1..].iter().position(is_end)?;
        let name_to = self.at;
        self.skip_space();
        if self.bytes.get(self.at) != Some(&b'=') {
            self.at = name_to;
            return Some(Attr::new((from, name_to), (name_to, name_to)));
        }
        self.at += 1;
        self.skip_space();
        let value = match *self.bytes.get(self.at)? {
            quote @ (b'"' | b'\'') => {
                let from = self.at + 1;
                let length = memchr::memchr(quote, &self.bytes[from..])?;
                self.at = from + length + 1;
                (from, from + length)
            }
            b'>' => (self.at, self.at),
            _ => {
                let from = self.at;
                let rest = &self.bytes[from..];
                self.at += rest.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'>')?;
                // Both kinds of quotes at once would make it hard to read again.
                let value = &self.bytes[from..self.at];
                if value.contains(&b'"') && value.contains(&b'\'') {
                    return None;
                }
                (from, self.at)
            }
        };
        Some(Attr::new((from, name_to), value))
    }

    fn skip_space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn start_tag(&mut self) -> Option<()> {
        let from = self.at;
        self.at += 1;
        let written = self.written(from)?;
        match self.mode {
            Mode::Initial | Mode::BeforeHtml => {
                if written.tag != HTML {
                    return None;
                }
                self.push(&written, false)?;
                self.mode = Mode::BeforeHead;
                Some(())
            }
            Mode::BeforeHead => match written.tag {
                HEAD => {
                    self.push(&written, false)?;
                    self.mode = Mode::InHead;
                    Some(())
                }
                BODY => {
                    let attrs = self.attrs.len() as u32;
                    let head = Written { tag: HEAD, attrs, self_closing: false, from };
                    self.push(&head, false)?;
                    self.close(from);
                    self.body(&written)
                }
                _ => None,
            },
            Mode::InHead => match written.tag {
                BASE | BASEFONT | BGSOUND | LINK | META | NOFRAMES | NOSCRIPT | SCRIPT | STYLE | TITLE => {
                    self.insert(&written)
                }
                _ => None,
            },
            Mode::AfterHead if written.tag == BODY => self.body(&written),
            Mode::InBody => self.start_in_body(&written),
            _ => None,
        }
    }

    fn body(&mut self, written: &Written) -> Option<()> {
        self.push(written, false)?;
        self.mode = Mode::InBody;
        Some(())
    }

    fn start_in_body(&mut self, written: &Written) -> Option<()> {
        let (current, foreign) = self.open.last().map(|open| (open.tag, open.foreign))?;
        if foreign {
            return self.start_in_svg(written, current);
        }
        let tag = written.tag;
        if is_table_part(current) {
            return self.start_in_table(written, current);
        }
        match tag {
            // What is out of place here, or is read by rules of its own.
            HTML | HEAD | BODY | FRAMESET | FRAME | CAPTION | COL | COLGROUP | TBODY | TD | TFOOT | TH
            | THEAD | TR | IMAGE | MATH | PLAINTEXT | TEMPLATE | XMP | SELECTEDCONTENT => return None,
            _ => {}
        }
        if matches!(current, SELECT | OPTGROUP | OPTION) || matches!(tag, OPTGROUP | OPTION) {
            let plain = match tag {
                OPTION => matches!(current, SELECT | OPTGROUP | DATALIST),
                OPTGROUP => current == SELECT,
                _ => false,
            };
            if !plain {
                return None;
            }
        }
        let open_already = self.counts.of(tag).is_some_and(|count| *count > 0);
        if open_already
            || (self.counts.p > 0 && ends_paragraph(tag))
            || (is_heading(tag) && is_heading(current))
        {
            return None;
        }
        match tag {
            LI if self.item_is_open(|tag| tag == LI) => return None,
            DD | DT if self.item_is_open(|tag| matches!(tag, DD | DT)) => return None,
            RB | RP | RT | RTC if is_implied_end(current) => return None,
            _ => {}
        }
        self.insert(written)
    }

    fn item_is_open(&self, is_item: impl Fn(Tag) -> bool) -> bool {
        let mut open = self.open.iter().rev().map(|open| open.tag);
        open.find(|tag| is_item(*tag) || shields_item(*tag)).is_some_and(is_item)
    }

    fn start_in_table(&mut self, written: &Written, current: Tag) -> Option<()> {
        let tag = written.tag;
        if matches!(tag, SCRIPT | STYLE) && current != COLGROUP {
            return self.insert(written);
        }
        if matches!(tag, TBODY | THEAD | TFOOT) && self.open.last().is_some_and(|open| open.implied) {
            self.close(written.from);
            return self.insert(written);
        }
        match current {
            TABLE => match tag {
                CAPTION | COLGROUP | TBODY | THEAD | TFOOT => self.insert(written),
                TR => {
                    // The attributes of the row come after those of the element that nobody wrote.
                    let body =
                        Written { tag: TBODY, attrs: written.attrs, self_closing: false, from: written.from };
                    self.push_node(&body, written.attrs, false)?;
                    self.open.last_mut()?.implied = true;
                    self.insert(written)
                }
                _ => None,
            },
            TBODY | THEAD | TFOOT if tag == TR => self.insert(written),
            TR if matches!(tag, TD | TH) => self.insert(written),
            COLGROUP if tag == COL => self.insert(written),
            _ => None,
        }
    }

    fn start_in_svg(&mut self, written: &Written, current: Tag) -> Option<()> {
        let tag = written.tag;
        let within = |name: &str| {
            usize::from(current).checked_sub(usize::from(UNKNOWN)).is_some_and(|at| self.names[at] == name)
        };
        // Within these the page is HTML again.
        if matches!(current, TITLE | DESC) || within("foreignObject") {
            return None;
        }
        if ends_svg(tag) || matches!(tag, SCRIPT | STYLE | MATH) {
            return None;
        }
        let named = match tags::name(tag) {
            Some(_) => None,
            None => tags::svg_name(&self.names[usize::from(tag - UNKNOWN)]),
        };
        let tag = match named {
            Some(name) => self.own_name(name)?,
            None => tag,
        };
        self.push(&Written { tag, ..*written }, true)?;
        if written.self_closing {
            self.close(self.at);
        }
        Some(())
    }

    /// Inserts an element of HTML.
    fn insert(&mut self, written: &Written) -> Option<()> {
        let tag = written.tag;
        self.push(written, tag == SVG)?;
        match tag {
            SVG if written.self_closing => self.close(self.at),
            tag if is_void(tag) => self.close(self.at),
            SCRIPT | STYLE | NOSCRIPT | IFRAME | NOEMBED | NOFRAMES => self.raw_text(tag, RAW)?,
            TITLE => self.raw_text(tag, TEXT)?,
            TEXTAREA => {
                self.skip_line_break = true;
                self.raw_text(tag, TEXT)?;
            }
            PRE | LISTING => self.skip_line_break = true,
            _ => {}
        }
        Some(())
    }

    /// The content of an element that holds only text, and its end.
    fn raw_text(&mut self, tag: Tag, kind: Tag) -> Option<()> {
        let from = self.at;
        let name = tags::name(tag)?.as_bytes();
        let mut search = from;
        let to = loop {
            let at = search + memchr::memmem::find(&self.bytes[search..], b"</")?;
            let rest = &self.bytes[at + 2..];
            let named = rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
            let ends = rest
                .get(name.len())
                .is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
            if named && ends {
                break at;
            }
            search = at + 2;
        };
        if tag == SCRIPT {
            // A script that seems to hold another one within a comment ends by rules of its own.
            let script = &self.bytes[from..to];
            let comment = memchr::memmem::find(script, b"<!--");
            if comment
                .is_some_and(|at| script[at..].windows(7).any(|part| part.eq_ignore_ascii_case(b"<script")))
            {
                return None;
            }
        }
        let mut text_from = from;
        if std::mem::take(&mut self.skip_line_break) {
            text_from += match &self.bytes[from..to] {
                [b'\r', b'\n', ..] => 2,
                [b'\r' | b'\n', ..] => 1,
                _ => 0,
            };
        }
        self.leaf(kind, text_from, to);
        self.at = to + 2;
        let end = self.attrs.len();
        self.written(to)?;
        self.attrs.truncate(end);
        self.close(self.at);
        Some(())
    }

    fn end_tag(&mut self) -> Option<()> {
        let from = self.at;
        self.at += 2;
        if !self.bytes.get(self.at).is_some_and(u8::is_ascii_alphabetic) {
            return None;
        }
        let attrs = self.attrs.len();
        let mut tag = self.written(from)?.tag;
        self.attrs.truncate(attrs);
        match (self.mode, tag) {
            (Mode::InHead, HEAD) => {
                self.close(self.at);
                self.mode = Mode::AfterHead;
                return Some(());
            }
            (Mode::AfterBody, HTML) => {
                self.mode = Mode::AfterHtml;
                return Some(());
            }
            (Mode::InBody, _) => {}
            _ => return None,
        }
        let current = self.open.last()?;
        if tag == TABLE && current.implied {
            self.close(from);
        }
        let current = self.open.last()?;
        if current.foreign
            && let Some(name) = usize::from(tag).checked_sub(usize::from(UNKNOWN)).map(|at| &self.names[at])
            && let Some(name) = tags::svg_name(name)
        {
            tag = self.own_name(name)?;
        }
        let current = self.open.last()?;
        if current.tag == BODY && matches!(tag, BODY | HTML) {
            self.mode = if tag == BODY { Mode::AfterBody } else { Mode::AfterHtml };
            return Some(());
        }
        if current.tag != tag {
            return None;
        }
        self.close(self.at);
        Some(())
    }

    fn push(&mut self, written: &Written, foreign: bool) -> Option<()> {
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

    fn push_node(&mut self, written: &Written, attrs_to: u32, foreign: bool) -> Option<()> {
        if self.open.len() == DEPTH {
            return None;
        }
        let at = self.nodes.len() as u32;
        let (mut parent, mut prev) = (NONE, NONE);
        if let Some(open) = self.open.last_mut() {
            parent = open.node;
            prev = std::mem::replace(&mut open.last, at);
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
    fn close(&mut self, to: usize) {
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
