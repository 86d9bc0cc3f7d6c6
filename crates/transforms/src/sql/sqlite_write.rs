//! Writes the rows of a run into a SQLite file, within the transaction that is open.

use std::collections::HashMap;

use pipeline_core::StageError;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement};

use super::catalog::{quoted, quoted_list};
use super::columns::Affinity;
use super::error::fatal;
use super::sorted::Rows;
use super::sqlite_tables::{self, Target};
use super::tables::{Cells, Staged, StagedRow, StagedTable};
use super::unit::{Part, Stop};
use crate::keep::codec::Cell;

/// So many statements are kept prepared.
const STATEMENTS: usize = 256;

/// After so many rows it is asked whether to go on.
const ROWS: u64 = 2000;

/// What a sink writes into a file.
pub(crate) struct SqliteWrite {
    staged: Option<Staged>,
    /// The stage, to be said in errors.
    stage: String,
}

impl SqliteWrite {
    pub(crate) fn new(staged: Staged, stage: String) -> Self {
        Self { staged: Some(staged), stage }
    }
}

impl Part for SqliteWrite {
    fn apply(&mut self, db: &Connection, stop: &Stop) -> Result<(), StageError> {
        match self.staged.take() {
            Some(staged) => write(staged, db, stop).map_err(|error| error.at(&self.stage)),
            None => Ok(()),
        }
    }
}

fn write(staged: Staged, db: &Connection, stop: &Stop) -> Result<(), StageError> {
    let tables = staged.tables;
    let mut targets = Vec::with_capacity(tables.len());
    for table in &tables {
        // A table that was named but got no row is left alone.
        let target = match table.columns.is_empty() {
            true => Target::default(),
            false => sqlite_tables::ready(db, table).map_err(|error| error.at(at_table(table)))?,
        };
        targets.push(target);
    }
    let keys: Vec<_> = targets.iter().map(|target| target.sort_key.clone()).collect();
    let mut rows = Rows::new(staged.rows, &tables, &keys, stop)?;
    let mut writer = Writer { db, statements: Vec::new(), known: HashMap::new(), last: None };
    let mut count = 0u64;
    while let Some(frame) = rows.next_frame()? {
        count += 1;
        if count.is_multiple_of(ROWS) {
            stop.check()?;
        }
        let (number, cells, deletes) = match StagedRow::read(frame) {
            Some(StagedRow::Row { table, cells }) => (table, cells, false),
            Some(StagedRow::Delete { table, cells }) => (table, cells, true),
            None => return Err(StageError::fatal("the rows that were put aside cannot be read")),
        };
        let (table, target) = (&tables[number], &targets[number]);
        writer.write(number, table, target, cells.clone(), deletes).map_err(|error| {
            let row = shown(table, cells);
            explain(error).at(row).at(at_table(table))
        })?;
    }
    Ok(())
}

fn at_table(table: &StagedTable) -> String {
    format!("table {}", table.spec.shown())
}

/// The first values of a row, for an error.
fn shown(table: &StagedTable, mut cells: Cells<'_>) -> String {
    let mut text = String::from("row");
    while let Some((column, cell)) = cells.next_cell() {
        let value = match cell {
            Cell::Null => "null".to_owned(),
            Cell::Bool(value) => value.to_string(),
            Cell::Int(number) => number.to_string(),
            Cell::Float(number) => number.to_string(),
            Cell::Big(value) | Cell::Text(value) | Cell::Json(value) => value.chars().take(40).collect(),
        };
        text.push_str(&format!(" {} {value:?}", table.columns[column].name));
        if text.len() > 160 {
            text.push_str(" …");
            break;
        }
    }
    text
}

fn explain(error: rusqlite::Error) -> StageError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => StageError::fatal("the table does not allow the row")
            .hint("a constraint of the existing table; `key` turns rows that are there into updates")
            .caused_by(error),
        Some(ErrorCode::TypeMismatch) => StageError::fatal("the column does not take this kind of value")
            .hint("change the column's type, or convert the field before (map.Map)")
            .caused_by(error),
        _ => fatal("writing", error),
    }
}

/// The statements for rows, by table and the columns that a row has.
struct Writer<'db> {
    db: &'db Connection,
    statements: Vec<Statement<'db>>,
    known: HashMap<(usize, bool, Vec<u32>), usize>,
    /// The statement of the row before, which most rows share.
    last: Option<(usize, bool, Vec<u32>, usize)>,
}

