//! What the documents show is right: every YAML is checked as a file would be.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it was made")]

use std::fmt::Write;
use std::path::PathBuf;

use app::{Environment, Setup};
use serde_json::Value;
use test_support::guide::{Block, blocks};
use workspace_tests::root;

fn documents() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    found.push(root().join("README.md"));
    found.sort();
    found
}

fn indented(text: &str, by: usize) -> String {
    let mut found = String::new();
    for line in text.lines() {
        writeln!(found, "{:by$}{line}", "").unwrap();
    }
    found
}

/// A fragment as a whole file, with what it lacks around it.
fn whole(block: &Block) -> String {
    let mut lines = block.text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let first = lines.next().unwrap_or_default();
    let starts = |key: &str| first.trim_start().starts_with(key);
    let chain = "chain: [{class: items.ItemsFetcher, kwargs: {topic: t, items: []}}]";
    if ["pipelines:", "defaults:", "x-"].iter().any(|key| first.starts_with(key)) {
        block.text.clone()
    } else if starts("class:") {
        format!("pipelines:\n  one:\n    chain:\n      -\n{}", indented(&block.text, 8))
    } else if starts("- class:") {
        format!("pipelines:\n  one:\n    chain:\n{}", indented(&block.text, 6))
    } else {
        format!("pipelines:\n  one:\n    {chain}\n{}", indented(&block.text, 4))
    }
}

/// Where the block stands.
fn place(path: &std::path::Path, block: &Block) -> String {
    format!("{}:{}", path.file_name().unwrap().display(), block.line)
}

/// Every variable that a text asks for, with a value that fits.
fn variables(text: &str) -> Environment {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
    let value = |name: &str| match name {
        name if name.ends_with("WEBHOOK_URL") => "https://discord.com/api/webhooks/1/x",
        name if name.ends_with("DATABASE_URL") => "postgres://127.0.0.1:9/x",
        name if name.ends_with("URL") => "http://127.0.0.1:9/x",
        _ => "value",
    };
    Environment::of(names.map(|name| (name.to_owned(), value(name).to_owned())))
}

#[test]
fn every_yaml_in_the_documents_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipelines.yml");
    let mut checked = 0;
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        for block in blocks(&text).iter().filter(|block| block.language == "yaml") {
            // Other kinds of files, and the one that is there to be wrong.
            if block.text.starts_with("tests:") || block.file == "wrong.yml" {
                continue;
            }
            let whole = whole(block);
            let setup = Setup::with(variables(&whole));
            let zone = app::default_zone(&setup.environment).unwrap();
            std::fs::write(&file, &whole).unwrap();
            match app::load(&file, &setup, zone) {
                Ok(loaded) if whole == block.text => {
                    assert!(loaded.warnings.is_empty(), "{}: {:#?}", place(&path, block), loaded.warnings);
                }
                // What an extract lacks around it may be worth a warning.
                Ok(_) => {}
                Err(error) => panic!("{}\n{whole}\n{error}", place(&path, block)),
            }
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} blocks were found");
}

#[test]
fn every_json_in_the_documents_is_json() {
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        for block in blocks(&text).iter().filter(|block| block.language == "json") {
            let parsed: Result<Value, _> = serde_json::from_str(&block.text);
            assert!(parsed.is_ok(), "{}: {}", place(&path, block), parsed.unwrap_err());
        }
    }
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> Vec<String> {
    let mut fenced = false;
    let headings = text.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced && line.starts_with('#')
    });
    let anchor = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_to_headings_meet_one() {
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some((file, anchor)) = target.split_once('#').filter(|_| !target.contains("://")) else {
                continue;
            };
            let there = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let found = anchors(&std::fs::read_to_string(&there).unwrap());
            assert!(found.iter().any(|found| found == anchor), "{}: #{anchor}", path.display());
        }
    }
}
