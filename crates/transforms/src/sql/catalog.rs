//! What a SQLite file says of its tables, and what its values are.

use std::fmt::Write;

use base64::Engine;
use pipeline_core::Value;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// A column of an existing table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The type as it was declared, in capitals; empty where none was.
    pub(crate) declared: String,
}

/// The columns of a table of the attached file `db`; none where there is no such table.
pub(crate) fn columns_of(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut select = connection.prepare("SELECT name, upper(type) FROM pragma_table_info(?1, 'db')")?;
    let column = |row: &rusqlite::Row<'_>| Ok(Column { name: row.get(0)?, declared: row.get(1)? });
    select.query_map([table], column)?.collect()
}

/// A name in quotation marks, so that nothing in it has a meaning of its own.
pub(crate) fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('"');
    for letter in name.chars() {
        if letter == '"' {
            text.push('"');
        }
        text.push(letter);
    }
    text.push('"');
    text
}

/// A stored value as a field's. Columns declared BOOLEAN hold 0 and 1; bytes become base64.
pub(crate) fn column_value(value: ValueRef<'_>, declared: &str) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number @ (0 | 1)) if declared.starts_with("BOOL") => Value::Bool(number == 1),
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::float(number),
        ValueRef::Text(text) => Value::from(&*String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => Value::from(base64::engine::general_purpose::STANDARD.encode(bytes)),
    }
}

/// Names in quotation marks with commas between them.
pub(crate) fn quoted_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for name in names {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        write!(text, "{comma}{}", quoted(name)).ok();
    }
    text
}
