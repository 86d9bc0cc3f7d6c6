//! Stages that turn payloads into records.

mod csv;
mod html;
mod json;
mod meta;
mod rows;
mod table;

use pipeline_core::Registry;

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<csv::CsvParser>();
    registry.register::<html::HtmlParser>();
    registry.register::<json::JsonParser>();
}
