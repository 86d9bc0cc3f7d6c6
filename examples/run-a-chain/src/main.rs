//! Runs a chain from Rust, without a file: built-in transforms by their class, and one closure's worth of own code.
//!
//! Run with `cargo run -p run-a-chain` from the root of the repository.

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use anyhow::{Context, Result, ensure};
use pipeline_core::{
    Batch, BuildContext, Chain, Clock, Item, ItemTransform, Registry, RunContext, RunIdentity, RunOptions,
    RunOutcome, RunReport, StageContext, StageError, SystemClock, Transform, items,
};
use serde_json::json;

/// A stage of one's own: adds the length of the title.
struct TitleLength;

impl ItemTransform for TitleLength {
    fn apply(&mut self, mut item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        if let Item::Parsed(book) = &mut item {
            let length = book.content.get_str("title").map_or(0, |title| title.chars().count());
            book.content.insert("title_length", length);
        }
        out.emit(item);
        Ok(())
    }
}

fn stage(registry: &Registry, class: &str, kwargs: serde_json::Value) -> Result<Box<dyn Transform>> {
    let entry = registry.get(class).with_context(|| format!("there is no class {class}"))?;
    entry
        .build(kwargs, &BuildContext::default())
        .with_context(|| format!("{class} does not take these kwargs"))
}

async fn run() -> Result<RunReport> {
    let registry = transforms::registry();
    let html = json!({
        "topic": "shop.book",
        "rows": "article.product",
        "fields": {"title": "h3 a @title", "price": {"select": ".price", "regex": "([0-9.]+)", "type": "number"}},
    });
    let chain = Chain::new()
        .stage(
            "file.FileFetcher",
            stage(&registry, "file.FileFetcher", json!({"path": "config/data/shop/page-*.html"}))?,
        )
        .stage("html.HtmlParser", stage(&registry, "html.HtmlParser", html)?)
        .stage("example.TitleLength", items(TitleLength))
        .stage("file.JsonlSink", stage(&registry, "file.JsonlSink", json!({"path": "out/books.jsonl"}))?);

    let identity = RunIdentity {
        run_id: "example-1".into(),
        pipeline: "books".into(),
        job_id: "books".into(),
        scheduled_for: SystemClock.now(),
        attempt: 1,
    };
    Ok(chain.run(RunContext::new(RunOptions::new(identity)), None).await)
}

#[tokio::main]
async fn main() -> Result<()> {
    let report = run().await?;
    for stage in &report.stages {
        println!("{:24} {:>4} in {:>4} out", stage.class, stage.items_in, stage.items_out);
    }
    ensure!(report.outcome == RunOutcome::Succeeded, "{}", report.error.unwrap_or_default());
    println!("see out/books.jsonl");
    Ok(())
}
