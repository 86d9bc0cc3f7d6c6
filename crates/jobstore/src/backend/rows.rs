//! Rows as Diesel reads and writes them, and their way to and from the public types.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;

use crate::error::StoreError;
use crate::logic::board::Active;
use crate::model::ids::{JobId, MessageId, Owner, RunId};
use crate::model::job::{DueJob, JobRecord, JobSource, JobState};
use crate::model::outbox::{MessageRecord, MessageState};
use crate::model::run::{
    AttemptOutcome, AttemptRecord, ClaimedRun, LimitGroup, LogLine, OnCrash, Outcome, Overlap, Reason,
    RunPolicy, RunRecord, RunState,
};
use crate::model::time::{instant, opt_instant};
use crate::schema::{
    scraper_attempts, scraper_jobs, scraper_outbox, scraper_outbox_staged, scraper_run_logs, scraper_runs,
    scraper_stage_staged,
};

/// Manual runs go before fires.
pub(crate) const PRIORITY_REQUESTED: i16 = 0;
/// Fires.
pub(crate) const PRIORITY_FIRED: i16 = 1;
/// The least urgent of all.
pub(crate) const PRIORITY_LAST: i16 = PRIORITY_FIRED;

/// The stored text of an overlap rule.
pub(crate) fn overlap_text(overlap: Overlap) -> String {
    match overlap {
        Overlap::Skip => "skip".to_owned(),
        Overlap::Queue => "queue".to_owned(),
        Overlap::Replace => "replace".to_owned(),
        Overlap::Allow(max) => format!("allow:{max}"),
    }
}

/// The overlap rule of a stored text.
pub(crate) fn parse_overlap(text: &str) -> Result<Overlap, StoreError> {
    match text {
        "skip" => Ok(Overlap::Skip),
        "queue" => Ok(Overlap::Queue),
        "replace" => Ok(Overlap::Replace),
        other => other
            .strip_prefix("allow:")
            .and_then(|max| max.parse().ok())
            .map(Overlap::Allow)
            .ok_or_else(|| StoreError::Corrupt(format!("'{other}' is no overlap rule"))),
    }
}

fn policy(
    overlap: &str,
    limit_group: Option<String>,
    limit_max: Option<i32>,
    max_attempts: i32,
    on_crash: OnCrash,
) -> Result<RunPolicy, StoreError> {
    Ok(RunPolicy {
        overlap: parse_overlap(overlap)?,
        limit_group: limit_group.map(|name| LimitGroup {
            name: Arc::from(name),
            max: u32::try_from(limit_max.unwrap_or(1)).unwrap_or(1),
        }),
        max_attempts: u32::try_from(max_attempts).unwrap_or(1),
        on_crash,
    })
}

/// A whole row of `scraper_runs`.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = scraper_runs, treat_none_as_default_value = false)]
pub(crate) struct RunRow {
    pub(crate) id: RunId,
    pub(crate) namespace: String,
    pub(crate) pipeline: String,
    pub(crate) job_id: Option<JobId>,
    pub(crate) reason: Reason,
    pub(crate) state: RunState,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) scheduled_for: i64,
    pub(crate) available_at: i64,
    pub(crate) deadline_at: Option<i64>,
    pub(crate) priority: i16,
    pub(crate) overlap: String,
    pub(crate) limit_group: Option<String>,
    pub(crate) limit_max: Option<i32>,
    pub(crate) on_crash: OnCrash,
    pub(crate) max_attempts: i32,
    pub(crate) attempt: i32,
    pub(crate) interruptions: i32,
    pub(crate) owner: Option<Owner>,
    pub(crate) lease_until: Option<i64>,
    pub(crate) started_at: Option<i64>,
    pub(crate) attempt_started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) cancel_requested_at: Option<i64>,
    pub(crate) cancel_requested_by: Option<String>,
    pub(crate) requested_by: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) stages: Option<String>,
    pub(crate) missed_count: Option<i64>,
    pub(crate) missed_first: Option<i64>,
    pub(crate) staged: bool,
}

