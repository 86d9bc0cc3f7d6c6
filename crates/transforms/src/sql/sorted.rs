//! The rows of a run in the order of their keys.
//!
//! A table is a tree in the order of its key. Rows in another order would touch a page of it each, again
//! and again, and every touch of a page that no longer fits the cache writes it once more; in order, each
//! page is written once. Rows with the same key stay in the order in which they came.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use pipeline_core::{StageError, Value};

use super::columns::Affinity;
use super::tables::{Cells, StagedRow, StagedTable};
use super::unit::Stop;
use crate::keep::codec::{Cell, Decoder, put_number};
use crate::keep::{SpoolReader, SpoolWriter, begin_frame, end_frame};

/// So many bytes are sorted in memory; fewer are not worth it, since they fit the cache anyway.
const CHUNK: usize = 6 << 20;

/// All readers of a merge together may have so many bytes of buffers.
const BUFFERS: usize = 4 << 20;

/// The columns by which the rows of a table are sorted, and what SQLite makes of their values; none where
/// the rows stay as they came.
pub(super) type SortKey = Vec<(usize, Affinity)>;

/// Rows as they came, or in order.
pub(super) enum Rows {
    AsTheyCame(SpoolReader),
    Sorted(Merge),
}

impl Rows {
    /// Sorts the rows where that helps.
    pub(super) fn new(
        rows: SpoolReader,
        tables: &[StagedTable],
        keys: &[SortKey],
        stop: &Stop,
    ) -> Result<Self, StageError> {
        if tables.iter().all(|table| table.order.is_kept) || rows.len() < CHUNK as u64 {
            return Ok(Self::AsTheyCame(rows));
        }
        sort(rows, keys, CHUNK, stop).map(Self::Sorted)
    }

    /// The next row as bytes; `None` at the end.
    pub(super) fn next_frame(&mut self) -> Result<Option<&[u8]>, StageError> {
        match self {
            Self::AsTheyCame(rows) => rows.next_frame(),
            Self::Sorted(merge) => merge.next_frame(),
        }
    }
}

/// Whether the rows of a table have come in the order of their keys so far.
#[derive(Debug)]
pub(crate) struct Order {
    is_kept: bool,
    last: Vec<u8>,
    next: Vec<u8>,
}

impl Default for Order {
    fn default() -> Self {
        Self { is_kept: true, last: Vec::new(), next: Vec::new() }
    }
}

impl Order {
    /// Looks at the next row.
    pub(crate) fn look(&mut self, key: impl Iterator<Item = usize>, cells: &Cells<'_>) {
        if self.is_kept {
            self.next.clear();
            // What the column will make of the values is not known yet; a wrong guess costs a sort.
            for column in key {
                put_key(&mut self.next, (column, Affinity::None), cells);
            }
            self.is_kept = self.last <= self.next;
            std::mem::swap(&mut self.last, &mut self.next);
        }
    }
}

/// Appends a column of the key so that bytes sort as SQLite sorts the values (numbers, then texts), and are
/// equal where those are.
fn put_key(out: &mut Vec<u8>, (column, affinity): (usize, Affinity), cells: &Cells<'_>) {
    let mut cells = cells.clone();
    while let Some((found, cell)) = cells.next_cell() {
        if found == column {
            return put_cell(out, cell, affinity);
        }
    }
}

fn put_cell(out: &mut Vec<u8>, cell: Cell<'_>, affinity: Affinity) {
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(2);
        // A NUL within a text would only blur the order.
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    };
    let as_text = affinity == Affinity::Text;
    match cell {
        Cell::Null => out.push(0),
        Cell::Text(value) | Cell::Big(value) | Cell::Json(value) => text(out, value),
        Cell::Bool(value) if as_text => text(out, if value { "true" } else { "false" }),
        Cell::Int(number) if as_text => text(out, &number.to_string()),
        Cell::Float(number) if as_text => text(out, &Value::float(number).to_json()),
        Cell::Bool(value) => put_number_key(out, f64::from(u8::from(value)), value.into()),
        Cell::Int(number) => put_number_key(out, number as f64, number),
        // A float beyond all integers is told apart by itself.
        Cell::Float(number) => put_number_key(out, number, number as i64),
    }
}

