//! The query fetcher.

use pipeline_core::{Item, RunOutcome};
use serde_json::{Value as Json, json};
use test_support::postgres::PostgresDatabase;

use crate::keep::testing::{Bench, Ran};

async fn query(bench: &Bench, kwargs: Json) -> Ran {
    let mut full = json!({"db_path": "@d.db", "topic": "q"});
    full.as_object_mut().unwrap().extend(kwargs.as_object().unwrap().clone());
    bench.same_folder().stage("sql.QueryFetcher", full).run_items(vec![Item::Trigger]).await
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.execute(
        "d.db",
        "CREATE TABLE t (k TEXT, p REAL, ok BOOLEAN, n, raw BLOB);
         INSERT INTO t VALUES ('a', 1.5, 1, 9007199254740993, x'00ff'), ('b', NULL, 0, 'x', NULL), ('c', 2, NULL, 1, NULL)",
    );
    bench
}

#[tokio::test]
async fn each_row_is_an_item() {
    let bench = bench();
    let ran = query(&bench, json!({"query": "SELECT * FROM t ORDER BY k;"})).await.succeeded();
    let expected = json!([
        ["q", {"k": "a", "p": 1.5, "ok": true, "n": 9_007_199_254_740_993_i64, "raw": "AP8="}],
        ["q", {"k": "b", "p": null, "ok": false, "n": "x", "raw": null}],
        ["q", {"k": "c", "p": 2.0, "ok": null, "n": 1, "raw": null}],
    ]);
    assert_eq!(ran.contents(), expected);
    assert_eq!(bench.files(), ["d.db"]);
}

#[tokio::test]
async fn parameters_by_position_and_by_name() {
    let bench = bench();
    let listed = json!({"query": "SELECT k FROM t WHERE p > ? OR ok = ?", "params": [1.6, true]});
    assert_eq!(
        query(&bench, listed).await.succeeded().contents(),
        json!([["q", {"k": "a"}], ["q", {"k": "c"}]])
    );
    let named = json!({"query": "SELECT :x AS x, k FROM t WHERE k = @key AND :x IS NOT NULL", "params": {"key": "b", ":x": [1]}});
    assert_eq!(query(&bench, named).await.succeeded().contents(), json!([["q", {"x": "[1]", "k": "b"}]]));
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_told() {
    let bench = bench();
    let cases = [
        (json!({"query": "SELECT * FROM missing"}), "no such table: missing"),
        (json!({"query": "DELETE FROM t"}), "must read, and only read"),
        (json!({"query": "PRAGMA journal_mode = DELETE"}), "must read, and only read"),
        (json!({"query": "SELECT 1; DELETE FROM t"}), "several statements"),
        (json!({"query": "SELECT k, p AS k FROM t"}), "two columns `k`"),
        (json!({"query": "SELECT ?", "params": []}), "1 parameters, and `params` 0 values"),
        (json!({"query": "SELECT :a", "params": {"b": 1}}), "no value for `:a`"),
        (json!({"query": "SELECT :a", "params": {"a": 1, "b": 1}}), "no parameter `:b`"),
        (json!({"query": "SELECT 1", "db_path": "@none.db"}), "none.db: the file does not exist"),
    ];
    for (kwargs, expected) in cases {
        let error = query(&bench, kwargs.clone()).await.error();
        assert!(
            error.contains(expected) && error.contains("stage 2 (sql.QueryFetcher)"),
            "{kwargs}: {error}"
        );
    }
    assert_eq!(bench.files(), ["d.db"], "no file is made");
    assert_eq!(bench.rows("d.db", "SELECT count(*) FROM t"), json!([[3]]));
}

#[tokio::test]
async fn a_long_query_ends_with_its_run() {
    let bench = bench();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n";
    let bench = bench
        .same_folder()
        .stage("sql.QueryFetcher", json!({"db_path": "@d.db", "topic": "q", "query": endless}));
    let mut run = std::pin::pin!(bench.run_items(vec![Item::Trigger]));
    let a_while = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(a_while, &mut run).await.is_err(), "it has no end of its own");
    bench.cancel.cancel();
    let ran = run.await;
    assert_eq!(ran.report.outcome, RunOutcome::Cancelled);
    // The runtime's end waits for its blocking threads: the test itself ends only where the query has.
}

