//! What stages keep in a SQLite file: two tables there, and the changes of this run beside it.

use bytes::Bytes;
use pipeline_core::{StageError, StateScope, StateWrite};
use rusqlite::{Connection, OptionalExtension, params};

use super::error::fatal;

/// The version of the tables; a file with a later one is left alone.
const FORMAT: i64 = 1;

/// What a staged row does; 0 only marks its key as seen.
const PUT: i64 = 1;
const DELETE: i64 = 2;

/// The scopes that this run has opened, and where their changes lie.
#[derive(Debug, Default)]
pub(crate) struct StagedState {
    scopes: Vec<Scope>,
    /// Whether there is anything to commit.
    changed: bool,
}

#[derive(Debug)]
struct Scope {
    name: StateScope,
    /// Its number in the file, where it is known there.
    committed: Option<i64>,
}

type Rows = Vec<(Bytes, Bytes)>;

impl StagedState {
    pub(crate) fn is_unchanged(&self) -> bool {
        !self.changed
    }

    /// Opens a scope; returns its number in this run.
    pub(crate) fn open(
        &mut self,
        connection: &Connection,
        attached: bool,
        name: StateScope,
    ) -> Result<usize, StageError> {
        if let Some(at) = self.scopes.iter().position(|scope| scope.name == name) {
            return Ok(at);
        }
        let committed = if attached { find(connection, &name)? } else { None };
        if self.scopes.is_empty() {
            let make = "CREATE TABLE main.staged (scope INTEGER NOT NULL, key BLOB NOT NULL,
                op INTEGER NOT NULL, value BLOB, PRIMARY KEY (scope, key)) WITHOUT ROWID";
            connection.execute_batch(make).map_err(|error| fatal("putting state aside", error))?;
        }
        self.scopes.push(Scope { name, committed });
        Ok(self.scopes.len() - 1)
    }

    pub(crate) fn get_many(
        &self,
        connection: &Connection,
        scope: usize,
        keys: &[Bytes],
    ) -> rusqlite::Result<Vec<Option<Bytes>>> {
        let committed = self.scopes[scope].committed;
        // One transaction, so that the file is asked once whether it has changed.
        let tx = connection.unchecked_transaction()?;
        let mut values = Vec::with_capacity(keys.len());
        {
            let mut staged =
                tx.prepare_cached("SELECT op, value FROM main.staged WHERE scope = ?1 AND key = ?2")?;
            let mut kept = match committed {
                Some(_) => Some(
                    tx.prepare_cached("SELECT value FROM db.scraper_state WHERE scope = ?1 AND key = ?2")?,
                ),
                None => None,
            };
            for key in keys {
                let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, blob_or_none(row, 1)?));
                let mut value = None;
                match staged.query_row(params![scope as i64, key.as_ref()], row).optional()? {
                    Some((PUT, put)) => value = put,
                    Some((DELETE, _)) => {}
                    _ => {
                        if let (Some(kept), Some(id)) = (&mut kept, committed) {
                            value =
                                kept.query_row(params![id, key.as_ref()], |row| blob(row, 0)).optional()?;
                        }
                    }
                }
                values.push(value);
            }
        }
        tx.commit()?;
        Ok(values)
    }

    pub(crate) fn write(
        &mut self,
        connection: &Connection,
        scope: usize,
        writes: &[StateWrite],
    ) -> rusqlite::Result<()> {
        let tx = connection.unchecked_transaction()?;
        {
            let mut set = tx.prepare_cached(
                "INSERT INTO main.staged (scope, key, op, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET op = excluded.op, value = excluded.value",
            )?;
            let mut touch = tx.prepare_cached(
                "INSERT INTO main.staged (scope, key, op) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING",
            )?;
            for write in writes {
                let scope = scope as i64;
                match write {
                    StateWrite::Put(key, value) => {
                        set.execute(params![scope, key.as_ref(), PUT, value.as_ref()])?;
                    }
                    StateWrite::Delete(key) => {
                        set.execute(params![scope, key.as_ref(), DELETE, None::<&[u8]>])?;
                    }
                    StateWrite::Touch(key) => {
                        touch.execute(params![scope, key.as_ref()])?;
                        continue;
                    }
                }
                self.changed = true;
            }
        }
        tx.commit()
    }

    pub(crate) fn untouched(
        &self,
        connection: &Connection,
        scope: usize,
        prefix: &[u8],
        after: Option<&Bytes>,
        limit: usize,
    ) -> rusqlite::Result<Rows> {
        let Some(id) = self.scopes[scope].committed else { return Ok(Vec::new()) };
        let range = Range::of(prefix);
        let mut select = connection.prepare_cached(
            "SELECT key, value FROM db.scraper_state AS kept
             WHERE scope = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) AND (?4 IS NULL OR key > ?4)
               AND NOT EXISTS (SELECT 1 FROM main.staged AS seen WHERE seen.scope = ?5 AND seen.key = kept.key)
             ORDER BY key LIMIT ?6",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let after = after.map(AsRef::as_ref);
        let from = after.unwrap_or(&range.from);
        select
            .query_map(params![id, from, range.to, after, scope as i64, limit], |row| {
                Ok((blob(row, 0)?, blob(row, 1)?))
            })?
            .collect()
    }

    pub(crate) fn count(
        &self,
        connection: &Connection,
        scope: usize,
        prefix: &[u8],
        untouched: bool,
    ) -> rusqlite::Result<u64> {
        let Some(id) = self.scopes[scope].committed else { return Ok(0) };
        let range = Range::of(prefix);
        let mut select = connection.prepare_cached(
            "SELECT count(*) FROM db.scraper_state AS kept
             WHERE scope = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)
               AND (NOT ?5 OR NOT EXISTS
                    (SELECT 1 FROM main.staged AS seen WHERE seen.scope = ?4 AND seen.key = kept.key))",
        )?;
        select.query_row(params![id, range.from, range.to, scope as i64, untouched], |row| {
            Ok(row.get::<_, i64>(0)?.unsigned_abs())
        })
    }

    /// Writes the changes into the file, within the transaction that is open.
    pub(crate) fn apply(&self, connection: &Connection) -> rusqlite::Result<()> {
        if !self.changed {
            return Ok(());
        }
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS db.scraper_state_format (version INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS db.scraper_state_scope
                 (id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (pipeline, name));
             CREATE TABLE IF NOT EXISTS db.scraper_state
                 (scope INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (scope, key))
                 WITHOUT ROWID;",
        )?;
        connection.execute(
            "INSERT INTO db.scraper_state_format SELECT ?1 WHERE NOT EXISTS
                (SELECT 1 FROM db.scraper_state_format)",
            [FORMAT],
        )?;
        for (scope, at) in self.scopes.iter().zip(0i64..) {
            let StateScope { pipeline, name } = &scope.name;
            connection.execute(
                "INSERT INTO db.scraper_state_scope (pipeline, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                [pipeline, name],
            )?;
            let id: i64 = connection.query_row(
                "SELECT id FROM db.scraper_state_scope WHERE pipeline = ?1 AND name = ?2",
                [pipeline, name],
                |row| row.get(0),
            )?;
            connection.execute(
                "INSERT INTO db.scraper_state (scope, key, value)
                 SELECT ?1, key, value FROM main.staged WHERE scope = ?2 AND op = ?3
                 ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value",
                [id, at, PUT],
            )?;
            connection.execute(
                "DELETE FROM db.scraper_state WHERE scope = ?1
                 AND key IN (SELECT key FROM main.staged WHERE scope = ?2 AND op = ?3)",
                [id, at, DELETE],
            )?;
        }
        Ok(())
    }
}

