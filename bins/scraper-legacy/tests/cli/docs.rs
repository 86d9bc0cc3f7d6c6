//! docs/cli.md says what the program says of itself.

use crate::program;

#[test]
fn the_document_has_every_option_and_no_other() {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap();
    let section = document.split("\n## ").find(|section| section.starts_with("scraper-legacy\n")).unwrap();
    let options = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let mut options: Vec<String> =
            words.filter(|w| w.len() > 3 && w.starts_with("--")).map(str::to_owned).collect();
        options.sort();
        options.dedup();
        options
    };
    let help = program().run(&["--help"]).expect(0).stdout;
    assert_eq!(options(section), options(&help));
    let usage = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
    assert!(section.contains(usage), "{usage}");
}
