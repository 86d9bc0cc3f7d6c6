//! What happens, for those who watch, and in one line of the log each.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use jobstore::{AttemptOutcome, JobId, Outcome, Owner, Reason, RunId};
use pipeline_core::{StageReport, duration};

/// Something that happened.
#[derive(Debug, Clone)]
pub struct EngineEvent {
    /// When, by the engine's clock.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: EventKind,
}

/// Which run an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRef {
    /// The run.
    pub id: RunId,
    /// Its pipeline.
    pub pipeline: Arc<str>,
    /// The job that fired, if any.
    pub job_id: Option<JobId>,
    /// Why it exists.
    pub reason: Reason,
    /// Its nominal instant.
    pub scheduled_for: DateTime<Utc>,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// The engine is ready: the jobs are registered, and the loop begins.
    Started {
        /// The name by which this life of the process claims runs.
        owner: Owner,
        /// The namespace of its jobs.
        namespace: String,
        /// How many pipelines it knows.
        pipelines: usize,
    },
    /// A job of the file was new, or has a new schedule.
    JobRegistered {
        /// The job.
        job: JobId,
        /// Its trigger.
        trigger: String,
        /// Its zone.
        timezone: String,
        /// Its next fire.
        next_fire_at: Option<DateTime<Utc>>,
        /// Whether it was known before, with another schedule.
        changed: bool,
    },
    /// A job of the file is as it was: it keeps its next fire.
    JobKept {
        /// The job.
        job: JobId,
        /// Its next fire.
        next_fire_at: Option<DateTime<Utc>>,
        /// `paused`, `disabled`, `removed`… where it does not fire.
        state: jobstore::JobState,
    },
    /// A job was added at run time.
    JobAdded {
        /// The job.
        job: JobId,
        /// Its pipeline.
        pipeline: String,
        /// Its trigger.
        trigger: String,
        /// Its next fire.
        next_fire_at: Option<DateTime<Utc>>,
        /// Whether it took the place of one with the same id.
        replaced: bool,
        /// Who asked for it.
        by: Option<String>,
    },
    /// A job is gone: from the file, or because somebody removed it.
    JobRemoved {
        /// The job.
        job: JobId,
        /// Who asked for it; nobody where the file has it no more.
        by: Option<String>,
    },
    /// A job of the file fires no more because its pipeline is not enabled.
    JobDisabled {
        /// The job.
        job: JobId,
    },
    /// A job was paused.
    JobPaused {
        /// The job.
        job: JobId,
        /// Who asked for it.
        by: Option<String>,
    },
    /// A job fires again.
    JobResumed {
        /// The job.
        job: JobId,
        /// Its next fire.
        next_fire_at: Option<DateTime<Utc>>,
        /// Who asked for it.
        by: Option<String>,
    },
    /// A job has no further fire.
    JobFinished {
        /// The job.
        job: JobId,
    },
    /// What is stored of a job cannot be read: it does not fire.
    JobInvalid {
        /// The job.
        job: JobId,
        /// Why.
        error: String,
    },
    /// Jobs added at run time whose pipeline no running scheduler has: they do not fire.
    JobsOrphaned {
        /// The pipeline.
        pipeline: String,
        /// How many jobs.
        jobs: u64,
    },
    /// Another program keeps jobs at the same URL. They are left alone.
    ForeignJobs {
        /// Their table.
        table: &'static str,
        /// How many.
        count: u64,
        /// The first of their ids.
        ids: Vec<String>,
    },
    /// A fire was recorded as a run.
    Fired {
        /// The run.
        run: RunRef,
        /// Runs that it replaces.
        replaced: Vec<RunId>,
    },
    /// A run was asked for by a person, or by the start of the process, and is queued.
    Requested {
        /// The run.
        run: RunRef,
        /// Who asked.
        by: Option<String>,
    },
    /// A fire was not run because of `overlap`.
    Skipped {
        /// The row.
        run: RunRef,
        /// The runs in the way.
        by: Vec<RunId>,
    },
    /// A run at the start of the process was left out because of `overlap`.
    StartupSkipped {
        /// The pipeline.
        pipeline: Arc<str>,
        /// The runs in the way.
        by: Vec<RunId>,
    },
    /// Fires were not run because they were too late.
    Missed {
        /// The row.
        run: RunRef,
        /// How many fires it stands for.
        count: u64,
        /// The first of them.
        first: DateTime<Utc>,
        /// The last of them.
        last: DateTime<Utc>,
    },
    /// An attempt has started.
    AttemptStarted {
        /// The run.
        run: RunRef,
        /// The attempt, from 1.
        attempt: i32,
        /// How long after the instant at which it could have started.
        lateness: Duration,
    },
    /// An attempt did not succeed, and another one follows.
    Retrying {
        /// The run.
        run: RunRef,
        /// The attempt that ended.
        attempt: i32,
        /// How it ended.
        outcome: AttemptOutcome,
        /// What went wrong.
        error: Option<String>,
        /// When the next one may start.
        at: DateTime<Utc>,
    },
    /// A run has its outcome.
    Finished {
        /// The run.
        run: RunRef,
        /// Its last attempt.
        attempt: i32,
        /// How it ended.
        outcome: Outcome,
        /// How long the last attempt took.
        duration: Duration,
        /// What went wrong.
        error: Option<String>,
        /// Something to know about a success.
        note: Option<String>,
        /// What its stages counted.
        stages: Arc<[StageReport]>,
    },
    /// A shutdown cut an attempt off; the run is queued again.
    Interrupted {
        /// The run.
        run: RunRef,
        /// The attempt.
        attempt: i32,
    },
    /// The outcome of an attempt was refused, because another scheduler had taken the run over.
    Refused {
        /// The run.
        run: RunRef,
        /// The attempt.
        attempt: i32,
    },
    /// Another scheduler has taken the run over: the attempt is being stopped.
    LeaseLost {
        /// The run.
        run: RunRef,
        /// The attempt.
        attempt: i32,
    },
    /// The holder of a run was gone.
    Rescued {
        /// The run.
        run: RunId,
        /// Its pipeline.
        pipeline: String,
        /// The attempt that its holder had made.
        attempt: i32,
        /// The holder.
        owner: Owner,
        /// The run's outcome; none where it is queued again.
        outcome: Option<Outcome>,
    },
    /// Somebody wants a run cancelled.
    Cancelling {
        /// The run.
        run: RunId,
        /// Who.
        by: Option<String>,
    },
    /// An attempt that was told to stop did not: it is no longer waited for.
    Stuck {
        /// The run.
        run: RunRef,
        /// The attempt.
        attempt: i32,
    },
    /// The job store cannot be reached.
    StoreLost {
        /// Why.
        error: String,
        /// How many attempts go on.
        running: usize,
    },
    /// The job store is back.
    StoreBack {
        /// After how long.
        after: Duration,
    },
    /// Another set of pipelines is in use.
    Reloaded {
        /// How many pipelines there are.
        pipelines: usize,
        /// How many jobs are new, changed or gone.
        changes: usize,
    },
    /// Nothing new is started.
    Stopping {
        /// How many attempts go on.
        running: usize,
        /// How long they have.
        grace: Duration,
    },
    /// The engine has stopped.
    Stopped,
}

