//! Runs as JSON.

use engine::RunView;
use jobstore::{AttemptRecord, LogLine};
use serde::Serialize;

use crate::output::utc;

/// A run, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct RunJson {
    id: String,
    job_id: Option<String>,
    pipeline: String,
    reason: String,
    scheduled_for: String,
    state: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    outcome: Option<String>,
    attempt: i32,
    attempts: Vec<AttemptJson>,
    count: Option<i64>,
    first: Option<String>,
    last: Option<String>,
    error: Option<String>,
    note: Option<String>,
    requested_by: Option<String>,
    stages: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct AttemptJson {
    attempt: i32,
    started_at: String,
    finished_at: Option<String>,
    outcome: Option<String>,
    error: Option<String>,
}

/// A line of a run's log.
#[derive(Debug, Serialize)]
pub(crate) struct LogJson {
    at: String,
    attempt: i32,
    level: String,
    stage: Option<String>,
    text: String,
}

impl RunJson {
    pub(crate) fn new(run: &RunView) -> Self {
        let record = &run.record;
        Self {
            id: record.id.to_string(),
            job_id: record.job_id.as_ref().map(ToString::to_string),
            pipeline: record.pipeline.clone(),
            reason: record.reason.to_string(),
            scheduled_for: utc(record.scheduled_for),
            state: record.state.to_string(),
            started_at: record.started_at.map(utc),
            finished_at: record.finished_at.map(utc),
            outcome: record.outcome.map(|outcome| outcome.to_string()),
            attempt: record.attempt,
            attempts: run.attempts.iter().map(AttemptJson::new).collect(),
            count: record.count,
            first: record.first.map(utc),
            last: record.last.map(utc),
            error: record.error.clone(),
            note: record.note.clone(),
            requested_by: record.requested_by.clone(),
            stages: record.stages.as_deref().and_then(|stages| serde_json::from_str(stages).ok()),
        }
    }
}

impl AttemptJson {
    fn new(attempt: &AttemptRecord) -> Self {
        Self {
            attempt: attempt.attempt,
            started_at: utc(attempt.started_at),
            finished_at: attempt.finished_at.map(utc),
            outcome: attempt.outcome.map(|outcome| outcome.to_string()),
            error: attempt.error.clone(),
        }
    }
}

impl LogJson {
    pub(crate) fn new(line: &LogLine) -> Self {
        Self {
            at: utc(line.at),
            attempt: line.attempt,
            level: line.level.clone(),
            stage: line.stage.clone(),
            text: line.text.clone(),
        }
    }
}
