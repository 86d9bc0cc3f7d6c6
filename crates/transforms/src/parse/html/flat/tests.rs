//! Whatever a flat page answers, the whole machinery answers too.

use std::borrow::Cow;

use proptest::prelude::*;
use scraper::{ElementRef, Html};

use super::select::Selector;
use super::{Page, tags, text};
use crate::parse::html::extract::Element;
use crate::parse::html::query::Query;

/// The tree of a page, one node a line. White space is folded, and left out where nothing else is.
fn flat_tree(page: &Page<'_>) -> String {
    let mut out = String::new();
    let mut ends: Vec<u32> = Vec::new();
    for (at, node) in (0..).zip(&page.nodes) {
        ends.retain(|end| *end > at);
        let indent = ends.len();
        if node.is_element() {
            let attrs = &page.attrs[node.attrs.0 as usize..node.attrs.1 as usize];
            let attrs = attrs.iter().map(|attr| {
                let name = String::from_utf8_lossy(attr.name(page.html.as_bytes())).to_ascii_lowercase();
                (name, page.value(*attr).into_owned())
            });
            line(&mut out, indent, page.tag_name(node.tag), attrs.collect());
            ends.push(node.end);
        } else {
            let written = page.written(node);
            let text =
                if node.tag == tags::RAW { written.to_owned() } else { text::text(written).into_owned() };
            text_line(&mut out, indent, &text);
        }
    }
    out
}

fn whole_tree(html: &str) -> String {
    let page = Html::parse_document(html);
    let mut out = String::new();
    fn walk(node: ElementRef<'_>, indent: usize, out: &mut String) {
        let attrs = node.value().attrs.iter().filter_map(|(name, value)| {
            let shown = match &name.prefix {
                Some(prefix) if !prefix.is_empty() => format!("{prefix}:{}", name.local),
                _ => name.local.to_string(),
            };
            // Those that have capitals in SVG are not kept by a flat page.
            (!shown.bytes().any(|byte| byte.is_ascii_uppercase())).then(|| (shown, value.to_string()))
        });
        line(out, indent, node.value().name(), attrs.collect());
        for child in node.children() {
            match child.value() {
                scraper::Node::Text(text) => text_line(out, indent + 1, text),
                scraper::Node::Element(_) => walk(ElementRef::wrap(child).unwrap(), indent + 1, out),
                _ => {}
            }
        }
    }
    walk(page.root_element(), 0, &mut out);
    out
}

fn line(out: &mut String, indent: usize, name: &str, mut attrs: Vec<(String, String)>) {
    attrs.sort();
    out.push_str(&format!("{}<{name}>{attrs:?}\n", " ".repeat(indent)));
}

fn text_line(out: &mut String, indent: usize, text: &str) {
    let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !folded.is_empty() {
        out.push_str(&format!("{}{folded}\n", " ".repeat(indent)));
    }
}

const PLAIN: [&str; 14] = [
    "<!doctype html><html><head><title>A &amp; b</title></head><body><p>x</p></body></html>",
    "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><link rel=x href=y/></head>\n<body class='a b'>\n<div id=x>y<br>z</div>\n</body>\n</html>\n",
    "<html><body><ul><li>a</li><li>b <b>c</b></li></ul></body></html>",
    "<html><body><table><tr><td>a</td><td>b</td></tr><tr class=x><th>c</th></tr></table></body></html>",
    "<html><body><table><caption>c</caption><colgroup><col></colgroup><thead><tr><th>a</th></tr></thead><tbody><tr><td><table><tr><td>i</td></tr></table></td></tr></tbody></table></body></html>",
    "<html><body><table><tr><td>a</td></tr><tbody><tr><td>b</td></tr></tbody></table></body></html>",
    "<html><body><svg viewBox='0 0 1 1' width=3><linearGradient id=g /><path d='M0'/><g><a xlink:href='#x'>t</a></g><title>T</title></svg><p>x</p></body></html>",
    "<html><head><script>if (a < b) { c(\"</div>\") }</script><style>a > b {}</style></head><body><noscript><p>x</noscript><textarea>\n <b></textarea></body></html>",
    "<html><body><!-- a <p> --><p title=\"&lt;x&gt; &eacute;\" TITLE=no>a<!---->b</p>< 5 & 6 <3</body></html>",
    "<html><body><select><optgroup label=x><option>a</option></optgroup><option selected>b</option></select><pre>\n\nx</pre></body></html>",
    "<html><body><x-y a=1 B='2' c>z</x-y><p>a<span>b</span></p><h2>c <a href=x>d</a></h2><dl><dt>t</dt><dd>d</dd></dl></body></html>",
    "<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC \"a\" \"b\"><html xmlns='x'><head></head><body><br /><img src=a/b/></body></html>",
    "<html><body><p>open <b>end",
    "<html><body><div>a\r\nb</div><input value='x\r\ny'></BODY></HTML>",
];

