//! Reading JSON as it comes: value after value, exact numbers, shared field names.
//!
//! Written for what a general reader does not give together: values one after another from a stream of
//! any length, the elements of one array within a document without the document, numbers that keep their
//! exact value, records that share their names, and errors with line and column.

mod reader;
mod scalars;
mod stream;

#[cfg(test)]
mod tests;

pub(crate) use reader::{JsonError, JsonReader};
pub(crate) use stream::Streamed;
