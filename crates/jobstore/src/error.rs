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
    /// The server said something else that no later version of the same statement need hear again.
    #[error("the job store's server reported: {0}")]
    Server(String),
    /// The database refused a statement for what it says.
    #[error("the job store refused an operation: {0}")]
    Database(String),
    /// The store has been closed.
    #[error("the job store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same operation can succeed later without anybody changing it: an outage, a lock, a full disk.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            StoreError::Unreachable(_) | StoreError::Busy(_) | StoreError::Full(_) | StoreError::Server(_)
        )
    }

    /// Whether two transactions waited for one another and this one was given up: nothing of it happened, and it can
    /// be tried again at once.
    pub(crate) fn is_collision(&self) -> bool {
        matches!(self, StoreError::Busy(message) if message.contains("deadlock") || message.contains("serialize"))
    }
}

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as Kind, Error};
        match error {
            Error::DatabaseError(kind, info) => {
                let detail = info.details().map(|detail| format!(" ({detail})")).unwrap_or_default();
                let message = format!("{}{detail}", info.message());
                match kind {
                    Kind::UnableToSendCommand | Kind::ClosedConnection => StoreError::Unreachable(message),
                    Kind::SerializationFailure => StoreError::Busy(format!("could not serialize: {message}")),
                    Kind::ReadOnlyTransaction => StoreError::ReadOnly(message),
                    Kind::UniqueViolation
                    | Kind::ForeignKeyViolation
                    | Kind::NotNullViolation
                    | Kind::CheckViolation
                    | Kind::RestrictViolation
                    | Kind::ExclusionViolation => StoreError::Database(message),
                    _ => by_message(message),
                }
            }
            Error::BrokenTransactionManager => StoreError::Unreachable("the connection broke".to_owned()),
            Error::RollbackErrorOnCommit { commit_error, .. } => StoreError::from(*commit_error),
            Error::DeserializationError(error) => StoreError::Corrupt(error.to_string()),
            other => StoreError::Database(other.to_string()),
        }
    }
}

/// A part of a message, and what it means.
type Said = (&'static str, fn(String) -> StoreError);

/// A statement that was prepared is not there, or one of another client is.
fn pooled(message: String) -> StoreError {
    StoreError::Database(format!(
        "{message}: a pooler in between hands the connection to others after each transaction, and does not keep \
         prepared statements apart; use PostgreSQL itself, a session pool, or PgBouncer 1.21 or newer with \
         max_prepared_statements above 0"
    ))
}

/// What databases say, in parts of their messages: neither driver passes on a code for these.
const MESSAGES: &[Said] = &[
    // SQLite, which always speaks English.
    ("database is locked", StoreError::Busy),
    ("database table is locked", StoreError::Busy),
    ("database or disk is full", StoreError::Full),
    ("readonly database", StoreError::ReadOnly),
    ("file is not a database", StoreError::Corrupt),
    ("malformed", StoreError::Corrupt),
    ("disk I/O error", StoreError::Unreachable),
    ("unable to open database", StoreError::Unreachable),
    ("out of memory", StoreError::Busy),
    ("no such table", StoreError::Database),
    ("no such column", StoreError::Database),
    ("syntax error", StoreError::Database),
    // PostgreSQL, where it speaks English.
    ("prepared statement", pooled),
    ("deadlock detected", StoreError::Busy),
    ("statement timeout", StoreError::Busy),
    ("lock timeout", StoreError::Busy),
    ("too many clients", StoreError::Busy),
    ("remaining connection slots", StoreError::Busy),
    ("No space left on device", StoreError::Full),
    ("could not extend file", StoreError::Full),
    ("could not write to file", StoreError::Full),
    ("terminating connection", StoreError::Unreachable),
    ("shutting down", StoreError::Unreachable),
    ("starting up", StoreError::Unreachable),
    ("in recovery mode", StoreError::Unreachable),
    ("connection to the server", StoreError::Unreachable),
    ("invalid page in block", StoreError::Corrupt),
    ("read-only transaction", StoreError::ReadOnly),
    ("permission denied", StoreError::Database),
    ("does not exist", StoreError::Database),
];

/// Tells errors apart that have no kind of their own. What is not known may be said in another language: it is taken
/// for something that passes, because the statements themselves are always the same.
fn by_message(message: String) -> StoreError {
    MESSAGES
        .iter()
        .find(|(part, _)| message.contains(part))
        .map_or_else(|| StoreError::Server(message.clone()), |(_, kind)| kind(message.clone()))
}

impl OpenError {
    /// The same trouble while opening.
    pub(crate) fn from_store(place: &str, error: StoreError) -> Self {
        let place = place.to_owned();
        match error {
            StoreError::Unreachable(reason) | StoreError::Busy(reason) | StoreError::Server(reason) => {
                OpenError::Unreachable { place, reason }
            }
            StoreError::Full(reason) => OpenError::Full { place, reason },
            StoreError::ReadOnly(reason) => OpenError::ReadOnly { place, reason },
            StoreError::Corrupt(reason) => OpenError::Corrupt { place, reason },
            other => OpenError::Migration { place, reason: other.to_string() },
        }
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
