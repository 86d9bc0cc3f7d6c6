//! `items.ItemsFetcher`: items that stand in the file itself.

use pipeline_core::{
    BuildContext, BuildErrors, Definition, Emitter, Fetcher, ParsedItem, Record, StageContext, StageError,
    Topic, Transform, fetcher,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What `items.ItemsFetcher` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemsFetcherKwargs {
    /// The topic of the items.
    topic: Topic,
    /// The contents of the items, one object each, in this order.
    items: Vec<Record>,
}

/// Emits the objects written in the file.
pub(crate) struct ItemsFetcher(ItemsFetcherKwargs);

impl Definition for ItemsFetcher {
    const CLASS: &'static str = "items.ItemsFetcher";
    const SUMMARY: &'static str = "Emits the objects that are written in the file itself.";
    const EXAMPLE: &'static str = "\
class: items.ItemsFetcher
kwargs:
  topic: company
  items:
    - {name: Zynga, store: 1}
    - {name: G5 Entertainment, store: 1}
";

    type Kwargs = ItemsFetcherKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        if kwargs.topic.is_empty() {
            return Err(BuildErrors::at("topic", "a topic must not be empty"));
        }
        Ok(fetcher(Self(kwargs)))
    }
}

impl Fetcher for ItemsFetcher {
    async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        for content in std::mem::take(&mut self.0.items) {
            let topic = self.0.topic.clone();
            out.emit(ParsedItem { topic, content, discovered_at: ctx.now() }).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::fetch::testing::{build_error, run};

    #[tokio::test]
    async fn the_items_of_the_file_come_in_order() {
        let done = run(
            "items.ItemsFetcher",
            json!({"topic": "t", "items": [{"n": 1, "code": "007"}, {}, {"n": {"x": null}}]}),
        )
        .await;
        done.succeeded();
        assert_eq!(done.contents(), [r#"{"n":1,"code":"007"}"#, "{}", r#"{"n":{"x":null}}"#]);
        assert!(done.parsed().all(|item| &*item.topic == "t"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (json!({"items": []}), "`topic` is missing"),
            (json!({"topic": "", "items": []}), "topic: a topic must not be empty"),
            (json!({"topic": "t", "items": [1]}), "items[0]: expected a map"),
            (json!({"topic": "t", "items": [], "more": 1}), "unknown key `more`"),
        ];
        for (kwargs, expected) in cases {
            let error = build_error("items.ItemsFetcher", kwargs);
            assert!(error.contains(expected), "{error}");
        }
    }
}
