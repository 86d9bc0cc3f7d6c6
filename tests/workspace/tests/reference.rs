//! What is made from the classes is up to date, and what the repository shows is right by it.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it was made")]

use std::path::{Path, PathBuf};

use app::{Environment, Setup};
use serde_json::Value;
use workspace_tests::{check_generated, root};

#[test]
fn the_reference_is_what_the_classes_say() {
    check_generated("docs/reference.md", &app::reference::markdown(&app::registry()));
}

#[test]
fn the_schema_for_editors_is_what_the_program_gives() {
    let schema = app::schema(&app::registry());
    check_generated("config/pipelines.schema.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
}

/// All files of pipelines in these folders and below.
fn files_of_pipelines() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let named = |ending: &str| path.to_string_lossy().ends_with(ending);
            if path.is_dir() {
                walk(&path, found);
            } else if named(".yml") && !named(".test.yml") {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.lines().any(|line| line.starts_with("pipelines:")) {
                    found.push(path);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("config"), &mut found);
    walk(&root().join("examples"), &mut found);
    found.sort();
    found
}

#[test]
fn the_files_of_the_repository_are_valid_by_the_schema() {
    let mut registry = app::registry();
    registry.register::<custom_transform::Round>();
    let validator = jsonschema::validator_for(&app::schema(&registry)).unwrap();
    let files = files_of_pipelines();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let value: Value = serde_yaml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}\n{errors:#?}", file.display());
    }
}

#[test]
fn the_files_of_the_repository_load_without_a_warning() {
    let variable = |name: &str| (name.to_owned(), "http://127.0.0.1:9/value".to_owned());
    let names = ["FI_BASE_URL", "TCG_BASE_URL", "APPMAGIC_BASE_URL"];
    let mut setup = Setup::with(Environment::of(names.map(variable)));
    setup.registry.register::<custom_transform::Round>();
    let zone = app::default_zone(&setup.environment).unwrap();
    for path in files_of_pipelines() {
        let file = app::load(&path, &setup, zone).unwrap_or_else(|error| panic!("{error}"));
        assert!(file.warnings.is_empty(), "{:#?}", file.warnings);
    }
}

#[test]
fn editors_find_the_schema_that_files_name() {
    for path in files_of_pipelines() {
        let text = std::fs::read_to_string(&path).unwrap();
        let named = text.lines().find_map(|line| line.strip_prefix("# yaml-language-server: $schema="));
        if let Some(named) = named {
            assert!(path.parent().unwrap().join(named).is_file(), "{}: {named}", path.display());
        }
    }
}
