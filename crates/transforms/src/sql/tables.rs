//! The rows of a run, put aside in a spool until they are written in one go.
//!
//! Only when all rows are there is it known which columns they need and of which types, and the order of
//! the spool is the order in which they came: a later row wins, a removal takes what came before it.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use pipeline_core::{Record, Shape, StageError, Value};

use super::columns::Kinds;
use super::sorted::Order;
use crate::keep::codec::{Cell, Decoder, put_cell, put_number};
use crate::keep::{Spool, SpoolReader, begin_frame, end_frame};

/// Which rules of names hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// More columns no table can have; some of PostgreSQL's 1,600 are needed on the way there.
const MAX_COLUMNS: [usize; 2] = [2000, 1590];

/// So many tables are a mistake in the choice of topics.
const MAX_TABLES: usize = 500;

/// So many layouts of a table are remembered.
const LAYOUTS: usize = 16;

const ROW: u8 = 0;
const DELETE: u8 = 1;

/// How a table is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableSpec {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    /// The fields of the key; none for a table that is appended to.
    pub(crate) key: Vec<String>,
    pub(crate) first_seen: Option<String>,
    pub(crate) last_seen: Option<String>,
    /// The columns that are of text whatever comes first, such as nulls.
    pub(crate) texts: &'static [&'static str],
}

impl TableSpec {
    /// The table's name as a person reads it.
    pub(crate) fn shown(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A column that rows of this run have.
#[derive(Debug, Clone)]
pub(crate) struct StagedColumn {
    pub(crate) name: String,
    pub(crate) kinds: Kinds,
}

/// A table that rows of this run go to.
#[derive(Debug)]
pub(crate) struct StagedTable {
    pub(crate) spec: TableSpec,
    pub(crate) columns: Vec<StagedColumn>,
    /// Positions of columns by name; in SQLite names that differ in case only are the same.
    by_name: HashMap<String, u32>,
    layouts: Vec<(Arc<Shape>, Layout)>,
    /// The columns that keep times, once a row is there.
    times: Option<Arc<[u32]>>,
    /// Whether the rows have come in the order of their keys.
    pub(crate) order: Order,
}

/// Which columns the fields of a record go to.
#[derive(Debug, Clone)]
struct Layout {
    columns: Arc<[u32]>,
    /// The position of each key field within the record.
    key: Arc<[usize]>,
}

impl StagedTable {
    /// The positions of the key's columns. All are known once a row or a removal is there.
    pub(crate) fn key_columns(&self, dialect: Dialect) -> Option<Vec<usize>> {
        let at = |name: &String| self.by_name.get(&folded(dialect, name)).map(|at| *at as usize);
        self.spec.key.iter().map(at).collect()
    }
}

/// All tables of a sink in a run.
#[derive(Debug)]
pub(crate) struct Staging {
    dialect: Dialect,
    tables: Vec<StagedTable>,
    spool: Option<Spool>,
    /// The last instant and its text: most rows share it.
    time: Option<(DateTime<Utc>, Value)>,
}

/// The tables and rows of a run that is about to end.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) tables: Vec<StagedTable>,
    pub(crate) rows: SpoolReader,
}

/// A row of the spool.
pub(crate) enum StagedRow<'a> {
    /// Upserts or appends: `(column, value)` in turn.
    Row { table: usize, cells: Cells<'a> },
    /// Deletes the row with this key: a value for each key column.
    Delete { table: usize, cells: Cells<'a> },
}

/// The values of a row.
#[derive(Clone)]
pub(crate) struct Cells<'a> {
    decoder: Decoder<'a>,
    left: u64,
}

impl<'a> Cells<'a> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.left as usize
    }

    /// The next value and its column.
    pub(crate) fn next_cell(&mut self) -> Option<(usize, Cell<'a>)> {
        self.left = self.left.checked_sub(1)?;
        Some((self.decoder.number()? as usize, self.decoder.cell()?))
    }
}

