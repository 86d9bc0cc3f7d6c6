//! The store of stages' state in a SQLite file.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pipeline_core::{RunContext, StageError, StageState, StateScope, StateStore, StateWrite, dead_letter};

use rusqlite::Connection;

use super::databases::Databases;
use super::error::fatal;
use super::staged_state::StagedState;
use super::unit::{Inner, SqliteUnit};

/// Keeps what stages remember between runs in a SQLite file, which is made when the first run that has
/// something to remember succeeds.
///
/// Within a run it shares the file's one transaction with the database sink: where both use the same
/// file, rows and state become visible together or not at all.
#[derive(Debug, Clone)]
pub struct SqliteStateStore(Where);

#[derive(Debug, Clone)]
enum Where {
    /// A file for each pipeline.
    Folder(PathBuf),
    File(PathBuf),
}

impl SqliteStateStore {
    /// A file for each pipeline in a folder: `<state_dir>/<pipeline>.db`.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self(Where::Folder(state_dir.into()))
    }

    /// One file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Where::File(path.into()))
    }

    /// The file that keeps the state of a pipeline.
    pub fn path(&self, pipeline: &str) -> PathBuf {
        match &self.0 {
            Where::Folder(folder) => folder.join(format!("{}.db", dead_letter::file_name(pipeline))),
            Where::File(path) => path.clone(),
        }
    }
}

#[async_trait]
impl StateStore for SqliteStateStore {
    async fn open(&self, scope: StateScope, run: &RunContext) -> Result<Box<dyn StageState>, StageError> {
        let unit = Databases::sqlite(run, &self.path(&scope.pipeline));
        unit.probe().await?;
        unit.mark_state();
        let scope = unit
            .work(move |inner| {
                let (connection, attached, state) = inner.with_state()?;
                state.open(connection, attached, scope)
            })
            .await?;
        Ok(Box::new(SqliteState { unit, scope }))
    }
}

struct SqliteState {
    unit: Arc<SqliteUnit>,
    scope: usize,
}

impl SqliteState {
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StagedState, &Connection, usize) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StageError> {
        let scope = self.scope;
        let read = move |inner: &mut Inner| {
            let (connection, _, state) = inner.with_state()?;
            read(state, connection, scope).map_err(|error| fatal("reading the state", error))
        };
        self.unit.work(read).await
    }
}

#[async_trait]
impl StageState for SqliteState {
    async fn get_many(&mut self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StageError> {
        let keys = keys.to_vec();
        self.read(move |state, connection, scope| state.get_many(connection, scope, &keys)).await
    }

    async fn write(&mut self, writes: Vec<StateWrite>) -> Result<(), StageError> {
        let scope = self.scope;
        let write = move |inner: &mut Inner| {
            let (connection, _, state) = inner.with_state()?;
            state.write(connection, scope, &writes).map_err(|error| fatal("putting state aside", error))
        };
        self.unit.work(write).await
    }

    async fn untouched(
        &mut self,
        prefix: &[u8],
        after: Option<Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StageError> {
        let prefix = prefix.to_vec();
        self.read(move |state, connection, scope| {
            state.untouched(connection, scope, &prefix, after.as_ref(), limit)
        })
        .await
    }

    async fn count(&mut self, prefix: &[u8]) -> Result<u64, StageError> {
        let prefix = prefix.to_vec();
        self.read(move |state, connection, scope| state.count(connection, scope, &prefix, false)).await
    }

    async fn count_untouched(&mut self, prefix: &[u8]) -> Result<u64, StageError> {
        let prefix = prefix.to_vec();
        self.read(move |state, connection, scope| state.count(connection, scope, &prefix, true)).await
    }
}