/// How grave an event is in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    Debug,
    Info,
    Warn,
    Error,
}

impl EventKind {
    pub(crate) fn grade(&self) -> Grade {
        match self {
            Self::AttemptStarted { .. } => Grade::Debug,
            Self::Finished { outcome: Outcome::Failed | Outcome::TimedOut | Outcome::Abandoned, .. }
            | Self::JobInvalid { .. }
            | Self::StoreLost { .. } => Grade::Error,
            Self::Missed { .. }
            | Self::Retrying { .. }
            | Self::Refused { .. }
            | Self::LeaseLost { .. }
            | Self::Rescued { .. }
            | Self::Stuck { .. }
            | Self::JobsOrphaned { .. }
            | Self::ForeignJobs { .. } => Grade::Warn,
            _ => Grade::Info,
        }
    }

    /// The word for the event: `fired`, `skipped`, `finished`, …
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::JobRegistered { .. } => "registered",
            Self::JobKept { .. } => "kept",
            Self::JobAdded { .. } => "added",
            Self::JobRemoved { .. } => "removed",
            Self::JobDisabled { .. } => "disabled",
            Self::JobPaused { .. } => "paused",
            Self::JobResumed { .. } => "resumed",
            Self::JobFinished { .. } => "job_finished",
            Self::JobInvalid { .. } => "invalid",
            Self::JobsOrphaned { .. } => "orphaned",
            Self::ForeignJobs { .. } => "foreign_jobs",
            Self::Fired { .. } => "fired",
            Self::Requested { .. } => "requested",
            Self::Skipped { .. } | Self::StartupSkipped { .. } => "skipped",
            Self::Missed { .. } => "missed",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::Retrying { .. } => "retrying",
            Self::Finished { .. } => "finished",
            Self::Interrupted { .. } => "interrupted",
            Self::Refused { .. } => "refused",
            Self::LeaseLost { .. } => "lease_lost",
            Self::Rescued { .. } => "rescued",
            Self::Cancelling { .. } => "cancelling",
            Self::Stuck { .. } => "stuck",
            Self::StoreLost { .. } => "store_lost",
            Self::StoreBack { .. } => "store_back",
            Self::Reloaded { .. } => "reloaded",
            Self::Stopping { .. } => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// The run that it is about, where it is about one that this process knows in full.
    pub fn run(&self) -> Option<&RunRef> {
        match self {
            Self::Fired { run, .. }
            | Self::Requested { run, .. }
            | Self::Skipped { run, .. }
            | Self::Missed { run, .. }
            | Self::AttemptStarted { run, .. }
            | Self::Retrying { run, .. }
            | Self::Finished { run, .. }
            | Self::Interrupted { run, .. }
            | Self::Refused { run, .. }
            | Self::LeaseLost { run, .. }
            | Self::Stuck { run, .. } => Some(run),
            _ => None,
        }
    }
}