impl Staging {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, tables: Vec::new(), spool: None, time: None }
    }

    /// The number of a table, added where it is new.
    pub(crate) fn table(&mut self, spec: TableSpec) -> Result<usize, StageError> {
        if let Some(at) = self.tables.iter().position(|table| table.spec == spec) {
            return Ok(at);
        }
        check_table_name(self.dialect, &spec)?;
        if self.tables.len() == MAX_TABLES {
            return Err(StageError::fatal(format!("the run writes more than {MAX_TABLES} tables"))
                .hint("a topic is the name of a table: does it hold data?"));
        }
        self.tables.push(StagedTable {
            spec,
            columns: Vec::new(),
            by_name: HashMap::new(),
            layouts: Vec::new(),
            times: None,
            order: Order::default(),
        });
        Ok(self.tables.len() - 1)
    }

    /// How a table is to be.
    pub(crate) fn spec(&self, table: usize) -> &TableSpec {
        &self.tables[table].spec
    }

    /// Checks that a row could be written, without keeping it.
    pub(crate) fn check_row(&mut self, table: usize, content: &Record) -> Result<(), StageError> {
        let layout = self.layout(table, content.shape())?;
        check_key(&self.tables[table].spec, &layout, content)?;
        self.check_values(content)
    }

    /// PostgreSQL has no text with a NUL in it.
    fn check_values(&self, content: &Record) -> Result<(), StageError> {
        let has_nul =
            |value: &Value| value.as_str().is_some_and(|text| memchr::memchr(0, text.as_bytes()).is_some());
        if self.dialect == Dialect::Sqlite || !content.values().iter().any(has_nul) {
            return Ok(());
        }
        let field = content.iter().find(|(_, value)| has_nul(value)).map_or("", |(name, _)| name);
        Err(StageError::item(format!("the field `{field}` holds a NUL, which PostgreSQL cannot keep"))
            .hint("remove it before (map.Map)"))
    }

    /// Puts a row aside.
    pub(crate) async fn row(
        &mut self,
        table: usize,
        content: &Record,
        seen_at: DateTime<Utc>,
    ) -> Result<(), StageError> {
        let layout = self.layout(table, content.shape())?;
        check_key(&self.tables[table].spec, &layout, content)?;
        self.check_values(content)?;
        let times = self.time_columns(table)?;
        let time = if times.is_empty() { None } else { Some(self.time_text(seen_at)) };
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(Spool::anonymous("the rows for the database")?),
        };
        let columns = &mut self.tables[table].columns;
        let buffer = spool.buffer();
        let start = begin_frame(buffer);
        buffer.push(ROW);
        put_number(buffer, table as u64);
        put_number(buffer, (layout.columns.len() + times.len()) as u64);
        for (column, value) in layout.columns.iter().zip(content.values()) {
            columns[*column as usize].kinds.add(Kinds::of(value));
            put_number(buffer, u64::from(*column));
            put_cell(buffer, value);
        }
        for column in times.iter() {
            put_number(buffer, u64::from(*column));
            put_cell(buffer, time.as_ref().unwrap_or(&Value::Null));
        }
        end_frame(buffer, start)?;
        if let Some(StagedRow::Row { cells, .. }) = StagedRow::read(&buffer[start..]) {
            let key = layout.key.iter().map(|at| layout.columns[*at] as usize);
            self.tables[table].order.look(key, &cells);
        }
        spool.make_room().await
    }

    /// Puts the removal of a row aside. `key` has a value for each field of the table's key.
    pub(crate) async fn delete(&mut self, table: usize, key: &[Value]) -> Result<(), StageError> {
        let names = self.tables[table].spec.key.clone();
        let mut columns = Vec::with_capacity(names.len());
        for (name, value) in names.iter().zip(key) {
            let column = self.column(table, name)?;
            self.tables[table].columns[column as usize].kinds.add(Kinds::of(value));
            columns.push(column);
        }
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(Spool::anonymous("the rows for the database")?),
        };
        let buffer = spool.buffer();
        let start = begin_frame(buffer);
        buffer.push(DELETE);
        put_number(buffer, table as u64);
        put_number(buffer, key.len() as u64);
        for (column, value) in columns.iter().zip(key) {
            put_number(buffer, u64::from(*column));
            put_cell(buffer, value);
        }
        end_frame(buffer, start)?;
        spool.make_room().await
    }

    /// Ends the staging; `None` where nothing was put aside.
    pub(crate) async fn finish(&mut self) -> Result<Option<Staged>, StageError> {
        let Some(spool) = self.spool.take() else { return Ok(None) };
        let rows = spool.into_reader().await?;
        Ok(Some(Staged { tables: std::mem::take(&mut self.tables), rows }))
    }

    /// The columns of the table that keep times. They come behind the fields of the first row.
    fn time_columns(&mut self, table: usize) -> Result<Arc<[u32]>, StageError> {
        if let Some(times) = &self.tables[table].times {
            return Ok(times.clone());
        }
        let spec = self.tables[table].spec.clone();
        let mut times = Vec::new();
        for name in [spec.first_seen, spec.last_seen].into_iter().flatten() {
            let column = self.column(table, &name)?;
            self.tables[table].columns[column as usize].kinds.add(Kinds::TIME);
            times.push(column);
        }
        let times: Arc<[u32]> = times.into();
        self.tables[table].times = Some(times.clone());
        Ok(times)
    }

    fn time_text(&mut self, at: DateTime<Utc>) -> Value {
        match &self.time {
            Some((last, text)) if *last == at => text.clone(),
            _ => {
                let text = Value::from(at.to_rfc3339_opts(SecondsFormat::Micros, true));
                self.time = Some((at, text.clone()));
                text
            }
        }
    }

    fn layout(&mut self, table: usize, shape: &Arc<Shape>) -> Result<Layout, StageError> {
        let layouts = &self.tables[table].layouts;
        // The shape is held, so that no other can have its address.
        if let Some((_, layout)) = layouts.iter().find(|(known, _)| Arc::ptr_eq(known, shape)) {
            return Ok(layout.clone());
        }
        if shape.names().is_empty() {
            return Err(StageError::item("the record has no fields"));
        }
        let spec = &self.tables[table].spec;
        for time in [&spec.first_seen, &spec.last_seen].into_iter().flatten() {
            let clash = |name: &&Arc<str>| folded(self.dialect, name) == folded(self.dialect, time);
            if let Some(field) = shape.names().iter().find(clash) {
                return Err(StageError::item(format!(
                    "the field `{field}` has the name of a column that keeps times"
                ))
                .hint("give that column another name: `first_seen: COLUMN`, `last_seen: COLUMN`"));
            }
        }
        let mut columns = Vec::with_capacity(shape.names().len());
        for (at, name) in shape.names().iter().enumerate() {
            let column = self.column(table, name)?;
            if let Some(other) = columns.iter().position(|known| *known == column) {
                return Err(StageError::item(format!(
                    "the fields `{}` and `{name}` are the same column in SQLite, which ignores case",
                    shape.names()[other]
                ))
                .hint("rename one of them before (map.Map)"));
            }
            debug_assert_eq!(columns.len(), at, "one column a field");
            columns.push(column);
        }
        let spec = &self.tables[table].spec;
        let mut key = Vec::with_capacity(spec.key.len());
        for field in &spec.key {
            let Some(at) = shape.position(field) else {
                return Err(StageError::item(format!("the key field `{field}` is absent"))
                    .hint("a row needs its whole key; filter such items out before"));
            };
            key.push(at);
        }
        let layout = Layout { columns: columns.into(), key: key.into() };
        let layouts = &mut self.tables[table].layouts;
        if layouts.len() == LAYOUTS {
            layouts.pop();
        }
        layouts.insert(0, (shape.clone(), layout.clone()));
        Ok(layout)
    }

    /// The position of a column, added where it is new.
    fn column(&mut self, table: usize, name: &str) -> Result<u32, StageError> {
        let table = &mut self.tables[table];
        let lookup = folded(self.dialect, name);
        if let Some(column) = table.by_name.get(&lookup) {
            return Ok(*column);
        }
        check_column_name(self.dialect, name)?;
        let max = MAX_COLUMNS[usize::from(self.dialect == Dialect::Postgres)];
        if table.columns.len() >= max {
            return Err(StageError::item(format!(
                "with the field `{name}` the table `{}` would have more than {max} columns",
                table.spec.shown()
            ))
            .hint("are the fields' names data? nest them in one field, which is kept as JSON"));
        }
        let column = table.columns.len() as u32;
        let kinds = if table.spec.texts.contains(&name) { Kinds::TEXT } else { Kinds::NONE };
        table.columns.push(StagedColumn { name: name.to_owned(), kinds });
        table.by_name.insert(lookup, column);
        Ok(column)
    }
}

