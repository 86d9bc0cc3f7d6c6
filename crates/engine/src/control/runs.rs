//! Starting and cancelling runs.

use chrono::{DateTime, Utc};
use jobstore::{CancelRequested, JobId, Reason, RequestedRun, RunId, RunPolicy, RunRequest};

use super::{ALIVE, Control};
use crate::error::ControlError;
use crate::event::RunRef;

/// A run that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The run.
    pub run: RunRef,
    /// Runs that it replaces.
    pub replaced: Vec<RunId>,
}

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelling {
    /// It was waiting, and is cancelled.
    Done,
    /// It is running, and is told to stop.
    Requested,
}

impl Control {
    /// Asks for a run now, of a job or of a pipeline. A scheduler that has the pipeline starts it.
    ///
    /// # Errors
    /// Neither a job nor a pipeline is called so, or the pipeline's `overlap` forbids a run now.
    pub async fn run_now(&self, target: &str, by: Option<String>) -> Result<Queued, ControlError> {
        let pipelines = self.pipelines();
        let job = self.store().job(&JobId::from(target)).await?;
        let (pipeline, job_id) = match job {
            Some(job) => (job.pipeline, Some(job.id)),
            None if pipelines.get(target).is_some() => (target.to_owned(), None),
            None => return Err(self.unknown_target(target).await),
        };
        let policy =
            pipelines.get(&pipeline).map_or_else(RunPolicy::default, |pipeline| pipeline.run_policy());
        let now = self.clock().now();
        self.request(RunRequest {
            id: RunId::generate(now),
            pipeline,
            job_id,
            reason: Reason::Manual,
            available_at: now,
            policy,
            requested_by: by,
        })
        .await
    }

    /// Asks for a run.
    pub(crate) async fn request(&self, request: RunRequest) -> Result<Queued, ControlError> {
        let (pipeline, job_id, reason) = (request.pipeline.clone(), request.job_id.clone(), request.reason);
        match self.store().request_run(request, self.clock().now()).await? {
            RequestedRun::Queued { id, scheduled_for, replaced } => Ok(Queued {
                run: RunRef { id, pipeline: pipeline.into(), job_id, reason, scheduled_for },
                replaced,
            }),
            RequestedRun::AlreadyRunning { runs } => Err(ControlError::AlreadyRunning { pipeline, runs }),
        }
    }

    /// Cancels a run: at once where it waits, as soon as its chain has stopped where it runs.
    ///
    /// # Errors
    /// There is no such run, or it is over.
    pub async fn cancel_run(&self, run: RunId, by: Option<String>) -> Result<Cancelling, ControlError> {
        match self.store().request_cancel(run, by, self.clock().now()).await? {
            CancelRequested::Cancelled => Ok(Cancelling::Done),
            CancelRequested::Requested => Ok(Cancelling::Requested),
            CancelRequested::AlreadyFinished(outcome) => {
                Err(ControlError::AlreadyFinished { id: run, outcome })
            }
            CancelRequested::NotFound => Err(ControlError::UnknownRun(run.to_string())),
        }
    }

    /// Whether a scheduler that can run this pipeline has been heard of of late.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn anybody_runs(&self, pipeline: &str, now: DateTime<Utc>) -> Result<bool, ControlError> {
        let processes = self.store().processes(now).await?;
        Ok(processes.iter().any(|process| {
            process.silent_for <= ALIVE && process.info.pipelines.iter().any(|name| name == pipeline)
        }))
    }
}
