//! Jobs as JSON and as rows of a table.

use chrono::{DateTime, Utc};
use engine::JobView;
use schedule::Zone;
use serde::Serialize;

use crate::output::{Table, utc};

/// A job, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct JobJson {
    id: String,
    pipeline: String,
    trigger: String,
    timezone: String,
    next_fire_at: Option<String>,
    paused: bool,
    state: String,
    source: String,
    requested_by: Option<String>,
    error: Option<String>,
    last_outcome: Option<String>,
    last_finished_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl JobJson {
    pub(crate) fn new(job: &JobView) -> Self {
        let record = &job.record;
        Self {
            id: record.id.to_string(),
            pipeline: record.pipeline.clone(),
            trigger: record.trigger.clone(),
            timezone: record.timezone.clone(),
            next_fire_at: record.next_fire_at.map(|at| in_zone(at, &record.timezone)),
            paused: record.paused,
            state: job.state.to_string(),
            source: record.source.to_string(),
            requested_by: record.requested_by.clone(),
            error: record.error.clone(),
            last_outcome: job.last.as_ref().and_then(|run| run.outcome).map(|outcome| outcome.to_string()),
            last_finished_at: job.last.as_ref().and_then(|run| run.finished_at).map(utc),
            created_at: utc(record.created_at),
            updated_at: utc(record.updated_at),
        }
    }
}

/// An instant with the offset of a zone.
pub(crate) fn in_zone(at: DateTime<Utc>, zone: &str) -> String {
    match zone.parse::<Zone>() {
        Ok(zone) => schedule::instant::format(at, zone),
        Err(_) => utc(at),
    }
}

/// Jobs as a table.
pub(crate) fn table(jobs: &[JobView]) -> Table {
    let mut table = Table::new(&["JOB", "TRIGGER", "TIMEZONE", "NEXT FIRE", "STATE", "SOURCE", "LAST"]);
    for job in jobs {
        let record = &job.record;
        let last = job.last.as_ref().and_then(|run| run.outcome).map(|outcome| outcome.to_string());
        table.row([
            record.id.to_string(),
            record.trigger.clone(),
            record.timezone.clone(),
            record.next_fire_at.map_or_else(|| "-".to_owned(), |at| in_zone(at, &record.timezone)),
            job.state.to_string(),
            record.source.to_string(),
            last.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table
}
