//! `map.Map`: a jq program from content to content.

use std::ops::ControlFlow;

use pipeline_core::{
    Batch, BuildContext, BuildErrors, Definition, Item, ItemTransform, StageContext, StageError, Topic,
    Transform, items,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{item_error, refuse_meta};
use crate::jq::{Jq, JqVars};
use crate::topics::{TopicChoice, Topics};

/// What `map.Map` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapKwargs {
    /// A jq program from an item's content to the content of the items that take its place: none, one or
    /// several objects. It sees `$run` and `now`.
    jq: String,
    /// The topic of the results (default: that of the item). `"*"`: each result is `{topic, content}`.
    topic: Option<Topic>,
    /// The topics of the items to map (default: all); others pass unchanged.
    topics: Option<Vec<Topic>>,
}

/// Replaces each item by the results of a jq program.
pub(crate) struct Map {
    program: Jq,
    topic: Option<TopicChoice>,
    topics: Topics,
    vars: Option<JqVars>,
}

impl Definition for Map {
    const CLASS: &'static str = "map.Map";
    const SUMMARY: &'static str = "Computes the content of items anew, with a jq program.";
    const EXAMPLE: &'static str = "\
class: map.Map
kwargs: {jq: '. + {total: (.price * .copies), seen: $run.date}', topics: [shop.book]}
";

    type Kwargs = MapKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        errors.collect(refuse_meta("jq", &kwargs.jq));
        let program = errors.collect(Jq::compile(&kwargs.jq).map_err(|error| BuildErrors::at("jq", error)));
        let topic = errors.collect(kwargs.topic.map(TopicChoice::new).transpose());
        let topics = errors.collect(Topics::new(kwargs.topics));
        errors.clone().into_result()?;
        let (Some(program), Some(topic), Some(topics)) = (program, topic, topics) else { return Err(errors) };
        Ok(items(Self { program, topic, topics, vars: None }))
    }
}

impl ItemTransform for Map {
    fn apply(&mut self, item: Item, ctx: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        let item = match item {
            Item::Parsed(item) if self.topics.contain(&item.topic) => item,
            other => {
                out.emit(other);
                return Ok(());
            }
        };
        let vars = self.vars.get_or_insert_with(|| JqVars::new(ctx));
        let own = TopicChoice::Fixed(item.topic.clone());
        let topic = self.topic.as_ref().unwrap_or(&own);
        let before = out.items.len();
        let mut wrong = None;
        let ran = self.program.run_record_each(&item.content, vars, |result| {
            match topic.item(result, item.discovered_at) {
                Ok(result) => {
                    out.emit(result);
                    ControlFlow::Continue(())
                }
                Err((message, _)) => {
                    wrong = Some(message);
                    ControlFlow::Break(())
                }
            }
        });
        match wrong.map_or(ran, Err) {
            Ok(()) => Ok(()),
            Err(message) => {
                // An item goes on whole or not at all: half of its results would look like all of them.
                out.items.truncate(before);
                Err(item_error(item, format!("`jq`: {message}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::OnError;
    use serde_json::json;

    use crate::fetch::testing::{build_error, options, parsed, run_on};

    #[tokio::test]
    async fn items_are_replaced_by_results() {
        let cases = [
            (json!({"jq": ". + {b: (.a * 2)}"}), "t:{\"a\":1,\"b\":2} u:{\"a\":3,\"b\":6}"),
            (json!({"jq": "select(.a > 1)"}), "u:{\"a\":3}"),
            (json!({"jq": "empty"}), ""),
            (json!({"jq": "., {b: .a}", "topics": ["t"]}), "t:{\"a\":1} t:{\"b\":1} u:{\"a\":3}"),
            (json!({"jq": ".", "topic": "v", "topics": ["u"]}), "t:{\"a\":1} v:{\"a\":3}"),
            (json!({"jq": "{topic: \"x\\(.a)\", content: .}", "topic": "*"}), "x1:{\"a\":1} x3:{\"a\":3}"),
            (json!({"jq": "{p: $run.pipeline}", "topics": ["u"]}), "t:{\"a\":1} u:{\"p\":\"test\"}"),
        ];
        for (kwargs, expected) in cases {
            let items = vec![parsed("t", json!({"a": 1})), parsed("u", json!({"a": 3}))];
            let done = run_on(items, "map.Map", kwargs.clone(), OnError::Fail, options()).await;
            done.succeeded();
            let found: Vec<_> =
                done.parsed().map(|item| format!("{}:{}", item.topic, item.content.to_json())).collect();
            assert_eq!(found.join(" "), expected, "{kwargs}");
        }
    }

    #[tokio::test]
    async fn a_failing_item_is_named_and_leaves_nothing() {
        let items =
            vec![parsed("t", json!({"a": 1})), parsed("t", json!({"a": "x"})), parsed("t", json!({"a": 2}))];
        let kwargs = json!({"jq": "., {b: (.a * 10 / 2)}"});
        let done = run_on(items, "map.Map", kwargs, OnError::Skip, options()).await;
        done.succeeded();
        assert_eq!(done.contents(), [r#"{"a":1}"#, r#"{"b":5.0}"#, r#"{"a":2}"#, r#"{"b":10.0}"#]);
        let items = vec![parsed("t", json!({"a": "x"}))];
        let done = run_on(items, "map.Map", json!({"jq": ".a"}), OnError::Fail, options()).await;
        let expected = "item of topic `t` {\"a\":\"x\"}: `jq`: the result is text and not an object";
        assert!(done.error().contains(expected), "{}", done.error());
    }

    #[test]
    fn mistakes_are_found_when_the_file_is_read() {
        let error = build_error("map.Map", json!({"jq": "$meta.url | foo", "topics": []}));
        assert!(error.contains("jq: `$meta` is the metadata of a payload"), "{error}");
        assert!(
            error.contains("there is no function `foo`") && error.contains("topics: an empty list"),
            "{error}"
        );
    }
}
