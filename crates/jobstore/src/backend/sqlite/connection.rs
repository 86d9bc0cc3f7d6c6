//! Connections to a SQLite file, and transactions on them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};

use super::{RunQueryDsl, ready};
use crate::error::StoreError;

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Make the file where there is none.
    Create,
    /// Use a file that is there.
    Existing,
    /// Read only, also where nothing can be written.
    ReadOnly,
}

/// The URI of a file. Whatever is in its name, SQLite sees it as a name.
fn uri(path: &Path, mode: Mode) -> String {
    let text = path.to_string_lossy();
    let escaped: String = text
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let mode = match mode {
        Mode::Create => "rwc",
        Mode::Existing => "rw",
        Mode::ReadOnly => "ro",
    };
    format!("file:{escaped}?mode={mode}")
}

/// Opens a file, or a database in memory.
pub(super) fn connect(
    path: Option<&PathBuf>,
    mode: Mode,
    busy: Duration,
) -> Result<SqliteConnection, StoreError> {
    let url = path.map_or_else(|| ":memory:".to_owned(), |path| uri(path, mode));
    let mut c = SqliteConnection::establish(&url).map_err(|error| {
        let reason = error.to_string();
        if reason.contains("not a database") {
            StoreError::Corrupt(reason)
        } else {
            StoreError::Unreachable(reason)
        }
    })?;
    c.batch_execute(&format!("PRAGMA busy_timeout = {}", busy.as_millis()))?;
    c.batch_execute("PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;")?;
    Ok(c)
}

#[derive(diesel::QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = diesel::sql_types::Text)]
    journal_mode: String,
}

/// Sets what a connection that writes needs: a write-ahead log, and a commit that is on the disk when it returns.
pub(super) fn prepare_writer(c: &mut SqliteConnection, place: &str) -> Result<(), StoreError> {
    let mode: JournalMode =
        ready(async { Ok(diesel::sql_query("PRAGMA journal_mode = WAL").get_result(&mut *c).await?) })?;
    if !matches!(mode.journal_mode.as_str(), "wal" | "memory") {
        tracing::warn!(
            place,
            journal_mode = mode.journal_mode,
            "the job store's file system does not support a write-ahead log: it will be slow, and other processes wait"
        );
    }
    c.batch_execute("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;")?;
    Ok(())
}

/// How a transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// With the right to write. A transaction that asks for it later fails at once if another has written meanwhile,
    /// whatever the busy timeout.
    Immediate,
    /// Alone: nobody else reads or writes.
    Exclusive,
    /// Reading.
    Deferred,
}

/// Rolls back when it is dropped, so that a panic leaves no transaction behind.
struct Open<'c> {
    c: &'c mut SqliteConnection,
    done: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.done {
            // SQLite itself has rolled back after some errors (a full disk): then there is nothing to do.
            if let Err(error) = self.c.batch_execute("ROLLBACK") {
                tracing::debug!(%error, "nothing to roll back");
            }
        }
    }
}

/// Runs a transaction. Diesel's own would note a failed rollback as a broken connection.
pub(super) fn transaction<T>(
    c: &mut SqliteConnection,
    begin: Begin,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    c.batch_execute(match begin {
        Begin::Immediate => "BEGIN IMMEDIATE",
        Begin::Exclusive => "BEGIN EXCLUSIVE",
        Begin::Deferred => "BEGIN DEFERRED",
    })?;
    let mut open = Open { c, done: false };
    let value = work(open.c)?;
    open.c.batch_execute("COMMIT")?;
    open.done = true;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_names() {
        assert_eq!(uri(Path::new("/a b/c?d#e%.db"), Mode::Create), "file:/a%20b/c%3Fd%23e%25.db?mode=rwc");
        assert_eq!(uri(Path::new("rel:é.db"), Mode::ReadOnly), "file:rel%3A%C3%A9.db?mode=ro");
    }
}
