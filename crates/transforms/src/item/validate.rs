//! `validate.SchemaValidator`: items that do not fit a JSON Schema are errors.

use std::path::Path;

use jsonschema::Validator;
use pipeline_core::{
    Batch, BuildContext, BuildErrors, Definition, Item, ItemTransform, StageContext, StageError, Topic,
    Transform, Value, items,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::item_error;
use crate::convert::excerpt;
use crate::topics::Topics;

/// So many faults of an item are told.
const TOLD: usize = 5;

/// What `validate.SchemaValidator` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaValidatorKwargs {
    /// A JSON Schema for the content of items, written here, or the path of a file that holds it (JSON). It
    /// may refer only to its own parts.
    schema: Value,
    /// The topics of the items to check (default: all); others pass.
    topics: Option<Vec<Topic>>,
}

/// Checks the content of items.
pub(crate) struct SchemaValidator {
    validator: Validator,
    topics: Topics,
}

impl Definition for SchemaValidator {
    const CLASS: &'static str = "validate.SchemaValidator";
    const SUMMARY: &'static str = "Makes an error of each item whose content does not fit a JSON Schema.";
    const EXAMPLE: &'static str = "\
class: validate.SchemaValidator
kwargs:
  topics: [shop.book]
  schema:
    type: object
    required: [title, price]
    properties:
      title: {type: string, minLength: 1}
      price: {type: number, exclusiveMinimum: 0}
";

    type Kwargs = SchemaValidatorKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        let mut errors = BuildErrors::default();
        let validator =
            errors.collect(validator(&kwargs.schema).map_err(|error| BuildErrors::at("schema", error)));
        let topics = errors.collect(Topics::new(kwargs.topics));
        let (Some(validator), Some(topics)) = (validator, topics) else { return Err(errors) };
        Ok(items(Self { validator, topics }))
    }
}

fn validator(schema: &Value) -> Result<Validator, String> {
    let schema = match schema {
        Value::Text(path) => read(Path::new(path.as_str()))?,
        Value::Object(_) => serde_json::Value::from(schema),
        other => {
            return Err(format!("must be a schema or the path of one, and is {}", excerpt(&other.to_json())));
        }
    };
    if !schema.is_object() {
        return Err("the file holds no object, and so no schema".to_owned());
    }
    // Nothing is fetched: a schema that refers to other documents is refused here.
    jsonschema::options().should_validate_formats(true).build(&schema).map_err(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { String::new() } else { format!("at {place}: ") };
        format!("is no JSON Schema that can be used: {place}{error}")
    })
}

fn read(path: &Path) -> Result<serde_json::Value, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map_err(|error| format!("{shown} is not JSON: {error}"))
}

impl ItemTransform for SchemaValidator {
    fn apply(&mut self, item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        let item = match item {
            Item::Parsed(item) if self.topics.contain(&item.topic) => item,
            other => {
                out.emit(other);
                return Ok(());
            }
        };
        let content = serde_json::Value::Object(item.content.to_json_map());
        if self.validator.is_valid(&content) {
            out.emit(item);
            return Ok(());
        }
        let mut faults = self.validator.iter_errors(&content).map(|fault| {
            let place = fault.instance_path().to_string();
            let text = fault.to_string();
            let text = excerpt(&text);
            if place.is_empty() { text.into_owned() } else { format!("{place}: {text}") }
        });
        let mut told: Vec<String> = faults.by_ref().take(TOLD).collect();
        let more = faults.count();
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        Err(item_error(item, format!("does not fit the schema: {}", told.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use pipeline_core::OnError;
    use serde_json::json;

    use crate::fetch::testing::{build_error, options, parsed, run_on};

    fn schema() -> serde_json::Value {
        json!({
            "type": "object",
            "required": ["title", "price"],
            "properties": {
                "title": {"type": "string", "minLength": 1},
                "price": {"type": "number", "minimum": 0},
                "tags": {"type": "array", "items": {"type": "string"}},
                "at": {"type": "string", "format": "date-time"},
            },
        })
    }

    #[tokio::test]
    async fn items_that_do_not_fit_are_errors() {
        let cases = [
            (json!({"title": "a", "price": 1}), None),
            (
                json!({"title": "a", "price": 0.5, "tags": ["x"], "at": "2024-02-29T10:00:00Z", "z": null}),
                None,
            ),
            (json!({"title": "a", "price": -1}), Some("/price: -1 is less than the minimum of 0")),
            (json!({"title": "", "price": "1"}), Some("/title: \"\" is shorter than 1 character")),
            (json!({"title": "", "price": "1"}), Some("/price: \"1\" is not of type \"number\"")),
            (json!({"price": 1}), Some("does not fit the schema: \"title\" is a required property")),
            (json!({"title": "a", "price": 1, "tags": [1, 2, 3, 4, 5, 6, 7]}), Some("and 2 more")),
            (json!({"title": "a", "price": 1, "at": "soon"}), Some("/at: \"soon\" is not a \"date-time\"")),
        ];
        for (content, expected) in cases {
            let kwargs = json!({"schema": schema()});
            let items = vec![parsed("t", content.clone())];
            let done = run_on(items, "validate.SchemaValidator", kwargs, OnError::Fail, options()).await;
            match expected {
                None => done.succeeded(),
                Some(expected) => assert!(done.error().contains(expected), "{content}: {}", done.error()),
            }
        }
        let items = vec![parsed("t", json!({})), parsed("u", json!({}))];
        let kwargs = json!({"schema": schema(), "topics": ["t"]});
        let done = run_on(items, "validate.SchemaValidator", kwargs, OnError::Skip, options()).await;
        done.succeeded();
        assert_eq!(done.parsed().map(|item| item.topic.to_string()).collect::<Vec<_>>(), ["u"]);
    }

    #[tokio::test]
    async fn a_schema_may_stand_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book.json");
        std::fs::write(&path, schema().to_string()).unwrap();
        let items = vec![parsed("t", json!({"title": "a", "price": -1}))];
        let done =
            run_on(items, "validate.SchemaValidator", json!({"schema": path}), OnError::Fail, options())
                .await;
        assert!(done.error().contains("less than the minimum"), "{}", done.error());
        std::fs::write(&path, "{").unwrap();
        assert!(build_error("validate.SchemaValidator", json!({"schema": path})).contains("is not JSON"));
    }

    #[test]
    fn mistakes_are_found_when_the_file_is_read() {
        let cases = [
            (json!({"schema": "/nowhere/x.json"}), "schema: /nowhere/x.json cannot be read"),
            (json!({"schema": 5}), "schema: must be a schema or the path of one"),
            (json!({"schema": {"type": "money"}}), "schema: is no JSON Schema that can be used"),
            (
                json!({"schema": {"$ref": "http://localhost:1/x.json"}}),
                "schema: is no JSON Schema that can be used",
            ),
            (json!({"schema": {"$ref": "file:///etc/passwd"}}), "schema: is no JSON Schema that can be used"),
        ];
        for (kwargs, expected) in cases {
            let error = build_error("validate.SchemaValidator", kwargs);
            assert!(error.contains(expected), "{error}");
        }
    }
}
