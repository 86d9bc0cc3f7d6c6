//! Stages that compute on records.

mod dedupe;
mod expect;
mod filter;
mod limit;
mod map;
mod validate;

use pipeline_core::{ParsedItem, Registry, StageError};

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<dedupe::Dedupe>();
    registry.register::<map::Map>();
    registry.register::<filter::Filter>();
    registry.register::<limit::Limit>();
    registry.register::<expect::ExpectItems>();
    registry.register::<validate::SchemaValidator>();
}

/// The error of one item, which it names by its topic and the beginning of its content.
fn item_error(item: ParsedItem, message: impl Into<String>) -> StageError {
    let content = item.content.to_json();
    let place = format!("item of topic `{}` {}", item.topic, crate::convert::excerpt(&content));
    StageError::item(message).at(place).with_item(item)
}

/// `$meta` exists only where payloads are: anywhere else it would be null without a word.
fn refuse_meta(path: &str, program: &str) -> Result<(), pipeline_core::BuildErrors> {
    if program.contains("$meta") {
        return Err(pipeline_core::BuildErrors::at(
            path,
            "`$meta` is the metadata of a payload, which only parsers see: take what is needed of it into the \
             items there, with `records` of json.JsonParser or `meta` of the other parsers",
        ));
    }
    Ok(())
}
