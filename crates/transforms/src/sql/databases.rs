//! The databases of one run, and their part in its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pipeline_core::{CommitPhase, Participant, RunContext, StageError, dead_letter};

use super::postgres::PgUnit;
use super::unit::SqliteUnit;
use crate::keep::Worker;

/// A service that makes every SQLite file of a run an empty one: a test of a pipeline must not depend on
/// what earlier runs have stored. Meant for dry runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyDatabases;

/// All databases that the stages of a run use, each once.
///
/// They are prepared in the order of their names whatever the chain: two runs that write the same two
/// files then never wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Databases(Mutex<Members>);

#[derive(Debug, Default)]
struct Members {
    enlisted: bool,
    sqlite: BTreeMap<PathBuf, Arc<SqliteUnit>>,
    postgres: BTreeMap<String, Arc<PgUnit>>,
}

impl Databases {
    /// The SQLite file at `path`, for this run.
    pub(crate) fn sqlite(run: &RunContext, path: &Path) -> Arc<SqliteUnit> {
        let real = match run.service::<EmptyDatabases>() {
            Some(_) => run.state_dir().join("empty").join(dead_letter::file_name(&path.to_string_lossy())),
            None => real_path(path),
        };
        let make = || Arc::new(SqliteUnit::new(path, real.clone(), run.is_dry_run(), Worker::of(run)));
        Self::member(run, |members| members.sqlite.entry(real.clone()).or_insert_with(make).clone())
    }

    /// The PostgreSQL database that `make` connects to, for this run.
    pub(crate) fn postgres(run: &RunContext, key: &str, make: impl FnOnce() -> PgUnit) -> Arc<PgUnit> {
        let make = || Arc::new(make());
        Self::member(run, |members| members.postgres.entry(key.to_owned()).or_insert_with(make).clone())
    }

    fn member<T>(run: &RunContext, get: impl FnOnce(&mut Members) -> T) -> T {
        let databases = run.resource(Self::default);
        let mut members = databases.lock();
        let member = get(&mut members);
        if !std::mem::replace(&mut members.enlisted, true) {
            drop(members);
            let at = || "the databases".to_owned();
            run.enlist(Ending { databases: databases.clone(), phase: CommitPhase::Sink, name: at() });
            run.enlist(Ending { databases, phase: CommitPhase::State, name: at() });
        }
        member
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> (Vec<Arc<SqliteUnit>>, Vec<Arc<PgUnit>>) {
        let members = self.lock();
        (members.sqlite.values().cloned().collect(), members.postgres.values().cloned().collect())
    }
}

/// The databases of one phase: those that hold nothing but data, or those that hold state as well.
struct Ending {
    databases: Arc<Databases>,
    phase: CommitPhase,
    /// The one that failed, for the error's place.
    name: String,
}

impl Ending {
    fn sqlite(&self) -> Vec<Arc<SqliteUnit>> {
        let mine = self.phase == CommitPhase::State;
        self.databases.all().0.into_iter().filter(|unit| unit.has_state() == mine).collect()
    }

    fn postgres(&self) -> Vec<Arc<PgUnit>> {
        if self.phase == CommitPhase::Sink { self.databases.all().1 } else { Vec::new() }
    }
}

#[async_trait]
impl Participant for Ending {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn phase(&self) -> CommitPhase {
        self.phase
    }

    async fn prepare(&mut self) -> Result<(), StageError> {
        if self.phase == CommitPhase::State {
            return Ok(());
        }
        let (sqlite, postgres) = self.databases.all();
        for unit in sqlite {
            self.name = unit.place();
            unit.prepare().await?;
        }
        for unit in postgres {
            self.name = unit.place();
            unit.prepare().await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StageError> {
        for unit in self.sqlite() {
            self.name = unit.place();
            unit.commit().await?;
        }
        for unit in self.postgres() {
            self.name = unit.place();
            unit.commit().await?;
        }
        Ok(())
    }

    async fn rollback(&mut self) {
        for unit in self.sqlite() {
            unit.rollback().await;
        }
        for unit in self.postgres() {
            unit.rollback().await;
        }
    }
}

/// One path for all names of a file, which may not exist yet.
fn real_path(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (absolute.parent().and_then(|folder| folder.canonicalize().ok()), absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}
