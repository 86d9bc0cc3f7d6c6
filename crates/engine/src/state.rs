//! What stages keep between runs, in the job store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jobstore::{AttemptKey, JobStore, StageScope, StateOp, StoreError};
use pipeline_core::{RunContext, StageError, StageState, StateScope, StateStore, StateWrite};

/// The state of one attempt's stages in the job store.
///
/// Writes are staged under the attempt and become valid in the commit that writes the run's success, and only there:
/// an attempt that has lost its run changes nothing.
pub(crate) struct AttemptState {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) key: AttemptKey,
}

#[async_trait]
impl StateStore for AttemptState {
    async fn open(&self, scope: StateScope, _: &RunContext) -> Result<Box<dyn StageState>, StageError> {
        Ok(Box::new(OpenState {
            store: self.store.clone(),
            key: self.key.clone(),
            scope: StageScope { pipeline: scope.pipeline, stage: scope.name },
        }))
    }
}

struct OpenState {
    store: Arc<dyn JobStore>,
    key: AttemptKey,
    scope: StageScope,
}

impl OpenState {
    fn failed(&self, doing: &str, error: StoreError) -> StageError {
        StageError::fatal(format!("what stage state '{}' keeps cannot be {doing}: {error}", self.scope.stage))
    }
}

#[async_trait]
impl StageState for OpenState {
    async fn get_many(&mut self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, StageError> {
        let keys = keys.iter().map(|key| key.to_vec()).collect();
        let values = self.store.state_get(Some(&self.key), &self.scope, keys).await;
        let values = values.map_err(|error| self.failed("read", error))?;
        Ok(values.into_iter().map(|value| value.map(Bytes::from)).collect())
    }

    async fn write(&mut self, writes: Vec<StateWrite>) -> Result<(), StageError> {
        let writes = writes
            .into_iter()
            .map(|write| match write {
                StateWrite::Put(key, value) => {
                    jobstore::StateWrite { key: key.into(), op: StateOp::Put(value.into()) }
                }
                StateWrite::Touch(key) => jobstore::StateWrite { key: key.into(), op: StateOp::Touch },
                StateWrite::Delete(key) => jobstore::StateWrite { key: key.into(), op: StateOp::Delete },
            })
            .collect();
        let staged = self.store.state_stage(&self.key, &self.scope, writes).await;
        staged.map_err(|error| self.failed("written", error))
    }

    async fn untouched(
        &mut self,
        prefix: &[u8],
        after: Option<Bytes>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StageError> {
        let after = after.map(Vec::from);
        let entries = self.store.state_scan(Some(&self.key), &self.scope, prefix, after, limit).await;
        let entries = entries.map_err(|error| self.failed("read", error))?;
        Ok(entries.into_iter().map(|entry| (entry.key.into(), entry.value.into())).collect())
    }

    async fn count(&mut self, prefix: &[u8]) -> Result<u64, StageError> {
        let count = self.store.state_count(None, &self.scope, prefix).await;
        count.map_err(|error| self.failed("counted", error))
    }

    async fn count_untouched(&mut self, prefix: &[u8]) -> Result<u64, StageError> {
        let count = self.store.state_count(Some(&self.key), &self.scope, prefix).await;
        count.map_err(|error| self.failed("counted", error))
    }
}