const OTHERS: [&str; 22] = [
    "",
    "<p>x",
    "<html><p>x</html>",
    "<html><body><p>a<p>b</body></html>",
    "<html><body><p>a<div>b</div></p></body></html>",
    "<html><body><li>a<li>b</body></html>",
    "<html><body><a>x<a>y</a></a></body></html>",
    "<html><body><b><i>x</b>y</i></body></html>",
    "<html><body><table><td>x</td></table></body></html>",
    "<html><body><table>x<tr><td>y</td></tr></table></body></html>",
    "<html><body><table><div>x</div></table></body></html>",
    "<html><body></p></body></html>",
    "<html><body><h1><h2>x</h2></h1></body></html>",
    "<html><body>\0</body></html>",
    "<html><body><svg><p>x</p></svg></body></html>",
    "<html><body><svg><foreignObject><div>x</div></foreignObject></svg></body></html>",
    "<html><body><form><form>x</form></form></body></html>",
    "<html><body><script><!-- <script></script> --></script></body></html>",
    "<html><body><!--> x --></body></html>",
    "<html><body><template><p>x</p></template></body></html>",
    "<html><body></body><p>x</p></html>",
    "<html><body><p a=\"x></body></html>",
];

#[test]
fn plain_pages_are_read_as_browsers_do() {
    for html in PLAIN {
        let page = Page::parse(html).unwrap_or_else(|| panic!("given up: {html}"));
        assert_eq!(flat_tree(&page), whole_tree(html), "{html}");
    }
}

#[test]
fn other_pages_are_given_up() {
    for html in OTHERS {
        assert!(Page::parse(html).is_none(), "{html}");
    }
}

#[test]
fn deep_pages_are_given_up_at_once() {
    let html = format!("<html><body>{}", "<div>".repeat(100_000));
    assert!(Page::parse(&html).is_none());
}

/// Pages of all kinds, many of them plain.
fn page() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => prop::sample::select(vec!["div", "p", "span", "a", "b", "ul", "li", "section", "h2", "x-y", "td", "tr"]),
        2 => prop::sample::select(vec!["table", "tbody", "thead", "tr", "td", "th", "caption", "colgroup", "svg", "g", "path", "title", "desc", "select", "option", "optgroup"]),
        1 => prop::sample::select(vec!["form", "button", "nobr", "dl", "dt", "dd", "ruby", "rt", "pre", "textarea", "script", "style", "noscript", "math", "object", "h1", "em", "font", "article", "SPAN", "linearGradient", "foreignObject", "datalist", "details", "summary", "i", "code", "center"]),
    ];
    let attrs = prop_oneof![
        3 => Just(String::new()),
        2 => prop::sample::select(vec![" class='a'", " class=\"a b\"", " id=x", " href=/y", " title='&amp;&eacute'", " A=1 a=2", " x", " rel=NEXT", " viewBox='0'", " xlink:href=q", " data-n=\"&#39;1\"", "/"]).prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        3 => "[a-z <&;>\n\r]{0,6}".prop_map(|text: String| text),
        2 => prop::sample::select(vec!["<br>", "<img src=x>", "<input type=Text>", "<hr>", "<!-- c -->", "text", " ", "&nbsp;", "&copy;x", "<", "</", "</p>", "</b>", "<p>", "<li>", "<td>", "<!x>", "<?y>", "<meta name=m>", "\n", "&lt", "<col>", "<rp>"]).prop_map(str::to_owned),
    ];
    let tree = leaf.prop_recursive(6, 60, 5, move |inner| {
        (name.clone(), attrs.clone(), prop::collection::vec(inner, 0..5), 0..30u8).prop_map(
            |(name, attrs, inner, end)| {
                let inner = inner.concat();
                // Some ends are left out.
                if end == 0 {
                    format!("<{name}{attrs}>{inner}")
                } else {
                    format!("<{name}{attrs}>{inner}</{name}>")
                }
            },
        )
    });
    let head = prop::sample::select(vec![
        "<!doctype html><html><head><title>t</title></head><body>",
        "<html><body>",
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<script>x<y</script><meta charset=utf-8></head>\n<body class=a>\n",
        "<html><head></head><body id=x>",
        "<p>",
        "",
    ]);
    let foot = prop::sample::select(vec![
        "</body></html>",
        "",
        "</body>\n</html>\n",
        "</html>",
        "<!-- end -->",
        "</p></body></html>",
    ]);
    (head, prop::collection::vec(tree, 0..6), foot)
        .prop_map(|(head, trees, foot)| format!("{head}{}{foot}", trees.concat()))
}

