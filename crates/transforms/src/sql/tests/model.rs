//! Random runs against a model of what a keyed table is to hold.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use test_support::postgres::PostgresDatabase;

use crate::keep::testing::Bench;

type Rows = BTreeMap<i64, BTreeMap<&'static str, Option<i64>>>;

/// An item of a run: a row with some fields, or a removal.
#[derive(Debug, Clone)]
enum Step {
    Row(i64, Vec<(&'static str, Option<i64>)>),
    Remove(i64),
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let field = |name: &'static str| prop_oneof![2 => Just(None), 1 => Just(Some((name, None))), 3 => (0..100i64).prop_map(move |n| Some((name, Some(n))))];
    let row = (0..4i64, field("a"), field("b"), field("c"))
        .prop_map(|(key, a, b, c)| Step::Row(key, [a, b, c].into_iter().flatten().collect()));
    let step = prop_oneof![5 => row, 1 => (0..4i64).prop_map(Step::Remove)];
    prop::collection::vec(prop::collection::vec(step, 0..8), 1..4)
}

fn items(run: &[Step]) -> Json {
    let item = |step: &Step| match step {
        Step::Row(key, fields) => {
            let mut content = Map::from_iter([("k".to_owned(), json!(key))]);
            content.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
            json!(["t", content])
        }
        Step::Remove(key) => json!(["t.diff", {"change": "removed", "k": key}]),
    };
    run.iter().map(item).collect()
}

fn apply(rows: &mut Rows, run: &[Step]) {
    for step in run {
        match step {
            Step::Row(key, fields) => rows.entry(*key).or_default().extend(fields.iter().copied()),
            Step::Remove(key) => drop(rows.remove(key)),
        }
    }
}

/// What `SELECT k, a, b, c` must give.
fn expected(rows: &Rows) -> Json {
    let value = |fields: &BTreeMap<_, Option<i64>>, name| json!(fields.get(name).copied().flatten());
    rows.iter()
        .map(|(key, fields)| json!([key, value(fields, "a"), value(fields, "b"), value(fields, "c")]))
        .collect()
}

/// Makes all columns, so that each of the runs can be asked for them.
fn first() -> Json {
    json!([["t", {"k": 9, "a": 9, "b": 9, "c": 9}], ["t.diff", {"change": "removed", "k": 9}]])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_table_of_sqlite_holds_what_the_model_holds(runs in steps()) {
        runtime().block_on(async {
            let tables = json!({"t": {"key": ["k"]}});
            let bench = Bench::new().stage("sql.DatabaseSink", json!({"db_path": "@d.db", "tables": tables}));
            bench.run(first()).await.succeeded();
            let mut rows = Rows::new();
            for run in &runs {
                bench.run(items(run)).await.succeeded();
                apply(&mut rows, run);
                prop_assert_eq!(bench.rows("d.db", "SELECT k, a, b, c FROM t ORDER BY k"), expected(&rows));
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_table_of_postgres_holds_what_the_model_holds() {
    let runtime = runtime();
    let Some(server) = runtime.block_on(PostgresDatabase::create()) else { return };
    let config = ProptestConfig { cases: 25, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&steps(), |runs| {
            runtime.block_on(async {
                server.execute("DROP TABLE IF EXISTS t").await;
                let kwargs = json!({"db_url": server.url(), "tables": {"t": {"key": ["k"]}}});
                let bench = Bench::new().stage("sql.DatabaseSink", kwargs);
                bench.run(first()).await.succeeded();
                let mut rows = Rows::new();
                for run in &runs {
                    bench.run(items(run)).await.succeeded();
                    apply(&mut rows, run);
                    let kwargs = json!({
                        "db_url": server.url(), "topic": "q",
                        "query": "SELECT k, a, b, c FROM t ORDER BY k",
                    });
                    let query = Bench::new().stage("sql.QueryFetcher", kwargs);
                    let found = query.run_items(vec![pipeline_core::Item::Trigger]).await.succeeded();
                    let values = |item: &pipeline_core::ParsedItem| {
                        item.content.values().iter().map(Json::from).collect::<Json>()
                    };
                    prop_assert_eq!(found.items.iter().map(values).collect::<Json>(), expected(&rows));
                }
                Ok(())
            })
        })
        .unwrap();
}
