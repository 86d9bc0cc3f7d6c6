//! What all HTTP stages of a run share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pipeline_core::RunContext;

use super::cookies::Cookies;
use super::limits::Limits;
use super::robots_cache::RobotsCache;

/// What all HTTP stages of a run share: a session, a pace for each host, and what the hosts allow.
#[derive(Default)]
pub(crate) struct RunHttp {
    pub(super) cookies: Arc<Cookies>,
    pub(super) limits: Limits,
    pub(super) robots: RobotsCache,
    fresh: AtomicBool,
}

impl RunHttp {
    /// That of this run.
    pub(crate) fn of(run: &RunContext) -> Arc<Self> {
        run.resource(Self::default)
    }

    /// An answer of the run was not a 304.
    pub(crate) fn saw_fresh(&self) {
        self.fresh.store(true, Ordering::Relaxed);
    }

    /// Whether an answer of the run was not a 304.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
    }
}