/// Pages that are written well, and larger.
fn plain_page() -> impl Strategy<Value = String> {
    let attrs = || {
        prop::sample::select(vec![
            "",
            "",
            " class=\"a\"",
            " class='b a'",
            " id=x",
            " title='&lt;1&gt;'",
            " data-n=2 a=1",
            " href='/y?a=1&amp;b=2'",
            " class=\"c\" rel=next",
            " x",
        ])
    };
    let text = || "[a-z]{1,5}|[a-z]{1,3} &amp; [a-z]|\n  |&pound;[0-9]{1,3}|&Eacute;|[a-z] < [0-9]";
    let inline_leaf = prop_oneof![
        4 => text().prop_map(|text: String| text),
        1 => prop::sample::select(vec!["<br>", "<img src=x alt='y z'>", "<wbr/>", "<!-- <p> -->", "<script>a<b</script>"]).prop_map(str::to_owned),
        1 => (attrs(), text()).prop_map(|(attrs, text)| format!("<a{attrs}>{text}</a>")),
    ];
    let inline = inline_leaf.prop_recursive(3, 10, 4, move |inner| {
        (
            prop::sample::select(vec!["span", "b", "em", "small", "x-y"]),
            attrs(),
            prop::collection::vec(inner, 0..4),
        )
            .prop_map(|(name, attrs, inner)| format!("<{name}{attrs}>{}</{name}>", inner.concat()))
    });
    let inlines = prop::collection::vec(inline, 0..4).prop_map(|all| all.concat());
    let paragraph = (prop::sample::select(vec!["p", "h2", "pre", "button"]), attrs(), inlines.clone())
        .prop_map(|(name, attrs, inner)| format!("<{name}{attrs}>{inner}</{name}>"));
    let block_leaf = prop_oneof![
        paragraph,
        inlines,
        Just(
            "<svg viewBox='0 0 1 1'><path d='x'/><clipPath id=x><g class=a>t</g></clipPath></svg>".to_owned()
        ),
        Just("<select><option class=a>1</option><option selected>2</option></select>".to_owned()),
    ];
    let block = block_leaf.prop_recursive(5, 60, 5, move |inner| {
        let inner = || prop::collection::vec(inner.clone(), 0..4);
        let group = (prop::sample::select(vec!["div", "section", "article", "blockquote"]), attrs(), inner())
            .prop_map(|(name, attrs, inner)| format!("<{name}{attrs}>{}</{name}>", inner.concat()));
        let list = (attrs(), attrs(), inner()).prop_map(|(attrs, item, inner)| {
            let items: String = inner.iter().map(|inner| format!("<li{item}>{inner}</li>\n")).collect();
            format!("<ul{attrs}>{items}</ul>")
        });
        let table = (attrs(), attrs(), inner(), any::<bool>()).prop_map(|(row, cell, inner, body)| {
            let cells: String = inner.iter().map(|inner| format!("<td{cell}>{inner}</td> ")).collect();
            let rows = format!("<tr{row}>{cells}</tr>\n<tr><th>x</th></tr>");
            if body {
                format!("<table><thead{row}><tr><th>h</th></tr></thead><tbody>{rows}</tbody></table>")
            } else {
                format!("<table{row}>{rows}</table>")
            }
        });
        prop_oneof![2 => group, 1 => list, 1 => table]
    });
    prop::collection::vec(block, 0..6).prop_map(|blocks| {
        format!(
            "<!doctype html>\n<html><head><title>T</title></head>\n<body class=a>{}</body>\n</html>",
            blocks.concat()
        )
    })
}

