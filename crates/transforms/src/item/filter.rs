//! `filter.Filter`: only items for which a jq condition holds go on.

use pipeline_core::{
    Batch, BuildContext, BuildErrors, Definition, Item, ItemTransform, StageContext, StageError, Topic,
    Transform, items,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{item_error, refuse_meta};
use crate::jq::{Jq, JqVars};
use crate::topics::Topics;

/// What `filter.Filter` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterKwargs {
    /// A jq condition on the content: the item goes on where its result is neither false nor null.
    #[serde(rename = "where")]
    condition: String,
    /// The topics of the items to filter (default: all); others pass.
    topics: Option<Vec<Topic>>,
}

/// Drops items for which the condition does not hold.
pub(crate) struct Filter {
    condition: Jq,
    topics: Topics,
    vars: Option<JqVars>,
}

impl Definition for Filter {
    const CLASS: &'static str = "filter.Filter";
    const SUMMARY: &'static str = "Lets only items through for which a jq condition holds.";
    const EXAMPLE: &'static str = "\
class: filter.Filter
kwargs: {where: '.price > 20 and .in_stock', topics: [shop.book]}
";

    type Kwargs = FilterKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        errors.collect(refuse_meta("where", &kwargs.condition));
        let condition =
            errors.collect(Jq::compile(&kwargs.condition).map_err(|error| BuildErrors::at("where", error)));
        let topics = errors.collect(Topics::new(kwargs.topics));
        errors.clone().into_result()?;
        let (Some(condition), Some(topics)) = (condition, topics) else { return Err(errors) };
        Ok(items(Self { condition, topics, vars: None }))
    }
}

impl ItemTransform for Filter {
    fn apply(&mut self, item: Item, ctx: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        let item = match item {
            Item::Parsed(item) if self.topics.contain(&item.topic) => item,
            other => {
                out.emit(other);
                return Ok(());
            }
        };
        let vars = self.vars.get_or_insert_with(|| JqVars::new(ctx));
        match self.condition.holds(&item.content, vars) {
            Ok(true) => out.emit(item),
            Ok(false) => {}
            Err(message) => return Err(item_error(item, format!("`where`: {message}"))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::OnError;
    use serde_json::json;

    use crate::fetch::testing::{build_error, options, parsed, run_on};

    #[tokio::test]
    async fn items_pass_where_the_condition_holds() {
        let cases = [
            (json!({"where": ".a > 1"}), "{\"a\":3}"),
            (json!({"where": ".a"}), "{\"a\":1} {\"a\":3}"),
            (json!({"where": ".b"}), ""),
            (json!({"where": "false", "topics": ["u"]}), "{\"a\":1}"),
            (json!({"where": "empty"}), ""),
            (json!({"where": ".a == (1, 3)"}), "{\"a\":1}"),
        ];
        for (kwargs, expected) in cases {
            let items = vec![parsed("t", json!({"a": 1})), parsed("u", json!({"a": 3}))];
            let done = run_on(items, "filter.Filter", kwargs.clone(), OnError::Fail, options()).await;
            done.succeeded();
            assert_eq!(done.contents().join(" "), expected, "{kwargs}");
        }
    }

    #[tokio::test]
    async fn a_condition_that_fails_is_an_error_of_the_item() {
        let items = vec![parsed("t", json!({"a": {"b": 1}}))];
        let done = run_on(items, "filter.Filter", json!({"where": ".a.b.c"}), OnError::Fail, options()).await;
        assert!(done.error().contains("`where`: cannot index 1 with \"c\""), "{}", done.error());
        let error = build_error("filter.Filter", json!({"where": ".a >"}));
        assert!(error.contains("where: line 1, column 5: expected term"), "{error}");
    }
}