/// The integer part tells apart what the float does not.
fn put_number_key(out: &mut Vec<u8>, number: f64, whole: i64) {
    // Zero has two floats.
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    out.push(1);
    out.extend_from_slice(&ordered.to_be_bytes());
    out.extend_from_slice(&(whole as u64 ^ 1 << 63).to_be_bytes());
}

/// Sorts chunks in memory and puts each aside; the merge brings them together.
fn sort(mut rows: SpoolReader, keys: &[SortKey], chunk: usize, stop: &Stop) -> Result<Merge, StageError> {
    let mut runs = Vec::new();
    let mut collected = Chunk::default();
    while let Some(frame) = rows.next_frame()? {
        collected.push(frame, keys);
        if collected.bytes.len() >= chunk {
            stop.check()?;
            runs.push(collected.write()?);
        }
    }
    drop(rows);
    if !collected.places.is_empty() {
        runs.push(collected.write()?);
    }
    Merge::new(runs)
}

/// Rows that are sorted together: key and row of each, one after the other.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where a key begins, where the row begins, and where that ends.
    places: Vec<(usize, usize, usize)>,
}

impl Chunk {
    fn push(&mut self, frame: &[u8], keys: &[SortKey]) {
        let start = self.bytes.len();
        if let Some(StagedRow::Row { table, cells } | StagedRow::Delete { table, cells }) =
            StagedRow::read(frame)
        {
            self.bytes.extend_from_slice(&(table as u32).to_be_bytes());
            for column in keys.get(table).into_iter().flatten() {
                put_key(&mut self.bytes, *column, &cells);
            }
        }
        let row = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        self.places.push((start, row, self.bytes.len()));
    }

    fn write(&mut self) -> Result<SpoolWriter, StageError> {
        let bytes = &self.bytes;
        // Stable: rows with the same key stay as they came.
        self.places.sort_by(|a, b| bytes[a.0..a.1].cmp(&bytes[b.0..b.1]));
        let mut out = SpoolWriter::anonymous("the sorted rows for the database")?;
        for (key, row, end) in self.places.drain(..) {
            let buffer = out.buffer();
            let start = begin_frame(buffer);
            put_number(buffer, (row - key) as u64);
            buffer.extend_from_slice(&bytes[key..end]);
            end_frame(buffer, start)?;
            out.make_room()?;
        }
        self.bytes.clear();
        Ok(out)
    }
}

/// Sorted runs, read side by side.
pub(super) struct Merge {
    runs: Vec<SpoolReader>,
    /// The key of each run's next row, with the number of the run: of equal keys the earlier one comes first.
    next: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    row: Vec<u8>,
}

impl Merge {
    fn new(runs: Vec<SpoolWriter>) -> Result<Self, StageError> {
        let buffer = (BUFFERS / runs.len().max(1)).clamp(4 << 10, 256 << 10);
        let runs: Result<Vec<_>, _> = runs.into_iter().map(|run| run.into_reader(buffer)).collect();
        let mut merge = Self { runs: runs?, next: BinaryHeap::new(), row: Vec::new() };
        for run in 0..merge.runs.len() {
            merge.advance(run, Vec::new())?;
        }
        Ok(merge)
    }

