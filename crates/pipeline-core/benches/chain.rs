//! A chain of four native stages over a million small records of distinct content:
//! source, map, filter, counting sink, with counting, error handling and cancellation in.
//!
//! `cargo bench -p pipeline-core --bench chain`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pipeline_core::{
    Batch, Chain, CompactString, Emitter, Fetcher, Item, ItemTransform, ParsedItem, Record, RunContext,
    RunIdentity, RunOptions, RunOutcome, Shape, Sink, StageContext, StageError, Stopwatch, Value, fetcher,
    items, sink,
};

const ITEMS: i64 = 1_000_000;

struct Source;

impl Fetcher for Source {
    async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        let shape = Shape::new(["id", "name", "price", "in_stock"]);
        let topic = pipeline_core::Topic::new("shop.book");
        let now = ctx.now();
        for id in 0..ITEMS {
            let values = vec![
                Value::Int(id),
                Value::Text(name_of(id)),
                Value::Float(id as f64 * 0.01),
                Value::Bool(id % 3 == 0),
            ];
            let content = Record::from_shape(shape.clone(), values);
            out.emit(ParsedItem { topic: topic.clone(), content, discovered_at: now }).await;
        }
        Ok(())
    }
}

/// `book-` and the number, without the cost of the formatting machinery, which is not what is measured.
fn name_of(number: i64) -> CompactString {
    let mut bytes = *b"book-0000000";
    let mut left = number;
    for digit in bytes.iter_mut().rev().take(7) {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    CompactString::from_utf8(bytes).unwrap_or_default()
}

/// Raises each price by a tenth.
struct Map;

impl ItemTransform for Map {
    fn apply(&mut self, mut item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        if let Item::Parsed(item) = &mut item
            && let Some(Value::Float(price)) = item.content.get_mut("price")
        {
            *price *= 1.1;
        }
        out.emit(item);
        Ok(())
    }
}

/// Leaves out every fifth item.
struct Filter;

impl ItemTransform for Filter {
    fn apply(&mut self, item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        if let Item::Parsed(parsed) = &item
            && parsed.content.get("id").and_then(Value::as_i64).is_some_and(|id| id % 5 != 0)
        {
            out.emit(item);
        }
        Ok(())
    }
}

struct Counter(Arc<AtomicU64>);

impl Sink for Counter {
    async fn handle(&mut self, _: &Item, _: &StageContext) -> Result<(), StageError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn peak_rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { return };
    let before = peak_rss_kib();
    let mut best = f64::MAX;
    for round in 1..=5 {
        let counted = Arc::new(AtomicU64::new(0));
        let chain = Chain::new()
            .stage("bench.Source", fetcher(Source))
            .stage("bench.Map", items(Map))
            .stage("bench.Filter", items(Filter))
            .stage("bench.Counter", sink(Counter(counted.clone())));
        let context = RunContext::new(RunOptions::new(RunIdentity {
            run_id: "bench".into(),
            pipeline: "bench".into(),
            job_id: "bench".into(),
            scheduled_for: chrono::DateTime::UNIX_EPOCH,
            attempt: 1,
        }));
        let watch = Stopwatch::start();
        let report = runtime.block_on(async { tokio::spawn(chain.run(context, None)).await });
        let seconds = watch.elapsed().as_secs_f64();
        best = best.min(seconds);
        let outcome = report.map(|report| report.outcome).ok();
        assert_eq!(outcome, Some(RunOutcome::Succeeded));
        assert_eq!(counted.load(Ordering::Relaxed), 800_000);
        println!("round {round}: {:.2} M items/s", ITEMS as f64 / seconds / 1e6);
    }
    println!(
        "best: {:.2} M items/s; peak memory {} KiB above the idle program's {before} KiB",
        ITEMS as f64 / best / 1e6,
        peak_rss_kib() - before,
    );
}
