//! The start: make the process known, take over what its dead predecessor held, reconcile, start what runs at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jobstore::{
    FirePlanner, JobEdited, JobFilter, JobRecord, JobSource, JobStore, Owner, ProcessInfo, Reason, RunId,
    RunRequest, StoreKind, Turn,
};

use crate::engine::Settings;
use crate::error::{ControlError, EngineError};
use crate::event::EventKind;
use crate::pipeline::Pipelines;
use crate::planner::Planner;
use crate::process::{surely_gone, this_process};
use crate::reconcile::{self, Plan};
use crate::shared::Shared;

/// How often a reconciliation is planned anew because other schedulers were faster.
const ROUNDS: usize = 20;
/// Fires that are recorded in one turn before the file is reconciled.
const FIRES: usize = 500;

/// All that comes before the loop.
pub(super) async fn prepare(
    shared: &Shared,
    store: &Arc<dyn JobStore>,
    pipelines: &Pipelines,
    settings: &Settings,
    owner: &Owner,
) -> Result<(), EngineError> {
    let clock = shared.control.clock();
    store.register_process(process_info(owner, pipelines, settings), clock.now()).await?;
    take_over(shared, store, owner).await?;
    record_overdue(shared, store, pipelines, settings, owner).await?;
    for event in reconcile(shared, store, pipelines).await?.events {
        shared.emit(event);
    }
    warn_of_foreign_jobs(shared, store).await?;
    warn_of_orphans(shared, store, pipelines).await?;
    run_at_start(shared, pipelines).await
}

pub(super) fn process_info(owner: &Owner, pipelines: &Pipelines, settings: &Settings) -> ProcessInfo {
    ProcessInfo {
        owner: owner.clone(),
        identity: this_process(),
        version: settings.version.clone(),
        pipelines: pipelines.iter().map(|pipeline| pipeline.name.to_string()).collect(),
    }
}

/// Takes over the runs of processes of this machine that are surely gone, without waiting for their leases to end.
async fn take_over(shared: &Shared, store: &Arc<dyn JobStore>, owner: &Owner) -> Result<(), EngineError> {
    if store.kind() == StoreKind::Memory {
        return Ok(());
    }
    let this = this_process();
    for process in store.processes(shared.control.clock().now()).await? {
        if process.info.owner == *owner || !surely_gone(&this, &process.info.identity) {
            continue;
        }
        let rescued = store.rescue_process(&process.info.owner, shared.control.clock().now()).await?;
        for rescued in rescued {
            shared.emit(EventKind::Rescued {
                run: rescued.id,
                pipeline: rescued.pipeline,
                attempt: rescued.attempt,
                owner: rescued.owner,
                outcome: match rescued.what {
                    jobstore::RescuedAs::Queued => None,
                    jobstore::RescuedAs::Finished(outcome) => Some(outcome),
                },
            });
        }
    }
    Ok(())
}

/// Records the fires that are overdue by what is stored of their jobs, before the file can change that.
async fn record_overdue(
    shared: &Shared,
    store: &Arc<dyn JobStore>,
    pipelines: &Pipelines,
    settings: &Settings,
    owner: &Owner,
) -> Result<(), EngineError> {
    let planner: Arc<dyn FirePlanner> = Arc::new(Planner(pipelines.clone()));
    loop {
        let turn = Turn {
            now: shared.control.clock().now(),
            owner: owner.clone(),
            pipelines: pipelines.names().clone(),
            ends: Vec::new(),
            free_slots: 0,
            fire_limit: FIRES,
            lease: settings.lease,
            sweep: false,
        };
        let result = store.turn(Arc::new(turn), planner.clone()).await?;
        let fired = result.fired.len();
        for event in result.fired.into_iter().filter_map(super::turns::fired_event) {
            shared.emit(event);
        }
        if fired < FIRES {
            return Ok(());
        }
    }
}

/// What a reconciliation has done.
pub(super) struct Reconciliation {
    /// What there is to tell, in the order of the jobs.
    pub(super) events: Vec<EventKind>,
    /// How many jobs are new, changed or gone.
    pub(super) changes: usize,
}

