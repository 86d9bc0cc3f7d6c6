//! The keys that a run has seen, however many.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pipeline_core::{RunContext, StageError};
use rusqlite::{Connection, OptionalExtension};

use crate::keep::Worker;

/// So many bytes of keys are held in memory; more go to a temporary database.
const IN_MEMORY: usize = 8 << 20;

/// What a set costs for each key beside its bytes.
const OVERHEAD: usize = 48;

/// Keys seen, and the baseline's rows where there is one. It is gone with the run.
pub(crate) struct Scratch {
    worker: Worker,
    memory: HashSet<Bytes>,
    held: usize,
    disk: Option<Arc<Mutex<Connection>>>,
}

impl Scratch {
    /// Nothing seen yet.
    pub(crate) fn new(run: &RunContext) -> Self {
        Self { worker: Worker::of(run), memory: HashSet::new(), held: 0, disk: None }
    }

    /// Adds keys; says for each whether it was new.
    pub(crate) async fn add(&mut self, keys: Vec<Bytes>) -> Result<Vec<bool>, StageError> {
        if self.disk.is_none() && self.held < IN_MEMORY {
            let add = |key: Bytes| {
                let bytes = key.len() + OVERHEAD;
                let new = self.memory.insert(key);
                self.held += if new { bytes } else { 0 };
                new
            };
            return Ok(keys.into_iter().map(add).collect());
        }
        let memory = std::mem::take(&mut self.memory);
        self.on_disk(move |connection| {
            let tx = connection.unchecked_transaction()?;
            let new = {
                let mut insert = tx.prepare_cached("INSERT INTO seen VALUES (?1) ON CONFLICT DO NOTHING")?;
                for key in memory {
                    insert.execute([key.as_ref()])?;
                }
                let mut add = |key: Bytes| Ok(insert.execute([key.as_ref()])? == 1);
                keys.into_iter().map(&mut add).collect::<rusqlite::Result<Vec<bool>>>()?
            };
            tx.commit()?;
            Ok(new)
        })
        .await
    }

    /// Works on the temporary database, made when it is first needed: tables `seen (key)` and
    /// `baseline (key, value)`.
    pub(super) async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StageError> {
        let existing = self.disk.clone();
        let work = move || {
            let failed = |error| crate::sql::fatal("keeping the keys of this run", error);
            let disk = match existing {
                Some(disk) => disk,
                None => Arc::new(Mutex::new(open().map_err(failed)?)),
            };
            let result = work(&disk.lock().unwrap_or_else(PoisonError::into_inner)).map_err(failed)?;
            Ok((disk, result))
        };
        let (disk, result) = self.worker.run(work).await?;
        self.disk = Some(disk);
        Ok(result)
    }

    /// The temporary database.
    pub(super) async fn disk(&mut self) -> Result<Arc<Mutex<Connection>>, StageError> {
        self.on_disk(|_| Ok(())).await?;
        self.disk.clone().ok_or_else(|| StageError::fatal("the keys of this run are no longer kept"))
    }

    /// The baseline's rows of these keys.
    pub(super) async fn baseline(&mut self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StageError> {
        let keys = keys.to_vec();
        self.on_disk(move |connection| {
            let mut select = connection.prepare_cached("SELECT value FROM baseline WHERE key = ?1")?;
            let mut get = |key: Bytes| {
                let value = |row: &rusqlite::Row<'_>| Ok(Bytes::from(row.get::<_, Vec<u8>>(0)?));
                select.query_row([key.as_ref()], value).optional()
            };
            keys.into_iter().map(&mut get).collect()
        })
        .await
    }

    /// The number of the baseline's rows, and of those that were not seen.
    pub(super) async fn count_baseline(&mut self) -> Result<(u64, u64), StageError> {
        self.on_disk(|connection| {
            let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            let all = count("SELECT count(*) FROM baseline")?;
            let seen = count("SELECT count(*) FROM baseline WHERE key IN (SELECT key FROM seen)")?;
            Ok((all.unsigned_abs(), (all - seen).unsigned_abs()))
        })
        .await
    }

    /// Up to `limit` of the baseline's rows after `after` that were not seen.
    pub(super) async fn unseen_baseline(
        &mut self,
        after: Option<Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StageError> {
        self.on_disk(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT key, value FROM baseline AS known WHERE key > ?1
                 AND NOT EXISTS (SELECT 1 FROM seen WHERE seen.key = known.key) ORDER BY key LIMIT ?2",
            )?;
            let after = after.unwrap_or_default();
            let row = |row: &rusqlite::Row<'_>| {
                Ok((Bytes::from(row.get::<_, Vec<u8>>(0)?), Bytes::from(row.get::<_, Vec<u8>>(1)?)))
            };
            select.query_map((after.as_ref(), limit as i64), row)?.collect()
        })
        .await
    }
}

fn open() -> rusqlite::Result<Connection> {
    let connection = Connection::open("")?;
    connection.execute_batch(
        "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-4096;
         CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID;
         CREATE TABLE baseline (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;",
    )?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_new_once_in_memory_and_on_disk() {
        let key = |n: u32| Bytes::from(format!("{n:0100}"));
        let bench = crate::keep::testing::Bench::new();
        let mut scratch = Scratch::new(&RunContext::new(bench.options()));
        // Enough to go to disk on the way.
        for start in (0..60_000).step_by(1000) {
            let keys = (start..start + 1000).map(key).collect();
            assert!(scratch.add(keys).await.unwrap().into_iter().all(|new| new), "{start}");
            let again = vec![key(start), key(start / 2), key(1_000_000 + start), key(1_000_000 + start)];
            assert_eq!(scratch.add(again).await.unwrap(), [false, false, true, false], "{start}");
        }
        assert!(scratch.disk.is_some());
        assert!(scratch.memory.is_empty());
    }
}
