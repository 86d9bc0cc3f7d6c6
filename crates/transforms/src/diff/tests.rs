//! Runs of the diff, one after the other.

use pipeline_core::OnError;
use serde_json::{Value as Json, json};

use crate::keep::testing::{Bench, Ran};

/// `[change, key, old, new, changed_fields]` of the diff items, and `topic:key` of the others, in order.
fn told(ran: &Ran) -> Json {
    let told = |item: &pipeline_core::ParsedItem| {
        let content: Json = serde_json::to_value(&item.content).unwrap();
        if !item.topic.ends_with(".diff") {
            return format!("{}:{}", item.topic, content["k"]).into();
        }
        let at = content["event_timestamp"].as_str().unwrap();
        assert_eq!(at.len(), "2026-01-02T03:04:05.000000Z".len());
        json!([content["change"], content["k"], content["old"], content["new"], content["changed_fields"]])
    };
    ran.items.iter().map(told).collect()
}

fn bench(kwargs: Json) -> Bench {
    Bench::new().stage("diff.DiffParser", kwargs)
}

fn rows(rows: &[(&str, i64)]) -> Json {
    rows.iter().map(|(k, p)| json!(["t", {"k": k, "p": p}])).collect()
}

async fn run(bench: &Bench, items: &[(&str, i64)]) -> Json {
    told(&bench.run(rows(items)).await.succeeded())
}

