//! What the tree of a page would take, judged by its tags: a page that would take far too much is refused
//! before it is built.
//!
//! The rules for pages that are not written well have a browser look through all open elements again and
//! again, and repeat open `<b>`s and `<font>`s in each block that follows. So the time may grow with the
//! square of a page's size, and the number of elements too. The judgement is an upper bound, but for a small
//! factor.

use super::open::Open;

/// The most elements within each other.
const DEPTH: u64 = 10_000;

/// The most elements of a page, those that a browser repeats included.
const ELEMENTS: u64 = 4_000_000;

/// The most looks at open elements and attributes: some seconds.
const LOOKS: u64 = 2_000_000_000;

/// Refuses a page that would take far too much.
///
/// # Errors
/// Says what there is too much of, and how much would be read.
pub(super) fn check(page: &str) -> Result<(), String> {
    judge(page).map(drop)
}

fn judge(page: &str) -> Result<Effort, String> {
    let bytes = page.as_bytes();
    let mut effort = Effort { open: Open::new(), deepest: 0, elements: 0, looks: 0 };
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'<', &bytes[at..]) {
        if length > 0 {
            effort.text()?;
        }
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
        let (end, attributes) = attributes(bytes, name_at + name.len());
        at = end;
        if is_end {
            effort.end(&name)?;
            continue;
        }
        if matches!(name.as_slice(), b"script" | b"style") && effort.open.has_scripts() {
            at = end_of_code(bytes, at, &name);
        }
        effort.start(name, &bytes[name_at..end], attributes)?;
    }
    Ok(effort)
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

struct Effort {
    open: Open,
    /// The most elements within each other.
    deepest: u64,
    elements: u64,
    looks: u64,
}

impl Effort {
    fn start(&mut self, name: Vec<u8>, written: &[u8], attributes: u64) -> Result<(), String> {
        self.looks += 1 + self.open.looks() + attributes.saturating_mul(attributes) / 2;
        let opened = self.open.start(name, written);
        self.opened(opened)
    }

    fn text(&mut self) -> Result<(), String> {
        let opened = self.open.reopen();
        self.opened(opened)
    }

    fn opened(&mut self, count: u64) -> Result<(), String> {
        self.elements += count;
        self.looks += count;
        self.deepest = self.deepest.max(self.open.depth());
        self.within_limits()
    }

    fn end(&mut self, name: &[u8]) -> Result<(), String> {
        self.looks += 1 + self.open.looks();
        self.open.end(name);
        self.within_limits()
    }

