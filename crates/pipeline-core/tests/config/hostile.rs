//! Files that are made to hurt.

use std::time::Duration;

use pipeline_core::Stopwatch;
use pipeline_core::config::{Loader, MAX_BYTES};
use proptest::prelude::*;

use crate::support::{read, registry, with_kwargs};

/// Generous for a debug build on a busy machine; a bomb that goes off takes minutes.
const QUICK: Duration = Duration::from_secs(60);

fn refused(text: &str) -> String {
    let watch = Stopwatch::start();
    let start = &text[..text.len().min(80)];
    let error = read(text).expect_err(start).to_string();
    assert!(watch.elapsed() < QUICK, "{start}… took {:?}", watch.elapsed());
    error
}

#[test]
fn alias_bombs() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..60 {
        let previous = level - 1;
        let aliases = vec![format!("*a{previous}"); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let error = refused(&text);
    assert!(error.contains("the aliases of this file unfold to more than 100000 values"), "{error}");
    let merges = text.replace('[', "{k: [").replace(']', "]}");
    assert!(refused(&merges).contains("unfold"));
}

#[test]
fn deep_nesting() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        format!("pipelines: {}", "[".repeat(65)),
    ] {
        let error = refused(&text);
        assert!(error.contains("more than 64 lists and maps stand within each other"), "{error}");
    }
}

#[test]
fn long_files() {
    let error = refused(&"#".repeat(MAX_BYTES + 1));
    assert_eq!(error, "p.yml: the file is too large: more than 4 MiB");
    let error = refused(&format!("pipelines: [{}", "1,".repeat(2_000_000)));
    assert!(error.contains("the file holds more than 500000 values"), "{error}");
    for unit in [
        "a: 1\n",
        "&a ",
        "*a ",
        "\"",
        "'",
        "|\n",
        "!x ",
        "a:\n - ",
        "%YAML 1.2\n",
        "\u{85}",
        ": ",
        "}",
        "]",
        "-\n",
        "?\n",
        "\t",
        "`",
        "@",
    ] {
        refused(&unit.repeat(200_000 / unit.len()));
    }
}

#[test]
fn a_long_line_at_the_limit_is_read() {
    let text = with_kwargs(&format!("{{url: 'http://{}'}}", "x".repeat(3_000_000)));
    let watch = Stopwatch::start();
    read(&text).unwrap();
    assert!(watch.elapsed() < QUICK, "{:?}", watch.elapsed());
}

#[test]
fn bytes_that_are_no_text() {
    let registry = registry();
    let parse = |bytes: &[u8]| Loader::new(&registry).parse("p.yml", bytes).unwrap_err().to_string();
    assert_eq!(
        parse(b"pipelines:\n  \xc3\xa5\xff: {}\n"),
        "p.yml:2:4: the file is not UTF-8 from here on: save it as UTF-8"
    );
    assert_eq!(parse(b"\xff\xfep\0"), "p.yml:1:1: the file is not UTF-8 from here on: save it as UTF-8");
    assert!(!parse(b"pipelines: \0\n").is_empty());
    assert!(!parse(b"pipelines: {\"a\0b\": {}}\n").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let registry = registry();
        drop(Loader::new(&registry).parse("p.yml", &bytes));
    }

    #[test]
    fn no_yaml_panics(text in r#"([a-c]: |- |\[|\]|\{|\}|, |\n|  |"|'|&a |\*a |<<: |!x |\? |: |\||>|#|~|1|-|%|---\n|\$\{A\}|é|\t){0,60}"#) {
        drop(read(&text));
    }

    /// A right file in which some characters were changed is right, or is refused with places in it.
    #[test]
    fn no_damage_panics(at in 0usize..400, with in r"[\[\]{}:,\-\n\t \x22'&*!|>%@`a$]{0,3}") {
        let mut text = with_kwargs("{url: '${HOST}', max_pages: 5, fields: {a: {select: .a}, b: {select: .b, regex: x}}, auth: {basic: {username: a, password: b}}}");
        let at = text.char_indices().map(|(i, _)| i).nth(at).unwrap_or(text.len());
        let end = text[at..].char_indices().map(|(i, c)| i + c.len_utf8()).next().unwrap_or(0);
        text.replace_range(at..at + end, &with);
        if let Err(error) = read(&text) {
            let lines = text.lines().count() + 1;
            for problem in error.problems {
                prop_assert!(problem.at.is_some_and(|at| (at.line as usize) <= lines && at.line > 0 && at.column > 0), "{}", problem);
            }
        }
    }
}
