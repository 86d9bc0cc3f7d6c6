//! SQLite: one file in WAL mode, one connection that writes and one that reads.

use std::future::Future;

use diesel::SqliteConnection;
use futures_util::FutureExt as _;

mod cached;
mod connection;
mod dsl;
mod io;
mod poll;
mod statements;
mod store;

pub(crate) use dsl::RunQueryDsl;
pub(crate) use store::{Store, open};

pub(crate) type Conn = SqliteConnection;
pub(crate) type Db = diesel::sqlite::Sqlite;

/// The result of a body that never waits: see [`dsl`].
fn ready<T>(body: impl Future<Output = Result<T, crate::StoreError>>) -> Result<T, crate::StoreError> {
    body.now_or_never().unwrap_or_else(|| Err(crate::StoreError::Database("a transaction waited".to_owned())))
}

/// A transaction that writes, on a blocking thread.
macro_rules! write_tx {
    ($store:ident, |$c:ident| $body:expr) => {
        $store.write(move |$c| super::ready($body)).await
    };
}

/// A transaction that reads.
macro_rules! read_tx {
    ($store:ident, |$c:ident| $body:expr) => {
        $store.read(move |$c| super::ready($body)).await
    };
}

#[path = "../shared/api.rs"]
mod api;
#[path = "../shared/bodies.rs"]
mod bodies;
#[path = "../shared/changes.rs"]
mod changes;
#[path = "../shared/claims.rs"]
mod claims;
#[path = "../shared/ends.rs"]
mod ends;
#[path = "../shared/jobs.rs"]
mod jobs;
#[path = "../shared/outbox.rs"]
mod outbox;
#[path = "../shared/outlook.rs"]
mod outlook;
#[path = "../shared/process.rs"]
mod process;
#[path = "../shared/rescue.rs"]
mod rescue;
#[path = "../shared/retention.rs"]
mod retention;
#[path = "../shared/runs.rs"]
mod runs;
#[path = "../shared/schema_version.rs"]
mod schema_version;
#[path = "../shared/stage_state.rs"]
mod stage_state;
#[path = "../shared/staged.rs"]
mod staged;
#[path = "../shared/turn.rs"]
mod turn;

#[cfg(test)]
mod tests;
