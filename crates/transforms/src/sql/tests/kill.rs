//! A run whose program is killed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use pipeline_core::{ItemStream, StageContext, Transform};
use serde_json::json;

use crate::keep::testing::Bench;

/// Where the killed program works.
const FOLDER: &str = "TEST_KILLED_IN";

fn chain(bench: Bench) -> Bench {
    bench
        .stage("diff.DiffParser", json!({"key": ["k"], "db_path": "@d.db"}))
        .stage(
            "sql.DatabaseSink",
            json!({"db_path": "@d.db", "tables": {"t": {"key": ["k"], "history": true}}}),
        )
        .stage("file.JsonlSink", json!({"path": "@x.jsonl"}))
        .stage("file.CsvSink", json!({"path": "@x.csv", "append": true}))
}

/// Says when all items have gone by, and waits for ever.
struct Waits;

impl Transform for Waits {
    fn connect(self: Box<Self>, mut input: ItemStream, _: StageContext) -> ItemStream {
        ItemStream::generate(move |_| async move {
            while let Some(batch) = input.next_batch().await {
                batch?;
            }
            println!("all items are through");
            std::future::pending().await
        })
    }
}

fn items(p: i64) -> serde_json::Value {
    (0..3000).map(|k| json!(["t", {"k": k, "p": p}])).collect()
}

#[tokio::test]
#[ignore = "the program that the test below kills"]
async fn killed() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    chain(Bench::within(folder)).own_stage(|| Box::new(Waits)).run(items(2)).await;
}

#[tokio::test]
async fn a_killed_run_leaves_all_as_it_was_and_loses_no_change() {
    let bench = chain(Bench::new());
    bench.run(items(1)).await.succeeded();
    let before = std::fs::read(bench.path("d.db")).unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "sql::tests::kill::killed", "--nocapture"])
        .env(FOLDER, bench.path(""))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("all items are through")));
    program.kill().unwrap();
    program.wait().unwrap();
    assert_eq!(bench.rows("d.db", "SELECT count(*), sum(p) FROM t"), json!([[3000, 3000]]));
    assert_eq!(std::fs::read(bench.path("d.db")).unwrap(), before);
    let lines = |name| std::fs::read_to_string(bench.path(name)).unwrap().lines().count();
    assert_eq!(
        (lines("x.jsonl"), lines("x.csv")),
        (6000, 6001),
        "the items and their diffs of the first run"
    );
    let ran = bench.run(items(2)).await.succeeded();
    assert_eq!(ran.items.iter().filter(|item| item.topic.ends_with(".diff")).count(), 3000);
    assert_eq!(bench.rows("d.db", "SELECT count(*), sum(p) FROM t"), json!([[3000, 6000]]));
    assert_eq!(
        bench.rows("d.db", "SELECT change, count(*) FROM t_history GROUP BY 1 ORDER BY 1"),
        json!([["changed", 3000], ["new", 3000]])
    );
}
