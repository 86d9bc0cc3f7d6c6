//! Databases: the state of stages, the database sink, the query fetcher.

mod catalog;
mod columns;
mod databases;
mod error;
mod file_lock;
mod kwargs;
mod place;
mod postgres;
mod query;
mod routes;
mod sink;
mod sorted;
mod sqlite_tables;
mod sqlite_write;
mod staged_state;
mod state;
mod tables;
mod unit;

#[cfg(test)]
mod tests;

use pipeline_core::Registry;

pub(crate) use catalog::{column_value, columns_of, quoted};
pub(crate) use databases::Databases;
pub use databases::EmptyDatabases;
pub(crate) use error::fatal;
pub use kwargs::{ColumnPrograms, DatabaseSinkKwargs, TableKwargs, TimeColumn};
pub use query::{QueryFetcher, QueryFetcherKwargs, QueryParams};
pub use sink::DatabaseSink;
pub use state::SqliteStateStore;

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<DatabaseSink>();
    registry.register::<QueryFetcher>();
}
