//! Databases: the state of stages, the database sink, the query fetcher.

mod catalog;
mod databases;
mod error;
mod file_lock;
mod postgres;
mod staged_state;
mod state;
mod unit;

use pipeline_core::Registry;

pub(crate) use catalog::{column_value, columns_of, quoted};
pub(crate) use databases::Databases;
pub use databases::EmptyDatabases;
pub(crate) use error::fatal;
pub use state::SqliteStateStore;

/// Registers the classes of this folder.
pub(crate) fn register(_registry: &mut Registry) {}
