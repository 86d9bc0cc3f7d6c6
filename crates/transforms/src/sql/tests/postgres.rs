//! The database sink on PostgreSQL; each test has a database of its own, where there is a server.

use chrono::TimeDelta;
use pipeline_core::OnError;
use serde_json::{Value as Json, json};
use test_support::postgres::PostgresDatabase;
use tokio_postgres::SimpleQueryMessage;

use crate::keep::testing::Bench;
use crate::sql::postgres::PgPlace;

struct Server(PostgresDatabase);

impl Server {
    async fn create() -> Option<Self> {
        PostgresDatabase::create().await.map(Self)
    }

    fn bench(&self, tables: Json) -> Bench {
        Bench::new().stage("sql.DatabaseSink", self.kwargs(tables))
    }

    fn kwargs(&self, tables: Json) -> Json {
        json!({"db_url": self.0.url(), "tables": tables})
    }

    /// The rows of a query, as PostgreSQL writes their values.
    async fn rows(&self, query: &str) -> Json {
        let connection = PgPlace::parse(&self.0.url()).unwrap().connect().await.unwrap();
        let messages = connection.client().simple_query(query).await.unwrap();
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| Json::from(row.get(at))).collect::<Json>())
            }
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    async fn types(&self, table: &str) -> Json {
        self.rows(&format!(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ))
        .await
    }
}

macro_rules! server {
    () => {
        match Server::create().await {
            Some(server) => server,
            None => return,
        }
    };
}

async fn run(bench: &Bench, items: Json) {
    bench.run(items).await.succeeded();
}

