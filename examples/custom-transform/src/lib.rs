//! A transform of one's own, as a crate that any program of ours can register.
//!
//! `src/main.rs` is a `scraper-legacy` that knows it: `cargo run -p custom-transform -- examples/custom-transform/pipelines.yml`.

use pipeline_core::{
    Batch, BuildContext, BuildErrors, Definition, Item, ItemTransform, StageContext, StageError, Topic,
    Transform, Value, items,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What a file may write under `kwargs`. These comments are the reference that
/// `scraper-scheduler transforms` shows, and the schema is what editors complete from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoundKwargs {
    /// The field to round.
    pub field: String,
    /// The number of digits behind the point.
    #[serde(default)]
    pub digits: u8,
    /// The topics to work on; all, where absent.
    #[serde(default)]
    pub topics: Option<Vec<Topic>>,
}

/// Rounds a number field of each item.
pub struct Round {
    field: String,
    factor: f64,
    topics: Option<Vec<Topic>>,
}

impl Definition for Round {
    const CLASS: &'static str = "example.Round";
    const SUMMARY: &'static str = "Rounds a number field of each item.";
    const EXAMPLE: &'static str = "class: example.Round\nkwargs: {field: price, digits: 1}\n";
    type Kwargs = RoundKwargs;

    fn build(kwargs: RoundKwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        if kwargs.digits > 12 {
            return Err(BuildErrors::at("digits", format!("{} is more than 12", kwargs.digits)));
        }
        let factor = 10f64.powi(kwargs.digits.into());
        Ok(items(Self { field: kwargs.field, factor, topics: kwargs.topics }))
    }
}

impl ItemTransform for Round {
    fn apply(&mut self, mut item: Item, _: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        if let Item::Parsed(parsed) = &mut item
            && self.topics.as_ref().is_none_or(|topics| topics.contains(&parsed.topic))
        {
            match parsed.content.get_mut(&self.field) {
                Some(Value::Float(number)) => *number = (*number * self.factor).round() / self.factor,
                Some(Value::Int(_) | Value::Null) | None => {}
                Some(other) => {
                    let message = format!("field `{}` is {}, not a number", self.field, other.type_name());
                    return Err(StageError::item(message).with_item(item));
                }
            }
        }
        out.emit(item);
        Ok(())
    }
}
