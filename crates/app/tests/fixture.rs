//! What fetchers got is kept without secrets, and tests run on it without the source.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use app::fixture::{CaseResult, find_test_files, record, test_file};
use pipeline_core::config::{Loader, PipelinesFile};
use pipeline_core::{Redactor, SystemClock};

const PIPELINES: &str = r#"
pipelines:
  lines:
    chain:
      - class: file.FileFetcher
        kwargs: {path: "${SOURCE:-absent.json}"}
      - class: json.JsonParser
        kwargs: {topic: t.line, records: ".[]"}
      - class: map.Map
        kwargs: {jq: ". + {year: (now | strftime(\"%Y\") | tonumber)}"}
"#;

fn load(path: &Path, variables: &BTreeMap<String, String>) -> anyhow::Result<(PipelinesFile, Redactor)> {
    let redactor = Redactor::new();
    redactor.add("hunter22");
    let lookup = |name: &str| variables.get(name).cloned();
    let registry = transforms::registry();
    let file = Loader::new(&registry).variables(&lookup).redactor(redactor.clone()).read(path)?;
    Ok((file, redactor))
}

async fn recorded() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("pipelines.yml"), PIPELINES).unwrap();
    let source = path("source.json");
    std::fs::write(&source, r#"[{"id": 1, "note": "hunter22"}, {"id": 2, "note": null}]"#).unwrap();
    let variables = BTreeMap::from([("SOURCE".to_owned(), source.display().to_string())]);
    let (file, redactor) = load(&path("pipelines.yml"), &variables).unwrap();
    let registry = transforms::registry();
    let pipeline = file.get("lines").unwrap();
    let clock = Arc::new(SystemClock);
    let report = record(pipeline, &registry, &path("fixtures/lines"), clock, redactor).await.unwrap();
    assert_eq!(report.stages.last().unwrap().items_out, 2);
    std::fs::remove_file(source).unwrap();
    folder
}

async fn test(folder: &Path, tests: &str) -> anyhow::Result<Vec<CaseResult>> {
    let path = folder.join("pipelines.test.yml");
    std::fs::write(&path, tests).unwrap();
    test_file(&path, &transforms::registry(), &load).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixture_holds_no_secret() {
    let folder = recorded().await;
    let payload = std::fs::read_to_string(folder.path().join("fixtures/lines/payloads/0001.json")).unwrap();
    assert_eq!(payload, r#"[{"id": 1, "note": "[redacted]"}, {"id": 2, "note": null}]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_pass_on_what_was_recorded() {
    let folder = recorded().await;
    let year = chrono::Datelike::year(&pipeline_core::Clock::now(&SystemClock));
    let tests = format!(
        r#"
tests:
  - name: all of it
    pipeline: lines
    fixture: fixtures/lines
    items:
      - {{topic: t.line, content: {{id: 1, note: "[redacted]", year: {year}}}}}
      - {{content: {{id: 2, note: null, year: {year}}}}}
  - pipeline: lines
    fixture: fixtures/lines
    contains: [{{content: {{id: 2}}}}]
    counts: {{t.line: 2}}
"#
    );
    let results = test(folder.path(), &tests).await.unwrap();
    assert_eq!(results.iter().map(|result| result.name.as_str()).collect::<Vec<_>>(), ["all of it", "lines"]);
    for result in results {
        assert_eq!(result.differences, [] as [&str; 0]);
    }
    assert!(!folder.path().join(".scraper").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn differences_say_what_and_where() {
    let folder = recorded().await;
    let tests = r#"
tests:
  - pipeline: lines
    fixture: fixtures/lines
    outcome: failed
    contains: [{topic: t.line, content: {id: 2, note: x}}, {content: {id: 3}}]
    counts: {t.line: 3}
"#;
    let results = test(folder.path(), tests).await.unwrap();
    assert_eq!(
        results[0].differences,
        [
            "outcome: expected failed, found succeeded",
            "counts.t.line: expected 3, found 2",
            "contains: no item has\n- t.line {\"id\":2,\"note\":\"x\"}\n  the nearest differs in\n  - note: \"x\"\n  + note: null",
            "contains: no item has\n- {\"id\":3}",
        ]
    );
    let tests = "tests: [{pipeline: lines, fixture: fixtures/lines, items: [{content: {id: 1}}]}]";
    let results = test(folder.path(), tests).await.unwrap();
    assert_eq!(results[0].differences[0], "items: expected 1, found 2");
    assert!(results[0].differences[1].starts_with("items[0]:\n  + note: "), "{results:?}");
    assert!(results[0].differences[2].starts_with("items[1]: too many\n+ t.line "), "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_a_test_file_are_errors() {
    let folder = recorded().await;
    let cases = [
        ("tests: [{pipeline: lines}]", "pipelines.test.yml:1:9: tests[0]: `fixture` is missing"),
        (
            "tests: [{pipeline: linse, fixture: fixtures/lines}]",
            "there is no pipeline `linse`, did you mean `lines`?",
        ),
        ("tests: [{pipeline: lines, fixture: nowhere}]", "there is no fixture"),
        ("tests: [{pipeline: lines, fixture: fixtures/lines, expect: []}]", "unknown key `expect`"),
    ];
    for (text, expected) in cases {
        let error = format!("{:#}", test(folder.path(), text).await.unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
    assert!(find_test_files(&[folder.path().join("fixtures")]).is_err());
    assert_eq!(find_test_files(&[folder.path().to_owned()]).unwrap().len(), 1);
}