#[tokio::test]
async fn items_are_appended_to_the_table_of_their_topic_and_pass_on() {
    let server = server!();
    let bench = server.bench(json!({}));
    let items = json!([
        ["shop.book", {"title": "Em\tma\\ \n\r", "price": 9.5, "stock": true, "pages": 400, "tags": ["a\n", {"b": 1}]}],
        ["shop.book", {"title": "\\N", "price": 9, "stock": null, "extra": "x"}],
        ["shop.author", {"name": "Jane"}],
    ]);
    for count in ["2", "4"] {
        assert_eq!(bench.run(items.clone()).await.succeeded().contents(), items);
        assert_eq!(server.rows("SELECT count(*) FROM shop_book").await, json!([[count]]));
    }
    let expected = json!([
        ["title", "text"],
        ["price", "double precision"],
        ["stock", "boolean"],
        ["pages", "bigint"],
        ["tags", "text"],
        ["extra", "text"],
    ]);
    assert_eq!(server.types("shop_book").await, expected);
    let expected = json!([
        ["Em\tma\\ \n\r", "9.5", "t", "400", r#"["a\n",{"b":1}]"#, null],
        ["\\N", "9", null, null, null, "x"],
    ]);
    assert_eq!(server.rows("SELECT * FROM shop_book LIMIT 2").await, expected);
    assert_eq!(server.rows("SELECT * FROM shop_author").await, json!([["Jane"], ["Jane"]]));
}

#[tokio::test]
async fn a_known_key_updates_its_row() {
    let server = server!();
    let bench = server.bench(json!({"t": {"key": ["k"]}}));
    run(&bench, json!([["t", {"k": "a", "p": 1, "note": "old"}], ["t", {"k": "b", "p": 2, "note": "n"}]]))
        .await;
    // Null clears, absent leaves, a later row of the same run wins where it has a value.
    run(
        &bench,
        json!([["t", {"k": "a", "p": 5}], ["t", {"k": "b", "note": null}], ["t", {"k": "b", "p": 3}]]),
    )
    .await;
    assert_eq!(
        server.rows("SELECT k, p, note FROM t ORDER BY k").await,
        json!([["a", "5", "old"], ["b", "3", null]])
    );
    // All of one layout, and one key twice.
    run(&bench, json!([["t", {"k": "c", "p": 1}], ["t", {"k": "a", "p": 6}], ["t", {"k": "c", "p": 2}]]))
        .await;
    assert_eq!(
        server.rows("SELECT k, p FROM t ORDER BY k").await,
        json!([["a", "6"], ["b", "3"], ["c", "2"]])
    );
    // Nothing but the key.
    run(&bench, json!([["t", {"k": "a"}], ["t", {"k": "d"}]])).await;
    assert_eq!(server.rows("SELECT count(*), max(p) FROM t").await, json!([["4", "6"]]));
}

#[tokio::test]
async fn a_run_that_fails_writes_nothing() {
    let server = server!();
    let bench = server.bench(json!({"t": {"key": ["k"]}})).fails(true);
    bench.run(json!([["t", {"k": 1}]])).await.error();
    assert_eq!(server.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").await, json!([]));
    server.0.execute("CREATE TABLE b (k bigint CHECK (k < 10))").await;
    let error = server.bench(json!({})).run(json!([["a", {"k": 1}], ["b", {"k": 11}]])).await.error();
    for part in
        ["database postgresql://", "stage 2 (sql.DatabaseSink)", "table b", "check constraint", "(11)"]
    {
        assert!(error.contains(part), "{part} in {error}");
    }
    let tables = server.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, json!([["b"]]));
}

#[tokio::test]
async fn a_server_that_refuses_us_is_told_before_the_work() {
    let server = server!();
    let url = server.0.url().replace("scraper_test", "no_such_database");
    let ran =
        Bench::new().stage("sql.DatabaseSink", json!({"db_url": url})).run(json!([["t", {"k": 1}]])).await;
    let error = ran.error();
    assert!(error.contains("does not exist") && error.contains("create the database first"), "{error}");
    assert!(error.contains("stage 2"), "{error}");
    // A dry run needs no server.
    let bench = Bench::new().stage("sql.DatabaseSink", json!({"db_url": url})).dry_run(true);
    let ran = bench.run(json!([["t", {"k": 1}]])).await.succeeded();
    assert_eq!(ran.printed, [r#"would append to t: {"k":1}"#]);
}

#[tokio::test]
async fn a_diff_deletes_its_removals_and_writes_its_history() {
    let server = server!();
    let bench = Bench::new()
        .stage("diff.DiffParser", json!({"key": ["k"], "max_removed": "100%"}))
        .stage("sql.DatabaseSink", server.kwargs(json!({"t": {"key": ["k"], "history": true}})));
    run(&bench, json!([["t", {"k": "a", "p": 1}], ["t", {"k": "b", "p": 2}], ["u", {"k": "z"}]])).await;
    run(&bench, json!([["t", {"k": "a", "p": 3}]])).await;
    assert_eq!(server.rows("SELECT * FROM t").await, json!([["a", "3"]]));
    let history = server.rows("SELECT k, change, old, new, changed_fields FROM t_history").await;
    let expected = json!([
        ["a", "new", null, r#"{"k":"a","p":1}"#, "[]"],
        ["b", "new", null, r#"{"k":"b","p":2}"#, "[]"],
        ["a", "changed", r#"{"k":"a","p":1}"#, r#"{"k":"a","p":3}"#, r#"["p"]"#],
        ["b", "removed", r#"{"k":"b","p":2}"#, null, "[]"],
    ]);
    assert_eq!(history, expected);
}

#[tokio::test]
async fn a_removal_takes_what_came_before_it_only() {
    let server = server!();
    let bench = server.bench(json!({"t": {"key": ["k", "l"]}}));
    let removed = json!(["t.diff", {"change": "removed", "k": 1, "l": "x"}]);
    run(&bench, json!([["t", {"k": 1, "l": "x", "p": 1, "q": 1}], removed, ["t", {"k": 1, "l": "x", "p": 2}], ["t", {"k": 1, "l": "y", "p": 3}]])).await;
    assert_eq!(
        server.rows("SELECT * FROM t ORDER BY l").await,
        json!([["1", "x", "2", null], ["1", "y", "3", null]])
    );
    run(&bench, json!([["t", {"k": 1, "l": "x", "p": 3}], ["t.diff", {"change": "removed", "old": {"k": 1, "l": "x"}}]])).await;
    assert_eq!(server.rows("SELECT l FROM t").await, json!([["y"]]));
    run(&bench, json!([["t.diff", {"change": "removed", "k": 1, "l": "y"}]])).await;
    assert_eq!(server.rows("SELECT * FROM t").await, json!([]));
}

#[tokio::test]
async fn times_are_kept_where_they_are_wanted() {
    let server = server!();
    let bench = server.bench(json!({"t": {"key": ["k"], "first_seen": true, "last_seen": "updated"}}));
    run(&bench, json!([["t", {"k": 1, "p": 1}]])).await;
    bench.clock.step(TimeDelta::days(1));
    run(&bench, json!([["t", {"k": 1, "p": 2}], ["t", {"k": 2, "p": 2}]])).await;
    let rows = server.rows("SELECT k, first_seen AT TIME ZONE 'UTC' < '2026-01-03', updated AT TIME ZONE 'UTC' < '2026-01-03' FROM t ORDER BY k").await;
    assert_eq!(rows, json!([["1", "t", "f"], ["2", "f", "f"]]));
    let types = server.types("t").await;
    assert_eq!(
        (&types[2], &types[3]),
        (&json!(["first_seen", "timestamp with time zone"]), &json!(["updated", "timestamp with time zone"]))
    );
}

#[tokio::test]
async fn columns_are_widened_so_that_no_value_is_changed() {
    let server = server!();
    let big = 9_007_199_254_740_993_i64;
    let huge = 18_446_744_073_709_551_615_u64;
    // The first run's value, the second's, the type then, and what is stored.
    let cases = [
        (json!(1), json!(2.5), "double precision", ["1", "2.5"]),
        (json!(big), json!(2.5), "numeric", ["9007199254740993", "2.5"]),
        (json!(2.5), json!(big), "numeric", ["2.5", "9007199254740993"]),
        (json!(1), json!(huge), "numeric", ["1", "18446744073709551615"]),
        (json!(1), json!("007"), "text", ["1", "007"]),
        (json!(true), json!(5), "bigint", ["1", "5"]),
        (json!(true), json!(0.5), "double precision", ["1", "0.5"]),
        (json!(false), json!("x"), "text", ["false", "x"]),
        (json!("x"), json!(0.1), "text", ["x", "0.1"]),
        (json!("x"), json!(true), "text", ["x", "true"]),
        (json!(1.5), json!([1, 2]), "text", ["1.5", "[1,2]"]),
        (json!(1e300), json!(1), "double precision", ["1e+300", "1"]),
    ];
    for ((first, second, kind, stored), at) in cases.into_iter().zip(0..) {
        let (apart, together) = (format!("apart{at}"), format!("together{at}"));
        let bench = server.bench(json!({}));
        run(&bench, json!([[apart, {"p": first, "q": 1}]])).await;
        run(&bench, json!([[apart, {"p": second, "q": 2}]])).await;
        run(&bench, json!([[together, {"p": first, "q": 1}], [together, {"p": second, "q": 2}]])).await;
        for table in [apart, together] {
            assert_eq!(server.types(&table).await[0], json!(["p", kind]), "{table}: {first} then {second}");
            let rows = server.rows(&format!("SELECT p FROM {table} ORDER BY q")).await;
            assert_eq!(rows, json!([[stored[0]], [stored[1]]]), "{table}: {first} then {second}");
        }
    }
}

#[tokio::test]
async fn a_key_column_may_become_text() {
    let server = server!();
    let bench = server.bench(json!({"t": {"key": ["k"]}}));
    run(&bench, json!([["t", {"k": 7, "p": 1}]])).await;
    run(&bench, json!([["t", {"k": "007", "p": 2}], ["t", {"k": 7, "p": 3}]])).await;
    assert_eq!(server.rows("SELECT k, p FROM t ORDER BY k").await, json!([["007", "2"], ["7", "3"]]));
}

#[tokio::test]
async fn an_existing_table_goes_on() {
    let server = server!();
    server
        .0
        .execute(
            "CREATE SCHEMA old; CREATE TABLE old.prices (id serial PRIMARY KEY, k varchar(5), p numeric(10,2), day date,
                more jsonb, at timestamptz DEFAULT now(), UNIQUE (day, k));
             INSERT INTO old.prices (k, p, day) VALUES ('a', 1, '2025-01-01'), ('b', 2, '2025-01-01')",
        )
        .await;
    let bench = server.bench(json!({"t": {"table": "old.prices", "key": ["k", "day"]}}));
    let items = json!([
        ["t", {"k": "a", "p": 1.5, "day": "2025-01-01", "more": {"x": [1]}}],
        ["t", {"k": "c", "p": 3, "day": "2026-01-01"}],
    ]);
    run(&bench, items).await;
    let rows = server.rows("SELECT k, p, day, more, at IS NOT NULL FROM old.prices ORDER BY id").await;
    let expected = json!([
        ["a", "1.50", "2025-01-01", r#"{"x": [1]}"#, "t"],
        ["b", "2.00", "2025-01-01", null, "t"],
        ["c", "3.00", "2026-01-01", null, "t"],
    ]);
    assert_eq!(rows, expected);
    // Rows of several layouts get the defaults of what they lack.
    let append = server.bench(json!({"t": {"table": "old.prices"}}));
    run(
        &append,
        json!([["t", {"k": "x", "at": null}], ["t", {"k": "y"}], ["t", {"k": "z", "at": "2026-01-01"}]]),
    )
    .await;
    let rows = server
        .rows("SELECT k, at IS NULL, at < '2026-02-01' FROM old.prices WHERE k > 'w' ORDER BY id")
        .await;
    assert_eq!(rows, json!([["x", "t", null], ["y", "f", "f"], ["z", "f", "t"]]));
    let error = bench.run(json!([["t", {"k": "longer than five", "day": "2026-01-01"}]])).await.error();
    assert!(error.contains("value too long"), "{error}");
    let error = bench.run(json!([["t", {"k": "a", "day": "tomorrow-ish"}]])).await.error();
    assert!(error.contains("tomorrow-ish"), "{error}");
    server.0.execute("CREATE TABLE twice (k bigint); INSERT INTO twice VALUES (1), (1)").await;
    let bench = server.bench(json!({"t": {"table": "twice", "key": ["k"]}}));
    let error = bench.run(json!([["t", {"k": 1}]])).await.error();
    assert!(error.contains("do several of its rows have the same key?"), "{error}");
}

#[tokio::test]
async fn names_are_quoted_and_checked() {
    let server = server!();
    let bench = server.bench(json!({"t": {"table": "se\"lect", "key": ["group by"]}}));
    run(
        &bench,
        json!([["t", {"group by": 1, "Name": 1, "name": 2, "a\"b": 3}], ["t", {"group by": 1, "name": 4}]]),
    )
    .await;
    let rows = server.rows(r#"SELECT "Name", name, "a""b" FROM "se""lect""#).await;
    assert_eq!(rows, json!([["1", "4", "3"]]), "case tells columns apart");
    let refused = [
        (json!([["t2", {"ctid": 1}]]), "PostgreSQL itself has"),
        (json!([["t2", {"x".repeat(64): 1}]]), "cuts names at 63 bytes"),
        (json!([["x".repeat(64), {"a": 1}]]), "cuts names at 63 bytes"),
        (json!([["t2", {"a": "x\u{0}y"}]]), "`a` holds a NUL"),
    ];
    for (items, why) in refused {
        let error = server.bench(json!({})).run(items).await.error();
        assert!(error.contains(why), "{why} in {error}");
    }
}

#[tokio::test]
async fn items_that_fail_leave_the_others() {
    let server = server!();
    let kwargs = server.kwargs(json!({"t": {"key": ["k"]}}));
    let bench = Bench::new().stage_with("sql.DatabaseSink", kwargs, OnError::Skip);
    let ran = bench
        .run(json!([["t", {"k": 1, "p": "a\u{0}"}], ["t", {"k": null}], ["t", {"k": 2}]]))
        .await
        .succeeded();
    assert_eq!(ran.report.stages[1].errors, 2);
    assert_eq!(server.rows("SELECT k FROM t").await, json!([["2"]]));
}

#[tokio::test]
async fn sparse_and_wide_and_many_rows() {
    let server = server!();
    let bench = server.bench(json!({"t": {"key": ["k"]}, "wide": {"key": ["f0"]}}));
    let items: Json = (0..3000).map(|n| json!(["t", {"k": n % 2500, format!("f{}", n % 400): n}])).collect();
    run(&bench, items).await;
    let sums = server.rows("SELECT count(*), sum(f0), sum(f99), sum(k) FROM t").await;
    assert_eq!(sums, json!([["2500", "11200", "11992", "3123750"]]));
    let wide =
        |count: usize| (0..count).map(|n| (format!("f{n}"), json!(n))).collect::<serde_json::Map<_, _>>();
    run(&bench, json!([["wide", wide(900)], ["wide", {"f0": 0, "f899": "last"}]])).await;
    assert_eq!(server.rows("SELECT f1, f899 FROM wide").await, json!([["1", "last"]]));
    let error = bench.run(json!([["wide", wide(1590)]])).await.error();
    assert!(error.contains("row is too big") && error.contains("nest fields in one"), "{error}");
    let error = bench.run(json!([["wide", wide(1591)]])).await.error();
    assert!(error.contains("more than 1590 columns"), "{error}");
}

#[tokio::test]
async fn runs_side_by_side_take_turns() {
    let server = server!();
    let runs = (0..5).map(|at| {
        let (first, second) = if at % 2 == 0 { ("a", "b") } else { ("b", "a") };
        let bench = server.bench(json!({"a": {"key": ["k"]}, "b": {"key": ["k"]}}));
        let item = move |topic, n: i64| json!([topic, {"k": n, format!("by{at}"): n}]);
        let items: Json =
            (0..300).map(|n| item(first, n)).chain((0..300).rev().map(|n| item(second, n))).collect();
        async move {
            bench.run(items).await.succeeded();
        }
    });
    futures_util::future::join_all(runs).await;
    for table in ["a", "b"] {
        let sums =
            server.rows(&format!("SELECT count(*), sum(by0 + by1 + by2 + by3 + by4) FROM {table}")).await;
        assert_eq!(sums, json!([["300", "224250"]]));
    }
}

#[tokio::test]
async fn a_cancelled_run_gives_its_locks_back() {
    let server = server!();
    let bench = server.bench(json!({"t": {"key": ["k"]}}));
    run(&bench, json!([["t", {"k": 1}]])).await;
    let other = PgPlace::parse(&server.0.url()).unwrap().connect().await.unwrap();
    other.execute("locking", "BEGIN; LOCK TABLE t").await.unwrap();
    let watch = pipeline_core::Stopwatch::start();
    let stop = async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while server.rows(waits).await != json!([["1"]]) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        bench.cancel.cancel();
    };
    let (ran, ()) = tokio::join!(bench.run(json!([["t", {"k": 2}]])), stop);
    assert_eq!(ran.report.outcome, pipeline_core::RunOutcome::Cancelled);
    assert!(watch.elapsed().as_secs() < 20, "{:?}", watch.elapsed());
    other.execute("unlocking", "COMMIT").await.unwrap();
    assert_eq!(server.rows("SELECT k FROM t").await, json!([["1"]]));
}
