//! pipeline-core.
