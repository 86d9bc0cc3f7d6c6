//! What the tree of a page would take, judged by its tags: a page that would take far too much is refused
//! before it is built.
//!
//! The rules for pages that are not written well have a browser look through all open elements again and
//! again, and repeat open `<b>`s and `<font>`s in each block that follows. So the time may grow with the
//! square of a page's size, and the number of elements too. The judgement is an upper bound, but for a small
//! factor: an end tag ends an element only where one of its name is open.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::flat;

/// The most elements within each other.
const DEPTH: u64 = 10_000;

/// The most elements of a page, those that a browser repeats included.
const ELEMENTS: u64 = 4_000_000;

/// The most looks at open elements and attributes: some seconds.
const LOOKS: u64 = 2_000_000_000;

/// How often the same open `<b>` is repeated at most.
const REPEATED: u32 = 3;

/// Refuses a page that would take far too much.
///
/// # Errors
/// Says what there is too much of, and how much would be read.
pub(super) fn check(page: &str) -> Result<(), String> {
    let mut effort = Effort::default();
    let bytes = page.as_bytes();
    // In images and formulas a script is an element like others.
    let skips = !holds_any_case(bytes, b"<svg") && !holds_any_case(bytes, b"<math");
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'<', &bytes[at..]) {
        let tag = at + length + 1;
        at = tag;
        let (is_end, name_at) = match bytes.get(tag) {
            Some(b'/') => (true, tag + 1),
            Some(b'!') if bytes[tag..].starts_with(b"!--") => {
                at = end_of_comment(bytes, tag + 1).unwrap_or(bytes.len());
                continue;
            }
            _ => (false, tag),
        };
        let name = name(&bytes[name_at..]);
        if name.is_empty() {
            continue;
        }
        if is_end {
            effort.end(&name)?;
            continue;
        }
        let (end, attributes) = attributes(bytes, name_at + name.len());
        effort.start(&name, &bytes[name_at..end], attributes)?;
        at = end;
        if skips && matches!(name.as_slice(), b"script" | b"style") {
            at = end_of_code(bytes, at, &name);
        }
    }
    Ok(())
}

/// The name of a tag, in lower case; a very long one is cut.
fn name(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.iter().take(32).take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-');
    let name = &bytes[..length.count()];
    if name.first().is_some_and(u8::is_ascii_alphabetic) { name.to_ascii_lowercase() } else { Vec::new() }
}

/// Where the tag ends, and how many attributes it has.
fn attributes(bytes: &[u8], mut at: usize) -> (usize, u64) {
    let mut count = 0;
    let mut within = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'>' => return (at + 1, count),
            quote @ (b'"' | b'\'') if at > 0 && bytes[at - 1] == b'=' => {
                match memchr::memchr(quote, &bytes[at + 1..]) {
                    Some(length) => at += length + 1,
                    None => return (bytes.len(), count),
                }
                within = false;
            }
            byte if byte.is_ascii_whitespace() || byte == b'/' => within = false,
            _ if !within => {
                within = true;
                count += 1;
            }
            _ => {}
        }
        at += 1;
    }
    (at, count)
}

fn end_of_comment(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        // `<!-->` and `<!--->` are whole comments.
        at += memchr::memmem::find(&bytes[at..], b"--")?;
        match &bytes[at + 2..] {
            [b'>', ..] => return Some(at + 3),
            [b'!', b'>', ..] => return Some(at + 4),
            _ => at += 1,
        }
    }
}

fn end_of_code(bytes: &[u8], from: usize, name: &[u8]) -> usize {
    let mut at = from;
    while let Some(length) = memchr::memmem::find(&bytes[at..], b"</") {
        let end = at + length;
        let rest = &bytes[end + 2..];
        if rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return end;
        }
        at = end + 2;
    }
    bytes.len()
}

fn holds_any_case(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memchr_iter(word[0], bytes)
        .any(|at| bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word)))
}

#[derive(Default)]
struct Effort {
    /// How many of each name are open.
    open: HashMap<Vec<u8>, u64>,
    depth: u64,
    /// The open elements that are repeated in blocks that follow, by their names: how each is written.
    repeated: HashMap<Vec<u8>, Vec<u64>>,
    written: HashMap<u64, u32>,
    repetitions: u64,
    elements: u64,
    looks: u64,
    hashing: RandomState,
}

