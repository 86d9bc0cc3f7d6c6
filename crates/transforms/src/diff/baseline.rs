//! The first snapshot, taken from a table that exists already.

use std::sync::PoisonError;

use bytes::Bytes;
use pipeline_core::{Record, Shape, StageContext, StageError, Topic, Value};
use rusqlite::Connection;

use super::compare::alike;
use super::key::put_key;
use super::kwargs::{BaselineKwargs, DiffParserKwargs};
use super::scratch::Scratch;
use super::stage::{BASELINE, encode_snapshot};
use crate::sql::{Databases, column_value, quoted};

/// Which rows to read, and how.
struct Source {
    table: String,
    /// The columns of the key, in the order of its fields.
    columns: Vec<String>,
    fields: Vec<String>,
    prefix: Vec<u8>,
    /// An item's key, for the kinds of its values.
    like: Record,
}

enum Loaded {
    Rows { without_key: u64 },
    NoFile,
    NoTable,
}

/// Reads the table into the scratch's baseline. `first` is the first item of the topic.
pub(super) async fn load(
    kwargs: &DiffParserKwargs,
    baseline: &BaselineKwargs,
    topic: &Topic,
    prefix: Vec<u8>,
    first: &Record,
    scratch: &mut Scratch,
    ctx: &StageContext,
) -> Result<(), StageError> {
    let path = baseline.db_path.clone().or_else(|| kwargs.db_path.clone()).unwrap_or_default();
    let source = Source {
        table: baseline.table.clone(),
        columns: baseline.key.clone().unwrap_or_else(|| kwargs.key.clone()),
        fields: kwargs.key.clone(),
        prefix,
        like: kwargs.key.iter().map(|field| (&**field, first.get(field).cloned())).collect(),
    };
    let unit = Databases::sqlite(ctx.run(), &path);
    let disk = scratch.disk().await?;
    let read = unit.work(move |inner| {
        let Some(connection) = inner.attached() else { return Ok(Loaded::NoFile) };
        let disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
        read(&source, connection, &disk)
    });
    let name = format!("the baseline table `{}` of topic `{topic}`", baseline.table);
    match read.await? {
        Loaded::Rows { without_key: 0 } => {}
        Loaded::Rows { without_key } => {
            ctx.warn(format!("{name}: {without_key} rows without a whole key were left out"));
        }
        Loaded::NoFile => {
            ctx.info(format!("{name}: {} does not exist yet, so nothing is known", path.display()));
        }
        Loaded::NoTable => {
            ctx.warn(format!("{name}: there is no such table in {}, so nothing is known", path.display()));
        }
    }
    Ok(())
}

fn read(source: &Source, file: &Connection, disk: &Connection) -> Result<Loaded, StageError> {
    let failed = |error| crate::sql::fatal("reading the baseline", error);
    let columns = crate::sql::columns_of(file, &source.table).map_err(failed)?;
    if columns.is_empty() {
        return Ok(Loaded::NoTable);
    }
    let mut key_at = Vec::new();
    for wanted in &source.columns {
        let Some(at) = columns.iter().position(|column| column.name.eq_ignore_ascii_case(wanted)) else {
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(StageError::fatal(format!("the table `{}` has no column `{wanted}`", source.table))
                .hint(format!("its columns are {}", names.join(", "))));
        };
        key_at.push(at);
    }
    // The key's columns get the names of its fields; another column of such a name gives way.
    let name_of = |at: usize| match key_at.iter().position(|key| *key == at) {
        Some(field) => Some(source.fields[field].as_str()),
        None => {
            Some(columns[at].name.as_str()).filter(|name| !source.fields.iter().any(|field| field == name))
        }
    };
    let kept: Vec<(usize, &str)> = (0..columns.len()).filter_map(|at| Some((at, name_of(at)?))).collect();
    let shape = Shape::new(kept.iter().map(|(_, name)| *name));
    let mut without_key = 0;
    let copy = || -> rusqlite::Result<()> {
        let mut select = file.prepare(&format!("SELECT * FROM db.{}", quoted(&source.table)))?;
        let mut rows = select.query([])?;
        let tx = disk.unchecked_transaction()?;
        {
            let mut insert = tx.prepare("INSERT OR REPLACE INTO baseline (key, value) VALUES (?1, ?2)")?;
            while let Some(row) = rows.next()? {
                let mut values = Vec::with_capacity(kept.len());
                for (at, name) in &kept {
                    let value = column_value(row.get_ref(*at)?, &columns[*at].declared);
                    let like = source.like.get(name).unwrap_or(&Value::Null);
                    values.push(alike(value, like));
                }
                let content = Record::from_shape(shape.clone(), values);
                let mut key = source.prefix.clone();
                if put_key(&mut key, &source.fields, &content).is_err() {
                    without_key += 1;
                    continue;
                }
                let value: Bytes = encode_snapshot(BASELINE, &content);
                insert.execute((&key, value.as_ref()))?;
            }
        }
        tx.commit()
    };
    let mut copy = copy;
    copy().map_err(failed)?;
    Ok(Loaded::Rows { without_key })
}