fn selector() -> impl Strategy<Value = String> {
    let compound = prop::sample::select(vec![
        "*",
        "a",
        "div",
        "p",
        "td",
        "li",
        ".a",
        ".a.b",
        "#x",
        "div.a",
        "[href]",
        "[title]",
        "[rel=next]",
        "[rel=\"Next\"]",
        "[class~=a]",
        "[class|=a]",
        "[class^=a]",
        "[class$='b']",
        "[class*=' ']",
        "[data-n]",
        "[href='/y']",
        "[a='1']",
        "span:first-child",
        ":last-child",
        "b:only-child",
        "li:nth-child(2n+1)",
        ":nth-child(odd)",
        ":nth-child(-n+2)",
        ":nth-last-child(2)",
        "td:nth-child( 2 )",
        ":not(.a)",
        "div:not(#x, p)",
        "x-y",
        "title",
        "svg",
        "html",
        "body",
        "tbody",
        "[type=text]",
        "g",
        "[x]",
        ":nth-child(n + 2)",
        "p:not([class])",
    ]);
    let part = (prop::sample::select(vec![" ", " > ", " + ", " ~ ", ">", ", "]), compound.clone());
    (compound, prop::collection::vec(part, 0..3)).prop_map(|(first, rest)| {
        rest.into_iter().fold(first.to_owned(), |css, (combinator, next)| format!("{css}{combinator}{next}"))
    })
}

fn found(page: &Page<'_>, selector: &Selector) -> Vec<String> {
    let all = 0..page.nodes.len() as u32;
    let shown = |at: u32| {
        let node = &page.nodes[at as usize];
        let id = page.attribute(node, "id").map(|attr| page.value(attr));
        format!("{} {:?}", page.tag_name(node.tag), id.as_deref())
    };
    all.filter(|at| selector.matches(page, *at)).map(shown).collect()
}

/// What a field would take of each element.
fn taken<'p, E: Element<'p>>(root: E) -> Vec<String> {
    let every = Query::new("*").unwrap();
    let names = ["class", "id", "href", "title", "a", "x", "xlink:href", "data-n", "viewbox", "name"];
    let elements = std::iter::once(root).chain(root.all(&every));
    elements
        .map(|element| {
            let attrs = names.map(|name| element.attr(name).map(Cow::into_owned));
            format!("{:?} {attrs:?}", crate::convert::trim(&element.text()))
        })
        .collect()
}

fn flat_texts(page: &Page<'_>) -> Vec<String> {
    taken(page.root())
}

fn whole_texts(html: &str) -> Vec<String> {
    taken(Html::parse_document(html).root_element())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_page_that_is_not_given_up_has_the_same_tree(html in page(), css in selector()) {
        if let Some(page) = Page::parse(&html) {
            prop_assert_eq!(flat_tree(&page), whole_tree(&html), "{}", html);
            let selector = Selector::parse(&css).unwrap();
            prop_assert_eq!(found(&page, &selector), text::whole(&html, &css), "{} on {}", css, html);
            prop_assert_eq!(flat_texts(&page), whole_texts(&html), "{}", html);
        }
    }

    #[test]
    fn well_written_pages_are_not_given_up(html in plain_page(), css in selector()) {
        let page = Page::parse(&html);
        prop_assert!(page.is_some(), "{}", html);
        if let Some(page) = page {
            prop_assert_eq!(flat_tree(&page), whole_tree(&html), "{}", html);
            let selector = Selector::parse(&css).unwrap();
            prop_assert_eq!(found(&page, &selector), text::whole(&html, &css), "{} on {}", css, html);
            prop_assert_eq!(flat_texts(&page), whole_texts(&html), "{}", html);
        }
    }

    #[test]
    fn no_text_makes_it_panic(html in "(<|>|/|!|-|[a-c]|=|\"|'| |\n|&|;|<a|</a>|<p>|</p>|<table>|<tr>|<td>|<svg>|<script>|</script>|<html>|<body>|<head>|</head>){0,30}") {
        if let Some(page) = Page::parse(&html) {
            prop_assert_eq!(flat_tree(&page), whole_tree(&html), "{}", html);
        }
    }
}

#[test]
fn selectors_for_the_whole_machinery_are_left_to_it() {
    for css in [
        "DIV",
        ":has(a)",
        ":is(a)",
        ":empty",
        "a:nth-of-type(2)",
        "a\\:b",
        "[a=b i]",
        "svg|a",
        "linearGradient",
        ":not(a b)",
        "[xmlns]",
        ".1",
        "[a=1]",
        "a >",
        ",a",
        "",
    ] {
        assert!(Selector::parse(css).is_none(), "{css}");
    }
}
