//! The documents say what the program says of itself, and do what they say, as far as this program goes.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it was made")]

use std::collections::BTreeSet;

use test_support::guide::{blocks, follow};
use test_support::process::Program;

const PROGRAM: &str = env!("CARGO_BIN_EXE_scraper-scheduler");

fn document(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_tutorial_does_what_it_says() {
    // The other program's part is covered by a test beside that.
    follow(&blocks(&document("tutorial.md")), PROGRAM, &[("RUST_LOG", "warn")], &["scraper-legacy"]);
}

fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.len() > 3 && word.starts_with("--")).map(str::to_owned).collect()
}

/// The commands that a help lists, and their words so far.
fn commands(help: &str, before: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let names =
        list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(|name| format!("{before}{name}")).collect()
}

#[test]
fn the_document_has_every_command_and_option_and_no_other() {
    let document = document("cli.md");
    let section = document.split("\n## ").find(|section| section.starts_with("scraper-scheduler\n")).unwrap();
    let program = Program::new(PROGRAM);
    let help = |command: &str| {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        program.run(&words).expect(0).stdout
    };
    let (mut known, mut waiting) = (BTreeSet::new(), commands(&help(""), ""));
    assert!(waiting.len() > 10, "{waiting:?}");
    while let Some(command) = waiting.pop() {
        let help = help(&command);
        let inner = commands(&help, &format!("{command} "));
        assert!(!inner.is_empty() || section.contains(&format!("`{command}")), "`{command}` is missing");
        known.extend(options(&help));
        waiting.extend(inner);
    }
    assert_eq!(options(section), known);
}
