//! What can go wrong with a store, told apart by what the caller can do about it.

use std::path::PathBuf;

/// An operation on an open store failed. Nothing of it was written, unless [`StoreError::is_transient`]: then the
/// answer to a commit may have been lost, and repeating the operation is safe.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached, or the connection broke.
    #[error("the job store is unreachable: {0}")]
    Unreachable(String),
    /// Another process held a lock for too long, or a statement took too long.
    #[error("the job store is busy: {0}")]
    Busy(String),
    /// No space is left for the database.
    #[error("the job store cannot grow, its disk or quota is full: {0}")]
    Full(String),
    /// The database cannot be written.
    #[error("the job store is read-only: {0}")]
    ReadOnly(String),
    /// What is stored is damaged.
    #[error("the job store is corrupt: {0}")]
    Corrupt(String),
    /// The attempt that writes does not hold its run any more; nothing was written.
    #[error("attempt {attempt} of run {run} is no longer held by this process, nothing was written")]
    NotHeld {
        /// The run.
        run: crate::RunId,
        /// The attempt.
        attempt: i32,
    },
    /// Anything else the database said.
    #[error("the job store refused an operation: {0}")]
    Database(String),
    /// The store has been closed.
    #[error("the job store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same operation can succeed later without anybody changing it: an outage, a lock, a full disk.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unreachable(_) | StoreError::Busy(_) | StoreError::Full(_))
    }
}

/// A store could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL cannot be understood.
    #[error("the database URL '{url}' cannot be used: {reason}")]
    Url {
        /// The URL without its password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no store there, and none was to be made.
    #[error("there is no job store at {place}: it is made when a scheduler starts or a job is added")]
    Missing {
        /// Where.
        place: String,
    },
    /// The server cannot be reached or refuses the login, or the file cannot be opened.
    #[error("the job store at {place} is unreachable: {reason}")]
    Unreachable {
        /// Where, without a password.
        place: String,
        /// Why.
        reason: String,
    },
    /// It cannot be written.
    #[error("the job store at {place} is read-only: {reason}")]
    ReadOnly {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// The file is no database, or is damaged.
    #[error(
        "the job store at {place} is corrupt: {reason}; restore it from a back-up, or move it away to start afresh"
    )]
    Corrupt {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// There is no space for it.
    #[error("the job store at {place} has no space left: {reason}")]
    Full {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// A later version of the program has written it. It is left as it is.
    #[error(
        "the job store at {place} was written by a newer version (schema {found}, this program knows {known}): use that version, or another store"
    )]
    Newer {
        /// Where.
        place: String,
        /// The version that the store has.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// An earlier version has written it, and it was opened without the right to bring it up to date.
    #[error(
        "the job store at {place} is of an older version (schema {found}, this program needs {known}): start the scheduler once to bring it up to date"
    )]
    Older {
        /// Where.
        place: String,
        /// The version that the store has.
        found: i64,
        /// The version that this program needs.
        known: i64,
    },
    /// The tables could not be made or brought up to date.
    #[error("the tables of the job store at {place} could not be brought up to date: {reason}")]
    Migration {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// A file named in the URL cannot be used (a certificate).
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
