//! The bundled files, as a newcomer runs them.

use std::path::Path;

use test_support::process::Program;

use crate::program;

/// The program in a folder with a copy of `config/`.
fn with_bundled_files() -> Program {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let target = to.join(path.file_name().unwrap());
            if path.is_dir() {
                copy(&path, &target);
            } else {
                std::fs::copy(&path, target).unwrap();
            }
        }
    }
    let program = program();
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config")), &program.folder().join("config"));
    program
}

#[test]
fn the_bundled_files_are_right_and_without_a_warning() {
    let program = with_bundled_files();
    for file in ["config/pipelines.yml", "config/pipelines_scheduled.yml"] {
        let finished = program.run(&["--check", file]).expect(0);
        assert_eq!(finished.stderr, "", "{file}");
    }
}

#[test]
fn the_second_run_of_the_main_job_sees_what_changed() {
    let program = with_bundled_files();
    let run = || program.run(&["config/pipelines.yml", "--summary", "json"]).expect(0).json();
    let first = run();
    for one in first.as_array().unwrap() {
        assert_eq!(one["outcome"], "succeeded", "{one}");
        assert!(one["stages"].as_array().unwrap().iter().all(|stage| stage["items_out"] != 0), "{one}");
    }
    let second = run();
    let of_diff = |summary: &serde_json::Value, pipeline: &str| -> (u64, u64) {
        let one = summary.as_array().unwrap().iter().find(|one| one["pipeline"] == pipeline).unwrap();
        let stages = one["stages"].as_array().unwrap();
        let diff = stages.iter().find(|stage| stage["class"] == "diff.DiffParser").unwrap();
        (diff["items_in"].as_u64().unwrap(), diff["items_out"].as_u64().unwrap())
    };
    let (read, passed) = of_diff(&first, "market");
    assert_eq!(passed, 2 * read, "everything is new");
    let (read, passed) = of_diff(&second, "market");
    assert!(read < passed && passed < 2 * read, "some of it has changed: {read} {passed}");
    let (read, passed) = of_diff(&second, "books");
    assert_eq!(passed, read, "nothing has changed");
}