#[tokio::test]
async fn new_changed_and_removed_follow_their_items() {
    let bench = bench(json!({"key": ["k"], "max_removed": "100%"}));
    let first = run(&bench, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let new = |k: &str, p: i64| json!(["new", k, null, {"k": k, "p": p}, []]);
    assert_eq!(first, json!(["t:\"a\"", new("a", 1), "t:\"b\"", new("b", 2), "t:\"c\"", new("c", 3)]));
    bench.clock.step(chrono::TimeDelta::minutes(1));
    let second = run(&bench, &[("c", 3), ("a", 5), ("d", 4)]).await;
    let expected = json!([
        "t:\"c\"",
        "t:\"a\"",
        ["changed", "a", {"k": "a", "p": 1}, {"k": "a", "p": 5}, ["p"]],
        "t:\"d\"",
        new("d", 4),
        ["removed", "b", {"k": "b", "p": 2}, null, []],
    ]);
    assert_eq!(second, expected);
    // A removed key that comes back is new.
    let third = run(&bench, &[("a", 5), ("b", 2), ("c", 3), ("d", 4)]).await;
    assert_eq!(third, json!(["t:\"a\"", "t:\"b\"", new("b", 2), "t:\"c\"", "t:\"d\""]));
    assert_eq!(bench.files(), ["state"]);
}

#[tokio::test]
async fn a_run_that_fails_repeats_its_diffs_and_keeps_nothing() {
    let bench = bench(json!({"key": ["k"]})).fails(true);
    for _ in 0..2 {
        let ran = bench.run(rows(&[("a", 1)])).await;
        assert!(ran.error().contains("it failed at the end"));
        assert_eq!(told(&ran)[1][0], "new");
        assert_eq!(bench.files(), Vec::<String>::new(), "nothing is made before the run has succeeded");
    }
    let bench = bench.fails(false);
    assert_eq!(run(&bench, &[("a", 1)]).await[1][0], "new");
    let bench = bench.fails(true);
    assert_eq!(told(&bench.run(rows(&[("a", 2)])).await)[1][0], "changed");
    let bench = bench.fails(false);
    assert_eq!(run(&bench, &[("a", 2)]).await[1][0], "changed");
    assert_eq!(run(&bench, &[("a", 2)]).await, json!(["t:\"a\""]));
}

#[tokio::test]
async fn a_dry_run_tells_and_keeps_nothing() {
    let bench = bench(json!({"key": ["k"]}));
    run(&bench, &[("a", 1)]).await;
    let bench = bench.dry_run(true);
    for _ in 0..2 {
        assert_eq!(run(&bench, &[("a", 2)]).await[1][0], "changed");
    }
    let bench = bench.dry_run(false);
    assert_eq!(run(&bench, &[("a", 1)]).await, json!(["t:\"a\""]));
}

#[tokio::test]
async fn slow_drift_within_the_tolerance_is_told_in_the_end() {
    let bench = bench(json!({"key": ["k"], "tolerance": {"p": 1}}));
    run(&bench, &[("a", 10)]).await;
    assert_eq!(run(&bench, &[("a", 11)]).await, json!(["t:\"a\""]));
    let told = run(&bench, &[("a", 12)]).await;
    assert_eq!(told[1], json!(["changed", "a", {"k": "a", "p": 10}, {"k": "a", "p": 12}, ["p"]]));
    // Another field's change does not hide the drift either.
    let item = |p: i64, q: i64| json!([["t", {"k": "a", "p": p, "q": q}]]);
    bench.run(item(12, 0)).await.succeeded();
    bench.run(item(13, 1)).await.succeeded();
    let ran = bench.run(item(14, 2)).await.succeeded();
    assert_eq!(self::told(&ran)[1][4], json!(["p", "q"]));
}

#[tokio::test]
async fn fields_that_are_not_compared_stay_current_in_the_snapshot() {
    let bench = bench(json!({"key": ["k"], "compare": ["p"]}));
    let item = |p: i64, at: &str| json!([["t", {"k": "a", "p": p, "at": at}]]);
    bench.run(item(1, "mon")).await.succeeded();
    assert_eq!(told(&bench.run(item(1, "tue")).await.succeeded()), json!(["t:\"a\""]));
    let ran = told(&bench.run(item(2, "wed")).await.succeeded());
    assert_eq!(ran[1][2], json!({"k": "a", "p": 1, "at": "tue"}));
}

#[tokio::test]
async fn a_key_twice_and_a_key_missing_are_errors_of_the_item() {
    let items = json!([
        ["t", {"k": "a", "p": 1}],
        ["t", {"k": "a", "p": 2}],
        ["t", {"p": 3}],
        ["t", {"k": null, "p": 4}],
        ["u", {"k": "a", "p": 5}],
    ]);
    let strict = bench(json!({"key": ["k"]}));
    let error = strict.run(items.clone()).await.error();
    assert!(error.contains("stage 2 (diff.DiffParser)"), "{error}");
    assert!(error.contains(r#"t: the key k "a" came twice"#), "{error}");
    let kind = Bench::new().stage_with("diff.DiffParser", json!({"key": ["k"]}), OnError::Skip);
    let ran = kind.run(items).await.succeeded();
    assert_eq!(ran.report.stages[1].errors, 3);
    let new = |p: i64| json!(["new", "a", null, {"k": "a", "p": p}, []]);
    assert_eq!(told(&ran), json!(["t:\"a\"", new(1), "u:\"a\"", new(5)]));
}

#[tokio::test]
async fn removals_need_a_whole_input_and_a_seen_topic() {
    let bench = bench(json!({"key": ["k"], "max_removed": "100%"}));
    bench.run(json!([["t", {"k": 1}], ["t", {"k": 2}], ["u", {"k": 1}]])).await.succeeded();
    let bench = bench.leaves_out(true);
    let ran = bench.run(json!([["t", {"k": 1}]])).await.succeeded();
    assert_eq!(told(&ran), json!(["t:1"]));
    let bench = bench.leaves_out(false);
    let ran = bench.run(json!([])).await.succeeded();
    assert_eq!(told(&ran), json!([]), "an empty run removes nothing");
    let ran = bench.run(json!([["t", {"k": 1}]])).await.succeeded();
    assert_eq!(told(&ran), json!(["t:1", ["removed", 2, {"k": 2}, null, []]]), "topic u was not seen");
    let ran = bench.run(json!([["u", {"k": 1}]])).await.succeeded();
    assert_eq!(told(&ran), json!(["u:1"]));
}

#[tokio::test]
async fn an_item_without_a_key_may_have_been_any() {
    let bench =
        Bench::new().stage_with("diff.DiffParser", json!({"key": ["k"], "max_removed": 9}), OnError::Skip);
    bench.run(json!([["t", {"k": 1}], ["t", {"k": 2}]])).await.succeeded();
    let ran = bench.run(json!([["t", {"k": 1}], ["t", {"k": null}]])).await.succeeded();
    assert_eq!(told(&ran), json!(["t:1"]));
}

#[tokio::test]
async fn no_removals_where_none_are_wanted() {
    let bench = bench(json!({"key": ["k"], "removals": false}));
    run(&bench, &[("a", 1), ("b", 2)]).await;
    assert_eq!(run(&bench, &[("a", 1)]).await, json!(["t:\"a\""]));
    assert_eq!(run(&bench, &[("a", 1), ("b", 2)]).await, json!(["t:\"a\"", "t:\"b\""]), "b is still known");
}

#[tokio::test]
async fn a_run_that_would_remove_too_much_fails_and_changes_nothing() {
    let bench = bench(json!({"key": ["k"]}));
    let five = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)];
    run(&bench, &five).await;
    for _ in 0..2 {
        let error = bench.run(rows(&five[..3])).await.error();
        assert!(error.contains("2 of 5 known rows of `t` (40%)"), "{error}");
        assert!(error.contains("`max_removed: 20%`"), "{error}");
    }
    let told = run(&bench, &five[..4]).await;
    assert_eq!(told[4], json!(["removed", "e", {"k": "e", "p": 5}, null, []]), "20% are not more than 20%");
}

#[tokio::test]
async fn keys_are_equal_by_value_and_apart_by_type() {
    let bench = bench(json!({"key": ["k", "n"], "max_removed": "100%"}));
    bench.run(json!([["t", {"k": "1", "n": 1}], ["t", {"k": 1, "n": 1}]])).await.succeeded();
    let ran = bench.run(json!([["t", {"k": "1", "n": 1.0}], ["t", {"n": 1, "k": 1.0}]])).await.succeeded();
    assert_eq!(ran.items.len(), 2, "{:?}", ran.contents());
}

#[tokio::test]
async fn other_topics_and_diffs_pass() {
    let bench = bench(json!({"key": ["k"], "topics": ["t"]}));
    let ran =
        bench.run(json!([["u", {"x": 1}], ["t", {"k": 1}], ["t.diff", {"change": "new"}]])).await.succeeded();
    let topics: Vec<_> = ran.items.iter().map(|item| item.topic.to_string()).collect();
    assert_eq!(topics, ["u", "t", "t.diff", "t.diff"]);
}

#[tokio::test]
async fn two_diffs_of_one_chain_do_not_meet() {
    let bench = bench(json!({"key": ["k"]})).stage("diff.DiffParser", json!({"key": ["k"], "topics": ["t"]}));
    for expected in [2, 0] {
        let ran = bench.run(json!([["t", {"k": 1}]])).await.succeeded();
        assert_eq!(ran.items.len() - 1, expected);
    }
}

#[tokio::test]
async fn pages_of_removals_come_in_the_order_of_their_keys() {
    let bench = bench(json!({"key": ["k"], "max_removed": "100%"}));
    let many: Json = (0..1700).rev().map(|k| json!(["t", {"k": k}])).collect();
    bench.run(many).await.succeeded();
    let ran = bench.run(json!([["t", {"k": 5}]])).await.succeeded();
    let removed: Vec<_> =
        told(&ran).as_array().unwrap()[1..].iter().map(|told| told[1].as_i64().unwrap()).collect();
    assert_eq!(removed, (0..1700).filter(|k| *k != 5).collect::<Vec<_>>());
    let ran = bench.run(json!([["t", {"k": 5}]])).await.succeeded();
    assert_eq!(told(&ran), json!(["t:5"]));
}

#[tokio::test]
async fn the_first_snapshot_may_come_from_a_table() {
    let kwargs = json!({
        "key": ["k"], "db_path": "@shop.db", "max_removed": 2,
        "baseline": {"table": "book prices", "key": ["ident"]},
    });
    let bench = bench(kwargs);
    bench.execute(
        "shop.db",
        r#"CREATE TABLE "book prices" (id INTEGER PRIMARY KEY, ident TEXT, p REAL, stock BOOLEAN, tags TEXT);
           INSERT INTO "book prices" (ident, p, stock, tags) VALUES
             ('1', 10.0, 1, '["x"]'), ('2', 20.0, 0, NULL), ('3', 30.0, 1, NULL), (NULL, 1, 1, NULL);"#,
    );
    let items = json!([
        ["t", {"k": 1, "p": 10, "stock": true, "tags": ["x"], "extra": "not in the table"}],
        ["t", {"k": 2, "p": 25, "stock": false, "tags": null, "extra": ""}],
        ["t", {"k": 4, "p": 40, "stock": true, "tags": [], "extra": ""}],
    ]);
    let told = told(&bench.run(items.clone()).await.succeeded());
    assert_eq!(told[1], "t:2", "1 is as the table has it: {told}");
    assert_eq!(told[2][0], "changed");
    assert_eq!(told[2][2], json!({"id": 2, "k": 2, "p": 20.0, "stock": false, "tags": null}));
    assert_eq!(told[2][4], json!(["p"]));
    assert_eq!(told[4][0], "new");
    assert_eq!((&told[5][0], &told[5][1]), (&json!("removed"), &json!(3)));
    // From then on the snapshot is the run's.
    let again = bench.run(items).await.succeeded();
    assert_eq!(self::told(&again), json!(["t:1", "t:2", "t:4"]));
}

#[tokio::test]
async fn a_baseline_is_guarded_and_kept_where_removals_are_not_told() {
    let kwargs = |limit: Json| {
        json!({
            "key": ["k"], "db_path": "@d.db", "max_removed": limit, "baseline": {"table": "old"},
        })
    };
    let bench = bench(kwargs(json!("20%")));
    bench.execute("d.db", "CREATE TABLE old (k, p); INSERT INTO old VALUES ('a', 1), ('b', 2), ('c', 3)");
    let error = bench.run(rows(&[("a", 1)])).await.error();
    assert!(error.contains("2 of 3 known rows"), "{error}");
    let bench = bench.leaves_out(true);
    assert_eq!(run(&bench, &[("a", 1)]).await, json!(["t:\"a\""]));
    let bench = bench.leaves_out(false);
    let told = run(&bench, &[("b", 2), ("a", 1), ("c", 4)]).await;
    assert_eq!(told[3][4], json!(["p"]), "b and c stayed known: {told}");
}

#[tokio::test]
async fn a_baseline_that_is_not_there_is_empty_and_a_wrong_one_an_error() {
    let bench = bench(json!({"key": ["k"], "db_path": "@d.db", "baseline": {"table": "old"}}));
    assert_eq!(run(&bench, &[("a", 1)]).await[1][0], "new");
    let wrong =
        self::bench(json!({"key": ["k"], "db_path": "@d.db", "baseline": {"table": "old", "key": ["x"]}}));
    wrong.execute("d.db", "CREATE TABLE old (k, p)");
    let error = wrong.run(rows(&[("a", 1)])).await.error();
    assert!(error.contains("has no column `x`") && error.contains("its columns are k, p"), "{error}");
}
