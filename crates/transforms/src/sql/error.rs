//! What SQLite says, in words that tell what to do.

use std::path::Path;

use pipeline_core::StageError;
use rusqlite::ErrorCode;

/// Where a database is, to stand before an error.
pub(crate) fn place(path: &Path) -> String {
    format!("database {}", path.display())
}

/// Whether another connection is in the way for now.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// An error that ends the run. Where the database is must be added by the caller.
pub(crate) fn fatal(doing: &str, error: rusqlite::Error) -> StageError {
    let code = error.sqlite_error_code();
    let said = StageError::fatal(match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("{doing}: another program has kept it locked for 30 s")
        }
        Some(ErrorCode::NotADatabase) => format!("{doing}: the file is not a SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => format!("{doing}: the file is damaged"),
        Some(ErrorCode::ReadOnly) => format!("{doing}: it is read-only"),
        Some(ErrorCode::CannotOpen) => format!("{doing}: it cannot be opened"),
        Some(ErrorCode::PermissionDenied) => format!("{doing}: permission denied"),
        Some(ErrorCode::DiskFull) => format!("{doing}: the disk is full"),
        Some(ErrorCode::OperationInterrupted) => format!("{doing}: the run was stopped"),
        _ => format!("{doing} failed"),
    });
    let hint = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "end that program or its transaction, then run again; nothing was changed"
        }
        Some(ErrorCode::NotADatabase) => "is the path right? nothing was changed",
        Some(ErrorCode::DatabaseCorrupt) => {
            "restore it from a backup, or salvage it with `sqlite3 FILE .recover`; nothing was changed"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "the file and its folder must be writable for the user that runs this"
        }
        Some(ErrorCode::DiskFull) => {
            "free space where the database is, and in the folder for temporary files (TMPDIR)"
        }
        _ => return said.caused_by(error),
    };
    said.hint(hint).caused_by(error)
}
