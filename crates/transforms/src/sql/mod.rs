//! Databases: the state of stages, the database sink, the query fetcher.

use pipeline_core::Registry;

/// Registers the classes of this folder.
pub(crate) fn register(_registry: &mut Registry) {}