impl<'a> StagedRow<'a> {
    /// Reads a frame of the spool; `None` where it is none.
    pub(crate) fn read(frame: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(frame);
        let operation = decoder.byte()?;
        let table = decoder.number()? as usize;
        let left = decoder.number()?;
        let cells = Cells { decoder, left };
        Some(match operation {
            ROW => Self::Row { table, cells },
            _ => Self::Delete { table, cells },
        })
    }
}

fn check_key(spec: &TableSpec, layout: &Layout, content: &Record) -> Result<(), StageError> {
    match layout.key.iter().position(|at| content.values()[*at].is_null()) {
        None => Ok(()),
        Some(at) => Err(StageError::item(format!("the key field `{}` is null", spec.key[at]))
            .hint("a row needs its whole key; filter such items out before")),
    }
}

fn folded(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Sqlite => name.to_ascii_lowercase(),
        Dialect::Postgres => name.to_owned(),
    }
}

fn check_name(dialect: Dialect, what: &str, name: &str) -> Result<(), StageError> {
    let wrong = |why: &str| {
        let name: String = name.chars().take(80).collect();
        Err(StageError::item(format!("`{}` cannot be the name of a {what}: {why}", name.escape_debug())))
    };
    if name.is_empty() {
        return wrong("it is empty");
    }
    if name.contains('\0') {
        return wrong("it holds a NUL");
    }
    match dialect {
        Dialect::Postgres if name.len() > 63 => wrong("PostgreSQL cuts names at 63 bytes"),
        Dialect::Sqlite if name.len() > 10_000 => wrong("it is longer than 10,000 bytes"),
        _ => Ok(()),
    }
}

