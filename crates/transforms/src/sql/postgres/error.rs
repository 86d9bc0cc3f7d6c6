//! What PostgreSQL says, in words that tell what to do.

use pipeline_core::StageError;
use tokio_postgres::error::SqlState;

/// An error that ends the run. Where the database is must be added by the caller.
pub(crate) fn fatal(doing: &str, error: tokio_postgres::Error) -> StageError {
    let Some(db) = error.as_db_error() else {
        return StageError::fatal(format!("{doing} failed"))
            .hint("is the server up, and the address right?")
            .caused_by(error);
    };
    let mut text = format!("{doing}: {}", db.message());
    for more in [db.detail(), db.where_()].into_iter().flatten() {
        text.push_str(": ");
        text.push_str(more.lines().next().unwrap_or_default());
    }
    let code = db.code();
    let said = StageError::fatal(text);
    let is_one_of = |codes: &[SqlState]| codes.contains(code);
    if is_one_of(&[SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION]) {
        said.hint("check user and password of the URL")
    } else if is_one_of(&[SqlState::INVALID_CATALOG_NAME]) {
        said.hint("create the database first")
    } else if is_one_of(&[SqlState::INSUFFICIENT_PRIVILEGE]) {
        said.hint("the user needs the right to create and write these tables")
    } else if is_one_of(&[SqlState::READ_ONLY_SQL_TRANSACTION]) {
        said.hint("a query must only read; a sink needs a server that can be written, the primary one")
    } else if is_one_of(&[SqlState::DISK_FULL]) {
        said.hint("free space on the server's disk")
    } else if is_one_of(&[SqlState::PROGRAM_LIMIT_EXCEEDED]) {
        said.hint("a row must fit a page: nest fields in one, which is kept as JSON")
    } else if is_one_of(&[SqlState::TOO_MANY_CONNECTIONS]) {
        said.hint("the server has no connection left: fewer pipelines at a time, or a larger max_connections")
    } else if is_one_of(&[SqlState::LOCK_NOT_AVAILABLE]) {
        said.hint("another program has kept the table locked for 60 s; nothing was changed")
    } else {
        match db.hint() {
            Some(hint) => said.hint(hint),
            None => said,
        }
    }
}
