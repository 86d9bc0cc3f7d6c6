//! Jobs: edits, each with what must hold of the stored job, and lists.

use diesel::prelude::*;

use super::{Conn, Db, RunQueryDsl, io};
use crate::backend::plan::Sizes;
use crate::backend::rows::{JobRow, RunRow};
use crate::error::StoreError;
use crate::model::ids::JobId;
use crate::model::job::{
    Expect, ForeignJobs, JobEdit, JobEdited, JobFilter, JobPut, JobRecord, JobSource, JobState,
};
use crate::model::run::JobRuns;
use crate::model::time::{micros, opt_micros};
use crate::schema::{IsFinished, scraper_jobs as jobs, scraper_runs as runs};

/// What an edit has to know of the stored job.
#[derive(Clone, Copy, Debug)]
struct Stored {
    key: i64,
    version: i64,
    paused: bool,
    state: JobState,
    due_at: Option<i64>,
}

/// How often an edit that expects nothing tries again when a fire comes between its reading and its writing.
const TRIES: usize = 5;

pub(crate) async fn edit(
    c: &mut Conn,
    namespace: &str,
    edits: &[JobEdit],
    now: i64,
) -> Result<Vec<JobEdited>, StoreError> {
    // One batch of a namespace at a time: two that name the same jobs in different orders would wait for each other.
    io::lock_guards(c, &[format!("jobs:{namespace}")]).await?;
    let mut results = Vec::with_capacity(edits.len());
    let mut rest = edits;
    while !rest.is_empty() {
        // New jobs that stand together are stored together.
        let new = rest.iter().take_while(|edit| is_new(edit)).count();
        if new > 0 {
            let rows: Vec<JobRow> =
                rest[..new].iter().filter_map(|edit| new_row(namespace, edit, now)).collect();
            for (row, inserted) in rows.iter().zip(io::insert_jobs(c, &rows).await?) {
                results.push(if inserted {
                    JobEdited::Done(1)
                } else {
                    match read(c, namespace, &row.id).await? {
                        Some(stored) => JobEdited::Conflict(stored.version),
                        None => JobEdited::NotFound,
                    }
                });
            }
            rest = &rest[new..];
        } else {
            results.push(edit_one(c, namespace, &rest[0], now).await?);
            rest = &rest[1..];
        }
    }
    Ok(results)
}

fn is_new(edit: &JobEdit) -> bool {
    matches!(edit, JobEdit::Put(put) if put.expect == Expect::Absent)
}

fn new_row(namespace: &str, edit: &JobEdit, now: i64) -> Option<JobRow> {
    match edit {
        JobEdit::Put(put) => Some(row_of(namespace, put, put_paused(put, false), 1, now)),
        _ => None,
    }
}

async fn read(c: &mut Conn, namespace: &str, id: &JobId) -> QueryResult<Option<Stored>> {
    let found: Option<(i64, i64, bool, JobState, Option<i64>)> = jobs::table
        .filter(jobs::namespace.eq(namespace))
        .filter(jobs::id.eq(id))
        .select((jobs::job_key, jobs::version, jobs::paused, jobs::state, jobs::due_at))
        .get_result(c)
        .await
        .optional()?;
    Ok(found.map(|(key, version, paused, state, due_at)| Stored { key, version, paused, state, due_at }))
}

async fn edit_one(c: &mut Conn, namespace: &str, edit: &JobEdit, now: i64) -> Result<JobEdited, StoreError> {
    let id = match edit {
        JobEdit::Put(put) => &put.id,
        JobEdit::Delete { id, .. }
        | JobEdit::Pause { id, .. }
        | JobEdit::Resume { id, .. }
        | JobEdit::SetState { id, .. } => id,
    };
    for _ in 0..TRIES {
        let stored = read(c, namespace, id).await?;
        if let Some(conflict) = conflict(edit, stored.as_ref()) {
            return Ok(conflict);
        }
        let done = match (edit, stored) {
            (JobEdit::Put(put), None) => {
                let row = row_of(namespace, put, put_paused(put, false), 1, now);
                io::insert_jobs(c, &[row]).await? == [true]
            }
            (JobEdit::Put(put), Some(stored)) => replace(c, namespace, put, stored, now).await?,
            (_, None) => return Ok(JobEdited::NotFound),
            (JobEdit::Delete { .. }, Some(stored)) => {
                let deleted = diesel::delete(jobs::table.filter(jobs::job_key.eq(stored.key)))
                    .filter(jobs::version.eq(stored.version))
                    .execute(c)
                    .await?;
                if deleted > 0 {
                    return Ok(JobEdited::Done(0));
                }
                false
            }
            (JobEdit::Pause { requested_by, .. }, Some(stored)) => {
                let by = requested_by.as_deref();
                change(c, stored, true, stored.state, ChangeOf { due_at: None, ..ChangeOf::nothing(by) }, now)
                    .await?
            }
            (JobEdit::Resume { requested_by, next_fire_at, due_at, .. }, Some(stored)) => {
                let state = match stored.state {
                    JobState::Removed | JobState::Finished | JobState::Orphaned => JobState::Scheduled,
                    other => other,
                };
                let what = ChangeOf {
                    next_fire_at: Some(opt_micros(*next_fire_at)),
                    due_at: opt_micros(*due_at),
                    error: Some(None),
                    requested_by: requested_by.as_deref(),
                };
                change(c, stored, false, state, what, now).await?
            }
            (JobEdit::SetState { state, error, requested_by, due_at, .. }, Some(stored)) => {
                let what = ChangeOf {
                    next_fire_at: None,
                    due_at: due_at.map_or(stored.due_at, |at| Some(micros(at))),
                    error: Some(error.as_deref()),
                    requested_by: requested_by.as_deref(),
                };
                change(c, stored, stored.paused, *state, what, now).await?
            }
        };
        if done {
            return Ok(JobEdited::Done(stored.map_or(1, |stored| stored.version + 1)));
        }
    }
    Err(StoreError::Busy(format!("job '{id}' changes too often")))
}

