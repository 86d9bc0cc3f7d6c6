//! Stages that write records out, but for databases.

mod console;
mod csv;
mod destination;
mod jsonl;
mod table;

#[cfg(test)]
mod tests;

use pipeline_core::{Item, Registry, Topic};

pub use console::{ConsoleFormat, ConsoleSink, ConsoleSinkKwargs};
pub use csv::{CsvSink, CsvSinkKwargs};
pub use jsonl::{JsonlSink, JsonlSinkKwargs};

/// Registers the classes of this folder.
pub(crate) fn register(registry: &mut Registry) {
    registry.register::<JsonlSink>();
    registry.register::<CsvSink>();
    registry.register::<ConsoleSink>();
}

/// Whether an item is a record of one of the topics; of any where none are named.
fn is_of(item: &Item, topics: Option<&[Topic]>) -> bool {
    match (item.topic(), topics) {
        (Some(topic), Some(topics)) => topics.contains(topic),
        (topic, _) => topic.is_some(),
    }
}