impl Effort {
    fn start(&mut self, name: &[u8], written: &[u8], attributes: u64) -> Result<(), String> {
        self.elements += 1 + self.repetitions;
        self.looks += 1 + self.depth + self.repetitions + attributes.saturating_mul(attributes) / 2;
        if flat::needs_no_end(name) {
            return self.within_limits();
        }
        // A second one ends the first.
        let is_open = self.open.get(name).is_some_and(|open| *open > 0);
        if is_open && matches!(name, b"a" | b"nobr" | b"button") {
            return self.within_limits();
        }
        *self.open.entry(name.to_vec()).or_default() += 1;
        self.depth += 1;
        if is_repeated(name) {
            let mut hasher = self.hashing.build_hasher();
            hasher.write(written);
            let written = hasher.finish();
            let count = self.written.entry(written).or_default();
            *count += 1;
            self.repetitions += u64::from(*count <= REPEATED);
            self.repeated.entry(name.to_vec()).or_default().push(written);
        }
        self.within_limits()
    }

    fn end(&mut self, name: &[u8]) -> Result<(), String> {
        self.looks += 1 + self.depth;
        self.within_limits()?;
        let Some(open) = self.open.get_mut(name).filter(|open| **open > 0) else { return Ok(()) };
        *open -= 1;
        self.depth -= 1;
        let written = self.repeated.get_mut(name).and_then(Vec::pop);
        if let Some(count) = written.and_then(|written| self.written.get_mut(&written)) {
            *count -= 1;
            self.repetitions -= u64::from(*count < REPEATED);
        }
        Ok(())
    }

    fn within_limits(&self) -> Result<(), String> {
        if self.depth > DEPTH {
            return Err(format!("elements are nested deeper than {DEPTH} levels"));
        }
        if self.elements > ELEMENTS {
            return Err(format!(
                "has more than {ELEMENTS} elements, counting open `<b>`s and the like in each block that follows"
            ));
        }
        if self.looks > LOOKS {
            return Err(
                "has so many open elements or attributes that it would take minutes to read".to_owned()
            );
        }
        Ok(())
    }
}

/// Elements that are opened again in the blocks that follow, until their end.
fn is_repeated(name: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_take_too_much_is_refused() {
        let depth = "nested deeper than 10000 levels";
        let many = |part: &str, count: usize| part.repeat(count);
        let numbered = |count: usize| (0..count).map(|n| format!("<b id={n}>")).collect::<String>();
        let attributes: String = (0..100_000).map(|n| format!(" a{n}=1")).collect();
        let cases = [
            (many("<div>", 10_001), depth),
            (many("<div></x>", 10_001), depth),
            (many("<b></i>", 10_001), depth),
            (many("<rt>", 10_001), depth),
            (many("<x-y>", 10_001), depth),
            (many("<table><tr><td>", 10_001), depth),
            (format!("<svg>{}", many("<style><g>", 10_001)), depth),
            (format!("<!-- x --!>{}-->", many("<div>", 10_001)), depth),
            (format!("<!-->{}-->", many("<div>", 10_001)), depth),
            (format!("{}{}", numbered(5000), many("<p>x", 5000)), "more than 4000000 elements"),
            (many("<br>", 4_000_001), "more than 4000000 elements"),
            (format!("<p{attributes}>"), "take minutes"),
            (format!("{}{}", many("<div>", 9_999), many("</x>", 300_000)), "take minutes"),
            (format!("{}{}", many("<div>", 9_999), many("<br>", 300_000)), "take minutes"),
        ];
        for (page, expected) in cases {
            let error = check(&page).unwrap_err();
            assert!(error.contains(expected), "{}: {error}", &page[..40]);
        }
    }

    #[test]
    fn what_is_only_untidy_is_not() {
        let many = |part: &str, count: usize| part.repeat(count);
        let pages = [
            many("<li><p>x<td>", 200_000),
            many("<div><span>x</span></div>", 200_000),
            many("<a href=x>y", 100_000),
            many("<p><b>x", 3_000),
            format!("<script>{}</script>", many("if (a<b) ", 100_000)),
            format!("<SCRIPT>{}", many("a<b", 100_000)),
            format!("<!-- {} -->", many("<div>", 100_000)),
            format!("<p title=\"{}\">", many("<div>", 100_000)),
            format!("{}{}", many("<div>", 9_000), many("</div>", 9_000)),
            format!("<p {}>", many("class=x data-y='z' ", 1000)),
            "<".to_owned(),
            "</".to_owned(),
            "<p a='".to_owned(),
        ];
        for page in pages {
            assert_eq!(check(&page), Ok(()), "{}", &page[..page.len().min(40)]);
        }
    }
}
