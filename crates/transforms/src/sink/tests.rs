//! Whole runs into files and onto the console.

use pipeline_core::OnError;
use serde_json::{Value as Json, json};

use crate::keep::testing::Bench;

fn jsonl(kwargs: Json) -> Bench {
    Bench::new().stage("file.JsonlSink", kwargs)
}

fn csv(kwargs: Json) -> Bench {
    Bench::new().stage("file.CsvSink", kwargs)
}

fn read(bench: &Bench, name: &str) -> String {
    std::fs::read_to_string(bench.path(name)).unwrap()
}

#[tokio::test]
async fn lines_of_json_replace_the_file() {
    let bench = jsonl(json!({"path": "@out/x.jsonl", "topics": ["t"]}));
    let items = json!([["t", {"b": 1, "a": [null, "ü\n"]}], ["u", {"x": 1}], ["t", {"n": 1.0}]]);
    for _ in 0..2 {
        let ran = bench.run(items.clone()).await.succeeded();
        assert_eq!(ran.contents(), items);
        assert_eq!(read(&bench, "out/x.jsonl"), "{\"b\":1,\"a\":[null,\"ü\\n\"]}\n{\"n\":1.0}\n");
        assert_eq!(std::fs::read_dir(bench.path("out")).unwrap().count(), 1, "nothing is left beside it");
    }
}

#[tokio::test]
async fn an_envelope_holds_the_whole_item() {
    let bench = jsonl(json!({"path": "@x.jsonl", "envelope": true}));
    bench.run(json!([["t", {"a": 1}]])).await.succeeded();
    let line: Json = serde_json::from_str(&read(&bench, "x.jsonl")).unwrap();
    assert_eq!((&line["topic"], &line["content"]), (&json!("t"), &json!({"a": 1})));
    assert!(line["discovered_at"].as_str().unwrap().starts_with("2026-01-02T03:04:05"), "{line}");
}

#[tokio::test]
async fn a_run_without_items_leaves_an_empty_file() {
    for bench in [jsonl(json!({"path": "@x"})), csv(json!({"path": "@x"}))] {
        bench.run(json!([["t", {"a": 1}]])).await.succeeded();
        bench.run(json!([])).await.succeeded();
        assert_eq!(read(&bench, "x"), "");
    }
}

