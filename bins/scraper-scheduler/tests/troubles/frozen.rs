//! A scheduler is frozen beyond its lease: what it was about to write, when it wakes, belongs to somebody else.

use serde_json::{Value, json};
use test_support::postgres::PostgresDatabase;
use test_support::process::{Program, Running};

use crate::world::{file, lines, program, until};

/// Each attempt finds the item with its own number as the price; the first one takes so long that it can be frozen.
fn news(url: &str) -> Program {
    let command = r#"echo $SCRAPER_ATTEMPT >> attempts
        echo "[{\"n\": 1, \"price\": $(cat price 2> /dev/null || echo $SCRAPER_ATTEMPT)}]"
        test $SCRAPER_ATTEMPT != 1 -o -e quick || sleep 2"#;
    let pipeline = "  news:\n    schedule: {manual: true}\n    chain:\n      \
         - class: exec.CommandFetcher\n        kwargs:\n          command: [sh, news.sh]\n      \
         - {class: json.JsonParser, kwargs: {topic: shop.book, records: '.[]'}}\n      \
         - {class: diff.DiffParser, kwargs: {key: [n]}}\n      \
         - {class: file.JsonlSink, kwargs: {path: out.jsonl, append: true, topics: [shop.book.diff]}}\n";
    program(&[])
        .file("pipelines.yml", file(&[pipeline.to_owned()]))
        .file("news.sh", command)
        .variable("SCHEDULER_DB_URL", url)
        .variable("SCHEDULER_LEASE", "3s")
}

fn changes(program: &Program) -> Vec<(Value, Value, Value)> {
    let read = |line: &String| -> (Value, Value, Value) {
        let mut change: Value = serde_json::from_str(line).unwrap();
        (change["change"].take(), change["old"]["price"].take(), change["new"]["price"].take())
    };
    lines(program, "out.jsonl").iter().map(read).collect()
}

fn stop(running: Running) -> String {
    running.signal("TERM");
    running.finish().expect(0).stderr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_found_is_told_once_and_remembered_once() {
    let Some(database) = PostgresDatabase::create().await else { return };
    let program = news(&database.url());
    let mut frozen = program.start(&[]);
    frozen.wait_for("is ready");
    let id = program.run(&["jobs", "run", "news"]).expect(0).stdout.trim().to_owned();
    until("the first attempt has begun", || (lines(&program, "attempts").len() == 1).then_some(()));
    // Its command goes on and ends: all that it said waits for the process when that wakes.
    frozen.signal("STOP");
    let other = program.start(&[]);
    let run = until("the other one has done it", || {
        let run = program.run(&["runs", "show", &id, "--json"]).expect(0).json();
        (run["state"] == "finished").then_some(run)
    });
    assert_eq!((&run["outcome"], &run["attempt"]), (&json!("succeeded"), &json!(2)), "{run}");
    let told = [(json!("new"), Value::Null, json!(2))];
    assert_eq!(changes(&program), told);

    frozen.signal("CONT");
    frozen.wait_for("another scheduler holds the run");
    let log = stop(frozen);
    assert!(!log.contains("news succeeded"), "{log}");
    assert_eq!(changes(&program), told, "the first attempt told its news after all");
    let again = program.run(&["runs", "show", &id, "--json"]).expect(0).json();
    let outcomes: Vec<&Value> =
        again["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["crashed", "succeeded"], "{again}");

    // What is remembered is what was told.
    program.write("quick", "");
    program.run(&["jobs", "run", "news", "--wait"]).expect(0);
    let price = |at: usize| changes(&program)[at].clone();
    assert_eq!(price(1), (json!("changed"), json!(2), json!(1)));
    program.write("price", "9");
    program.run(&["jobs", "run", "news", "--wait"]).expect(0);
    assert_eq!(price(2), (json!("changed"), json!(1), json!(9)));
    program.run(&["jobs", "run", "news", "--wait"]).expect(0);
    assert_eq!(changes(&program).len(), 3);
    stop(other);
}