/// The number of a scope in the file, where it is known there.
fn find(connection: &Connection, name: &StateScope) -> Result<Option<i64>, StageError> {
    let known = |table: &str| {
        connection
            .query_row("SELECT 1 FROM db.sqlite_schema WHERE type = 'table' AND name = ?1", [table], |_| {
                Ok(())
            })
            .optional()
            .map(|found| found.is_some())
            .map_err(|error| fatal("reading the state", error))
    };
    if !known("scraper_state_format")? {
        return Ok(None);
    }
    let format: Option<i64> = connection
        .query_row("SELECT max(version) FROM db.scraper_state_format", [], |row| row.get(0))
        .map_err(|error| fatal("reading the state", error))?;
    if format.is_some_and(|format| format > FORMAT) {
        return Err(StageError::fatal("the state in it was written by a newer version of this program")
            .hint("use that version; nothing was changed"));
    }
    connection
        .query_row(
            "SELECT id FROM db.scraper_state_scope WHERE pipeline = ?1 AND name = ?2",
            [&name.pipeline, &name.name],
            |row| row.get(0),
        )
        .optional()
        .map_err(|error| fatal("reading the state", error))
}

/// The keys that begin with a prefix, as a half-open range.
struct Range {
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

impl Range {
    fn of(prefix: &[u8]) -> Self {
        let mut to = prefix.to_vec();
        while let Some(last) = to.pop() {
            if last < u8::MAX {
                to.push(last + 1);
                return Self { from: prefix.to_vec(), to: Some(to) };
            }
        }
        Self { from: prefix.to_vec(), to: None }
    }
}

fn blob(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(at)?.as_blob()?))
}

fn blob_or_none(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<Bytes>> {
    Ok(row.get_ref(at)?.as_blob_or_null()?.map(Bytes::copy_from_slice))
}
