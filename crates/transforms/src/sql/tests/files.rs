//! Files that are not as they should be.

use pipeline_core::{ItemStream, StageContext, StageError, Transform};
use serde_json::json;

use crate::keep::testing::Bench;

/// Longer than one attempt to get a lock takes.
const A_WHILE: std::time::Duration = std::time::Duration::from_millis(600);

fn bench() -> Bench {
    Bench::new().stage("sql.DatabaseSink", json!({"db_path": "@x/d.db", "tables": {"t": {"key": ["k"]}}}))
}

fn diffing() -> Bench {
    Bench::new().stage("diff.DiffParser", json!({"key": ["k"], "db_path": "@x/d.db"}))
}

#[tokio::test]
async fn missing_folders_are_made_when_the_run_succeeds() {
    for bench in [bench(), diffing()] {
        let bench = bench.fails(true);
        bench.run(json!([["t", {"k": 1}]])).await.error();
        assert_eq!(bench.files(), Vec::<String>::new());
        let bench = bench.fails(false);
        bench.run(json!([["t", {"k": 1}]])).await.succeeded();
        assert!(bench.path("x/d.db").is_file());
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_told_before_the_work_and_left_alone() {
    for bench in [bench(), diffing()] {
        std::fs::create_dir(bench.path("x")).unwrap();
        let text = "not a database, but quite a long text all the same\n".repeat(100);
        std::fs::write(bench.path("x/d.db"), &text).unwrap();
        let ran = bench.run(json!([["t", {"k": 1}]])).await;
        let error = ran.error();
        assert!(error.contains("x/d.db: opening: the file is not a SQLite database"), "{error}");
        assert!(error.contains("stage 2"), "{error}");
        assert_eq!(std::fs::read_to_string(bench.path("x/d.db")).unwrap(), text);
    }
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let bench = bench();
    bench.run(json!([["t", {"k": 1}]])).await.succeeded();
    let path = bench.path("x/d.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // The table's page: its header no longer makes sense.
    let page = bytes.len() - 4096;
    bytes[page..page + 64].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
    let error = bench.run(json!([["t", {"k": 1, "p": 2}]])).await.error();
    assert!(error.contains("the file is damaged") && error.contains("d.db"), "{error}");
}

#[tokio::test]
async fn a_folder_in_the_place_of_the_file_and_a_file_in_the_place_of_the_folder() {
    let bench = bench();
    std::fs::create_dir_all(bench.path("x/d.db")).unwrap();
    let error = bench.run(json!([["t", {"k": 1}]])).await.error();
    assert!(error.contains("d.db") && error.contains("cannot be opened"), "{error}");
    let bench = self::bench();
    std::fs::write(bench.path("x"), "").unwrap();
    let error = bench.run(json!([["t", {"k": 1}]])).await.error();
    assert!(error.contains("x is not a folder") || error.contains("cannot be used"), "{error}");
}

#[tokio::test]
async fn a_locked_file_is_waited_for() {
    let bench = bench();
    bench.run(json!([["t", {"k": 1}]])).await.succeeded();
    let other = rusqlite::Connection::open(bench.path("x/d.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (5)").unwrap();
    let mut run = std::pin::pin!(bench.run(json!([["t", {"k": 2}]])));
    assert!(tokio::time::timeout(A_WHILE, &mut run).await.is_err(), "it waits");
    other.execute_batch("COMMIT").unwrap();
    run.await.succeeded();
    assert_eq!(bench.rows("x/d.db", "SELECT k FROM t ORDER BY k"), json!([[1], [2], [5]]));
}

#[tokio::test]
async fn a_cancelled_run_does_not_wait_for_a_lock() {
    use pipeline_core::{RunOutcome, Stopwatch};
    let bench = bench();
    bench.run(json!([["t", {"k": 1}]])).await.succeeded();
    let other = rusqlite::Connection::open(bench.path("x/d.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let watch = Stopwatch::start();
    let mut run = std::pin::pin!(bench.run(json!([["t", {"k": 2}]])));
    assert!(tokio::time::timeout(A_WHILE, &mut run).await.is_err(), "it waits");
    bench.cancel.cancel();
    let ran = run.await;
    assert_eq!(ran.report.outcome, RunOutcome::Cancelled);
    assert!(watch.elapsed().as_secs() < 10, "{:?}", watch.elapsed());
}

/// Writes the file itself when the last item has gone by.
struct OtherProgram(std::path::PathBuf);

impl Transform for OtherProgram {
    fn connect(self: Box<Self>, mut input: ItemStream, _: StageContext) -> ItemStream {
        ItemStream::generate(move |_| async move {
            while let Some(batch) = input.next_batch().await {
                batch?;
            }
            std::fs::create_dir_all(self.0.parent().unwrap()).unwrap();
            let other = rusqlite::Connection::open(&self.0).unwrap();
            other.busy_timeout(std::time::Duration::ZERO).unwrap();
            other
                .execute_batch("CREATE TABLE IF NOT EXISTS other (n); INSERT INTO other VALUES (1)")
                .map_err(|error| StageError::fatal("locked out").caused_by(error))
        })
    }
}

#[tokio::test]
async fn nothing_is_locked_while_a_run_goes_on() {
    // The second stage writes the file itself while the run's rows and state wait for its end.
    let bench =
        diffing().stage("sql.DatabaseSink", json!({"db_path": "@x/d.db", "tables": {"t": {"key": ["k"]}}}));
    let path = bench.path("x/d.db");
    let bench = bench.own_stage(move || Box::new(OtherProgram(path.clone())));
    bench.run(json!([["t", {"k": 1}], ["t", {"k": 2}]])).await.succeeded();
    assert_eq!(bench.rows("x/d.db", "SELECT count(*) FROM other"), json!([[1]]));
    bench.run(json!([["t", {"k": 1}], ["t", {"k": 2}]])).await.succeeded();
    assert_eq!(bench.rows("x/d.db", "SELECT count(*) FROM other"), json!([[2]]));
    assert_eq!(bench.rows("x/d.db", "SELECT count(*) FROM t"), json!([[2]]));
}

#[tokio::test]
async fn runs_side_by_side_take_turns() {
    let benches: Vec<_> = (0..6).map(|_| Bench::new()).collect();
    let shared = Bench::new();
    let path = shared.path("d.db");
    let runs = benches.into_iter().zip(0..).map(|(bench, at)| {
        // Two files in either order: no run may wait for one that waits for it.
        let kwargs =
            |name: &str| json!({"db_path": path.with_file_name(name), "tables": {"t": {"key": ["k"]}}});
        let (first, second) = if at % 2 == 0 { ("a.db", "b.db") } else { ("b.db", "a.db") };
        let bench = bench.stage("sql.DatabaseSink", kwargs(first)).stage("sql.DatabaseSink", kwargs(second));
        async move {
            let items: serde_json::Value =
                (0..500).map(|n| json!(["t", {"k": n, format!("by{at}"): n}])).collect();
            bench.run(items).await.succeeded();
        }
    });
    futures_util::future::join_all(runs).await;
    for file in ["a.db", "b.db"] {
        let sums = shared.rows(
            file,
            "SELECT count(*), sum(by0) + sum(by1) + sum(by2) + sum(by3) + sum(by4) + sum(by5) FROM t",
        );
        assert_eq!(sums, json!([[500, 6 * 124_750]]));
    }
}