#[tokio::test]
async fn many_rows_stream_through() {
    let bench = bench();
    let many =
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) SELECT i FROM n";
    let ran = query(&bench, json!({"query": many})).await.succeeded();
    assert_eq!(ran.items.len(), 10_000);
    assert!(ran.items.iter().zip(0..).all(|(item, at)| item.content.get("i") == Some(&i64::into(at))));
}

#[tokio::test]
async fn rows_of_postgres() {
    let Some(server) = PostgresDatabase::create().await else { return };
    server
        .execute(
            "CREATE TYPE pair AS (a int, b text);
             CREATE TABLE t (k text, i int, n numeric, f float8, ok boolean, at timestamptz, day date, j jsonb, l int[],
                 raw bytea, u uuid, p pair, c char(4));
             INSERT INTO t VALUES ('a', 1, 12345678901234567890.5, 'NaN', true, '2026-01-02 03:04:05+00', '2026-01-02',
                 '{\"x\": [1, null]}', '{1,2}', '\\x00ff', '00000000-0000-0000-0000-000000000001', (1, 'x'), 'c'); INSERT INTO t (k) VALUES ('b')",
        )
        .await;
    let bench = Bench::new();
    let ask = |kwargs: Json| {
        let mut full = json!({"db_url": server.url(), "db_path": null});
        full.as_object_mut().unwrap().extend(kwargs.as_object().unwrap().clone());
        query(&bench, full)
    };
    let ran = ask(json!({"query": "SET_TIMEZONE", "params": []}));
    let error = ran.await.error();
    assert!(error.contains("syntax error"), "{error}");
    let select = "SELECT *, at AT TIME ZONE 'UTC' AS local FROM t WHERE k = $1 AND i < $2 -- a comment";
    let ran = ask(json!({"query": select, "params": ["a", 5]})).await.succeeded();
    let mut content: Json = serde_json::to_value(&ran.items[0].content).unwrap();
    let at = content["at"].take();
    assert!(at.as_str().unwrap().starts_with("2026-01-0"), "{at}");
    let expected = json!({
        "k": "a", "i": 1, "n": 12345678901234567890.5, "f": null, "ok": true, "at": null, "day": "2026-01-02",
        "j": {"x": [1, null]}, "l": [1, 2], "raw": "AP8=", "u": "00000000-0000-0000-0000-000000000001",
        "p": {"a": 1, "b": "x"}, "c": "c", "local": "2026-01-02T03:04:05",
    });
    assert_eq!(content, expected);
    let cases = [
        (json!({"query": "SELECT * FROM missing"}), "\"missing\" does not exist"),
        (json!({"query": "DELETE FROM t"}), "must read, and only read"),
        (json!({"query": "DELETE FROM t RETURNING k"}), "syntax error"),
        (json!({"query": "SELECT nextval('s'), setval('s', 1)"}), "does not exist"),
        (json!({"query": "SELECT 1 AS a; DELETE FROM t"}), "multiple commands"),
        (json!({"query": "SELECT 1 AS a, 2 AS a"}), "two columns `a`"),
        (json!({"query": "SELECT $1::int AS a"}), "1 parameters, and `params` 0 values"),
        (json!({"query": "SELECT $1::int AS a", "params": ["x"]}), "invalid input syntax"),
    ];
    for (kwargs, expected) in cases {
        let error = ask(kwargs.clone()).await.error();
        assert!(error.contains(expected) && !error.contains("SELECT nextval"), "{kwargs}: {error}");
    }
    server.execute("CREATE SEQUENCE s").await;
    let error = ask(json!({"query": "SELECT nextval('s') AS n"})).await.error();
    assert!(error.contains("read-only transaction"), "{error}");
}
