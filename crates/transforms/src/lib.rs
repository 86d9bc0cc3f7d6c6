//! The built-in transforms, one file each: what a file may write, what runs, and the tests.

mod convert;
mod diff;
mod encoding;
mod fetch;
mod http;
mod item;
mod jq;
mod json;
mod keep;
mod output;
mod parse;
mod sink;
mod sql;
mod template;
mod tls;
mod topics;

use pipeline_core::Registry;

pub use diff::{BaselineKwargs, DiffParser, DiffParserKwargs, MaxRemoved};
pub use fetch::CommandEnvironment;
pub use output::{Console, Output};
pub use sink::{
    ConsoleFormat, ConsoleSink, ConsoleSinkKwargs, CsvSink, CsvSinkKwargs, JsonlSink, JsonlSinkKwargs,
};
pub use sql::{
    ColumnPrograms, DatabaseSink, DatabaseSinkKwargs, EmptyDatabases, QueryFetcher, QueryFetcherKwargs,
    QueryParams, SqliteStateStore, TableKwargs, TimeColumn,
};
pub use tls::client_config;

/// Registers every built-in.
pub fn register(registry: &mut Registry) {
    fetch::register(registry);
    http::register(registry);
    parse::register(registry);
    item::register(registry);
    diff::register(registry);
    sink::register(registry);
    sql::register(registry);
}

/// A registry with every built-in.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    register(&mut registry);
    registry
}
