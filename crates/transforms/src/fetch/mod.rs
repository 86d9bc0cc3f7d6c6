//! Stages that bring payloads in.

use pipeline_core::Registry;

/// Registers the classes of this folder.
pub(crate) fn register(_registry: &mut Registry) {}
