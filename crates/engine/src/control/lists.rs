//! Looking at jobs and runs.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use jobstore::{
    AttemptRecord, JobFilter, JobId, JobRecord, JobSource, JobState, LogCursor, LogLine, RunFilter, RunId,
    RunRecord, StoreError,
};
use schedule::Schedule;

use super::{ALIVE, Control};
use crate::error::ControlError;
use crate::spec;

/// So many names are searched for one that was meant.
const SEARCHED: usize = 1_000;

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Also the removed ones.
    pub all: bool,
    /// Of this pipeline.
    pub pipeline: Option<String>,
    /// After this one, for the next page.
    pub after: Option<JobId>,
    /// So many at most are looked at; 0 is all.
    pub limit: usize,
}

/// A job, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// What is stored.
    pub record: JobRecord,
    /// Its state; `orphaned` where no running scheduler has its pipeline.
    pub state: JobState,
    /// The newest of its runs that is over.
    pub last: Option<RunRecord>,
}

/// A run with its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunView {
    /// The run.
    pub record: RunRecord,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptRecord>,
}

impl JobView {
    /// When it fires; why that cannot be read.
    ///
    /// # Errors
    /// What is stored of its schedule cannot be read.
    pub fn schedule(&self) -> Result<Schedule, String> {
        spec::read(&self.record.spec)
    }

    /// Its next fires after an instant, at most so many; none while it does not fire.
    ///
    /// # Errors
    /// What is stored of its schedule cannot be read.
    pub fn next_fires(&self, after: DateTime<Utc>, count: usize) -> Result<Vec<DateTime<Utc>>, String> {
        let schedule = self.schedule()?;
        if !matches!(self.state, JobState::Scheduled | JobState::Orphaned) {
            return Ok(Vec::new());
        }
        Ok(schedule.fires(after).take(count).collect())
    }
}

impl Control {
    /// The jobs of the namespace, by id.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn jobs(&self, query: JobQuery) -> Result<Vec<JobView>, ControlError> {
        let filter = JobFilter {
            all_namespaces: false,
            pipeline: query.pipeline,
            source: None,
            after: query.after.map(|id| (self.store().namespace().to_owned(), id)),
            limit: query.limit,
        };
        let records = self.store().jobs(filter).await?;
        let records = records.into_iter().filter(|record| query.all || record.state != JobState::Removed);
        self.views(records.collect()).await
    }

    /// One job.
    ///
    /// # Errors
    /// There is no such job.
    pub async fn job(&self, id: &str) -> Result<JobView, ControlError> {
        let record = self.store().job(&JobId::from(id)).await?;
        let views = self.views(record.into_iter().collect()).await?;
        match views.into_iter().next() {
            Some(view) => Ok(view),
            None => Err(self.unknown_job(id).await),
        }
    }

    async fn views(&self, records: Vec<JobRecord>) -> Result<Vec<JobView>, ControlError> {
        let ids: Vec<JobId> = records.iter().map(|record| record.id.clone()).collect();
        let runs = if ids.is_empty() { Vec::new() } else { self.store().job_runs(&ids).await? };
        let mut last: HashMap<JobId, Option<RunRecord>> =
            runs.into_iter().map(|runs| (runs.job, runs.last_finished)).collect();
        let homeless = self.homeless(&records).await?;
        let view = |record: JobRecord| {
            let orphaned = record.source == JobSource::Runtime && homeless.contains(&record.pipeline);
            let state = match record.shown_state() {
                JobState::Scheduled | JobState::Orphaned if orphaned => JobState::Orphaned,
                JobState::Orphaned if record.paused => JobState::Paused,
                JobState::Orphaned => JobState::Scheduled,
                state => state,
            };
            JobView { last: last.remove(&record.id).flatten(), state, record }
        };
        Ok(records.into_iter().map(view).collect())
    }

    /// The pipelines of these run-time jobs that neither the caller's file nor a running scheduler has.
    async fn homeless(&self, records: &[JobRecord]) -> Result<HashSet<String>, ControlError> {
        let pipelines = self.pipelines();
        let mut unknown: HashSet<String> = records
            .iter()
            .filter(|record| record.source == JobSource::Runtime && pipelines.get(&record.pipeline).is_none())
            .map(|record| record.pipeline.clone())
            .collect();
        if !unknown.is_empty() {
            for process in self.store().processes(self.clock().now()).await? {
                if process.silent_for <= ALIVE {
                    for name in &process.info.pipelines {
                        unknown.remove(name);
                    }
                }
            }
        }
        Ok(unknown)
    }

    /// Runs with their attempts, newest first.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<RunView>, ControlError> {
        let records = self.store().runs(filter).await?;
        Ok(self.with_attempts(records).await?)
    }

    /// One run with its attempts.
    ///
    /// # Errors
    /// There is no such run.
    pub async fn run(&self, id: RunId) -> Result<RunView, ControlError> {
        let Some(record) = self.store().run(id).await? else {
            return Err(ControlError::UnknownRun(id.to_string()));
        };
        let views = self.with_attempts(vec![record]).await?;
        views.into_iter().next().ok_or_else(|| ControlError::UnknownRun(id.to_string()))
    }

    async fn with_attempts(&self, records: Vec<RunRecord>) -> Result<Vec<RunView>, StoreError> {
        let ids: Vec<RunId> = records.iter().filter(|run| run.attempt > 0).map(|run| run.id).collect();
        let mut attempts: HashMap<RunId, Vec<AttemptRecord>> = HashMap::new();
        if !ids.is_empty() {
            for attempt in self.store().attempts(&ids).await? {
                attempts.entry(attempt.run).or_default().push(attempt);
            }
        }
        let view =
            |record: RunRecord| RunView { attempts: attempts.remove(&record.id).unwrap_or_default(), record };
        Ok(records.into_iter().map(view).collect())
    }

    /// The log of a run after a place, at most `limit` lines (0 is all).
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn logs(
        &self,
        run: RunId,
        after: LogCursor,
        limit: usize,
    ) -> Result<Vec<LogLine>, ControlError> {
        Ok(self.store().logs(run, after, limit).await?)
    }

    pub(super) async fn unknown_job(&self, id: &str) -> ControlError {
        let suggestion = self.nearest_job(id).await;
        ControlError::UnknownJob { id: id.to_owned(), suggestion }
    }

    pub(super) async fn unknown_target(&self, name: &str) -> ControlError {
        let suggestion = match self.pipelines().suggest(name) {
            Some(pipeline) => Some(pipeline.to_owned()),
            None => self.nearest_job(name).await,
        };
        ControlError::UnknownTarget { name: name.to_owned(), suggestion }
    }

    async fn nearest_job(&self, id: &str) -> Option<String> {
        let filter = JobFilter { limit: SEARCHED, ..JobFilter::default() };
        // A suggestion is only a courtesy: without it the message is still right.
        let jobs = self.store().jobs(filter).await.unwrap_or_default();
        pipeline_core::suggest::nearest(id, jobs.iter().map(|job| job.id.as_str())).map(str::to_owned)
    }
}