impl RunRow {
    /// A queued run that has never started.
    pub(crate) fn queued(
        id: RunId,
        namespace: &str,
        pipeline: &str,
        reason: Reason,
        policy: &RunPolicy,
    ) -> Self {
        RunRow {
            id,
            namespace: namespace.to_owned(),
            pipeline: pipeline.to_owned(),
            job_id: None,
            reason,
            state: RunState::Queued,
            outcome: None,
            scheduled_for: 0,
            available_at: 0,
            deadline_at: None,
            priority: PRIORITY_FIRED,
            overlap: overlap_text(policy.overlap),
            limit_group: policy.limit_group.as_ref().map(|group| group.name.to_string()),
            limit_max: policy.limit_group.as_ref().map(|group| i32::try_from(group.max).unwrap_or(i32::MAX)),
            on_crash: policy.on_crash,
            max_attempts: i32::try_from(policy.max_attempts).unwrap_or(i32::MAX),
            attempt: 0,
            interruptions: 0,
            owner: None,
            lease_until: None,
            started_at: None,
            attempt_started_at: None,
            finished_at: None,
            cancel_requested_at: None,
            cancel_requested_by: None,
            requested_by: None,
            error: None,
            note: None,
            stages: None,
            missed_count: None,
            missed_first: None,
            staged: false,
        }
    }

    /// The row with its outcome, for fires that start nothing.
    pub(crate) fn ended(mut self, outcome: Outcome, at: i64) -> Self {
        self.state = RunState::Finished;
        self.outcome = Some(outcome);
        self.finished_at = Some(at);
        self
    }

    /// What overlap rules see of it.
    pub(crate) fn as_active(&self) -> Active {
        Active {
            id: self.id,
            job_id: self.job_id.as_ref().map(|job| job.as_str().to_owned()),
            reason: self.reason,
            state: self.state,
            attempt: self.attempt,
            cancel_requested: self.cancel_requested_at.is_some(),
        }
    }

    pub(crate) fn into_record(self) -> Result<RunRecord, StoreError> {
        let missed = self.outcome == Some(Outcome::Missed);
        let scheduled_for = instant(self.scheduled_for);
        Ok(RunRecord {
            id: self.id,
            namespace: self.namespace,
            pipeline: self.pipeline,
            job_id: self.job_id,
            reason: self.reason,
            state: self.state,
            outcome: self.outcome,
            scheduled_for,
            available_at: instant(self.available_at),
            deadline_at: opt_instant(self.deadline_at),
            policy: policy(
                &self.overlap,
                self.limit_group,
                self.limit_max,
                self.max_attempts,
                self.on_crash,
            )?,
            attempt: self.attempt,
            interruptions: self.interruptions,
            owner: self.owner,
            lease_until: opt_instant(self.lease_until),
            started_at: opt_instant(self.started_at),
            attempt_started_at: opt_instant(self.attempt_started_at),
            finished_at: opt_instant(self.finished_at),
            cancel_requested_at: opt_instant(self.cancel_requested_at),
            cancel_requested_by: self.cancel_requested_by,
            requested_by: self.requested_by,
            error: self.error,
            note: self.note,
            stages: self.stages,
            count: missed.then(|| self.missed_count.unwrap_or(1)),
            first: missed.then(|| self.missed_first.map_or(scheduled_for, instant)),
            last: missed.then_some(scheduled_for),
        })
    }
}

/// What a claim has to know of a waiting or held run.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = scraper_runs)]
pub(crate) struct ClaimRow {
    pub(crate) id: RunId,
    pub(crate) pipeline: String,
    pub(crate) job_id: Option<JobId>,
    pub(crate) reason: Reason,
    pub(crate) scheduled_for: i64,
    pub(crate) available_at: i64,
    pub(crate) priority: i16,
    pub(crate) overlap: String,
    pub(crate) limit_group: Option<String>,
    pub(crate) limit_max: Option<i32>,
    pub(crate) on_crash: OnCrash,
    pub(crate) max_attempts: i32,
    pub(crate) attempt: i32,
    pub(crate) interruptions: i32,
    pub(crate) attempt_started_at: Option<i64>,
    pub(crate) cancel_requested_at: Option<i64>,
    pub(crate) requested_by: Option<String>,
}

impl ClaimRow {
    pub(crate) fn policy(&self) -> Result<RunPolicy, StoreError> {
        policy(&self.overlap, self.limit_group.clone(), self.limit_max, self.max_attempts, self.on_crash)
    }

