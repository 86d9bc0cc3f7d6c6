//! Adding, removing, pausing and resuming jobs.

use chrono::{DateTime, Utc};
use jobstore::{Expect, JobEdit, JobEdited, JobId, JobPut, JobRecord, JobSource, JobState};
use schedule::{Schedule, Trigger};

use super::Control;
use crate::error::ControlError;
use crate::pipeline::runtime_job_id;
use crate::spec::{self, Next};

/// How often an edit is made anew because somebody else has changed the job in between.
const ROUNDS: usize = 8;
/// Jobs that are added in one transaction.
const BATCH: usize = 1_000;
/// The longest id of a job, in characters.
const LONGEST_ID: usize = 120;

/// A job to add.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The pipeline that it runs.
    pub pipeline: String,
    /// Its id; `pipeline_<name>_manual` where none is given.
    pub id: Option<JobId>,
    /// When it fires.
    pub schedule: Schedule,
    /// Who asks for it.
    pub requested_by: Option<String>,
}

/// A job that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobAdded {
    /// Its id.
    pub id: JobId,
    /// Its next fire.
    pub next_fire_at: Option<DateTime<Utc>>,
    /// Whether it took the place of one with the same id.
    pub replaced: bool,
}

/// What became of a request to change a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobChanged {
    /// The job as it is now; as it was last where it is gone.
    pub job: JobRecord,
    /// Whether anything was changed, rather than being so already.
    pub changed: bool,
}

impl Control {
    /// Adds a job at run time, or puts it in the place of an earlier one with the same id.
    ///
    /// # Errors
    /// The pipeline is unknown, the id is that of a job of the file, the trigger never fires.
    pub async fn add_job(&self, job: NewJob) -> Result<JobAdded, ControlError> {
        let id = self.id_for(&job)?;
        for _ in 0..ROUNDS {
            let now = self.clock().now();
            let (schedule, next) = first_fire(&job, &id, now)?;
            let known = self.store().job(&id).await?;
            if known.as_ref().is_some_and(|known| known.source == JobSource::Config) {
                return Err(ControlError::ConfigJob(id));
            }
            let expect = known.as_ref().map_or(Expect::Absent, |known| Expect::Version(known.version));
            let put = put(&job, id.clone(), &schedule, next, expect);
            if let JobEdited::Done(_) = self.edit(JobEdit::Put(Box::new(put)), now).await? {
                return Ok(JobAdded { id, next_fire_at: next.fire_at, replaced: known.is_some() });
            }
        }
        Err(ControlError::Contended(id))
    }