fn check_column_name(dialect: Dialect, name: &str) -> Result<(), StageError> {
    const SYSTEM: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];
    check_name(dialect, "column", name)?;
    if dialect == Dialect::Postgres && SYSTEM.contains(&name) {
        return Err(StageError::item(format!(
            "`{name}` is a column that PostgreSQL itself has in each table"
        ))
        .hint("rename the field before (map.Map)"));
    }
    Ok(())
}

/// Checks the name of a table.
///
/// # Errors
/// Where the database refuses it or it is ours.
pub(crate) fn check_table_name(dialect: Dialect, spec: &TableSpec) -> Result<(), StageError> {
    check_name(dialect, "table", &spec.name)?;
    if let Some(schema) = &spec.schema {
        check_name(dialect, "schema", schema)?;
    }
    let lower = spec.name.to_ascii_lowercase();
    if dialect == Dialect::Sqlite && lower.starts_with("sqlite_") {
        return Err(StageError::item(format!("the table `{}` would be SQLite's own", spec.name))
            .hint("choose another with `tables: {TOPIC: {table: NAME}}`"));
    }
    if lower == "scraper_state" || lower.starts_with("scraper_state_") {
        return Err(StageError::item(format!("the table `{}` is where stages keep their state", spec.name))
            .hint("choose another with `tables: {TOPIC: {table: NAME}}`"));
    }
    Ok(())
}