    /// The claim by which the run's latest attempt is held.
    pub(crate) fn into_claimed(self, policy: RunPolicy, lease: Duration) -> ClaimedRun {
        ClaimedRun {
            id: self.id,
            pipeline: self.pipeline,
            job_id: self.job_id,
            reason: self.reason,
            scheduled_for: instant(self.scheduled_for),
            available_at: instant(self.available_at),
            attempt: self.attempt,
            interruptions: self.interruptions,
            started_at: instant(self.attempt_started_at.unwrap_or(self.available_at)),
            lease,
            requested_by: self.requested_by,
            policy,
            cancel_requested: self.cancel_requested_at.is_some(),
        }
    }
}

/// What a rescue has to know of a held run.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = scraper_runs)]
pub(crate) struct HeldRow {
    pub(crate) id: RunId,
    pub(crate) pipeline: String,
    pub(crate) job_id: Option<JobId>,
    pub(crate) scheduled_for: i64,
    pub(crate) on_crash: OnCrash,
    pub(crate) max_attempts: i32,
    pub(crate) attempt: i32,
    pub(crate) interruptions: i32,
    pub(crate) owner: Option<Owner>,
    pub(crate) attempt_started_at: Option<i64>,
    pub(crate) cancel_requested_at: Option<i64>,
    pub(crate) staged: bool,
}

/// What the overlap rules have to know of a run without outcome.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = scraper_runs)]
pub(crate) struct ActiveRow {
    pub(crate) id: RunId,
    pub(crate) pipeline: String,
    pub(crate) job_id: Option<JobId>,
    pub(crate) reason: Reason,
    pub(crate) state: RunState,
    pub(crate) attempt: i32,
    pub(crate) cancel_requested_at: Option<i64>,
}

impl ActiveRow {
    pub(crate) fn into_active(self) -> Active {
        Active {
            id: self.id,
            job_id: self.job_id.map(JobId::into_string),
            reason: self.reason,
            state: self.state,
            attempt: self.attempt,
            cancel_requested: self.cancel_requested_at.is_some(),
        }
    }
}

/// A waiting run whose deadline has passed.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = scraper_runs)]
pub(crate) struct OverdueRow {
    pub(crate) id: RunId,
    pub(crate) pipeline: String,
    pub(crate) job_id: Option<JobId>,
    pub(crate) scheduled_for: i64,
}

/// A due job.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = scraper_jobs)]
pub(crate) struct DueRow {
    pub(crate) job_key: i64,
    pub(crate) id: JobId,
    pub(crate) pipeline: String,
    pub(crate) source: JobSource,
    pub(crate) trigger: String,
    pub(crate) timezone: String,
    pub(crate) spec: String,
    pub(crate) next_fire_at: Option<i64>,
    pub(crate) due_at: Option<i64>,
    pub(crate) version: i64,
}

impl DueRow {
    pub(crate) fn into_job(self) -> DueJob {
        let due_at = self.due_at.unwrap_or_default();
        DueJob {
            id: self.id,
            pipeline: self.pipeline,
            source: self.source,
            trigger: self.trigger,
            timezone: self.timezone,
            spec: self.spec,
            next_fire_at: instant(self.next_fire_at.unwrap_or(due_at)),
            due_at: instant(due_at),
            version: self.version,
        }
    }
}