impl Writer<'_> {
    fn write(
        &mut self,
        number: usize,
        table: &StagedTable,
        target: &Target,
        cells: Cells<'_>,
        deletes: bool,
    ) -> rusqlite::Result<()> {
        let at = self.statement(number, table, cells.clone(), deletes)?;
        let statement = &mut self.statements[at];
        let mut cells = cells;
        let mut parameter = 0;
        while let Some((column, cell)) = cells.next_cell() {
            parameter += 1;
            statement.raw_bind_parameter(parameter, Bound(cell, target.affinities[column]))?;
        }
        statement.raw_execute().map(drop)
    }

    fn statement(
        &mut self,
        number: usize,
        table: &StagedTable,
        cells: Cells<'_>,
        deletes: bool,
    ) -> rusqlite::Result<usize> {
        if let Some((last, last_deletes, columns, at)) = &self.last
            && (*last, *last_deletes) == (number, deletes)
            && has_columns(cells.clone(), columns)
        {
            return Ok(*at);
        }
        let mut columns = Vec::with_capacity(cells.len());
        let mut rest = cells;
        while let Some((column, _)) = rest.next_cell() {
            columns.push(column as u32);
        }
        let key = (number, deletes, columns);
        let at = match self.known.get(&key) {
            Some(at) => *at,
            None => {
                if self.statements.len() == STATEMENTS {
                    self.statements.clear();
                    self.known.clear();
                }
                let sql = if deletes { delete(table, &key.2) } else { upsert(table, &key.2) };
                self.statements.push(self.db.prepare(&sql)?);
                self.known.insert(key.clone(), self.statements.len() - 1);
                self.statements.len() - 1
            }
        };
        self.last = Some((key.0, key.1, key.2, at));
        Ok(at)
    }
}

fn has_columns(mut cells: Cells<'_>, columns: &[u32]) -> bool {
    cells.len() == columns.len()
        && columns.iter().all(|column| cells.next_cell().is_some_and(|(found, _)| found == *column as usize))
}

fn upsert(table: &StagedTable, columns: &[u32]) -> String {
    let spec = &table.spec;
    let name_of = |column: &u32| table.columns[*column as usize].name.as_str();
    let names = quoted_list(columns.iter().map(name_of));
    let marks = vec!["?"; columns.len()].join(", ");
    let mut sql = format!("INSERT INTO db.{} ({names}) VALUES ({marks})", quoted(&spec.name));
    if spec.key.is_empty() {
        return sql;
    }
    let is_key = |name: &str| spec.key.iter().any(|key| key.eq_ignore_ascii_case(name));
    let key = quoted_list(spec.key.iter().map(String::as_str));
    sql.push_str(&format!(" ON CONFLICT ({key}) DO "));
    let sets: Vec<String> = columns
        .iter()
        .map(name_of)
        .filter(|name| !is_key(name))
        .map(|name| {
            let column = quoted(name);
            if spec.first_seen.as_deref() == Some(name) {
                // A row from before the column was there has been seen at the latest now.
                format!("{column} = coalesce({column}, excluded.{column})")
            } else {
                format!("{column} = excluded.{column}")
            }
        })
        .collect();
    match sets.is_empty() {
        true => sql.push_str("NOTHING"),
        false => sql.push_str(&format!("UPDATE SET {}", sets.join(", "))),
    }
    sql
}

fn delete(table: &StagedTable, columns: &[u32]) -> String {
    let name_of = |column: &u32| quoted(&table.columns[*column as usize].name);
    let terms: Vec<String> = columns.iter().map(|column| format!("{} = ?", name_of(column))).collect();
    format!("DELETE FROM db.{} WHERE {}", quoted(&table.spec.name), terms.join(" AND "))
}

/// A value as a column takes it.
struct Bound<'a>(Cell<'a>, Affinity);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = self.1 == Affinity::Text;
        let owned = |text: String| ToSqlOutput::Owned(rusqlite::types::Value::Text(text));
        Ok(match self.0 {
            Cell::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Cell::Bool(value) if text => {
                ToSqlOutput::Borrowed(ValueRef::Text(if value { b"true" } else { b"false" }))
            }
            Cell::Bool(value) => ToSqlOutput::Borrowed(ValueRef::Integer(value.into())),
            Cell::Int(number) if text => owned(number.to_string()),
            Cell::Int(number) => ToSqlOutput::Borrowed(ValueRef::Integer(number)),
            // SQLite would cut the digits of a number that becomes text.
            Cell::Float(number) if text => owned(pipeline_core::Value::float(number).to_json()),
            Cell::Float(number) => ToSqlOutput::Borrowed(ValueRef::Real(number)),
            Cell::Big(value) | Cell::Text(value) | Cell::Json(value) => {
                ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes()))
            }
        })
    }
}
