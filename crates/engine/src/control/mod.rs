//! What people can ask of a scheduler, done in the store: the same for the engine's own handle, and for a program that
//! only has the store while the engine runs elsewhere.

mod jobs;
mod lists;
mod runs;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jobstore::JobStore;
use pipeline_core::Clock;

use crate::pipeline::Pipelines;

pub use jobs::{JobAdded, JobChanged, NewJob};
pub use lists::{JobQuery, JobView, RunView};
pub use runs::{Cancelling, Queued};

/// A scheduler that was not heard of for longer than this does not count as running.
pub const ALIVE: Duration = Duration::from_secs(30);

/// Works on the jobs and runs of a store.
#[derive(Clone)]
pub struct Control {
    store: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    pipelines: Arc<RwLock<Pipelines>>,
}

impl Control {
    /// Works on this store, with the pipelines that the caller's file has.
    pub fn new(store: Arc<dyn JobStore>, clock: Arc<dyn Clock>, pipelines: Pipelines) -> Self {
        Self { store, clock, pipelines: Arc::new(RwLock::new(pipelines)) }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn JobStore> {
        &self.store
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The pipelines that are in use now.
    pub fn pipelines(&self) -> Pipelines {
        self.pipelines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace_pipelines(&self, pipelines: Pipelines) {
        *self.pipelines.write().unwrap_or_else(PoisonError::into_inner) = pipelines;
    }
}