/// A whole row of `scraper_jobs`, without its key.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = scraper_jobs, treat_none_as_default_value = false)]
pub(crate) struct JobRow {
    pub(crate) namespace: String,
    pub(crate) id: JobId,
    pub(crate) pipeline: String,
    pub(crate) source: JobSource,
    pub(crate) state: JobState,
    pub(crate) paused: bool,
    pub(crate) trigger: String,
    pub(crate) timezone: String,
    pub(crate) spec: String,
    pub(crate) next_fire_at: Option<i64>,
    pub(crate) due_at: Option<i64>,
    pub(crate) error: Option<String>,
    pub(crate) requested_by: Option<String>,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

impl From<JobRow> for JobRecord {
    fn from(row: JobRow) -> Self {
        JobRecord {
            namespace: row.namespace,
            id: row.id,
            pipeline: row.pipeline,
            source: row.source,
            state: row.state,
            paused: row.paused,
            trigger: row.trigger,
            timezone: row.timezone,
            spec: row.spec,
            next_fire_at: opt_instant(row.next_fire_at),
            due_at: opt_instant(row.due_at),
            error: row.error,
            requested_by: row.requested_by,
            version: row.version,
            created_at: instant(row.created_at),
            updated_at: instant(row.updated_at),
        }
    }
}

/// A row of `scraper_attempts`.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = scraper_attempts, treat_none_as_default_value = false)]
pub(crate) struct AttemptRow {
    pub(crate) run_id: RunId,
    pub(crate) attempt: i32,
    pub(crate) owner: Option<Owner>,
    pub(crate) started_at: i64,
    pub(crate) finished_at: i64,
    pub(crate) outcome: AttemptOutcome,
    pub(crate) error: Option<String>,
}

impl From<AttemptRow> for AttemptRecord {
    fn from(row: AttemptRow) -> Self {
        AttemptRecord {
            run: row.run_id,
            attempt: row.attempt,
            owner: row.owner,
            started_at: instant(row.started_at),
            finished_at: Some(instant(row.finished_at)),
            outcome: Some(row.outcome),
            error: row.error,
        }
    }
}

/// A row of `scraper_run_logs`.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = scraper_run_logs, treat_none_as_default_value = false)]
pub(crate) struct LogRow {
    pub(crate) run_id: RunId,
    pub(crate) attempt: i32,
    pub(crate) seq: i64,
    pub(crate) at: i64,
    pub(crate) level: String,
    pub(crate) stage: Option<String>,
    pub(crate) text: String,
}

impl From<LogRow> for LogLine {
    fn from(row: LogRow) -> Self {
        LogLine {
            run: row.run_id,
            attempt: row.attempt,
            seq: row.seq,
            at: instant(row.at),
            level: row.level,
            stage: row.stage,
            text: row.text,
        }
    }
}

/// A row of `scraper_outbox` to insert.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = scraper_outbox, treat_none_as_default_value = false)]
pub(crate) struct NewMessageRow {
    pub(crate) namespace: String,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    pub(crate) run_id: Option<RunId>,
    pub(crate) target: String,
    pub(crate) kind: String,
    pub(crate) payload: String,
    pub(crate) state: MessageState,
    pub(crate) attempts: i32,
    pub(crate) next_at: i64,
    pub(crate) created_at: i64,
}

/// A row of `scraper_outbox` to read.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = scraper_outbox)]
pub(crate) struct MessageRow {
    pub(crate) id: MessageId,
    pub(crate) namespace: String,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    pub(crate) run_id: Option<RunId>,
    pub(crate) target: String,
    pub(crate) kind: String,
    pub(crate) payload: String,
    pub(crate) state: MessageState,
    pub(crate) batch: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) next_at: i64,
    pub(crate) error: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) claimed_until: Option<i64>,
}

impl From<MessageRow> for MessageRecord {
    fn from(row: MessageRow) -> Self {
        MessageRecord {
            id: row.id,
            namespace: row.namespace,
            pipeline: row.pipeline,
            stage: row.stage,
            run: row.run_id,
            target: row.target,
            kind: row.kind,
            payload: row.payload,
            state: row.state,
            batch: row.batch,
            nonce: row.nonce,
            attempts: row.attempts,
            next_at: instant(row.next_at),
            error: row.error,
            created_at: instant(row.created_at),
        }
    }
}

/// A row of `scraper_outbox_staged` to insert.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = scraper_outbox_staged)]
pub(crate) struct StagedMessageRow {
    pub(crate) run_id: RunId,
    pub(crate) attempt: i32,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    pub(crate) target: String,
    pub(crate) kind: String,
    pub(crate) payload: String,
}

/// A row of `scraper_stage_staged`.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = scraper_stage_staged, treat_none_as_default_value = false)]
pub(crate) struct StagedStateRow {
    pub(crate) run_id: RunId,
    pub(crate) attempt: i32,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    pub(crate) key: Vec<u8>,
    pub(crate) op: &'static str,
    pub(crate) value: Option<Vec<u8>>,
}
