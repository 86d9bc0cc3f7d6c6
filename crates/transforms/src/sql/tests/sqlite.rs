//! The database sink on SQLite.

use chrono::TimeDelta;
use pipeline_core::OnError;
use serde_json::{Value as Json, json};

use crate::keep::testing::Bench;

fn bench(tables: Json) -> Bench {
    Bench::new().stage("sql.DatabaseSink", json!({"db_path": "@d.db", "tables": tables}))
}

fn keyed() -> Bench {
    bench(json!({"t": {"key": ["k"]}}))
}

async fn run(bench: &Bench, items: Json) {
    bench.run(items).await.succeeded();
}

fn types(bench: &Bench, table: &str) -> Json {
    bench.rows("d.db", &format!("SELECT name, type FROM pragma_table_info('{table}')"))
}

#[tokio::test]
async fn items_are_appended_to_the_table_of_their_topic_and_pass_on() {
    let bench = Bench::new().stage("sql.DatabaseSink", json!({"db_path": "@d.db"}));
    let items = json!([
        ["shop.book", {"title": "Emma", "price": 9.5, "stock": true, "pages": 400, "tags": ["a", {"b": 1}]}],
        ["shop.book", {"title": "Emma", "price": 9, "stock": null, "extra": "x"}],
        ["shop.author", {"name": "Jane"}],
    ]);
    for count in [2, 4] {
        let ran = bench.run(items.clone()).await.succeeded();
        assert_eq!(bench.files(), ["d.db"], "nothing else is left");
        assert_eq!(ran.contents(), items);
        assert_eq!(bench.rows("d.db", "SELECT count(*) FROM shop_book"), json!([[count]]));
    }
    let expected = json!([
        ["title", "TEXT"],
        ["price", "REAL"],
        ["stock", "BOOLEAN"],
        ["pages", "INTEGER"],
        ["tags", "TEXT"],
        ["extra", "TEXT"],
    ]);
    assert_eq!(types(&bench, "shop_book"), expected);
    let rows = bench.rows("d.db", "SELECT * FROM shop_book LIMIT 2");
    let expected =
        json!([["Emma", 9.5, 1, 400, r#"["a",{"b":1}]"#, null], ["Emma", 9.0, null, null, null, "x"],]);
    assert_eq!(rows, expected);
    assert_eq!(bench.rows("d.db", "SELECT * FROM shop_author"), json!([["Jane"], ["Jane"]]));
}

#[tokio::test]
async fn a_known_key_updates_its_row() {
    let bench = keyed();
    run(&bench, json!([["t", {"k": "a", "p": 1, "note": "old"}], ["t", {"k": "b", "p": 2, "note": "n"}]]))
        .await;
    // Null clears, absent leaves, a later row of the same run wins where it has a value.
    run(
        &bench,
        json!([["t", {"k": "a", "p": 5}], ["t", {"k": "b", "note": null}], ["t", {"k": "b", "p": 3}]]),
    )
    .await;
    let rows = bench.rows("d.db", "SELECT k, p, note FROM t ORDER BY k");
    assert_eq!(rows, json!([["a", 5, "old"], ["b", 3, null]]));
}

#[tokio::test]
async fn a_run_that_fails_writes_nothing() {
    let bench = keyed().fails(true);
    assert!(bench.run(json!([["t", {"k": 1}]])).await.error().contains("it failed at the end"));
    assert_eq!(bench.files(), Vec::<String>::new());
    let bench = bench.fails(false);
    run(&bench, json!([["t", {"k": 1, "p": 1}]])).await;
    let bench = bench.fails(true);
    bench.run(json!([["t", {"k": 1, "p": 2, "more": 1}], ["u", {"x": 1}]])).await.error();
    assert_eq!(bench.rows("d.db", "SELECT * FROM t"), json!([[1, 1]]));
    assert_eq!(bench.rows("d.db", "SELECT name FROM sqlite_schema"), json!([["t"]]));
}

#[tokio::test]
async fn what_cannot_be_written_in_the_end_undoes_all() {
    let bench = bench(json!({"b": {}})).stage("diff.DiffParser", json!({"key": ["k"], "db_path": "@d.db"}));
    bench.execute("d.db", "CREATE TABLE b (k INTEGER CHECK (k < 10))");
    let error = bench.run(json!([["a", {"k": 1}], ["b", {"k": 2}], ["b", {"k": 11}]])).await.error();
    for part in ["d.db", "stage 2 (sql.DatabaseSink)", "table b", "row k \"11\"", "CHECK"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(bench.rows("d.db", "SELECT name FROM sqlite_schema"), json!([["b"]]));
    assert_eq!(bench.rows("d.db", "SELECT * FROM b"), json!([]));
}

#[tokio::test]
async fn a_dry_run_only_reads_and_says_what_it_would_write() {
    let bench = bench(json!({"t": {"key": ["k"], "history": true}})).dry_run(true);
    let items = json!([
        ["t", {"k": 1, "p": 2}],
        ["u", {"x": "y"}],
        ["t.diff", {"change": "removed", "k": 3, "old": {"k": 3}, "new": null}],
    ]);
    let ran = bench.run(items).await.succeeded();
    let expected = [
        r#"would upsert into t: {"k":1,"p":2}"#,
        r#"would append to u: {"x":"y"}"#,
        r#"would append to t_history: {"k":3,"change":"removed","old":{"k":3},"new":null,"changed_fields":null,"event_timestamp":null}"#,
        r#"would delete from t: {"k":3}"#,
    ];
    assert_eq!(ran.printed, expected);
    assert_eq!(bench.files(), Vec::<String>::new());
}

#[tokio::test]
async fn an_item_without_its_key_is_an_error_of_the_item() {
    let tables = json!({"t": {"key": ["a", "b"]}});
    let bench = Bench::new().stage_with(
        "sql.DatabaseSink",
        json!({"db_path": "@d.db", "tables": tables}),
        OnError::Skip,
    );
    let items = json!([
        ["t", {"a": 1, "b": 2, "p": 1}],
        ["t", {"a": 1, "b": null}],
        ["t", {"a": 1}],
        ["t", {}],
    ]);
    let ran = bench.run(items.clone()).await.succeeded();
    assert_eq!((ran.report.stages[1].errors, ran.items.len()), (3, 1));
    assert_eq!(bench.rows("d.db", "SELECT * FROM t"), json!([[1, 2, 1]]));
    let error = self::bench(json!({"t": {"key": ["a", "b"]}})).run(items).await.error();
    assert!(error.contains("t: the key field `b` is null"), "{error}");
}

#[tokio::test]
async fn times_are_kept_where_they_are_wanted() {
    let bench = bench(json!({"t": {"key": ["k"], "first_seen": true, "last_seen": "updated"}}));
    run(&bench, json!([["t", {"k": 1, "p": 1}]])).await;
    bench.clock.step(TimeDelta::days(1));
    run(&bench, json!([["t", {"k": 1, "p": 2}], ["t", {"k": 2, "p": 2}]])).await;
    let rows =
        bench.rows("d.db", "SELECT k, substr(first_seen, 1, 10), substr(updated, 1, 10) FROM t ORDER BY k");
    assert_eq!(rows, json!([[1, "2026-01-02", "2026-01-03"], [2, "2026-01-03", "2026-01-03"]]));
    let text = bench.rows("d.db", "SELECT first_seen FROM t WHERE k = 1")[0][0].as_str().unwrap().to_owned();
    assert!(text.starts_with("2026-01-02T03:04:05.") && text.ends_with('Z'), "{text}");
    let error = bench.run(json!([["t", {"k": 1, "Updated": 1}]])).await.error();
    assert!(error.contains("`Updated` has the name of a column that keeps times"), "{error}");
}

#[tokio::test]
async fn a_diff_deletes_its_removals_and_writes_its_history() {
    let bench = Bench::new().stage("diff.DiffParser", json!({"key": ["k"], "max_removed": "100%"})).stage(
        "sql.DatabaseSink",
        json!({"db_path": "@d.db", "tables": {"t": {"key": ["k"], "history": true}}}),
    );
    run(&bench, json!([["t", {"k": "a", "p": 1}], ["t", {"k": "b", "p": 2}], ["u", {"k": "z"}]])).await;
    run(&bench, json!([["t", {"k": "a", "p": 3}]])).await;
    assert_eq!(bench.rows("d.db", "SELECT * FROM t"), json!([["a", 3]]));
    let history = bench.rows("d.db", "SELECT k, change, old, new, changed_fields FROM t_history");
    let expected = json!([
        ["a", "new", null, r#"{"k":"a","p":1}"#, "[]"],
        ["b", "new", null, r#"{"k":"b","p":2}"#, "[]"],
        ["a", "changed", r#"{"k":"a","p":1}"#, r#"{"k":"a","p":3}"#, r#"["p"]"#],
        ["b", "removed", r#"{"k":"b","p":2}"#, null, "[]"],
    ]);
    assert_eq!(history, expected);
    let tables = bench.rows("d.db", "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1");
    assert_eq!(tables, json!([["t"], ["t_history"], ["u"]]), "diffs of u are only passed on");
}

#[tokio::test]
async fn a_removal_takes_what_came_before_it_only() {
    let bench = keyed();
    let removed = json!(["t.diff", {"change": "removed", "k": 1}]);
    run(&bench, json!([["t", {"k": 1, "p": 1, "q": 1}], removed, ["t", {"k": 1, "p": 2}]])).await;
    assert_eq!(bench.rows("d.db", "SELECT * FROM t"), json!([[1, 2, null]]));
    run(&bench, json!([["t", {"k": 1, "p": 3}], ["t.diff", {"change": "removed", "old": {"k": 1}}]])).await;
    assert_eq!(bench.rows("d.db", "SELECT * FROM t"), json!([]));
}

#[tokio::test]
async fn the_columns_of_a_history_are_of_text_whatever_comes_first() {
    let expected = json!([
        ["k", "INTEGER"],
        ["change", "TEXT"],
        ["old", "TEXT"],
        ["new", "TEXT"],
        ["changed_fields", "TEXT"],
        ["event_timestamp", "TEXT"],
    ]);
    let diffs = [
        json!({"change": "new", "k": 1, "old": null, "new": {"k": 1}, "changed_fields": null, "event_timestamp": "2024-01-01T00:00:00Z"}),
        json!({"change": "removed", "k": 1, "old": {"k": 1}, "new": null, "changed_fields": null}),
    ];
    for first in diffs {
        let bench = bench(json!({"t": {"key": ["k"], "history": true}}));
        run(&bench, json!([["t.diff", first]])).await;
        assert_eq!(types(&bench, "t_history"), expected, "{first}");
    }
}

#[tokio::test]
async fn a_history_of_ones_own_goes_on() {
    let tables = json!({
        "t": {"key": ["k"], "history": true},
        "t.diff": {
            "table": "log",
            "columns": {"ident": ".k", "old_p": ".old.p", "kind": ".change | ascii_upcase", "by": "$run.pipeline", "none": "empty"},
        },
    });
    let bench = bench(tables);
    bench.execute(
        "d.db",
        "CREATE TABLE log (id INTEGER PRIMARY KEY, ident TEXT, old_p REAL, kind TEXT, none TEXT DEFAULT 'd')",
    );
    let removed = json!({"change": "removed", "k": 7, "old": {"k": 7, "p": 1.5}, "new": null});
    run(&bench, json!([["t", {"k": 7, "p": 1.5}], ["t.diff", removed]])).await;
    assert_eq!(bench.rows("d.db", "SELECT * FROM log"), json!([[1, "7", 1.5, "REMOVED", "d", "p"]]));
    assert_eq!(bench.rows("d.db", "SELECT * FROM t"), json!([]), "the removal deletes all the same");
    assert_eq!(
        bench.rows("d.db", "SELECT count(*) FROM sqlite_schema WHERE name = 't_history'"),
        json!([[0]])
    );
}

#[tokio::test]
async fn columns_are_added_as_items_need_them() {
    let bench = keyed();
    run(&bench, json!([["t", {"k": 1}]])).await;
    run(&bench, json!([["t", {"k": 1, "a": 1.5}], ["t", {"k": 2, "b": true}]])).await;
    assert_eq!(bench.rows("d.db", "SELECT k, a, b FROM t ORDER BY k"), json!([[1, 1.5, null], [2, null, 1]]));
}

#[tokio::test]
async fn a_column_of_nulls_takes_what_comes_later() {
    let bench = bench(json!({"t": {}}));
    run(&bench, json!([["t", {"k": 1, "p": null}]])).await;
    run(&bench, json!([["t", {"k": 2, "p": 5}], ["t", {"k": 3, "p": "x"}]])).await;
    assert_eq!(bench.rows("d.db", "SELECT p FROM t"), json!([[null], [5], ["x"]]));
}

#[tokio::test]
async fn no_value_is_changed_by_the_type_of_its_column() {
    // For each: the first run's value, the second's, and what is stored then.
    let big = 9_007_199_254_740_993_i64;
    let huge = 18_446_744_073_709_551_615_u64;
    let cases = [
        (json!(1), json!(2.5), json!([1, 2.5])),
        (json!(1), json!("n/a"), json!([1, "n/a"])),
        (json!(1), json!("007"), json!(["1", "007"])),
        (json!(0.1), json!("1e3"), json!(["0.1", "1e3"])),
        (json!(true), json!("1"), json!(["true", "1"])),
        (json!(true), json!(5), json!([1, 5])),
        (json!(1), json!(huge), json!(["1", "18446744073709551615"])),
        (json!(1.5), json!(big), json!(["1.5", "9007199254740993"])),
        (json!("x"), json!(5), json!(["x", "5"])),
        (json!("x"), json!(0.1), json!(["x", "0.1"])),
        (json!("x"), json!(true), json!(["x", "true"])),
        (json!(1), json!([1, 2]), json!([1, "[1,2]"])),
    ];
    for (first, second, stored) in cases {
        let bench = bench(json!({"t": {}}));
        run(&bench, json!([["t", {"p": first, "q": 1}]])).await;
        run(&bench, json!([["t", {"p": second, "q": 2}]])).await;
        let rows = bench.rows("d.db", "SELECT p FROM t ORDER BY q");
        assert_eq!(json!([rows[0][0], rows[1][0]]), stored, "{first} then {second}");
        // Within one run the column has from the start the type that fits both.
        let bench = self::bench(json!({"t": {}}));
        run(&bench, json!([["t", {"p": first, "q": 1}], ["t", {"p": second, "q": 2}]])).await;
        let rows = bench.rows("d.db", "SELECT p FROM t ORDER BY q");
        let exact = |stored: &Json, given: &Json| {
            let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
            let bool = given.as_bool().map(i64::from);
            stored == given
                || stored.as_str() == Some(&text)
                || bool.is_some_and(|bit| *stored == json!(bit))
                || (stored.as_f64().is_some() && stored.as_f64() == given.as_f64())
        };
        assert!(exact(&rows[0][0], &first) && exact(&rows[1][0], &second), "{first} and {second}: {rows}");
    }
}

#[tokio::test]
async fn a_key_column_cannot_become_text() {
    let bench = keyed();
    run(&bench, json!([["t", {"k": 7, "p": 1}]])).await;
    let error = bench.run(json!([["t", {"k": "007", "p": 1}]])).await.error();
    assert!(error.contains("making the column `k` one of text"), "{error}");
    assert_eq!(bench.rows("d.db", "SELECT * FROM t"), json!([[7, 1]]));
}

#[tokio::test]
async fn names_are_quoted_and_checked() {
    let bench = bench(json!({"t": {"table": "select \"x\"; DROP TABLE t", "key": ["group by"]}}));
    let name = r#"a"b]; --"#;
    run(&bench, json!([["t", {"group by": 1, name: "v", "order": 2, "naïve": 3}]])).await;
    run(&bench, json!([["t", {"group by": 1, name: "w"}]])).await;
    let rows = bench.rows("d.db", r#"SELECT * FROM "select ""x""; DROP TABLE t""#);
    assert_eq!(rows, json!([[1, "w", 2, 3]]));
    let refused = [
        (json!([["t2", {"": 1}]]), "it is empty"),
        (json!([["t2", {"a\u{0}b": 1}]]), "it holds a NUL"),
        (json!([["sqlite.x", {"a": 1}]]), "would be SQLite's own"),
        (json!([["scraper.state", {"a": 1}]]), "is where stages keep their state"),
        (json!([["t2", {"Name": 1, "name": 2}]]), "are the same column in SQLite"),
    ];
    for (items, why) in refused {
        let error = self::bench(json!({})).run(items).await.error();
        assert!(error.contains(why), "{why} in {error}");
    }
}

#[tokio::test]
async fn columns_that_differ_in_case_are_one() {
    let bench = bench(json!({"t": {"key": ["id"]}}));
    run(&bench, json!([["t", {"id": 1, "Name": "a"}], ["t", {"id": 2, "name": "b"}]])).await;
    run(&bench, json!([["t", {"id": 1, "NAME": "c"}]])).await;
    assert_eq!(bench.rows("d.db", "SELECT * FROM t ORDER BY id"), json!([[1, "c"], [2, "b"]]));
}

#[tokio::test]
async fn very_wide_records() {
    let wide =
        |count: usize| (0..count).map(|n| (format!("f{n}"), json!(n))).collect::<serde_json::Map<_, _>>();
    let bench = bench(json!({"t": {"key": ["f0"]}}));
    run(&bench, json!([["t", wide(1900)], ["t", {"f0": 0, "f1899": "last"}]])).await;
    assert_eq!(bench.rows("d.db", "SELECT f1, f1899 FROM t"), json!([[1, "last"]]));
    let error = bench.run(json!([["t", wide(2001)]])).await.error();
    assert!(error.contains("more than 2000 columns"), "{error}");
}

#[tokio::test]
async fn an_existing_table_goes_on() {
    let bench = bench(json!({"t": {"table": "prices", "key": ["k"], "last_seen": true}}));
    bench.execute(
        "d.db",
        "CREATE TABLE prices (id INTEGER PRIMARY KEY AUTOINCREMENT, k VARCHAR(10), p DECIMAL, day DATE);
         INSERT INTO prices (k, p, day) VALUES ('a', 1, '2025-01-01'), ('b', 2, '2025-01-01');",
    );
    run(
        &bench,
        json!([["t", {"k": "a", "p": 1.5, "day": "2026-01-01"}], ["t", {"k": "c", "p": 3, "day": "2026"}]]),
    )
    .await;
    let rows = bench.rows("d.db", "SELECT k, p, day FROM prices ORDER BY id");
    assert_eq!(rows, json!([["a", 1.5, "2026-01-01"], ["b", 2, "2025-01-01"], ["c", 3, 2026]]));
    bench.execute("d.db", "CREATE TABLE twice (k, p); INSERT INTO twice VALUES (1, 1), (1, 2)");
    let twice = json!({"db_path": bench.path("d.db"), "tables": {"t": {"table": "twice", "key": ["k"]}}});
    let error = Bench::new().stage("sql.DatabaseSink", twice).run(json!([["t", {"k": 1}]])).await.error();
    assert!(error.contains("do several of its rows have the same key?"), "{error}");
}

#[tokio::test]
async fn only_the_wanted_topics() {
    let bench = Bench::new().stage("sql.DatabaseSink", json!({"db_path": "@d.db", "topics": ["t"]}));
    let ran = bench.run(json!([["t", {"a": 1}], ["u", {"a": 1}]])).await.succeeded();
    assert_eq!(ran.items.len(), 2);
    assert_eq!(bench.rows("d.db", "SELECT name FROM sqlite_schema"), json!([["t"]]));
}

#[tokio::test]
async fn several_sinks_and_sparse_records_of_one_file() {
    let bench = Bench::new()
        .stage(
            "sql.DatabaseSink",
            json!({"db_path": "@d.db", "tables": {"t": {"table": "one", "key": ["k"]}}}),
        )
        .stage("sql.DatabaseSink", json!({"db_path": "sqlite:///@", "db_url": null, "topics": []}))
        .stage("sql.DatabaseSink", json!({"db_path": "@d.db", "tables": {"t": {"table": "two"}}}));
    // Each record has other fields: more layouts than are remembered and statements than are kept.
    let items: Json = (0..2000).map(|n| json!(["t", {"k": n, format!("f{}", n % 400): n}])).collect();
    run(&bench, items).await;
    for table in ["one", "two"] {
        let sum = bench.rows("d.db", &format!("SELECT count(*), sum(f0), sum(f399), sum(k) FROM {table}"));
        assert_eq!(sum, json!([[2000, 4000, 5995, 1_999_000]]));
    }
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    let entry = crate::registry();
    let entry = entry.get("sql.DatabaseSink").unwrap();
    let cases = [
        (json!({}), "needs a `db_path`"),
        (json!({"db_path": "a", "db_url": "sqlite:///b"}), "stands beside `db_path`"),
        (json!({"db_url": "mysql://h/d"}), "db_url: `mysql` is not a known kind"),
        (json!({"db_path": "a", "tables": {"t": {"table": "sqlite_x"}}}), "tables.t.table: "),
        (json!({"db_path": "a", "tables": {"t": {"history": true}}}), "tables.t.history: needs a `key`"),
        (json!({"db_path": "a", "tables": {"t": {"key": ["a", "a"]}}}), "tables.t.key[1]: "),
        (json!({"db_path": "a", "tables": {"t": {"columns": {"c": ".["}}}}), "tables.t.columns.c: "),
        (
            json!({"db_path": "a", "tables": {"t": {"key": ["k"], "columns": {"c": "."}}}}),
            "tables.t.key: `k` is not among",
        ),
        (
            json!({"db_path": "a", "tables": {"a": {"table": "t", "key": ["x"]}, "b": {"table": "t"}}}),
            "tables.b: another topic writes the table `t`",
        ),
        (
            json!({"db_path": "a", "tables": {"t": {"first_seen": "x", "last_seen": "x"}}}),
            "tables.t.last_seen: ",
        ),
        (json!({"db_path": "a", "tables": {"t": {"unknown": 1}}}), "tables.t.unknown: unknown key"),
    ];
    for (kwargs, expected) in cases {
        let errors = entry.build(kwargs.clone(), &Default::default()).err().map(|e| e.to_string());
        assert!(errors.as_ref().is_some_and(|errors| errors.contains(expected)), "{kwargs}: {errors:?}");
    }
    entry.build(json!({"db_path": "a", "tables": {"t": null}}), &Default::default()).unwrap();
}

#[tokio::test]
async fn many_rows_in_another_order_than_that_of_their_keys() {
    let bench = keyed();
    let text = "x".repeat(200);
    let row = |n: i64, round: i64| json!(["t", {"k": n * 7919 % 40_000, "p": round, "text": text}]);
    // More than is sorted in memory at a time; a later row of the same key wins.
    let items: Json = (0..40_000).map(|n| row(n, 1)).chain((0..1000).map(|n| row(n, 2))).collect();
    run(&bench, items).await;
    let sums = bench.rows("d.db", "SELECT count(*), sum(k), sum(p), min(length(text)) FROM t");
    assert_eq!(sums, json!([[40_000, 799_980_000, 41_000, 200]]));
}
