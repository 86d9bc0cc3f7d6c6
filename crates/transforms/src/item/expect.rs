//! `expect.ExpectItems`: a run that produced too few items, or too many, fails.

use pipeline_core::{
    Batch, BuildContext, BuildErrors, Definition, Item, ItemTransform, StageContext, StageError, Topic,
    Transform, items,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What `expect.ExpectItems` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectItemsKwargs {
    /// The run fails at its end when fewer items have passed.
    min: Option<u64>,
    /// The run fails when more items pass.
    max: Option<u64>,
    /// Only items of this topic are counted (default: all records).
    topic: Option<Topic>,
}

/// Counts what passes.
pub(crate) struct ExpectItems {
    min: u64,
    max: u64,
    topic: Option<Topic>,
    seen: u64,
}

impl Definition for ExpectItems {
    const CLASS: &'static str = "expect.ExpectItems";
    const SUMMARY: &'static str =
        "Fails the run when too few or too many items pass, such as when a site changed.";
    const EXAMPLE: &'static str = "\
class: expect.ExpectItems
kwargs: {min: 50, max: 5000, topic: shop.book}
";

    type Kwargs = ExpectItemsKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let ExpectItemsKwargs { min, max, topic } = kwargs;
        match (min, max) {
            (None, None) => Err(BuildErrors::at("", "`min`, `max` or both must be given")),
            (Some(min), Some(max)) if min > max => {
                Err(BuildErrors::at("min", format!("{min} is more than `max`, which is {max}")))
            }
            _ => Ok(items(Self { min: min.unwrap_or(0), max: max.unwrap_or(u64::MAX), topic, seen: 0 })),
        }
    }
}

impl ExpectItems {
    fn of_topic(&self) -> String {
        self.topic.as_ref().map(|topic| format!(" of topic `{topic}`")).unwrap_or_default()
    }
}

impl ItemTransform for ExpectItems {
    fn apply(&mut self, item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        if let Item::Parsed(parsed) = &item
            && self.topic.as_ref().is_none_or(|topic| *topic == parsed.topic)
        {
            self.seen += 1;
            if self.seen > self.max {
                let message =
                    format!("expected at most {} items{}, and more came", self.max, self.of_topic());
                return Err(StageError::fatal(message));
            }
        }
        out.emit(item);
        Ok(())
    }

    fn finish(&mut self, _: &StageContext, _: &mut Batch) -> Result<(), StageError> {
        if self.seen >= self.min {
            return Ok(());
        }
        let message =
            format!("expected at least {} items{}, and {} came", self.min, self.of_topic(), self.seen);
        Err(StageError::fatal(message).hint("has the source changed, or is it empty?"))
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::OnError;
    use serde_json::json;

    use crate::fetch::testing::{build_error, options, parsed, run_on};

    #[tokio::test]
    async fn counts_out_of_bounds_fail_the_run() {
        let cases = [
            (json!({"min": 3}), None),
            (json!({"min": 0}), None),
            (json!({"max": 3}), None),
            (json!({"min": 2, "max": 2, "topic": "t"}), None),
            (json!({"min": 4}), Some("expected at least 4 items, and 3 came (has the source changed")),
            (json!({"min": 2, "topic": "u"}), Some("expected at least 2 items of topic `u`, and 1 came")),
            (json!({"min": 1, "topic": "v"}), Some("expected at least 1 items of topic `v`, and 0 came")),
            (json!({"max": 2}), Some("expected at most 2 items, and more came")),
        ];
        for (kwargs, expected) in cases {
            let items = vec![parsed("t", json!({})), parsed("t", json!({})), parsed("u", json!({}))];
            // Whatever `on_error` says: an expectation is about the run and no item's error.
            let done = run_on(items, "expect.ExpectItems", kwargs.clone(), OnError::Skip, options()).await;
            match expected {
                None => {
                    done.succeeded();
                    assert_eq!(done.items.len(), 3);
                }
                Some(expected) => assert!(done.error().contains(expected), "{kwargs}: {}", done.error()),
            }
        }
    }

    #[test]
    fn an_expectation_must_be_possible() {
        assert!(build_error("expect.ExpectItems", json!({})).contains("`min`, `max` or both"));
        assert!(
            build_error("expect.ExpectItems", json!({"min": 2, "max": 1})).contains("2 is more than `max`")
        );
    }
}