/// Why an edit cannot be made, if so.
fn conflict(edit: &JobEdit, stored: Option<&Stored>) -> Option<JobEdited> {
    let expect = match edit {
        JobEdit::Put(put) => put.expect,
        JobEdit::Delete { expect, .. } | JobEdit::SetState { expect, .. } => *expect,
        JobEdit::Resume { version, .. } => Expect::Version(*version),
        JobEdit::Pause { .. } => Expect::Anything,
    };
    match (expect, stored) {
        (Expect::Anything, _) | (Expect::Absent, None) => None,
        (Expect::Absent, Some(stored)) => Some(JobEdited::Conflict(stored.version)),
        (Expect::Version(_), None) => Some(JobEdited::NotFound),
        (Expect::Version(version), Some(stored)) => {
            (version != stored.version).then_some(JobEdited::Conflict(stored.version))
        }
    }
}

fn put_paused(put: &JobPut, stored: bool) -> bool {
    put.state == JobState::Paused || put.paused.unwrap_or(stored)
}

fn row_of(namespace: &str, put: &JobPut, paused: bool, version: i64, now: i64) -> JobRow {
    let state = if put.state == JobState::Paused { JobState::Scheduled } else { put.state };
    JobRow {
        namespace: namespace.to_owned(),
        id: put.id.clone(),
        pipeline: put.pipeline.clone(),
        source: put.source,
        state,
        paused,
        trigger: put.trigger.clone(),
        timezone: put.timezone.clone(),
        spec: put.spec.clone(),
        next_fire_at: opt_micros(put.next_fire_at),
        due_at: if paused || state != JobState::Scheduled { None } else { opt_micros(put.due_at) },
        error: put.error.clone(),
        requested_by: put.requested_by.clone(),
        version,
        created_at: now,
        updated_at: now,
    }
}

async fn replace(c: &mut Conn, namespace: &str, put: &JobPut, stored: Stored, now: i64) -> QueryResult<bool> {
    let row = row_of(namespace, put, put_paused(put, stored.paused), stored.version + 1, now);
    let replaced = diesel::update(jobs::table.filter(jobs::job_key.eq(stored.key)))
        .filter(jobs::version.eq(stored.version))
        .set((
            jobs::pipeline.eq(row.pipeline),
            jobs::source.eq(row.source),
            jobs::state.eq(row.state),
            jobs::paused.eq(row.paused),
            jobs::trigger.eq(row.trigger),
            jobs::timezone.eq(row.timezone),
            jobs::spec.eq(row.spec),
            jobs::next_fire_at.eq(row.next_fire_at),
            jobs::due_at.eq(row.due_at),
            jobs::error.eq(row.error),
            jobs::requested_by.eq(row.requested_by),
            jobs::version.eq(row.version),
            jobs::updated_at.eq(now),
        ))
        .execute(c)
        .await?;
    Ok(replaced > 0)
}

/// What else a change of state changes; an outer `None` leaves the column.
struct ChangeOf<'a> {
    next_fire_at: Option<Option<i64>>,
    due_at: Option<i64>,
    error: Option<Option<&'a str>>,
    requested_by: Option<&'a str>,
}

impl<'a> ChangeOf<'a> {
    fn nothing(requested_by: Option<&'a str>) -> Self {
        ChangeOf { next_fire_at: None, due_at: None, error: None, requested_by }
    }
}

