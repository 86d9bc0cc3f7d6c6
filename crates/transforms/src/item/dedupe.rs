//! `dedupe.Dedupe`: each key passes once, in a run or for ever.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;
use pipeline_core::{
    Batch, BuildContext, BuildErrors, Definition, Item, ItemStream, StageContext, StageError, StageState,
    StateScope, StateStore, StateWrite, Topic, Transform, Value,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::diff::{Scratch, put_key};
use crate::sql::SqliteStateStore;
use crate::topics::Topics;

/// What `dedupe.Dedupe` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DedupeKwargs {
    /// The field, or the fields, that identify an item within its topic. An item that lacks one is an error.
    key: Key,
    /// How long keys are remembered.
    #[serde(default)]
    scope: Scope,
    /// The SQLite file that keeps the keys with the scope `forever`; the pipeline's own state file where
    /// absent.
    db_path: Option<PathBuf>,
    /// The topics of the items to look at (default: all); others pass.
    topics: Option<Vec<Topic>>,
}

/// How long keys are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("default" = "run"))]
pub(crate) enum Scope {
    /// Until the run ends.
    #[default]
    Run,
    /// For all later runs too. The keys of a run that fails are not kept.
    Forever,
}

/// A list of fields; one may be written alone.
#[derive(Debug)]
pub(crate) struct Key(Vec<String>);

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field, or a list of them")
    }

    fn visit_str<E>(self, field: &str) -> Result<Key, E> {
        Ok(Key(vec![field.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Key, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = list.next_element()? {
            fields.push(field);
        }
        Ok(Key(fields))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

impl JsonSchema for Key {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DedupeKey".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        })
    }
}

/// Drops items whose key came before.
pub(crate) struct Dedupe {
    key: Vec<String>,
    scope: Scope,
    db_path: Option<PathBuf>,
    topics: Topics,
}

impl Definition for Dedupe {
    const CLASS: &'static str = "dedupe.Dedupe";
    const SUMMARY: &'static str = "Lets each key through once, in a run or for ever.";
    const EXAMPLE: &'static str = "\
class: dedupe.Dedupe
kwargs: {key: [id], scope: forever, topics: [news.entry]}
";

    type Kwargs = DedupeKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let DedupeKwargs { key: Key(key), scope, db_path, topics } = kwargs;
        let mut errors = BuildErrors::default();
        if key.is_empty() {
            errors.push("key", "needs at least one field");
        }
        for (at, field) in key.iter().enumerate() {
            if key[..at].contains(field) {
                errors.push(format!("key[{at}]"), format!("`{field}` is there already"));
            }
        }
        if db_path.is_some() && scope == Scope::Run {
            errors.push("db_path", "is where keys are kept for later runs; with `scope: run` none are");
        }
        let topics = errors.collect(Topics::new(topics));
        errors.clone().into_result()?;
        let Some(topics) = topics else { return Err(errors) };
        Ok(Box::new(Self { key, scope, db_path, topics }))
    }
}

impl Transform for Dedupe {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        ItemStream::generate(move |mut out| async move {
            let mut known: Option<Known> = None;
            let mut repeats = 0u64;
            while let Some(batch) = input.next_batch().await {
                let (batch, keys) = self.keys(batch?);
                let wanted: Vec<Bytes> = keys.iter().flatten().cloned().collect();
                if wanted.is_empty() {
                    out.emit_batch(batch).await;
                    continue;
                }
                let known = match &mut known {
                    Some(known) => known,
                    None => known.insert(Known::open(&self, &ctx).await?),
                };
                let mut new = known.add(wanted).await?.into_iter();
                let mut passed = Batch { items: Vec::with_capacity(batch.items.len()), errors: batch.errors };
                for (item, key) in batch.items.into_iter().zip(keys) {
                    if key.is_none() || new.next() == Some(true) {
                        passed.items.push(item);
                    } else {
                        repeats += 1;
                    }
                }
                out.emit_batch(passed).await;
            }
            if repeats > 0 {
                ctx.info(format!("{repeats} items left out whose key came before"));
            }
            Ok(())
        })
    }
}

impl Dedupe {
    /// The batch without items that lack their key, and the keys of those that are to be looked at.
    fn keys(&self, batch: Batch) -> (Batch, Vec<Option<Bytes>>) {
        let mut kept = Batch { items: Vec::with_capacity(batch.items.len()), errors: batch.errors };
        let mut keys = Vec::with_capacity(batch.items.len());
        for item in batch.items {
            let key = match &item {
                Item::Parsed(parsed) if self.topics.contain(&parsed.topic) => {
                    // No topic holds a zero byte, so that none is the beginning of another.
                    let mut key = parsed.topic.as_bytes().to_vec();
                    key.push(0);
                    match put_key(&mut key, &self.key, &parsed.content) {
                        Ok(()) => Some(Bytes::from(key)),
                        Err(error) => {
                            let error = error.at(&parsed.topic);
                            kept.errors.push(error.with_item(item));
                            continue;
                        }
                    }
                }
                _ => None,
            };
            keys.push(key);
            kept.items.push(item);
        }
        (kept, keys)
    }

    /// With another key nothing is comparable, so its fields are part of the name.
    fn state_name(&self) -> String {
        let fields = self.key.iter().map(|field| Value::from(&**field)).collect::<Vec<_>>();
        format!("dedupe {}", Value::from(fields))
    }
}

/// The keys that came before.
enum Known {
    Run(Scratch),
    Forever(Box<dyn StageState>),
}

impl Known {
    async fn open(stage: &Dedupe, ctx: &StageContext) -> Result<Self, StageError> {
        let name = stage.state_name();
        Ok(match (stage.scope, &stage.db_path) {
            (Scope::Run, _) => Self::Run(Scratch::new(ctx.run())),
            (Scope::Forever, None) => Self::Forever(ctx.state(&name).await?),
            (Scope::Forever, Some(path)) => {
                let scope = StateScope { pipeline: ctx.pipeline().to_owned(), name };
                Self::Forever(SqliteStateStore::at(path).open(scope, ctx.run()).await?)
            }
        })
    }

    /// Adds keys; says for each whether it was new.
    async fn add(&mut self, keys: Vec<Bytes>) -> Result<Vec<bool>, StageError> {
        let state = match self {
            Self::Run(scratch) => return scratch.add(keys).await,
            Self::Forever(state) => state,
        };
        let found = state.get_many(&keys).await?;
        let mut here = HashSet::with_capacity(keys.len());
        let new: Vec<bool> =
            keys.iter().zip(found).map(|(key, found)| found.is_none() && here.insert(key)).collect();
        let writes = keys.iter().zip(&new).filter(|(_, new)| **new);
        let writes: Vec<_> = writes.map(|(key, _)| StateWrite::Put(key.clone(), Bytes::new())).collect();
        if !writes.is_empty() {
            state.write(writes).await?;
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::OnError;
    use serde_json::json;

    use super::*;
    use crate::fetch::testing::{build, build_error, options, parsed, run_chain, run_on};

    fn numbers(numbers: &[i64]) -> Vec<Item> {
        numbers.iter().map(|n| parsed("t", json!({"n": n, "x": "y"}))).collect()
    }

    #[tokio::test]
    async fn each_key_passes_once() {
        let cases = [
            (json!({"key": "n"}), r#"t{"n":1} t{"n":2} u{"n":1} t{"n":"1"}"#),
            (
                json!({"key": ["n"], "topics": ["u"]}),
                r#"t{"n":1} t{"n":2} t{"n":1} u{"n":1} t{"n":"1"} t{"n":1.0}"#,
            ),
        ];
        for (kwargs, expected) in cases {
            let items = [
                ("t", json!(1)),
                ("t", json!(2)),
                ("t", json!(1)),
                ("u", json!(1)),
                ("u", json!(1)),
                ("t", json!("1")),
                ("t", json!(1.0)),
            ];
            let items = items.into_iter().map(|(topic, n)| parsed(topic, json!({"n": n}))).collect();
            let done = run_on(items, "dedupe.Dedupe", kwargs.clone(), OnError::Fail, options()).await;
            done.succeeded();
            let found: Vec<_> =
                done.parsed().map(|item| format!("{}{}", item.topic, item.content.to_json())).collect();
            assert_eq!(found.join(" "), expected, "{kwargs}");
        }
    }

    #[tokio::test]
    async fn keys_are_remembered_where_the_run_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.db");
        let kwargs = || json!({"key": "n", "scope": "forever", "db_path": path});
        let run = |numbers_: &'static [i64], fails: bool| {
            let kwargs = kwargs();
            async move {
                let mut chain = pipeline_core::Chain::new()
                    .stage("test.Feed", Box::new(crate::fetch::testing::Feed(numbers(numbers_))))
                    .stage("dedupe.Dedupe", build("dedupe.Dedupe", kwargs));
                if fails {
                    chain =
                        chain.stage("expect.ExpectItems", build("expect.ExpectItems", json!({"min": 99})));
                }
                let done = run_chain(chain, pipeline_core::RunContext::new(options())).await;
                done.parsed()
                    .map(|item| item.content.get("n").unwrap().to_json())
                    .collect::<Vec<_>>()
                    .join(",")
            }
        };
        assert_eq!(run(&[1, 2, 1], false).await, "1,2");
        assert_eq!(run(&[2, 3, 3], true).await, "3");
        assert_eq!(run(&[1, 3, 4], false).await, "3,4");
        assert_eq!(run(&[1, 2, 3, 4], false).await, "");
    }

    #[tokio::test]
    async fn many_keys_do_not_fill_the_memory() {
        let count = 100_000;
        let all: Vec<i64> = (0..count).chain(0..count).collect();
        let done =
            run_on(numbers(&all), "dedupe.Dedupe", json!({"key": ["n", "x"]}), OnError::Fail, options())
                .await;
        done.succeeded();
        assert_eq!(done.parsed().count(), 100_000);
    }

    #[tokio::test]
    async fn an_item_without_its_key_is_an_error() {
        let items =
            vec![parsed("t", json!({"n": 1})), parsed("t", json!({"n": null})), parsed("t", json!({"n": 1}))];
        let done = run_on(items, "dedupe.Dedupe", json!({"key": "n"}), OnError::Skip, options()).await;
        done.succeeded();
        assert_eq!((done.parsed().count(), done.report.stages[1].errors), (1, 1));
        let done = run_on(
            vec![parsed("t", json!({}))],
            "dedupe.Dedupe",
            json!({"key": "n"}),
            OnError::Fail,
            options(),
        )
        .await;
        assert!(done.error().contains("t: the key field `n` is absent"), "{}", done.error());
    }

    #[test]
    fn mistakes_are_found_when_the_file_is_read() {
        let error = build_error("dedupe.Dedupe", json!({"key": ["a", "a"], "db_path": "x.db", "topics": []}));
        for expected in ["key[1]: `a` is there already", "db_path: is where keys", "topics: an empty list"] {
            assert!(error.contains(expected), "{error}");
        }
        assert!(build_error("dedupe.Dedupe", json!({"key": []})).contains("at least one field"));
    }
}
