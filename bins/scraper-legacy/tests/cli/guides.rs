//! The guides do what they say, as far as this program goes.

use test_support::guide::{Block, blocks, follow};

const PROGRAM: &str = env!("CARGO_BIN_EXE_scraper-legacy");

pub(crate) fn document(name: &str) -> Vec<Block> {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    blocks(&std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_tutorial_does_what_it_says() {
    follow(&document("tutorial.md"), PROGRAM, &[], &["scraper-scheduler"]);
}

/// Each recipe stands alone. Those for the web are tested beside a server; see `web_recipes`.
#[test]
fn the_recipes_do_what_they_say() {
    let blocks = document("cookbook.md");
    let mut recipes = 0;
    for recipe in blocks.chunk_by(|one, next| one.section == next.section) {
        if recipe.iter().any(|block| block.language == "python") && !has_python() {
            eprintln!("skipped, python3 is missing: {}", recipe[0].section);
        } else if recipe.iter().any(|block| block.language == "console") {
            recipes += 1;
            follow(recipe, PROGRAM, &[("RUST_LOG", "warn")], &[]);
        }
    }
    assert!(recipes >= 15, "only {recipes} recipes run");
}

fn has_python() -> bool {
    std::process::Command::new("python3")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}
