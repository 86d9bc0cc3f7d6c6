//! Measures the database sink: `cargo run --release -p transforms --example database_sink -- [ROWS]`.
//!
//! Writes so many rows into a new SQLite file, then updates them all, in the order of their keys and in
//! another; then the same with a diff before the sink. Shows rows per second of the whole run, its end
//! included, and the most memory that the program has had.
#![expect(clippy::print_stdout, reason = "the figures are its output")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails may end as it likes")]

use std::path::Path;
use std::sync::Arc;

use pipeline_core::{
    Batch, BuildContext, Chain, Item, ItemStream, ParsedItem, Record, RunContext, RunIdentity, RunOptions,
    RunOutcome, Shape, StageContext, Stopwatch, Transform, Value,
};
use serde_json::json;
use transforms::SqliteStateStore;

struct Rows {
    count: u64,
    round: u64,
    shuffled: bool,
}

impl Transform for Rows {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        let shape = Shape::new(["sku", "title", "price", "stock", "available", "url"]);
        ItemStream::generate(move |mut out| async move {
            while let Some(batch) = input.next_batch().await {
                batch?;
            }
            let (topic, now) = ("shop.book".into(), ctx.now());
            for start in (0..self.count).step_by(128) {
                let mut batch = Batch::new();
                for n in start..(start + 128).min(self.count) {
                    // A multiplication by an odd number visits each key once.
                    let key = if self.shuffled { n.wrapping_mul(0x9e37_79b1) % self.count } else { n };
                    let values = vec![
                        Value::from(format!("SKU-{key:09}")),
                        Value::from(format!("The book with the number {key}")),
                        Value::Float((key % 9000) as f64 / 100.0 + self.round as f64),
                        Value::Int((key % 50) as i64),
                        Value::Bool(key % 3 == 0),
                        Value::from(format!("https://shop.example/books/{key}.html")),
                    ];
                    let content = Record::from_shape(shape.clone(), values);
                    batch.emit(Item::from(ParsedItem {
                        topic: Clone::clone(&topic),
                        content,
                        discovered_at: now,
                    }));
                }
                out.emit_batch(batch).await;
            }
            Ok(())
        })
    }
}

async fn run(what: &str, folder: &Path, rows: Rows, diff: bool) {
    let identity = RunIdentity {
        run_id: "1".into(),
        pipeline: "p".into(),
        job_id: "p".into(),
        scheduled_for: chrono::DateTime::UNIX_EPOCH,
        attempt: 1,
    };
    let registry = transforms::registry();
    let build =
        |class: &str, kwargs| registry.get(class).unwrap().build(kwargs, &BuildContext::default()).unwrap();
    let path = folder.join(if diff { "diffed.db" } else { "books.db" });
    let count = rows.count;
    let mut chain = Chain::new().stage("rows", Box::new(rows));
    if diff {
        chain = chain
            .stage("diff.DiffParser", build("diff.DiffParser", json!({"key": ["sku"], "db_path": path})));
    }
    let kwargs = json!({"db_path": path, "tables": {"shop.book": {"key": ["sku"]}}});
    chain = chain.stage("sql.DatabaseSink", build("sql.DatabaseSink", kwargs));
    let mut options = RunOptions::new(identity);
    options.state = Arc::new(SqliteStateStore::new(folder));
    let watch = Stopwatch::start();
    let report = chain.run(RunContext::new(options), None).await;
    let took = watch.elapsed();
    assert_eq!(report.outcome, RunOutcome::Succeeded, "{report:?}");
    let rate = count as f64 / took.as_secs_f64();
    println!("{what:<42} {took:>8.2?} {rate:>10.0} rows/s, {} kB at most", peak_kb());
}

/// The most memory that the program has had, in kB.
fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[tokio::main]
async fn main() {
    let count = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir_in(".").unwrap();
    println!("{count} rows of six columns, {} kB before", peak_kb());
    for diff in [false, true] {
        let with = if diff { "diff and sink" } else { "sink" };
        for (round, shuffled) in [(0, false), (1, false), (2, true)] {
            let does = if round == 0 { "insert" } else { "update" };
            let order = if shuffled { "another order" } else { "the order of the keys" };
            run(&format!("{with}: {does} in {order}"), folder.path(), Rows { count, round, shuffled }, diff)
                .await;
        }
        if diff {
            run(
                "diff and sink: nothing changed",
                folder.path(),
                Rows { count, round: 2, shuffled: true },
                true,
            )
            .await;
        } else {
            std::fs::remove_file(folder.path().join("books.db")).unwrap();
            run(
                "sink: insert in another order",
                folder.path(),
                Rows { count, round: 0, shuffled: true },
                false,
            )
            .await;
        }
    }
}
