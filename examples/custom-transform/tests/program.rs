//! The program as the README starts it.

use pipeline_core::config::Loader;
use test_support::process::Program;

const PIPELINES: &str = include_str!("../pipelines.yml");

fn program() -> Program {
    let data = include_str!("../../../config/data/games/publishers.json");
    Program::new(env!("CARGO_BIN_EXE_custom-transform"))
        .file("pipelines.yml", PIPELINES)
        .file("config/data/games/publishers.json", data)
}

#[test]
fn it_knows_its_own_class_and_the_built_ins() {
    let program = program();
    program.run(&[]).expect(0);
    let lines = program.read("out/ratings.jsonl");
    let first = lines.lines().next().unwrap();
    assert_eq!(first, r#"{"id":501,"title":"Northern Sea","rating":3.0}"#);
}

#[test]
fn its_kwargs_are_checked_with_the_file() {
    let program = program();
    for (wrong, expected) in [
        (
            "{field: rating, digits: 13}",
            "pipelines.yml:14:41: pipelines.ratings.chain[2].kwargs.digits: 13 is more than 12\n",
        ),
        (
            "{feld: rating}",
            "pipelines.yml:14:17: pipelines.ratings.chain[2].kwargs: `field` is missing\n\
             pipelines.yml:14:18: pipelines.ratings.chain[2].kwargs.feld: unknown key `feld`, did you mean `field`?\n",
        ),
    ] {
        program.write("pipelines.yml", PIPELINES.replace("{field: rating, digits: 0}", wrong));
        assert_eq!(program.run(&["--check"]).expect(2).stderr, expected);
    }
}

#[test]
fn its_example_is_right() {
    let mut registry = pipeline_core::Registry::new();
    registry.register::<custom_transform::Round>();
    let example = registry.get("example.Round").unwrap().example;
    let stage = example.trim_end().replace('\n', "\n        ");
    let file = format!("pipelines:\n  one:\n    chain:\n      - {stage}\n");
    Loader::new(&registry)
        .parse("example", file.as_bytes())
        .unwrap_or_else(|error| panic!("{file}\n{error}"));
}