    /// Adds many jobs at once, in few transactions; each as [`Control::add_job`] does.
    ///
    /// # Errors
    /// As there, for the first job that is refused: those of the transactions before are added already.
    pub async fn add_jobs(
        &self,
        jobs: impl IntoIterator<Item = NewJob> + Send,
    ) -> Result<usize, ControlError> {
        let mut jobs = jobs.into_iter();
        let mut added = 0;
        loop {
            let now = self.clock().now();
            let batch: Vec<NewJob> = jobs.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(added);
            }
            let edits = batch.iter().map(|job| self.addition(job, now)).collect::<Result<Vec<_>, _>>()?;
            let results = self.store().edit_jobs(edits, now).await?;
            for (job, result) in batch.into_iter().zip(results) {
                // One that is there already takes the careful way.
                if !matches!(result, JobEdited::Done(_)) {
                    self.add_job(job).await?;
                }
                added += 1;
            }
        }
    }

    /// The edit that adds a job which is not there yet.
    fn addition(&self, job: &NewJob, now: DateTime<Utc>) -> Result<JobEdit, ControlError> {
        let id = self.id_for(job)?;
        let (schedule, next) = first_fire(job, &id, now)?;
        Ok(JobEdit::Put(Box::new(put(job, id, &schedule, next, Expect::Absent))))
    }

    /// The id of a job to add, checked.
    fn id_for(&self, job: &NewJob) -> Result<JobId, ControlError> {
        let pipelines = self.pipelines();
        let Some(pipeline) = pipelines.get(&job.pipeline) else {
            let suggestion = pipelines.suggest(&job.pipeline).map(str::to_owned);
            return Err(ControlError::UnknownPipeline { name: job.pipeline.clone(), suggestion });
        };
        let id = job.id.clone().unwrap_or_else(|| runtime_job_id(&pipeline.name));
        check_id(&id)?;
        let of_file = id.as_str().strip_prefix("pipeline_").and_then(|name| pipelines.get(name));
        if of_file.is_some_and(|pipeline| pipeline.schedule.is_some()) {
            return Err(ControlError::ConfigJob(id));
        }
        Ok(id)
    }

    /// Removes a job. One of the file stays removed until its schedule in the file changes, or it is resumed.
    ///
    /// # Errors
    /// There is no such job.
    pub async fn remove_job(&self, id: &str, by: Option<String>) -> Result<JobChanged, ControlError> {
        self.change(id, |job, _| {
            Ok(match (job.source, job.state) {
                (JobSource::Config, JobState::Removed) => None,
                (JobSource::Config, _) => Some(JobEdit::SetState {
                    id: job.id.clone(),
                    state: JobState::Removed,
                    error: None,
                    requested_by: by.clone(),
                    due_at: None,
                    expect: Expect::Version(job.version),
                }),
                (JobSource::Runtime, _) => {
                    Some(JobEdit::Delete { id: job.id.clone(), expect: Expect::Version(job.version) })
                }
            })
        })
        .await
    }

    /// Pauses a job: it does not fire until it is resumed.
    ///
    /// # Errors
    /// There is no such job.
    pub async fn pause_job(&self, id: &str, by: Option<String>) -> Result<JobChanged, ControlError> {
        self.change(id, |job, _| {
            Ok((!job.paused).then(|| JobEdit::Pause { id: job.id.clone(), requested_by: by.clone() }))
        })
        .await
    }

    /// Ends a job's pause, or brings a removed one back. It goes on with its next fire after now; what fell into the
    /// pause is no fire.
    ///
    /// # Errors
    /// There is no such job, or it cannot fire.
    pub async fn resume_job(&self, id: &str, by: Option<String>) -> Result<JobChanged, ControlError> {
        self.change(id, |job, now| {
            let cannot = |why: String| ControlError::CannotResume { id: job.id.clone(), why };
            match job.state {
                JobState::Disabled => {
                    return Err(cannot("its pipeline is not enabled in the file".to_owned()));
                }
                JobState::Invalid => {
                    return Err(cannot(job.error.clone().unwrap_or_else(|| "it is invalid".to_owned())));
                }
                JobState::Scheduled | JobState::Orphaned if !job.paused => return Ok(None),
                _ => {}
            }
            let schedule = spec::read(&job.spec).map_err(cannot)?;
            let next = Next::after(&schedule, job.id.as_str(), now);
            if next.state(&schedule) == JobState::Finished {
                return Err(cannot(never(&schedule)));
            }
            Ok(Some(JobEdit::Resume {
                id: job.id.clone(),
                requested_by: by.clone(),
                next_fire_at: next.fire_at,
                due_at: next.due_at,
                version: job.version,
            }))
        })
        .await
    }

    /// Makes the edit that `decide` answers for the stored job, anew where somebody else was faster.
    async fn change(
        &self,
        id: &str,
        decide: impl Fn(&JobRecord, DateTime<Utc>) -> Result<Option<JobEdit>, ControlError>,
    ) -> Result<JobChanged, ControlError> {
        let id = JobId::from(id);
        for _ in 0..ROUNDS {
            let now = self.clock().now();
            let Some(job) = self.store().job(&id).await? else {
                return Err(self.unknown_job(id.as_str()).await);
            };
            let Some(edit) = decide(&job, now)? else {
                return Ok(JobChanged { job, changed: false });
            };
            if let JobEdited::Done(_) = self.edit(edit, now).await? {
                let job = self.store().job(&id).await?.unwrap_or(job);
                return Ok(JobChanged { job, changed: true });
            }
        }
        Err(ControlError::Contended(id))
    }

    async fn edit(&self, edit: JobEdit, now: DateTime<Utc>) -> Result<JobEdited, ControlError> {
        let results = self.store().edit_jobs(vec![edit], now).await?;
        Ok(results.into_iter().next().unwrap_or(JobEdited::NotFound))
    }
}

/// The schedule of a job that is added now, and its first fire.
fn first_fire(job: &NewJob, id: &JobId, now: DateTime<Utc>) -> Result<(Schedule, Next), ControlError> {
    let schedule = spec::anchored(&job.schedule, now);
    let next = Next::after(&schedule, id.as_str(), now);
    if next.fire_at.is_none() && *schedule.trigger() != Trigger::Manual {
        return Err(ControlError::Schedule(never(&schedule)));
    }
    Ok((schedule, next))
}

fn put(job: &NewJob, id: JobId, schedule: &Schedule, next: Next, expect: Expect) -> JobPut {
    JobPut {
        id,
        pipeline: job.pipeline.clone(),
        source: JobSource::Runtime,
        state: JobState::Scheduled,
        paused: Some(false),
        trigger: schedule.trigger().to_string(),
        timezone: schedule.zone().name().to_owned(),
        spec: spec::write(schedule),
        next_fire_at: next.fire_at,
        due_at: next.due_at,
        error: None,
        requested_by: job.requested_by.clone(),
        expect,
    }
}

fn check_id(id: &JobId) -> Result<(), ControlError> {
    let text = id.as_str();
    let length = text.chars().count();
    if length == 0 || length > LONGEST_ID || text.chars().any(char::is_control) {
        return Err(ControlError::InvalidJobId(text.to_owned()));
    }
    Ok(())
}

fn never(schedule: &Schedule) -> String {
    match schedule.trigger() {
        Trigger::At(at) => format!("{} lies in the past: it never fires", at.to_rfc3339()),
        trigger => format!("`{trigger}` has no fire from now on"),
    }
}
