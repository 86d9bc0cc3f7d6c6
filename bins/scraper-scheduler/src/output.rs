//! Data on stdout: JSON, and tables for people.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::failure::Failure;

/// Prints a line of data. A reader that has gone away ends the output, and is no failure.
///
/// # Errors
/// The output cannot be written for another reason.
pub(crate) fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_ref().as_bytes()).and_then(|()| stdout.write_all(b"\n"));
    gone_is_fine(written.and_then(|()| stdout.flush()))
}

/// Prints JSON.
///
/// # Errors
/// The output cannot be written.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    line(text)
}

/// Says something to whoever started the command.
pub(crate) fn say(text: impl AsRef<str>) {
    // Nobody is left to be told where this fails.
    drop(writeln!(io::stderr().lock(), "{}", text.as_ref()));
}

fn gone_is_fine(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Silent(0)),
        other => Ok(other?),
    }
}

/// An instant in UTC, as JSON and tables show it.
pub(crate) fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A table whose columns are as wide as their widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| cell.replace(['\n', '\r', '\t'], " ")).collect());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The lines.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let padding = width - cell.chars().count() + 2;
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', padding));
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line.trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["id", "state"]);
        table.row(["pipeline_books".to_owned(), "scheduled".to_owned()]);
        table.row(["å".to_owned(), "two\nlines".to_owned()]);
        assert_eq!(
            table.render(),
            "id              state\npipeline_books  scheduled\nå               two lines"
        );
    }
}
