//! What may stand where: the rules of HTML that a plain page keeps. At the first doubt it is given up.

use super::build::{Builder, Mode, Written};
use super::tags::{self, Tag, *};

impl Builder<'_> {
    pub(super) fn start_tag(&mut self) -> Option<()> {
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

    pub(super) fn end_tag(&mut self) -> Option<()> {
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
}
