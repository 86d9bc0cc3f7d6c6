//! One attempt of a run: from a claim to a report.

use std::sync::Arc;

use jobstore::{AttemptKey, ClaimedRun, JobStore, Owner};
use pipeline_core::{
    Clock, NoState, Redactor, RunContext, RunIdentity, RunOptions, RunOutcome, RunReport, Services,
    StateStore,
};
use tokio_util::sync::CancellationToken;

use crate::engine::{RunEnvironment, StageStates};
use crate::lease::{Lease, LeaseFence};
use crate::logs::{AttemptLog, LogBook};
use crate::pipeline::Pipeline;
use crate::state::AttemptState;

/// What all attempts of an engine are made from.
pub(crate) struct Workshop {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) environment: RunEnvironment,
    pub(crate) owner: Owner,
    pub(crate) logs: LogBook,
}

/// An attempt that is ready to run.
pub(crate) struct Attempt {
    pipeline: Arc<Pipeline>,
    log: Arc<AttemptLog>,
    pub(crate) context: RunContext,
    pub(crate) cancel: CancellationToken,
}

impl Workshop {
    /// Makes the attempt that a claim asks for.
    pub(crate) fn attempt(&self, claim: &ClaimedRun, pipeline: Arc<Pipeline>, lease: Arc<Lease>) -> Attempt {
        let key = self.key(claim);
        let cancel = CancellationToken::new();
        let log = self.logs.attempt(claim.id, claim.attempt);
        let services: Services = self.environment.services.clone();
        let redactor: Redactor = self.environment.redactor.clone();
        let options = RunOptions {
            identity: RunIdentity {
                run_id: claim.id.to_string(),
                pipeline: claim.pipeline.clone(),
                job_id: claim.job_id.as_ref().map_or(&*claim.pipeline, |id| id.as_str()).to_owned(),
                scheduled_for: claim.scheduled_for,
                attempt: u32::try_from(claim.attempt).unwrap_or(1),
            },
            clock: self.clock.clone(),
            cancel: cancel.clone(),
            state: self.state(&key),
            state_dir: self.environment.state_dir.clone(),
            dry_run: false,
            redactor,
            services,
            fence: Some(Arc::new(LeaseFence {
                lease,
                key,
                length: claim.lease,
                clock: self.clock.clone(),
                store: self.store.clone(),
                shared: self.store.kind() == jobstore::StoreKind::Postgres,
            })),
            log: Some(log.clone()),
        };
        Attempt { pipeline, log, context: RunContext::new(options), cancel }
    }

    pub(crate) fn key(&self, claim: &ClaimedRun) -> AttemptKey {
        AttemptKey { run: claim.id, attempt: claim.attempt, owner: self.owner.clone() }
    }

    fn state(&self, key: &AttemptKey) -> Arc<dyn StateStore> {
        match &self.environment.state {
            StageStates::None => Arc::new(NoState),
            StageStates::JobStore => Arc::new(AttemptState { store: self.store.clone(), key: key.clone() }),
            StageStates::Other(state) => state.clone(),
        }
    }
}

impl Attempt {
    /// Runs the chain to its end. What it wrote to its log is in the store when this returns, if that is there.
    pub(crate) async fn run(self) -> RunReport {
        let Self { pipeline, log, context, cancel: _ } = self;
        let report = match (pipeline.chain)() {
            Ok(chain) => chain.run(context.clone(), pipeline.effective_timeout()).await,
            Err(error) => RunReport {
                pipeline: pipeline.name.to_string(),
                outcome: RunOutcome::Failed,
                note: None,
                started_at: context.started_at(),
                duration_ms: 0,
                stages: Vec::new(),
                error: Some(context.redactor().redact(&error).into_owned()),
            },
        };
        log.finish(context.now()).await;
        report
    }
}