#[tokio::test]
async fn a_run_that_fails_or_is_cancelled_or_dry_changes_nothing() {
    for class in ["file.JsonlSink", "file.CsvSink"] {
        let bench =
            |append: bool| Bench::new().stage(class, json!({"path": "@new/folder/x", "append": append}));
        for append in [false, true] {
            let failing = bench(append).fails(true);
            failing.run(json!([["t", {"a": 1}]])).await.error();
            assert!(failing.files().is_empty(), "neither file nor folder");
            let cancelled = bench(append);
            cancelled.cancel.cancel();
            cancelled.run(json!([["t", {"a": 1}]])).await;
            assert!(cancelled.files().is_empty());
            let dry = bench(append).dry_run(true);
            let ran = dry.run(json!([["t", {"a": 1}]])).await.succeeded();
            assert!(ran.printed[0].ends_with(r#"new/folder/x: {"a":1}"#), "{:?}", ran.printed);
            assert!(dry.files().is_empty());
        }
        let bench = Bench::new().stage(class, json!({"path": "@x"}));
        bench.run(json!([["t", {"a": 1}]])).await.succeeded();
        let before = read(&bench, "x");
        let bench = bench.fails(true);
        bench.run(json!([["t", {"a": 2}]])).await.error();
        assert_eq!(read(&bench, "x"), before);
        assert_eq!(bench.files(), ["x"]);
    }
}

#[tokio::test]
async fn lines_are_appended_in_one_go() {
    let bench = jsonl(json!({"path": "@x", "append": true}));
    bench.run(json!([["t", {"a": 1}]])).await.succeeded();
    bench.run(json!([["t", {"a": 2}], ["t", {"a": 3}]])).await.succeeded();
    assert_eq!(read(&bench, "x"), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    assert_eq!(bench.files(), ["x"]);
}

#[tokio::test]
async fn places_that_cannot_be_written() {
    for class in ["file.JsonlSink", "file.CsvSink"] {
        let bench = Bench::new();
        std::fs::write(bench.path("plain"), "").unwrap();
        std::fs::create_dir(bench.path("folder")).unwrap();
        std::os::unix::fs::symlink("turns", bench.path("turns")).unwrap();
        for (path, why) in [
            ("@plain/x", "plain cannot be used"),
            ("@folder", "it is a folder"),
            ("@folder/", "names a folder"),
            ("@turns", "too many symbolic links"),
        ] {
            let bench = bench.same_folder().stage(class, json!({"path": path}));
            let error = bench.run(json!([["t", {"a": 1}]])).await.error();
            assert!(error.contains(why) && error.contains("stage 2") && error.contains("file /"), "{error}");
        }
    }
}

#[tokio::test]
async fn links_stay_links_and_permissions_stay() {
    use std::os::unix::fs::PermissionsExt;
    let bench = jsonl(json!({"path": "@link"}));
    std::fs::create_dir(bench.path("real")).unwrap();
    std::os::unix::fs::symlink("real/x", bench.path("link")).unwrap();
    bench.run(json!([["t", {"a": 1}]])).await.succeeded();
    let mode = || std::fs::metadata(bench.path("real/x")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode() & 0o600, 0o600);
    assert_ne!(mode(), 0o600, "as any new file, less the user's mask");
    std::fs::set_permissions(bench.path("real/x"), std::fs::Permissions::from_mode(0o640)).unwrap();
    bench.run(json!([["t", {"a": 2}]])).await.succeeded();
    assert_eq!(read(&bench, "real/x"), "{\"a\":2}\n");
    assert_eq!(mode(), 0o640);
    assert!(bench.path("link").is_symlink());
}

#[tokio::test]
async fn a_pipe_is_written_to_and_not_replaced() {
    let bench = jsonl(json!({"path": "@pipe"}));
    let made = std::process::Command::new("mkfifo").arg(bench.path("pipe")).status().unwrap();
    assert!(made.success());
    let path = bench.path("pipe");
    let reader = tokio::task::spawn_blocking(move || std::fs::read_to_string(path).unwrap());
    bench.run(json!([["t", {"a": 1}]])).await.succeeded();
    assert_eq!(reader.await.unwrap(), "{\"a\":1}\n");
    let bench = jsonl(json!({"path": "/dev/null"}));
    bench.run(json!([["t", {"a": 1}]])).await.succeeded();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}

#[tokio::test]
async fn two_sinks_cannot_replace_the_same_file() {
    let bench = jsonl(json!({"path": "@x"})).stage("file.CsvSink", json!({"path": "@./x"}));
    let error = bench.run(json!([["t", {"a": 1}]])).await.error();
    assert!(error.contains("two sinks of this chain replace the same file"), "{error}");
    assert!(bench.files().is_empty());
}

#[tokio::test]
async fn columns_are_all_fields_in_order_of_appearance() {
    let bench = csv(json!({"path": "@x.csv"}));
    let items = json!([
        ["t", {"b": 1, "a": "x,\"y\"\nz"}],
        ["t", {"c": [1, {"d": null}], "a": null}],
        ["u", {"a": true, "b": 0.5, "e": 1e300}],
        ["u", {"e": 18446744073709551615u64}],
    ]);
    bench.run(items).await.succeeded();
    let expected = "b,a,c,e\n1,\"x,\"\"y\"\"\nz\",,\n,,\"[1,{\"\"d\"\":null}]\",\n0.5,true,,1e+300\n,,,18446744073709551615\n";
    assert_eq!(read(&bench, "x.csv"), expected);
}

#[tokio::test]
async fn chosen_columns_and_delimiters() {
    let bench =
        csv(json!({"path": "@x.csv", "columns": ["b", "z", "a"], "delimiter": "\\t", "topics": ["t"]}));
    bench.run(json!([["t", {"a": "1\t2", "c": 3, "b": "ä;,"}], ["u", {"a": 1}]])).await.succeeded();
    assert_eq!(read(&bench, "x.csv"), "b\tz\ta\nä;,\t\t\"1\t2\"\n");
    let bench = csv(json!({"path": "@x.csv", "columns": ["b"], "delimiter": ";"}));
    bench.run(json!([])).await.succeeded();
    assert_eq!(read(&bench, "x.csv"), "b\n");
}

#[tokio::test]
async fn rows_are_appended_under_the_header_that_is_there() {
    let bench = csv(json!({"path": "@x.csv", "append": true}));
    bench.run(json!([["t", {"a": 1, "b": 2}]])).await.succeeded();
    bench.run(json!([["t", {"b": 4, "a": 3}], ["t", {"a": 5}]])).await.succeeded();
    assert_eq!(read(&bench, "x.csv"), "a,b\n1,2\n3,4\n5,\n");
    // A new field makes a new column; the old rows have nothing there.
    bench.run(json!([["t", {"c": "new", "a": 6}]])).await.succeeded();
    assert_eq!(read(&bench, "x.csv"), "a,b,c\n1,2,\n3,4,\n5,,\n6,,new\n");
    assert_eq!(bench.files(), ["x.csv"]);
    // A file of another program, with a byte order mark and without a last line end.
    std::fs::write(bench.path("x.csv"), "\u{feff}a;q\r\n1;2").unwrap();
    let semicolons = bench
        .same_folder()
        .stage("file.CsvSink", json!({"path": "@x.csv", "append": true, "delimiter": ";"}));
    semicolons.run(json!([["t", {"a": 3}]])).await.succeeded();
    assert_eq!(read(&bench, "x.csv"), "\u{feff}a;q\r\n1;2\n3;\n");
}

#[tokio::test]
async fn many_rows_of_many_shapes() {
    let bench = csv(json!({"path": "@x.csv"}));
    let items: Json = (0..20_000).map(|n| json!(["t", {"n": n, format!("f{}", n % 50): "v"}])).collect();
    bench.run(items).await.succeeded();
    let text = read(&bench, "x.csv");
    let mut lines = text.lines();
    assert_eq!(lines.next().unwrap().split(',').count(), 51);
    for (line, n) in lines.by_ref().zip(0..20_000) {
        let values: Vec<_> = line.split(',').collect();
        assert_eq!((values[0], values[1 + n % 50]), (n.to_string().as_str(), "v"));
    }
    assert_eq!(text.lines().count(), 20_001);
}

#[tokio::test]
async fn the_console_shows_lines_or_tables() {
    let bench = Bench::new().stage("console.ConsoleSink", json!({"topics": ["t", "u"]}));
    let items = json!([["t", {"b": 1, "a": "x"}], ["other", {"q": 1}], ["u", {"c": null}]]);
    let ran = bench.run(items.clone()).await.succeeded();
    assert_eq!(ran.contents(), items);
    assert_eq!(ran.printed, [r#"{"b":1,"a":"x"}"#, r#"{"c":null}"#]);
    let bench = Bench::new().stage("console.ConsoleSink", json!({"format": "table"}));
    let ran =
        bench.run(json!([["t", {"b": 1, "a": "x"}], ["t", {"b": 22}], ["u", {"c": null}]])).await.succeeded();
    assert_eq!(ran.printed, ["t\n b  a\n--  -\n 1  x\n22", "u\nc\n-\n"]);
}

#[tokio::test]
async fn an_output_that_nobody_reads_ends_the_run() {
    struct Closed;
    impl crate::Output for Closed {
        fn line(&self, _: &str) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let bench = Bench::new().stage_with("console.ConsoleSink", json!({}), OnError::Skip).prints_to(Closed);
    let error = bench.run(json!([["t", {"a": 1}]])).await.error();
    assert!(error.contains("the output cannot be written"), "{error}");
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    let registry = crate::registry();
    let cases = [
        ("file.JsonlSink", json!({}), "`path` is missing"),
        ("file.JsonlSink", json!({"path": ""}), "path: is empty"),
        ("file.JsonlSink", json!({"path": "x", "mode": 1}), "unknown key `mode`"),
        (
            "file.CsvSink",
            json!({"path": "x", "delimiter": "ab"}),
            "delimiter: `ab` is not one ASCII character",
        ),
        ("file.CsvSink", json!({"path": "x", "delimiter": "\""}), "delimiter: "),
        (
            "file.CsvSink",
            json!({"path": "x", "columns": ["a", "b", "a"]}),
            "columns[2]: `a` stands here twice",
        ),
        ("file.CsvSink", json!({"path": "x", "columns": []}), "columns: names no column"),
        ("console.ConsoleSink", json!({"format": "xml"}), "`xml`"),
    ];
    for (class, kwargs, expected) in cases {
        let errors = registry.get(class).unwrap().build(kwargs.clone(), &Default::default());
        let errors = errors.err().map(|errors| errors.to_string()).unwrap_or_default();
        assert!(errors.contains(expected), "{class} {kwargs}: {errors}");
    }
}
