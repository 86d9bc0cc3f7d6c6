//! Writes the rows of a run into a PostgreSQL database, within the transaction that is open.
//!
//! The rows of a table go by `COPY` to a temporary table of texts, with a bit for each column that a row
//! has; a few statements bring them from there to the table, with the types that its columns have.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{SinkExt, pin_mut};
use pipeline_core::{StageError, Value};

use super::super::tables::{Cells, Staged, StagedRow, StagedTable};
use super::connect::PgConnection;
use super::error::fatal;
use super::merge::Merge;
use super::tables::{self, Target, name_of};
use crate::keep::codec::Cell;
use crate::keep::{SpoolReader, blocking};

/// So much is sent at a time.
const CHUNK: usize = 256 << 10;

/// What a sink writes into a database.
pub(crate) struct PgWrite {
    tables: Vec<StagedTable>,
    rows: Option<SpoolReader>,
    /// The stage, to be said in errors.
    stage: String,
}

impl PgWrite {
    pub(crate) fn new(staged: Staged, stage: String) -> Self {
        Self { tables: staged.tables, rows: Some(staged.rows), stage }
    }

    /// The tables that it writes.
    pub(super) fn table_names(&self) -> impl Iterator<Item = String> {
        self.tables.iter().filter(|table| !table.columns.is_empty()).map(name_of)
    }

    pub(super) async fn apply(&mut self, db: &mut PgConnection, number: usize) -> Result<(), StageError> {
        self.write(db, number).await.map_err(|error| error.at(&self.stage))
    }

    async fn write(&mut self, db: &mut PgConnection, number: usize) -> Result<(), StageError> {
        for (at, table) in self.tables.iter().enumerate() {
            if table.columns.is_empty() {
                continue;
            }
            let Some(rows) = self.rows.take() else { return Err(StageError::fatal("the rows are gone")) };
            let written = write_table(db, table, at, rows, &format!("scraper_stage_{number}_{at}")).await;
            self.rows = Some(written.map_err(|error| error.at(format!("table {}", table.spec.shown())))?);
        }
        Ok(())
    }
}

async fn write_table(
    db: &mut PgConnection,
    table: &StagedTable,
    number: usize,
    rows: SpoolReader,
    stage: &str,
) -> Result<SpoolReader, StageError> {
    let target = tables::ready(db, table).await?;
    let columns: Vec<String> = (0..table.columns.len()).map(|at| format!("c{at} text")).collect();
    let create = format!(
        "CREATE TEMP TABLE {stage} (seq bigint, removes boolean, has bit varying, {}) ON COMMIT DROP",
        columns.join(", ")
    );
    db.execute("putting the rows aside", &create).await?;
    let (rows, copied) = copy(db, table.columns.len(), number, rows, &target, stage).await?;
    db.execute("putting the rows aside", &format!("ANALYZE {stage}")).await?;
    Merge::new(db, table, &target, stage).run(copied).await?;
    Ok(rows)
}

/// What was copied.
pub(super) struct Copied {
    /// Whether there are removals among the rows.
    pub(super) removals: bool,
    /// Which columns rows have: the first few sets of them.
    pub(super) layouts: BTreeSet<String>,
}

/// Sends the table's rows to the stage, chunk by chunk.
async fn copy(
    db: &mut PgConnection,
    width: usize,
    number: usize,
    rows: SpoolReader,
    target: &Target,
    stage: &str,
) -> Result<(SpoolReader, Copied), StageError> {
    let doing = "sending the rows";
    let is_numeric = |kind: &String| kind != "boolean" && kind != "text" && !kind.contains("char");
    let numeric: Vec<bool> = target.types.iter().map(is_numeric).collect();
    let sink = db.client_mut().copy_in::<_, Bytes>(&format!("COPY {stage} FROM STDIN")).await;
    let sink = sink.map_err(|error| fatal(doing, error))?;
    pin_mut!(sink);
    let copied = Copied { removals: false, layouts: BTreeSet::new() };
    let mut source = Source { rows, numeric, width, number, seq: 0, copied };
    source.rows.rewind()?;
    loop {
        let (back, chunk) = blocking(move || {
            let chunk = source.chunk()?;
            Ok((source, chunk))
        })
        .await?;
        source = back;
        if chunk.is_empty() {
            break;
        }
        sink.send(chunk.into()).await.map_err(|error| fatal(doing, error))?;
    }
    sink.finish().await.map_err(|error| fatal(doing, error))?;
    Ok((source.rows, source.copied))
}

fn unreadable() -> StageError {
    StageError::fatal("the rows that were put aside cannot be read")
}

/// Makes lines for `COPY` of the rows of one table.
struct Source {
    rows: SpoolReader,
    /// For each column whether a boolean is written as a number.
    numeric: Vec<bool>,
    width: usize,
    number: usize,
    seq: u64,
    copied: Copied,
}

impl Source {
    fn chunk(&mut self) -> Result<Vec<u8>, StageError> {
        let mut out = Vec::with_capacity(CHUNK + 4096);
        while out.len() < CHUNK {
            let Some(frame) = self.rows.next_frame()? else { break };
            let row = StagedRow::read(frame);
            let (table, mut cells, removes) = match row.ok_or_else(unreadable)? {
                StagedRow::Row { table, cells } => (table, cells, false),
                StagedRow::Delete { table, cells } => (table, cells, true),
            };
            if table != self.number {
                continue;
            }
            self.seq += 1;
            put_line(&mut out, self.seq, removes, self.width, &self.numeric, &mut cells, &mut self.copied);
        }
        Ok(out)
    }
}

fn put_line(
    out: &mut Vec<u8>,
    seq: u64,
    removes: bool,
    width: usize,
    numeric: &[bool],
    cells: &mut Cells<'_>,
    copied: &mut Copied,
) {
    let mut values: Vec<Option<Cell<'_>>> = vec![None; width];
    while let Some((column, cell)) = cells.next_cell() {
        values[column] = Some(cell);
    }
    out.extend_from_slice(seq.to_string().as_bytes());
    out.extend_from_slice(if removes { b"\tt\t" } else { b"\tf\t" });
    let start = out.len();
    out.extend(values.iter().map(|value| if value.is_some() { b'1' } else { b'0' }));
    if removes {
        copied.removals = true;
    } else if copied.layouts.len() < 2 {
        // Two are as good as many.
        let layout = String::from_utf8_lossy(&out[start..]);
        if !copied.layouts.contains(&*layout) {
            copied.layouts.insert(layout.into_owned());
        }
    }
    for (value, numeric) in values.iter().zip(numeric) {
        out.push(b'\t');
        put_value(out, value.unwrap_or(Cell::Null), *numeric);
    }
    out.push(b'\n');
}

fn put_value(out: &mut Vec<u8>, cell: Cell<'_>, numeric: bool) {
    match cell {
        Cell::Null => out.extend_from_slice(b"\\N"),
        Cell::Bool(value) => out.extend_from_slice(match (numeric, value) {
            (true, true) => b"1",
            (true, false) => b"0",
            (false, true) => b"true",
            (false, false) => b"false",
        }),
        Cell::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Cell::Float(number) => out.extend_from_slice(Value::float(number).to_json().as_bytes()),
        Cell::Big(text) | Cell::Text(text) | Cell::Json(text) => {
            for byte in text.bytes() {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    b'\t' => out.extend_from_slice(b"\\t"),
                    byte => out.push(byte),
                }
            }
        }
    }
}
