//! Rows as a table of text.

use std::fmt;

use pipeline_core::{Record, Value};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// So many rows are shown together.
const ROWS: usize = 500;

/// A value is cut to so many columns of the screen.
const WIDTH: usize = 60;

/// Rows of one topic; their columns are all fields that they have, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Table {
    names: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, Default)]
struct Cell {
    text: String,
    is_number: bool,
}

impl Table {
    /// Whether it should be shown before more rows are added.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= ROWS
    }

    /// Adds a row.
    pub(super) fn push(&mut self, content: &Record) {
        let mut row = vec![Cell::default(); self.names.len()];
        for (name, value) in content.iter() {
            let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
                self.names.push(name.to_owned());
                row.push(Cell::default());
                self.names.len() - 1
            });
            row[at] = cell(value);
        }
        self.rows.push(row);
    }
}

fn cell(value: &Value) -> Cell {
    let text = match value {
        Value::Null => String::new(),
        Value::Text(text) => text.to_string(),
        other => other.to_json(),
    };
    let is_number = matches!(value, Value::Int(_) | Value::Float(_) | Value::BigNumber(_));
    Cell { text: shortened(&text), is_number }
}

/// One line that fits, without what would move the cursor.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    let mut width = 0;
    for letter in text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
        width += letter.width().unwrap_or(0);
        if width > WIDTH {
            short.push('…');
            break;
        }
        short.push(letter);
    }
    short
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.names.iter().map(|name| shortened(name)).collect();
        let cells = |at: usize| self.rows.iter().filter_map(move |row| row.get(at));
        let width = |at: usize| {
            let widest = cells(at).map(|cell| cell.text.width()).max().unwrap_or(0);
            widest.max(names[at].width())
        };
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        let numeric: Vec<bool> = (0..names.len())
            .map(|at| {
                let mut filled = cells(at).filter(|cell| !cell.text.is_empty()).peekable();
                filled.peek().is_some() && filled.all(|cell| cell.is_number)
            })
            .collect();
        let line = |texts: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (at, text) in texts.enumerate() {
                let fill = " ".repeat(widths[at] - text.width());
                let gap = if at > 0 { "  " } else { "" };
                match numeric[at] {
                    true => line.extend([gap, &fill, text]),
                    false => line.extend([gap, text, &fill]),
                }
            }
            line.truncate(line.trim_end().len());
            line
        };
        f.write_str(&line(&mut names.iter().map(String::as_str)))?;
        let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        write!(f, "\n{}", line(&mut rules.iter().map(String::as_str)))?;
        for row in &self.rows {
            write!(f, "\n{}", line(&mut row.iter().map(|cell| cell.text.as_str())))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_by_what_the_screen_shows() {
        let mut table = Table::default();
        let rows = [
            json!({"title": "Emma", "price": 9.5}),
            json!({"title": "源氏物語", "price": 12, "tags": ["a"]}),
            json!({"price": null, "title": "a\nb\u{1b}[31m"}),
        ];
        for row in rows {
            table.push(&serde_json::from_value(row).unwrap());
        }
        let expected = "\
title     price  tags
--------  -----  -----
Emma        9.5
源氏物語     12  [\"a\"]
a b [31m";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn long_values_are_cut() {
        let mut table = Table::default();
        table.push(&serde_json::from_value(json!({"a": "x".repeat(500)})).unwrap());
        let shown = table.to_string();
        assert!(shown.lines().all(|line| line.width() <= WIDTH + 1) && shown.ends_with("x…"), "{shown}");
    }
}