async fn change(
    c: &mut Conn,
    stored: Stored,
    paused: bool,
    state: JobState,
    what: ChangeOf<'_>,
    now: i64,
) -> QueryResult<bool> {
    let state = if state == JobState::Paused { JobState::Scheduled } else { state };
    let due_at = if paused || state != JobState::Scheduled { None } else { what.due_at };
    let changed = diesel::update(jobs::table.filter(jobs::job_key.eq(stored.key)))
        .filter(jobs::version.eq(stored.version))
        .set((
            jobs::paused.eq(paused),
            jobs::state.eq(state),
            what.next_fire_at.map(|at| jobs::next_fire_at.eq(at)),
            jobs::due_at.eq(due_at),
            what.error.map(|error| jobs::error.eq(error)),
            what.requested_by.map(|by| jobs::requested_by.eq(Some(by))),
            jobs::version.eq(stored.version + 1),
            jobs::updated_at.eq(now),
        ))
        .execute(c)
        .await?;
    Ok(changed > 0)
}

pub(crate) async fn get(c: &mut Conn, namespace: &str, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
    let row: Option<JobRow> = jobs::table
        .filter(jobs::namespace.eq(namespace))
        .filter(jobs::id.eq(id))
        .select(JobRow::as_select())
        .get_result(c)
        .await
        .optional()?;
    Ok(row.map(JobRecord::from))
}

pub(crate) async fn list(
    c: &mut Conn,
    namespace: &str,
    filter: &JobFilter,
) -> Result<Vec<JobRecord>, StoreError> {
    let mut query = jobs::table
        .order((jobs::namespace, jobs::id))
        .limit(Sizes::limit_or_all(filter.limit))
        .select(JobRow::as_select())
        .into_boxed::<Db>();
    if !filter.all_namespaces {
        query = query.filter(jobs::namespace.eq(namespace));
    }
    if let Some(pipeline) = &filter.pipeline {
        query = query.filter(jobs::pipeline.eq(pipeline));
    }
    if let Some(source) = filter.source {
        query = query.filter(jobs::source.eq(source));
    }
    if let Some((after_namespace, after_id)) = &filter.after {
        query = query
            .filter(jobs::namespace.ge(after_namespace))
            .filter(jobs::namespace.gt(after_namespace).or(jobs::id.gt(after_id)));
    }
    let rows: Vec<JobRow> = query.load(c).await?;
    Ok(rows.into_iter().map(JobRecord::from).collect())
}

/// How many jobs of a source each pipeline has.
pub(crate) async fn by_pipeline(
    c: &mut Conn,
    namespace: &str,
    source: JobSource,
) -> Result<Vec<(String, u64)>, StoreError> {
    let rows: Vec<(String, i64)> = jobs::table
        .filter(jobs::namespace.eq(namespace))
        .filter(jobs::source.eq(source))
        .group_by(jobs::pipeline)
        .order(jobs::pipeline)
        .select((jobs::pipeline, diesel::dsl::count_star()))
        .load(c)
        .await?;
    Ok(rows.into_iter().map(|(pipeline, count)| (pipeline, count.unsigned_abs())).collect())
}

/// The newest finished run of each of these jobs.
pub(crate) async fn last_runs(
    c: &mut Conn,
    namespace: &str,
    ids: &[JobId],
) -> Result<Vec<JobRuns>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let row: Option<RunRow> = runs::table
            .filter(runs::namespace.eq(namespace))
            .filter(runs::job_id.eq(id))
            .filter(IsFinished)
            .order(runs::scheduled_for.desc())
            .select(RunRow::as_select())
            .limit(1)
            .get_result(c)
            .await
            .optional()?;
        found.push(JobRuns { job: id.clone(), last_finished: row.map(RunRow::into_record).transpose()? });
    }
    Ok(found)
}

#[derive(diesel::QueryableByName)]
struct Counted {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    found: i64,
}

#[derive(diesel::QueryableByName)]
struct Named {
    #[diesel(sql_type = diesel::sql_types::Text)]
    id: String,
}

/// What APScheduler left at the same URL. Its table is only looked at.
pub(crate) async fn foreign(c: &mut Conn) -> Result<Option<ForeignJobs>, StoreError> {
    const TABLE: &str = "apscheduler_jobs";
    if !io::has_table(c, TABLE).await? {
        return Ok(None);
    }
    let counted: Counted =
        diesel::sql_query("SELECT count(*) AS found FROM apscheduler_jobs").get_result(c).await?;
    let named: Vec<Named> =
        diesel::sql_query("SELECT id FROM apscheduler_jobs ORDER BY id LIMIT 100").load(c).await?;
    Ok(Some(ForeignJobs {
        table: TABLE,
        count: u64::try_from(counted.found).unwrap_or(0),
        ids: named.into_iter().map(|row| row.id).collect(),
    }))
}
