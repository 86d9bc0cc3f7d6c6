//! The arrows between our crates, and the fences around third parties, as docs/architecture.md draws them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use workspace_tests::root;

fn metadata(extra: &[&str]) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(extra)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// For each crate of the workspace what it names as a dependency (not for its tests).
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"]);
    let package = |package: &Value| {
        let names = package["dependencies"].as_array().unwrap().iter();
        let normal = names.filter(|dependency| dependency["kind"].is_null());
        let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect();
        (package["name"].as_str().unwrap().to_owned(), names)
    };
    metadata["packages"].as_array().unwrap().iter().map(package).collect()
}

#[test]
fn crates_depend_only_on_what_the_architecture_allows() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("schedule", [].as_slice()),
        ("pipeline-core", &[]),
        ("jobstore", &[]),
        ("transforms", &["pipeline-core"]),
        ("discord", &["pipeline-core"]),
        ("engine", &["schedule", "jobstore", "pipeline-core"]),
        ("app", &["schedule", "pipeline-core", "transforms", "discord"]),
        ("scraper-legacy", &["app", "pipeline-core", "transforms", "discord", "schedule"]),
        (
            "scraper-scheduler",
            &["app", "engine", "jobstore", "pipeline-core", "transforms", "discord", "schedule"],
        ),
    ]);
    let all = dependencies();
    for (name, allowed) in &allowed {
        let found = all.get(*name).unwrap_or_else(|| panic!("there is no crate {name}"));
        for dependency in found.iter().filter(|name| all.contains_key(*name)) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn third_parties_stay_behind_their_fences() {
    let fences: [(&[&str], &[&str]); 3] = [
        (
            &["diesel", "diesel-async", "diesel_migrations", "rusqlite", "tokio-postgres", "libsqlite3-sys"],
            &["jobstore", "transforms", "test-support"],
        ),
        (&["twilight-gateway", "twilight-http", "twilight-model"], &["discord"]),
        (&["saffron"], &["schedule"]),
    ];
    for (name, dependencies) in dependencies() {
        for (third_parties, within) in fences {
            for third_party in third_parties.iter().filter(|crate_| dependencies.contains(**crate_)) {
                assert!(within.contains(&name.as_str()), "{name} must not name {third_party}");
            }
        }
    }
}

#[test]
fn the_tree_holds_one_sqlite_one_tls_stack_and_no_libpq() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let count = |name: &str| lock.lines().filter(|line| *line == format!("name = \"{name}\"")).count();
    assert_eq!(count("libsqlite3-sys"), 1);
    for banned in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "pq-sys", "cmake"] {
        assert_eq!(count(banned), 0, "{banned} is in the tree");
    }
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() {
    let metadata = metadata(&["--no-deps"]);
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} lacks the lints", package["name"]);
    }
}

/// The sources of the library crates, without their tests.
fn library_sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Modules of tests that have grown into folders.
                if !path.ends_with("tests") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
                found.push((path, code));
            }
        }
    }
    let mut found = Vec::new();
    for name in ["schedule", "pipeline-core", "transforms", "jobstore", "engine", "discord"] {
        walk(&root().join("crates").join(name).join("src"), &mut found);
    }
    found
}

#[test]
fn libraries_neither_print_nor_read_the_environment_nor_handle_signals() {
    let banned =
        ["println!(", "eprintln!(", "std::env::var", "env::var_os(", "tokio::signal", "process::exit("];
    for (path, code) in library_sources() {
        let lines = code.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with("//"));
        for (line, number) in lines {
            for word in banned {
                assert!(!line.contains(word), "{}:{number}: {word}", path.display());
            }
        }
    }
}

#[test]
fn documents_name_only_files_that_exist() {
    let mut documents = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    documents.extend(std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for document in documents.iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.contains(' ') {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{}: {target} does not exist", document.display());
        }
    }
}
