//! What the bot asks of a scheduler, answered by the engine.

use std::sync::{Arc, PoisonError, RwLock};

use ::discord::bot::{
    ControlError, CronPreview, JobFires, JobInfo, Requester, RunInfo, Scheduled, SchedulerControl, Snapshot,
    StartedRun,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use engine::{Handle, JobQuery, NewJob};
use jobstore::{RunFilter, RunId};
use schedule::{Cron, Schedule, Zone};

use super::{convert, progress, snapshot};

/// The engine as the bot sees it.
pub(super) struct BotControl {
    pub(super) handle: Handle,
    zone: Zone,
    snapshot: RwLock<Arc<Snapshot>>,
}

impl BotControl {
    pub(super) fn new(handle: Handle, zone: Zone) -> Self {
        Self { handle, zone, snapshot: RwLock::default() }
    }

    pub(super) fn replace_snapshot(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    /// The schedule that this expression gives this pipeline: in the zone of its own schedule, else in the default.
    fn schedule_for(&self, pipeline: &str, cron: &str) -> Result<Schedule, String> {
        let cron = Cron::parse(cron).map_err(|error| error.to_string())?;
        let pipelines = self.handle.pipelines();
        let own = pipelines.get(pipeline).and_then(|pipeline| pipeline.schedule.as_ref());
        Ok(Schedule::cron(cron, own.map_or(self.zone, Schedule::zone)))
    }

    fn now(&self) -> DateTime<Utc> {
        self.handle.clock().now()
    }
}

#[async_trait]
impl SchedulerControl for BotControl {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn check_cron(&self, pipeline: &str, cron: &str) -> Result<CronPreview, String> {
        Ok(convert::preview(&self.schedule_for(pipeline, cron)?, self.now()))
    }

    async fn run(&self, pipeline: &str, by: &Requester) -> Result<StartedRun, ControlError> {
        // Watched from before the request on, so that no event of the run is overlooked.
        let events = self.handle.subscribe();
        let queued = self.handle.run_now(pipeline, Some(by.to_string())).await.map_err(convert::error)?;
        let progress = progress::watch(self.handle.clone(), events, queued.run.id);
        snapshot::refresh(self).await;
        Ok(StartedRun { run_id: queued.run.id.to_string(), progress })
    }

    async fn schedule(&self, pipeline: &str, cron: &str, by: &Requester) -> Result<Scheduled, ControlError> {
        let schedule = self.schedule_for(pipeline, cron).map_err(ControlError::Refused)?;
        let preview = convert::preview(&schedule, self.now());
        let job =
            NewJob { pipeline: pipeline.to_owned(), id: None, schedule, requested_by: Some(by.to_string()) };
        let added = self.handle.add_job(job).await.map_err(convert::error)?;
        snapshot::refresh(self).await;
        Ok(Scheduled {
            job_id: added.id.to_string(),
            replaced: added.replaced,
            english: preview.english,
            timezone: preview.timezone,
            next: preview.next,
            warnings: preview.warnings,
        })
    }

    async fn remove(&self, job_id: &str, by: &Requester) -> Result<(), ControlError> {
        let changed = self.handle.remove_job(job_id, Some(by.to_string())).await.map_err(convert::error)?;
        snapshot::refresh(self).await;
        if changed.changed {
            Ok(())
        } else {
            Err(ControlError::NotFound(format!("job '{job_id}' is removed already")))
        }
    }

    async fn pause(&self, job_id: &str, by: &Requester) -> Result<(), ControlError> {
        self.handle.pause_job(job_id, Some(by.to_string())).await.map_err(convert::error)?;
        snapshot::refresh(self).await;
        Ok(())
    }

    async fn resume(&self, job_id: &str, by: &Requester) -> Result<Option<DateTime<Utc>>, ControlError> {
        let changed = self.handle.resume_job(job_id, Some(by.to_string())).await.map_err(convert::error)?;
        snapshot::refresh(self).await;
        Ok(changed.job.next_fire_at)
    }

    async fn cancel(&self, run_id: &str, by: &Requester) -> Result<(), ControlError> {
        let id: RunId =
            run_id.parse().map_err(|error: jobstore::InvalidId| ControlError::NotFound(error.to_string()))?;
        self.handle.cancel_run(id, Some(by.to_string())).await.map_err(convert::error)?;
        Ok(())
    }

    async fn jobs(&self) -> Result<Vec<JobInfo>, ControlError> {
        let jobs = self.handle.jobs(JobQuery::default()).await.map_err(convert::error)?;
        Ok(jobs.iter().map(convert::job).collect())
    }

    async fn history(&self, pipeline: Option<&str>, limit: usize) -> Result<Vec<RunInfo>, ControlError> {
        let filter = RunFilter { pipeline: pipeline.map(str::to_owned), limit, ..RunFilter::default() };
        let runs = self.handle.runs(filter).await.map_err(convert::error)?;
        Ok(runs.iter().map(convert::run).collect())
    }

    async fn next(&self, pipeline: &str, count: usize) -> Result<Vec<JobFires>, ControlError> {
        let query = JobQuery { pipeline: Some(pipeline.to_owned()), ..JobQuery::default() };
        let jobs = self.handle.jobs(query).await.map_err(convert::error)?;
        let now = self.now();
        let fires = |job: &engine::JobView| JobFires {
            job_id: job.record.id.to_string(),
            trigger: job.record.trigger.clone(),
            next: job.next_fires(now, count).unwrap_or_default(),
            state: job.state.to_string(),
        };
        Ok(jobs.iter().map(fires).collect())
    }
}
