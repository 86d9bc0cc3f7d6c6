//! What stages keep between runs.

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StageError;

/// Whose state it is: the state of one stage of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateScope {
    /// The pipeline.
    pub pipeline: String,
    /// The stage's own name for it, such as `diff` or `http`; stable while the file is edited.
    pub name: String,
}

/// A change to the state, kept aside until the run has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateWrite {
    /// Sets the value of a key, and marks it as seen in this run.
    Put(Bytes, Bytes),
    /// Marks a key as seen in this run and leaves its value as it is.
    Touch(Bytes),
    /// Removes a key.
    Delete(Bytes),
}

/// Where stages keep state between runs: a SQLite file, or the job store.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Whether what is written lasts longer than the run. Where it does not, a stage need not write what only
    /// the next run would read.
    fn is_lasting(&self) -> bool {
        true
    }

    /// Opens the state of a stage for one run.
    ///
    /// The store enlists itself in the run's commit: what was written becomes visible when the run
    /// has succeeded, and never otherwise.
    ///
    /// # Errors
    /// Where the store cannot be used.
    async fn open(
        &self,
        scope: StateScope,
        run: &crate::context::RunContext,
    ) -> Result<Box<dyn StageState>, StageError>;
}

/// The state of one stage during one run. Reads see what this run wrote before.
#[async_trait]
pub trait StageState: Send {
    /// The values of these keys, in their order.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn get_many(&mut self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StageError>;

    /// Keeps changes aside for the run's commit.
    ///
    /// # Errors
    /// Where they cannot be kept.
    async fn write(&mut self, writes: Vec<StateWrite>) -> Result<(), StageError>;

    /// Up to `limit` committed keys (with values) that begin with `prefix`, come after `after`, and
    /// were neither put, touched nor deleted in this run, in the order of the keys.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn untouched(
        &mut self,
        prefix: &[u8],
        after: Option<Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StageError>;

    /// The number of committed keys that begin with `prefix`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn count(&mut self, prefix: &[u8]) -> Result<u64, StageError>;

    /// The number of committed keys that begin with `prefix` and were not seen in this run.
    ///
    /// # Errors
    /// Where the store cannot be read.
    async fn count_untouched(&mut self, prefix: &[u8]) -> Result<u64, StageError>;
}

/// Keeps nothing: the state of a dry run or of an embedder who wants none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoState;

#[async_trait]
impl StateStore for NoState {
    fn is_lasting(&self) -> bool {
        false
    }

    async fn open(
        &self,
        _: StateScope,
        _: &crate::context::RunContext,
    ) -> Result<Box<dyn StageState>, StageError> {
        Ok(Box::new(MemoryState::default()))
    }
}

/// State that lives as long as the run.
#[derive(Debug, Default)]
struct MemoryState {
    values: std::collections::BTreeMap<Bytes, Bytes>,
}

#[async_trait]
impl StageState for MemoryState {
    async fn get_many(&mut self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StageError> {
        Ok(keys.iter().map(|key| self.values.get(key).cloned()).collect())
    }

    async fn write(&mut self, writes: Vec<StateWrite>) -> Result<(), StageError> {
        for write in writes {
            match write {
                StateWrite::Put(key, value) => drop(self.values.insert(key, value)),
                StateWrite::Touch(_) => {}
                StateWrite::Delete(key) => drop(self.values.remove(&key)),
            }
        }
        Ok(())
    }

    async fn untouched(
        &mut self,
        _: &[u8],
        _: Option<Bytes>,
        _: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StageError> {
        // All that is here was written in this run.
        Ok(Vec::new())
    }

    async fn count(&mut self, _: &[u8]) -> Result<u64, StageError> {
        Ok(0)
    }

    async fn count_untouched(&mut self, _: &[u8]) -> Result<u64, StageError> {
        Ok(0)
    }
}
