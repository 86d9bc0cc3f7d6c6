//! Old runs: found on a reading connection, deleted in small batches.

use diesel::prelude::*;

use super::{Conn, RunQueryDsl};
use crate::backend::plan::Sizes;
use crate::backend::prune::{Cursor, Found};
use crate::error::StoreError;
use crate::model::ids::RunId;
use crate::model::retention::Retention;
use crate::schema::{IsFinished, WasDropped, WasReal, scraper_runs as runs};

/// So many jobs are looked at in one call.
const JOBS_A_CALL: usize = 200;

/// What is to be deleted, and where the next call goes on.
pub(crate) async fn find(
    c: &mut Conn,
    namespace: &str,
    retention: &Retention,
    mut cursor: Cursor,
) -> Result<Found, StoreError> {
    let mut ids: Vec<RunId> = Vec::new();
    if let Some(before) = retention.created_before {
        ids = runs::table
            .filter(runs::id.lt(RunId::lower_bound(before)))
            .filter(runs::namespace.eq(namespace))
            .filter(IsFinished)
            .order(runs::id)
            .select(runs::id)
            .limit(Sizes::limit(retention.limit))
            .load(c)
            .await?;
    }
    let Some(keep) = retention.keep_per_job else {
        let done = ids.len() < retention.limit;
        return Ok(Found { ids, cursor: Cursor::Start, done });
    };
    let keep = i64::from(keep);
    let mut done = false;
    for _ in 0..JOBS_A_CALL {
        if ids.len() >= retention.limit {
            break;
        }
        let left = Sizes::limit(retention.limit - ids.len());
        let more = match &cursor {
            Cursor::Start | Cursor::Job(_) => {
                let Some(job) = next_job(c, namespace, cursor.job()).await? else {
                    cursor = Cursor::Pipeline(String::new());
                    continue;
                };
                let more = of_job(c, namespace, &job, keep, left).await?;
                // A job with more than fits is looked at again.
                if Sizes::limit(more.len()) < left {
                    cursor = Cursor::Job(job);
                }
                more
            }
            Cursor::Pipeline(after) => {
                let Some(pipeline) = next_pipeline(c, namespace, after).await? else {
                    cursor = Cursor::Start;
                    done = true;
                    break;
                };
                let more = without_job(c, namespace, &pipeline, keep, left).await?;
                if Sizes::limit(more.len()) < left {
                    cursor = Cursor::Pipeline(pipeline);
                }
                more
            }
        };
        ids.extend(more);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(Found { ids, cursor, done })
}

pub(crate) async fn delete(c: &mut Conn, ids: &[RunId]) -> Result<usize, StoreError> {
    let mut deleted = 0;
    for ids in ids.chunks(Sizes::BATCH) {
        deleted +=
            diesel::delete(runs::table.filter(runs::id.eq_any(ids)).filter(IsFinished)).execute(c).await?;
    }
    Ok(deleted)
}

async fn next_job(c: &mut Conn, namespace: &str, after: &str) -> QueryResult<Option<String>> {
    let next: Option<Option<String>> = runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::job_id.gt(after))
        .order(runs::job_id)
        .select(runs::job_id)
        .limit(1)
        .get_result(c)
        .await
        .optional()?;
    Ok(next.flatten())
}

async fn next_pipeline(c: &mut Conn, namespace: &str, after: &str) -> QueryResult<Option<String>> {
    runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::pipeline.gt(after))
        .order(runs::pipeline)
        .select(runs::pipeline)
        .limit(1)
        .get_result(c)
        .await
        .optional()
}

/// The runs of a job beyond those that stay: real ones and dropped ones are counted apart.
async fn of_job(c: &mut Conn, namespace: &str, job: &str, keep: i64, limit: i64) -> QueryResult<Vec<RunId>> {
    let finished = || {
        runs::table
            .filter(runs::namespace.eq(namespace))
            .filter(runs::job_id.eq(job))
            .filter(IsFinished)
            .order(runs::scheduled_for.desc())
            .select(runs::id)
            .offset(keep)
    };
    let mut ids: Vec<RunId> = finished().filter(WasReal).limit(limit).load(c).await?;
    let left = limit - Sizes::limit(ids.len());
    let dropped: Vec<RunId> = finished().filter(WasDropped).limit(left).load(c).await?;
    ids.extend(dropped);
    Ok(ids)
}

/// The same for the runs of a pipeline that were started without a job.
async fn without_job(
    c: &mut Conn,
    namespace: &str,
    pipeline: &str,
    keep: i64,
    limit: i64,
) -> QueryResult<Vec<RunId>> {
    runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::pipeline.eq(pipeline))
        .filter(runs::job_id.is_null())
        .filter(IsFinished)
        .order(runs::id.desc())
        .select(runs::id)
        .offset(keep)
        .limit(limit)
        .load(c)
        .await
}
