//! Queries on SQLite.

use std::path::Path;

use pipeline_core::{Emitter, Item, ParsedItem, Record, Shape, StageContext, StageError, Topic, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, InterruptHandle, OpenFlags, Statement};
use tokio::sync::{mpsc, oneshot};

use super::{QueryFetcherKwargs, QueryParams, check_names};
use crate::keep::blocking;
use crate::sql::catalog::column_value;
use crate::sql::error::{fatal, place};
use crate::sql::unit::uri;

/// So many rows are handed over at a time.
const ROWS: usize = 128;

/// Ends the query when the run no longer waits for it.
struct InterruptOnDrop(InterruptHandle);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

pub(super) async fn fetch(
    path: &Path,
    kwargs: &QueryFetcherKwargs,
    ctx: &StageContext,
    out: &mut Emitter,
) -> Result<(), StageError> {
    let (send, mut rows) = mpsc::channel::<Vec<Record>>(2);
    let (opened, handle) = oneshot::channel();
    let (file, query) = (path.to_owned(), kwargs.clone());
    let reading = tokio::spawn(blocking(move || read(&file, &query, opened, &send)));
    // Dropped with this future, also when the query has no row for a long time.
    let interrupt = handle.await.ok().map(InterruptOnDrop);
    while let Some(batch) = rows.recv().await {
        let now = ctx.now();
        let item = |topic: &Topic, content| {
            Item::from(ParsedItem { topic: topic.clone(), content, discovered_at: now })
        };
        let items: Vec<Item> = batch.into_iter().map(|content| item(&kwargs.topic, content)).collect();
        out.emit_batch(items.into()).await;
    }
    let read = reading.await;
    drop(interrupt);
    match read {
        Ok(result) => result.map_err(|error| error.at(place(path))),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StageError::fatal("the runtime is shutting down")),
    }
}

fn read(
    path: &Path,
    kwargs: &QueryFetcherKwargs,
    opened: oneshot::Sender<InterruptHandle>,
    send: &mpsc::Sender<Vec<Record>>,
) -> Result<(), StageError> {
    if !path.exists() {
        return Err(StageError::fatal("the file does not exist").hint("is the path right?"));
    }
    let real =
        path.canonicalize().map_err(|error| StageError::fatal("it cannot be opened").caused_by(error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
    let connection =
        Connection::open_with_flags(uri(&real, "rw"), flags).map_err(|error| fatal("opening", error))?;
    // Where nobody listens any more, the first batch finds out.
    opened.send(connection.get_interrupt_handle()).ok();
    connection.busy_timeout(std::time::Duration::from_secs(30)).map_err(|error| fatal("opening", error))?;
    connection.execute_batch("PRAGMA query_only = ON").map_err(|error| fatal("opening", error))?;
    let mut statement = connection.prepare(&kwargs.query).map_err(|error| match error {
        rusqlite::Error::MultipleStatement => StageError::fatal("the query holds several statements")
            .hint("only one is run: write a stage for each"),
        error => fatal("the query", error),
    })?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(StageError::fatal("the query must read, and only read").hint("sql.DatabaseSink writes"));
    }
    bind(&mut statement, &kwargs.params)?;
    let columns = statement.columns();
    check_names(&columns.iter().map(|column| column.name()).collect::<Vec<_>>())?;
    let shape = Shape::new(columns.iter().map(|column| column.name()));
    let declared: Vec<String> =
        columns.iter().map(|column| column.decl_type().unwrap_or_default().to_ascii_uppercase()).collect();
    drop(columns);
    let mut rows = statement.raw_query();
    let mut batch = Vec::with_capacity(ROWS);
    loop {
        let row = rows.next().map_err(|error| fatal("the query", error))?;
        let ended = row.is_none();
        if let Some(row) = row {
            let mut values = Vec::with_capacity(declared.len());
            for (at, declared) in declared.iter().enumerate() {
                let value = row.get_ref(at).map_err(|error| fatal("the query", error))?;
                values.push(column_value(value, declared));
            }
            batch.push(Record::from_shape(shape.clone(), values));
        }
        if batch.len() == ROWS || (ended && !batch.is_empty()) {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(ROWS));
            if send.blocking_send(full).is_err() {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
    }
}

fn bind(statement: &mut Statement<'_>, params: &QueryParams) -> Result<(), StageError> {
    let failed = |error| fatal("the query's parameters", error);
    let wanted = statement.parameter_count();
    match params {
        QueryParams::List(list) => {
            if list.len() != wanted {
                let given = list.len();
                return Err(StageError::fatal(format!(
                    "the query has {wanted} parameters, and `params` {given} values"
                )));
            }
            for (value, at) in list.iter().zip(1..) {
                statement.raw_bind_parameter(at, bound(value)).map_err(failed)?;
            }
        }
        QueryParams::Named(named) => {
            let mut used = 0;
            for at in 1..=wanted {
                let name = statement.parameter_name(at).unwrap_or("?").to_owned();
                let Some(value) = named.get(name.trim_start_matches([':', '@', '$'])) else {
                    return Err(StageError::fatal(format!(
                        "`params` has no value for `{name}` of the query"
                    )));
                };
                used += 1;
                statement.raw_bind_parameter(at, bound(value)).map_err(failed)?;
            }
            if used < named.len() {
                let unused = named.keys().find(|name| {
                    let spelled = |sign| statement.parameter_index(&format!("{sign}{name}")).ok().flatten();
                    [':', '@', '$'].into_iter().all(|sign| spelled(sign).is_none())
                });
                let unused = unused.map_or("", String::as_str);
                return Err(StageError::fatal(format!("the query has no parameter `:{unused}`")));
            }
        }
    }
    Ok(())
}

fn bound(value: &Value) -> ToSqlOutput<'_> {
    match value {
        Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
        Value::Bool(value) => ToSqlOutput::Borrowed(ValueRef::Integer((*value).into())),
        Value::Int(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
        Value::Float(number) => ToSqlOutput::Borrowed(ValueRef::Real(*number)),
        Value::BigNumber(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        nested => ToSqlOutput::Owned(rusqlite::types::Value::Text(nested.to_json())),
    }
}
