//! `limit.Limit`: the first so many items.

use pipeline_core::{
    Batch, BuildContext, BuildErrors, Definition, Item, ItemStream, StageContext, Transform,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What `limit.Limit` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitKwargs {
    /// How many items may pass, of whatever topic.
    #[schemars(range(min = 1))]
    items: u64,
}

/// Lets a number of items through, then stops the stages before it.
pub(crate) struct Limit {
    items: u64,
}

impl Definition for Limit {
    const CLASS: &'static str = "limit.Limit";
    const SUMMARY: &'static str = "Lets the first items through and stops there.";
    const EXAMPLE: &'static str = "\
class: limit.Limit
kwargs: {items: 100}
";

    type Kwargs = LimitKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        if kwargs.items == 0 {
            return Err(BuildErrors::at("items", "at least one item must be allowed"));
        }
        Ok(Box::new(Self { items: kwargs.items }))
    }
}

impl Transform for Limit {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        ItemStream::generate(move |mut out| async move {
            let mut left = self.items;
            while let Some(batch) = input.next_batch().await {
                let mut batch = batch?;
                let mut more = false;
                batch.items.retain(|item| {
                    if !counts(item) {
                        return !more;
                    }
                    more |= left == 0;
                    left = left.saturating_sub(1);
                    !more
                });
                if more {
                    // Only now is it known that something was left out, which a diff must know.
                    ctx.mark_incomplete(format!("limit.Limit let only {} items through", self.items));
                    batch.errors.clear();
                }
                out.emit_batch(batch).await;
                if more {
                    if follows_a_sink(&ctx) {
                        // What a sink before this stage was given it must be able to finish.
                        while let Some(batch) = input.next_batch().await {
                            batch.map(|_: Batch| ())?;
                        }
                    }
                    return Ok(());
                }
            }
            Ok(())
        })
    }
}

fn counts(item: &Item) -> bool {
    matches!(item, Item::Raw(_) | Item::Parsed(_))
}

fn follows_a_sink(ctx: &StageContext) -> bool {
    let before = ctx.progress().stages().iter().take(ctx.number().saturating_sub(1));
    before
        .map(|stage| &stage.class)
        .any(|class| class.ends_with("Sink") || class.ends_with("CommandTransform"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use pipeline_core::{Chain, ParsedItem, Record, RunContext, StageError};
    use serde_json::json;

    use super::*;
    use crate::fetch::testing::{build, build_error, options, run_chain};

    /// Emits numbers and counts how many were asked for.
    struct Numbers(u64, Arc<AtomicU64>);

    impl Transform for Numbers {
        fn connect(self: Box<Self>, mut input: ItemStream, _: StageContext) -> ItemStream {
            ItemStream::generate(move |mut out| async move {
                while input.next_batch().await.is_some() {}
                for n in 0..self.0 {
                    self.1.fetch_add(1, Ordering::Relaxed);
                    let content: Record = [("n", n)].into_iter().collect();
                    let item = ParsedItem {
                        topic: "t".into(),
                        content,
                        discovered_at: chrono::DateTime::UNIX_EPOCH,
                    };
                    out.emit_batch(vec![Item::from(item)].into()).await;
                }
                Ok::<(), StageError>(())
            })
        }
    }

    /// Says at its end whether the stages before it left something out.
    struct Whole(Arc<AtomicU64>);

    impl Transform for Whole {
        fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
            ItemStream::generate(move |mut out| async move {
                while let Some(batch) = input.next_batch().await {
                    out.emit_batch(batch?).await;
                }
                self.0.store(u64::from(ctx.upstream_incomplete().is_none()), Ordering::Relaxed);
                Ok(())
            })
        }
    }

    #[tokio::test]
    async fn the_first_items_pass_and_no_more_are_asked_for() {
        for (available, limit, passed, whole) in
            [(1_000_000, 3, 3, 0), (3, 3, 3, 1), (2, 3, 2, 1), (4, 3, 3, 0), (0, 3, 0, 1)]
        {
            let (asked, is_whole) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(9)));
            let chain = Chain::new()
                .stage("test.Numbers", Box::new(Numbers(available, asked.clone())))
                .stage("limit.Limit", build("limit.Limit", json!({"items": limit})))
                .stage("test.Whole", Box::new(Whole(is_whole.clone())));
            let done = run_chain(chain, RunContext::new(options())).await;
            done.succeeded();
            assert_eq!(done.parsed().count(), passed, "{available}");
            assert_eq!(is_whole.load(Ordering::Relaxed), whole, "{available}");
            assert!(
                asked.load(Ordering::Relaxed) <= limit + 2,
                "{} were asked for",
                asked.load(Ordering::Relaxed)
            );
        }
        assert!(build_error("limit.Limit", json!({"items": 0})).contains("at least one"));
    }
}
