//! Stages that turn payloads into records.

mod json;
mod rows;

use pipeline_core::Registry;

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<json::JsonParser>();
}