impl RunRef {
    /// The job, or the pipeline where there is no job.
    fn subject(&self) -> &str {
        self.job_id.as_ref().map_or(&self.pipeline, JobId::as_str)
    }
}

/// An instant as the logs show it.
fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn next(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "no further fire".to_owned(), |at| format!("next fire {}", shown(at)))
}

fn by(who: &Option<String>) -> String {
    who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default()
}

fn because(error: &Option<String>) -> String {
    error.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
}

fn runs(ids: &[RunId]) -> String {
    match ids {
        [] => "another run".to_owned(),
        [id] => format!("run {id}"),
        [id, rest @ ..] => format!("run {id} and {} more", rest.len()),
    }
}

impl fmt::Display for EngineEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { owner, namespace, pipelines } => {
                let s = if *pipelines == 1 { "" } else { "s" };
                write!(f, "scheduler {owner} is ready: {pipelines} pipeline{s}, namespace '{namespace}'")
            }
            Self::JobRegistered { job, trigger, timezone, next_fire_at, changed } => {
                let verb = if *changed { "registered anew" } else { "registered" };
                write!(f, "{verb} {job}: {trigger} ({timezone}), {}", next(*next_fire_at))
            }
            Self::JobKept { job, next_fire_at, state } => match state {
                jobstore::JobState::Scheduled => {
                    write!(f, "registered {job}, as before: {}", next(*next_fire_at))
                }
                state => write!(f, "registered {job}, as before: {state}"),
            },
            Self::JobAdded { job, pipeline, trigger, next_fire_at, replaced, by: who } => {
                let verb = if *replaced { "replaced" } else { "added" };
                write!(f, "{verb} {job} of {pipeline}{}: {trigger}, {}", by(who), next(*next_fire_at))
            }
            Self::JobRemoved { job, by: Some(who) } => write!(f, "removed {job} by {who}"),
            Self::JobRemoved { job, by: None } => write!(f, "removed {job}: the file has it no more"),
            Self::JobDisabled { job } => write!(f, "disabled {job}: its pipeline is not enabled"),
            Self::JobPaused { job, by: who } => write!(f, "paused {job}{}", by(who)),
            Self::JobResumed { job, next_fire_at, by: who } => {
                write!(f, "resumed {job}{}: {}", by(who), next(*next_fire_at))
            }
            Self::JobFinished { job } => write!(f, "{job} has no further fire"),
            Self::JobInvalid { job, error } => write!(f, "{job} does not fire: {error}"),
            Self::JobsOrphaned { pipeline, jobs } => write!(
                f,
                "{jobs} job{} of pipeline '{pipeline}' {} fire: no running scheduler's file has it (what is added is kept; see `jobs list`)",
                if *jobs == 1 { "" } else { "s" },
                if *jobs == 1 { "does not" } else { "do not" },
            ),
            Self::ForeignJobs { table, count, ids } => write!(
                f,
                "the table {table} at the job store's URL holds {count} jobs of another scheduler ({}): they are left alone; \
                 add them with `scraper-scheduler jobs add PIPELINE --cron EXPRESSION`",
                ids.join(", ")
            ),
            Self::Fired { run, replaced } => {
                write!(f, "fired {} for {}: run {}", run.subject(), shown(run.scheduled_for), run.id)?;
                if run.reason == Reason::CatchUp {
                    f.write_str(" (catching up)")?;
                }
                if !replaced.is_empty() {
                    write!(f, ", in place of {}", runs(replaced))?;
                }
                Ok(())
            }
            Self::Requested { run, by: who } => {
                write!(f, "queued run {} of {} ({}{})", run.id, run.pipeline, run.reason, by(who))
            }
            Self::Skipped { run, by } => {
                write!(
                    f,
                    "skipped {} for {}: {} is in the way",
                    run.subject(),
                    shown(run.scheduled_for),
                    runs(by)
                )
            }
            Self::StartupSkipped { pipeline, by } => {
                write!(f, "skipped {pipeline} at the start: {} is in the way", runs(by))
            }
            Self::Missed { run, count: 1, first, .. } => {
                write!(f, "missed {} for {}: it was too late", run.subject(), shown(*first))
            }
            Self::Missed { run, count, first, last } => write!(
                f,
                "missed {} {count} times, from {} to {}: it was too late",
                run.subject(),
                shown(*first),
                shown(*last)
            ),
            Self::AttemptStarted { run, attempt, lateness } => write!(
                f,
                "started run {} of {} (attempt {attempt}), {} after it was due",
                run.id,
                run.pipeline,
                duration::format(*lateness)
            ),
            Self::Retrying { run, attempt, outcome, error, at } => write!(
                f,
                "attempt {attempt} of run {} of {} {outcome}, the next one follows at {}{}",
                run.id,
                run.pipeline,
                shown(*at),
                because(error)
            ),
            Self::Finished { run, attempt, outcome, duration: time, error, note, .. } => {
                write!(f, "run {} of {} {outcome} in {}", run.id, run.pipeline, duration::format(*time))?;
                if *attempt > 1 {
                    write!(f, " (attempt {attempt})")?;
                }
                if let Some(note) = note {
                    write!(f, ", {note}")?;
                }
                f.write_str(&because(error))
            }
            Self::Interrupted { run, attempt } => write!(
                f,
                "attempt {attempt} of run {} of {} was cut off; the run is queued again",
                run.id, run.pipeline
            ),
            Self::Refused { run, attempt } => write!(
                f,
                "the outcome of attempt {attempt} of run {} of {} was refused: another scheduler holds the run",
                run.id, run.pipeline
            ),
            Self::LeaseLost { run, attempt } => write!(
                f,
                "attempt {attempt} of run {} of {} is stopped: another scheduler holds the run",
                run.id, run.pipeline
            ),
            Self::Rescued { run, pipeline, attempt, owner, outcome } => {
                write!(f, "the holder {owner} of run {run} of {pipeline} (attempt {attempt}) is gone: ")?;
                match outcome {
                    None => f.write_str("the run is queued again"),
                    Some(outcome) => write!(f, "the run is {outcome}"),
                }
            }
            Self::Cancelling { run, by: who } => write!(f, "cancelling run {run}{}", by(who)),
            Self::Stuck { run, attempt } => write!(
                f,
                "attempt {attempt} of run {} of {} does not stop and is no longer waited for; it may still use a thread",
                run.id, run.pipeline
            ),
            Self::StoreLost { error, running } => {
                write!(f, "{error}; {running} attempts go on, nothing new starts until it is back")
            }
            Self::StoreBack { after } => {
                write!(f, "the job store is back after {}", duration::format(*after))
            }
            Self::Reloaded { pipelines, changes } => {
                write!(f, "reloaded: {pipelines} pipelines, {changes} jobs new, changed or gone")
            }
            Self::Stopping { running: 0, .. } => f.write_str("stopping: nothing is running"),
            Self::Stopping { running: 1, grace } => {
                write!(f, "stopping: 1 attempt has {} to end", duration::format(*grace))
            }
            Self::Stopping { running, grace } => {
                write!(f, "stopping: {running} attempts have {} to end", duration::format(*grace))
            }
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn run() -> RunRef {
        RunRef {
            id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            pipeline: "books".into(),
            job_id: Some("pipeline_books".into()),
            reason: Reason::Schedule,
            scheduled_for: at("2026-01-01T09:00:00Z"),
        }
    }

    #[test]
    fn each_decision_is_one_line() {
        let id = run().id;
        let cases = [
            (
                EventKind::JobRegistered {
                    job: "pipeline_books".into(),
                    trigger: "0 9 * * *".into(),
                    timezone: "Europe/Stockholm".into(),
                    next_fire_at: Some(at("2026-01-01T08:00:00Z")),
                    changed: false,
                },
                "registered pipeline_books: 0 9 * * * (Europe/Stockholm), next fire 2026-01-01T08:00:00Z",
            ),
            (
                EventKind::Fired { run: run(), replaced: vec![] },
                "fired pipeline_books for 2026-01-01T09:00:00Z: run 01890a5d-ac96-774b-bcce-b302099a8057",
            ),
            (
                EventKind::Skipped { run: run(), by: vec![id] },
                "skipped pipeline_books for 2026-01-01T09:00:00Z: run 01890a5d-ac96-774b-bcce-b302099a8057 is in the way",
            ),
            (
                EventKind::Missed {
                    run: run(),
                    count: 3,
                    first: at("2026-01-01T07:00:00Z"),
                    last: at("2026-01-01T09:00:00Z"),
                },
                "missed pipeline_books 3 times, from 2026-01-01T07:00:00Z to 2026-01-01T09:00:00Z: it was too late",
            ),
            (
                EventKind::Finished {
                    run: run(),
                    attempt: 2,
                    outcome: Outcome::Failed,
                    duration: Duration::from_millis(1_500),
                    error: Some("stage 1: no".into()),
                    note: None,
                    stages: Arc::new([]),
                },
                "run 01890a5d-ac96-774b-bcce-b302099a8057 of books failed in 1s500ms (attempt 2): stage 1: no",
            ),
        ];
        for (kind, line) in cases {
            assert_eq!(kind.to_string(), line);
            assert!(!line.contains('\n'));
        }
    }
}
