//! From what a planner wants to the rows that record it.

use crate::backend::rows::RunRow;
use crate::model::ids::{JobId, RunId};
use crate::model::job::{DueJob, JobState};
use crate::model::run::{OnCrash, Outcome, Overlap, Reason, RunPolicy};
use crate::model::time::{instant, micros, opt_micros};
use crate::model::turn::{MissedFires, NextFire, PlannedRun};

/// How much is read at a time.
pub(crate) struct Sizes;

impl Sizes {
    /// As many rows as one statement of a batch handles.
    pub(crate) const BATCH: usize = 500;

    /// A page of waiting runs for so many free slots.
    pub(crate) fn claim_page(slots: usize) -> usize {
        (slots * 2).clamp(32, Self::BATCH)
    }

    /// A number of rows as SQL wants it; 0 rows stay 0.
    pub(crate) fn limit(rows: usize) -> i64 {
        i64::try_from(rows).unwrap_or(i64::MAX)
    }

    /// A number of rows where 0 means all.
    pub(crate) fn limit_or_all(rows: usize) -> i64 {
        if rows == 0 { i64::MAX } else { Self::limit(rows) }
    }
}

/// What one due job is to record.
pub(crate) struct FireDraft {
    pub(crate) job_id: JobId,
    pub(crate) pipeline: String,
    pub(crate) runs: Vec<PlannedRun>,
    pub(crate) missed: Option<MissedFires>,
    pub(crate) next: NextFire,
}

/// How a job is moved on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advance {
    pub(crate) job_key: i64,
    pub(crate) version: i64,
    pub(crate) state: JobState,
    pub(crate) next_fire_at: Option<i64>,
    pub(crate) due_at: Option<i64>,
    pub(crate) error: Option<String>,
}

/// A next fire that is not after the last one would fire an instant twice, or for ever: such a job is stopped.
pub(crate) fn forwards(job: &DueJob, next: NextFire) -> NextFire {
    match next {
        NextFire::At { next_fire_at, .. } if next_fire_at <= job.next_fire_at => NextFire::Invalid(format!(
            "its next fire {} is not after its last one {}",
            next_fire_at.to_rfc3339(),
            job.next_fire_at.to_rfc3339()
        )),
        other => other,
    }
}

pub(crate) fn advance(job_key: i64, job: &DueJob, next: &NextFire) -> Advance {
    let (state, next_fire_at, due_at, error) = match next {
        NextFire::At { next_fire_at, due_at } => {
            (JobState::Scheduled, Some(micros(*next_fire_at)), Some(micros(*due_at)), None)
        }
        NextFire::Finished => (JobState::Finished, None, None, None),
        NextFire::Invalid(reason) => {
            (JobState::Invalid, Some(micros(job.next_fire_at)), None, Some(reason.clone()))
        }
        NextFire::Leave => {
            (JobState::Scheduled, Some(micros(job.next_fire_at)), Some(micros(job.due_at)), None)
        }
    };
    Advance { job_key, version: job.version, state, next_fire_at, due_at, error }
}

/// The row of a planned run, before its overlap rule is applied.
pub(crate) fn fired_row(
    id: RunId,
    namespace: &str,
    job: &JobId,
    pipeline: &str,
    planned: &PlannedRun,
) -> RunRow {
    RunRow {
        job_id: Some(job.clone()),
        scheduled_for: micros(planned.scheduled_for),
        available_at: micros(planned.available_at),
        deadline_at: opt_micros(planned.deadline_at),
        ..RunRow::queued(id, namespace, pipeline, planned.reason, &planned.policy)
    }
}

/// The one row of all fires that a catch-up drops. Its identity is the last of them.
pub(crate) fn missed_row(
    id: RunId,
    namespace: &str,
    job: &JobId,
    pipeline: &str,
    missed: &MissedFires,
    now: i64,
) -> RunRow {
    let policy =
        RunPolicy { overlap: Overlap::Skip, limit_group: None, max_attempts: 1, on_crash: OnCrash::Abandon };
    RunRow {
        job_id: Some(job.clone()),
        scheduled_for: micros(missed.last),
        available_at: micros(missed.last),
        error: missed.error.clone(),
        missed_count: Some(i64::try_from(missed.count).unwrap_or(i64::MAX)),
        missed_first: Some(micros(missed.first)),
        ..RunRow::queued(id, namespace, pipeline, Reason::CatchUp, &policy).ended(Outcome::Missed, now)
    }
}

/// The remark of a skipped run.
pub(crate) fn in_the_way(by: &[RunId]) -> String {
    match by {
        [] => "overlap".to_owned(),
        [one] => format!("overlap with run {one}"),
        [first, rest @ ..] => format!("overlap with run {first} and {} more", rest.len()),
    }
}

/// Who cancelled a run that was replaced.
pub(crate) fn replaced_by(by: RunId) -> String {
    format!("replaced by {by}")
}

/// The remark of a run that was too late to start.
pub(crate) fn too_late(deadline: i64) -> String {
    format!("it had not started by {}", instant(deadline).to_rfc3339())
}

/// The name of the lock for what depends on a pipeline's other runs.
pub(crate) fn pipeline_guard(namespace: &str, pipeline: &str) -> String {
    format!("pipeline:{namespace}:{pipeline}")
}

/// The name of the lock for what depends on a group's other runs.
pub(crate) fn group_guard(group: &str) -> String {
    format!("group:{group}")
}