    fn advance(&mut self, run: usize, mut key: Vec<u8>) -> Result<(), StageError> {
        if let Some(frame) = self.runs[run].next_frame()? {
            let (found, _) = split(frame);
            key.clear();
            key.extend_from_slice(found);
            self.next.push(Reverse((key, run)));
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<&[u8]>, StageError> {
        let Some(Reverse((key, run))) = self.next.pop() else { return Ok(None) };
        self.row.clear();
        self.row.extend_from_slice(split(self.runs[run].frame()).1);
        self.advance(run, key)?;
        Ok(Some(&self.row))
    }
}

/// The key and the row of a frame.
fn split(frame: &[u8]) -> (&[u8], &[u8]) {
    let mut decoder = Decoder::new(frame);
    let length = decoder.number().unwrap_or(0) as usize;
    decoder.rest().split_at_checked(length).unwrap_or((&[], decoder.rest()))
}

#[cfg(test)]
mod tests {
    use super::super::tables::{Dialect, Staging, TableSpec};
    use super::*;
    use pipeline_core::Record;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Value> {
        prop_oneof![
            (-3i64..3).prop_map(Value::Int),
            (-6i64..6).prop_map(|n| Value::Float(n as f64 / 2.0)),
            "[ab]{0,2}".prop_map(Value::from),
            "[-12]|1.5".prop_map(Value::from),
            any::<bool>().prop_map(Value::Bool),
        ]
    }

    /// The rows, as `(table, number)`, in the order in which a sort brings them.
    fn sorted(keys: &[(usize, Value)], sort_keys: &[SortKey]) -> Vec<(usize, i64)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let rows = runtime.block_on(async {
            let mut staging = Staging::new(Dialect::Sqlite);
            for at in 0..3 {
                let key = if at == 2 { Vec::new() } else { vec!["k".to_owned()] };
                staging.table(TableSpec { name: format!("t{at}"), key, ..TableSpec::default() }).unwrap();
            }
            for ((table, key), n) in keys.iter().zip(0i64..) {
                let row: Record = [("n", Value::Int(n)), ("k", key.clone())].into_iter().collect();
                staging.row(*table, &row, chrono::DateTime::UNIX_EPOCH).await.unwrap();
            }
            staging.finish().await.unwrap()
        });
        let Some(staged) = rows else { return Vec::new() };
        let mut merge = sort(staged.rows, sort_keys, 300, &Stop::default()).unwrap();
        let mut found = Vec::new();
        while let Some(frame) = merge.next_frame().unwrap() {
            let Some(StagedRow::Row { table, mut cells }) = StagedRow::read(frame) else { panic!() };
            let Some((_, Cell::Int(n))) = cells.next_cell() else { panic!() };
            found.push((table, n));
        }
        found
    }

    proptest! {
        #[test]
        fn rows_come_in_the_order_of_sqlite(keys in prop::collection::vec((0..3usize, key()), 0..120)) {
            let sort_keys = [vec![(1, Affinity::None)], vec![(1, Affinity::Text)], Vec::new()];
            let found = sorted(&keys, &sort_keys);
            // SQLite itself says what the order is.
            let db = rusqlite::Connection::open_in_memory().unwrap();
            db.execute_batch("CREATE TABLE t0 (n, k); CREATE TABLE t1 (n, k TEXT); CREATE TABLE t2 (n, k)").unwrap();
            for ((table, key), n) in keys.iter().zip(0i64..) {
                let insert = format!("INSERT INTO t{table} VALUES (?1, ?2)");
                let text = *table == 1;
                match key {
                    Value::Bool(value) if text => db.execute(&insert, (n, value.to_string())),
                    Value::Bool(value) => db.execute(&insert, (n, i64::from(*value))),
                    Value::Int(number) => db.execute(&insert, (n, number)),
                    Value::Float(number) => db.execute(&insert, (n, number)),
                    other => db.execute(&insert, (n, other.as_str())),
                }.unwrap();
            }
            let order = "SELECT 0, n FROM (SELECT n FROM t0 ORDER BY k, n) UNION ALL
                SELECT 1, n FROM (SELECT n FROM t1 ORDER BY k, n) UNION ALL SELECT 2, n FROM (SELECT n FROM t2 ORDER BY n)";
            let mut select = db.prepare(order).unwrap();
            let rows = select.query_map([], |row| Ok((row.get::<_, i64>(0)? as usize, row.get(1)?))).unwrap();
            prop_assert_eq!(found, rows.map(Result::unwrap).collect::<Vec<(usize, i64)>>());
        }
    }
}