/// Makes the jobs of the file those of the store.
pub(super) async fn reconcile(
    shared: &Shared,
    store: &Arc<dyn JobStore>,
    pipelines: &Pipelines,
) -> Result<Reconciliation, EngineError> {
    let file = reconcile::file_jobs(pipelines);
    let filter = JobFilter { source: Some(JobSource::Config), ..JobFilter::default() };
    let mut stored: Vec<JobRecord> = store.jobs(filter).await?;
    let mut done = Reconciliation { events: Vec::new(), changes: 0 };
    let mut open = 0;
    for round in 0..ROUNDS {
        let now = shared.control.clock().now();
        let Plan { steps, kept } = reconcile::plan(&file, &stored, now);
        if round == 0 {
            done.events.extend(kept);
        }
        if steps.is_empty() {
            return Ok(done);
        }
        let edits = steps.iter().map(|step| step.edit.clone()).collect();
        let results = store.edit_jobs(edits, now).await?;
        open = 0;
        for (step, result) in steps.into_iter().zip(results) {
            match result {
                JobEdited::Done(_) => {
                    done.changes += usize::from(step.event.is_some());
                    done.events.extend(step.event);
                }
                JobEdited::Conflict(_) | JobEdited::NotFound => open += 1,
            }
        }
        if open == 0 {
            return Ok(done);
        }
        // Somebody else has changed some of these: look again, also for jobs of another source with such an id.
        stored = reread(store, &file).await?;
    }
    Err(EngineError::Contended(open))
}

async fn reread(
    store: &Arc<dyn JobStore>,
    file: &BTreeMap<jobstore::JobId, reconcile::FileJob<'_>>,
) -> Result<Vec<JobRecord>, EngineError> {
    let stored = store.jobs(JobFilter::default()).await?;
    let wanted = |record: &JobRecord| record.source == JobSource::Config || file.contains_key(&record.id);
    Ok(stored.into_iter().filter(wanted).collect())
}

async fn warn_of_foreign_jobs(shared: &Shared, store: &Arc<dyn JobStore>) -> Result<(), EngineError> {
    if let Some(foreign) = store.foreign_jobs().await?
        && foreign.count > 0
    {
        let ids = foreign.ids.into_iter().take(10).collect();
        shared.emit(EventKind::ForeignJobs { table: foreign.table, count: foreign.count, ids });
    }
    Ok(())
}

/// Tells of jobs added at run time that nobody can run.
pub(super) async fn warn_of_orphans(
    shared: &Shared,
    store: &Arc<dyn JobStore>,
    pipelines: &Pipelines,
) -> Result<(), EngineError> {
    let mut unknown = store.jobs_by_pipeline(JobSource::Runtime).await?;
    unknown.retain(|(pipeline, _)| pipelines.get(pipeline).is_none());
    if unknown.is_empty() {
        return Ok(());
    }
    for process in store.processes(shared.control.clock().now()).await? {
        if process.silent_for <= crate::control::ALIVE {
            unknown.retain(|(pipeline, _)| !process.info.pipelines.contains(pipeline));
        }
    }
    for (pipeline, jobs) in unknown {
        shared.emit(EventKind::JobsOrphaned { pipeline, jobs });
    }
    Ok(())
}

/// Queues the pipelines without schedule, one run each.
async fn run_at_start(shared: &Shared, pipelines: &Pipelines) -> Result<(), EngineError> {
    for pipeline in pipelines.iter().filter(|pipeline| pipeline.runs_at_start()) {
        let now = shared.control.clock().now();
        let request = RunRequest {
            id: RunId::generate(now),
            pipeline: pipeline.name.to_string(),
            job_id: None,
            reason: Reason::Startup,
            available_at: now,
            policy: pipeline.run_policy(),
            requested_by: None,
        };
        match shared.control.request(request).await {
            Ok(queued) => shared.emit(EventKind::Requested { run: queued.run, by: None }),
            Err(ControlError::AlreadyRunning { runs, .. }) => {
                shared.emit(EventKind::StartupSkipped { pipeline: pipeline.name.clone(), by: runs });
            }
            Err(ControlError::Store(error)) => return Err(error.into()),
            Err(other) => tracing::error!("pipeline '{}' could not be started: {other}", pipeline.name),
        }
    }
    Ok(())
}