    fn within_limits(&self) -> Result<(), String> {
        if self.deepest > DEPTH {
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
            // What an end tag, or the next of its kind, does not close.
            (many("<div><select></div></select>", 10_001), depth),
            (many("<div><noscript></div></noscript>", 10_001), depth),
            (many("<div><textarea></div></textarea>", 10_001), depth),
            (many("<span><div></span>", 10_001), depth),
            (many("<p><div>", 10_001), depth),
            (many("<ul><li>", 10_001), depth),
            (many("<li><ul></li>", 10_001), depth),
            (many("<form><div></form>", 10_001), depth),
            (many("<head><div></head>", 10_001), depth),
            (many("<div><body></body>", 10_001), depth),
            (format!("<table><tr><td><svg>{}", many("<td><g>", 10_001)), depth),
            (format!("<svg><div></div>{}", many("<path/>", 10_001)), depth),
            (format!("<svg><foreignObject>{}", many("<path/>", 10_001)), depth),
            (format!("<svg><title>{}", many("<path/>", 10_001)), depth),
            (format!("<svg>{}", many("<path d=a/>", 10_001)), depth),
            (many("<g/><svg/>", 10_001), depth),
            (many("<svg></address><button>", 10_001), depth),
            (format!("<template>{}", many("<td><div>", 10_001)), depth),
            (format!("<select><style></select>{}", many("<div>", 10_001)), depth),
            (format!("<iframe><style></iframe>{}", many("<div>", 10_001)), depth),
            (many("<td><div>", 10_001), depth),
            (format!("<svg>{}", many("<style><g>", 10_001)), depth),
            (format!("<!-- x --!>{}-->", many("<div>", 10_001)), depth),
            (format!("<!-->{}-->", many("<div>", 10_001)), depth),
            (format!("<p>{}{}", numbered(5000), many("<p>x", 5000)), "more than 4000000 elements"),
            (many("<br>", 4_000_001), "more than 4000000 elements"),
            (format!("<p{attributes}>"), "take minutes"),
            (format!("{}{}", many("<div>", 9_999), many("</x>", 300_000)), "take minutes"),
            (format!("{}{}", many("<div>", 9_999), many("<br>", 300_000)), "take minutes"),
        ];
        for (page, expected) in cases {
            let error = check(&page).expect_err(&page[..40]);
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
            many("<p><span>x", 100_000),
            many("<div><span><font color=red>x</div>", 100_000),
            format!("<ul>{}", many("<li><span>x<b>y</i>", 3_000)),
            format!("<ul>{}", many("<li><span><p><i-i>x", 100_000)),
            format!("<dl>{}", many("<dt><span>x<dd><span>y", 100_000)),
            format!("<table>{}", many("<tr><td><font size=2>x<td><span><div>y", 50_000)),
            format!("<table>{}</table>", many("<tr><td><b>x<u>y</td></tr>", 100_000)),
            format!(
                "<table>{}</table>",
                (0..20_000).map(|n| format!("<tr><td><font color={n}>x")).collect::<String>()
            ),
            many("<table><tr><td><center><b>x</table>", 50_000),
            format!("<select>{}</select>", many("<option>x", 50_000)),
            many("<p>a<p>b<div><svg><path d=M1 /><g><path/><circle r=1 /></g></svg>x</div>", 20_000),
            format!("<svg>{}</svg>{}", many("<circle/>", 30_000), many("<div><span>x</div>", 20_000)),
            format!("<svg><path/></svg><script>{}</script>", many("'<div>x<\\/div>'", 20_000)),
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

    /// How deep the tree is that is built of a page.
    fn depth_of_tree(page: &str) -> u64 {
        let page = scraper::Html::parse_document(page);
        let nodes = page.tree.nodes().filter(|node| node.value().is_element());
        nodes.map(|node| node.ancestors().count() as u64).max().unwrap_or_default()
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            cases: 1_000,
            rng_seed: proptest::test_runner::RngSeed::Fixed(1),
            ..Default::default()
        })]

        #[test]
        fn no_tree_is_deeper_than_it_was_judged(
            parts in proptest::collection::vec((0..NAMES.len(), 0..3_u8), 1..12),
            times in 1..200_usize,
        ) {
            let tag = |(name, form): &(usize, u8)| match form {
                0 => format!("</{}>", NAMES[*name]),
                1 => format!("<{}>", NAMES[*name]),
                _ => format!("<{}>x", NAMES[*name]),
            };
            let page = parts.iter().map(tag).collect::<String>().repeat(times);
            let effort = judge(&page).unwrap();
            // The page and its body; of each table the part and the row, of each template also a cell.
            let allowed = 16 + 6 * effort.deepest;
            let depth = depth_of_tree(&page);
            proptest::prop_assert!(depth <= allowed, "{depth} levels, judged {}: {page}", effort.deepest);
        }
    }

    const NAMES: [&str; 56] = [
        "div",
        "p",
        "span",
        "b",
        "i",
        "a",
        "font",
        "table",
        "tr",
        "td",
        "th",
        "tbody",
        "caption",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "select",
        "option",
        "optgroup",
        "button",
        "form",
        "h1",
        "h2",
        "center",
        "x-y",
        "noscript",
        "textarea",
        "title",
        "style",
        "script",
        "iframe",
        "xmp",
        "object",
        "marquee",
        "address",
        "section",
        "nobr",
        "br",
        "col",
        "colgroup",
        "head",
        "body",
        "html",
        "label",
        "summary",
        "svg",
        "g/",
        "path/",
        "svg/",
        "foreignobject",
        "desc",
        "math",
        "template",
    ];
}
