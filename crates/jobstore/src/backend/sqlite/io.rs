//! What is done differently on SQLite: a row at a time with cached statements, which within one transaction is the
//! fastest way, and without any lock, because the transaction has the whole file to itself.

use std::collections::HashSet;

use diesel::prelude::*;

use super::cached::insert;
use super::statements::{AdvanceJob, ClaimRun, FinishRun, RenewLease, UpsertStaged};
use super::{Conn, RunQueryDsl};
use crate::backend::ends_model::{EndWrite, EndedRow};
use crate::backend::plan::{self, Advance};
use crate::backend::rows::{ActiveRow, DueRow, HeldRow, JobRow, LogRow, OverdueRow, RunRow, StagedStateRow};
use crate::model::ids::{Owner, RunId};
use crate::model::run::{Outcome, RunState};
use crate::schema::{
    IsActive, IsQueued, IsRunning, scraper_jobs as jobs, scraper_run_logs as logs, scraper_runs as runs,
    scraper_stage_staged as staged,
};

/// At most so many overdue runs in one transaction.
const OVERDUE: i64 = 500;

/// All processes share the machine's clock: the caller's is as good as any.
pub(crate) async fn lease_clock(_: &mut Conn, now: i64) -> QueryResult<i64> {
    Ok(now)
}

pub(crate) async fn lock_guards(_: &mut Conn, _: &[String]) -> QueryResult<()> {
    Ok(())
}

pub(crate) async fn try_guards(_: &mut Conn, names: Vec<String>) -> QueryResult<Vec<String>> {
    Ok(names)
}

pub(crate) async fn allow_long(_: &mut Conn) -> QueryResult<()> {
    Ok(())
}

/// Other processes look at the counter, which is in the file.
pub(crate) async fn notify(_: &mut Conn, _: &str) -> QueryResult<()> {
    Ok(())
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    found: i64,
}

pub(crate) async fn has_table(c: &mut Conn, name: &str) -> QueryResult<bool> {
    let row: Found = diesel::sql_query(
        "SELECT count(*) AS found FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?",
    )
    .bind::<diesel::sql_types::Text, _>(name)
    .get_result(c)
    .await?;
    Ok(row.found > 0)
}

pub(crate) async fn due_jobs(
    c: &mut Conn,
    namespace: &str,
    now: i64,
    after: Option<(i64, i64)>,
    limit: i64,
) -> QueryResult<Vec<DueRow>> {
    let due = jobs::table
        .filter(jobs::namespace.eq(namespace))
        .filter(jobs::due_at.le(now))
        .order((jobs::due_at, jobs::job_key))
        .select(DueRow::as_select());
    match after {
        None => due.limit(limit).load(c).await,
        Some((at, key)) => {
            due.filter(jobs::due_at.ge(at))
                .filter(jobs::due_at.gt(at).or(jobs::job_key.nullable().gt(key)))
                .limit(limit)
                .load(c)
                .await
        }
    }
}

pub(crate) async fn advance_jobs(c: &mut Conn, advances: &[Advance], now: i64) -> QueryResult<Vec<bool>> {
    let mut moved = Vec::with_capacity(advances.len());
    for advance in advances {
        let advance = AdvanceJob {
            state: advance.state,
            next_fire_at: advance.next_fire_at,
            due_at: advance.due_at,
            error: advance.error.as_deref(),
            now,
            job_key: advance.job_key,
            version: advance.version,
        };
        moved.push(advance.execute(c).await? > 0);
    }
    Ok(moved)
}

pub(crate) async fn insert_jobs(c: &mut Conn, rows: &[JobRow]) -> QueryResult<Vec<bool>> {
    let mut inserted = Vec::with_capacity(rows.len());
    for row in rows {
        let row = diesel::insert_into(jobs::table).values(row).on_conflict_do_nothing();
        inserted.push(insert(jobs::table, row).execute(c).await? > 0);
    }
    Ok(inserted)
}

pub(crate) async fn active(c: &mut Conn, namespace: &str, pipelines: &[&str]) -> QueryResult<Vec<ActiveRow>> {
    let mut found = Vec::new();
    for pipeline in pipelines {
        let rows: Vec<ActiveRow> = runs::table
            .filter(runs::namespace.eq(namespace))
            .filter(runs::pipeline.eq(pipeline))
            .filter(IsActive)
            .select(ActiveRow::as_select())
            .load(c)
            .await?;
        found.extend(rows);
    }
    found.sort_unstable_by_key(|row: &ActiveRow| row.id);
    Ok(found)
}

pub(crate) async fn group_running(c: &mut Conn, groups: &[&str]) -> QueryResult<Vec<(String, i64)>> {
    let mut found = Vec::with_capacity(groups.len());
    for group in groups {
        let running: i64 =
            runs::table.filter(runs::limit_group.eq(group)).filter(IsRunning).count().get_result(c).await?;
        found.push(((*group).to_owned(), running));
    }
    Ok(found)
}

pub(crate) async fn insert_runs<'r>(
    c: &mut Conn,
    rows: impl Iterator<Item = &'r RunRow>,
) -> QueryResult<Vec<bool>> {
    let mut inserted = Vec::with_capacity(rows.size_hint().0);
    for row in rows {
        let row = diesel::insert_into(runs::table).values(row).on_conflict_do_nothing();
        inserted.push(insert(runs::table, row).execute(c).await? > 0);
    }
    Ok(inserted)
}

pub(crate) async fn claim_runs(
    c: &mut Conn,
    claims: &[(RunId, i32)],
    owner: &Owner,
    lease_until: i64,
    now: i64,
) -> QueryResult<Vec<bool>> {
    let mut claimed = Vec::with_capacity(claims.len());
    for (run, attempt) in claims {
        let claim = ClaimRun { owner, lease_until, now, first_start: now, run: *run, attempt: *attempt };
        claimed.push(claim.execute(c).await? > 0);
    }
    Ok(claimed)
}

pub(crate) async fn end_attempts(c: &mut Conn, ends: &[EndWrite<'_>]) -> QueryResult<Vec<Option<EndedRow>>> {
    let mut ended = Vec::with_capacity(ends.len());
    for end in ends {
        ended.push(match end.state {
            RunState::Finished => finish(c, end).await?,
            _ => requeue(c, end).await?,
        });
    }
    Ok(ended)
}

async fn finish(c: &mut Conn, end: &EndWrite<'_>) -> QueryResult<Option<EndedRow>> {
    let finish = FinishRun {
        outcome: end.outcome,
        at: end.at,
        error: end.error,
        note: end.note,
        stages: end.stages,
        run: end.key.run,
        owner: &end.key.owner,
        attempt: end.key.attempt,
    };
    let staged: Option<bool> = finish.get_result(c).await.optional()?;
    Ok(staged.map(|staged| EndedRow { state: RunState::Finished, staged, attempt_started_at: None }))
}

async fn requeue(c: &mut Conn, end: &EndWrite<'_>) -> QueryResult<Option<EndedRow>> {
    let held: Option<(Option<i64>, Option<i64>, i32)> = runs::table
        .filter(runs::id.eq(end.key.run))
        .filter(IsRunning)
        .filter(runs::owner.eq(&end.key.owner))
        .filter(runs::attempt.eq(end.key.attempt))
        .select((runs::cancel_requested_at, runs::attempt_started_at, runs::interruptions))
        .get_result(c)
        .await
        .optional()?;
    let Some((cancel, attempt_started_at, interruptions)) = held else { return Ok(None) };
    if cancel.is_some() {
        return finish(c, &EndWrite { outcome: Some(Outcome::Cancelled), ..end.clone() }).await;
    }
    let staged: bool = diesel::update(runs::table.filter(runs::id.eq(end.key.run)))
        .set((
            runs::state.eq(RunState::Queued),
            runs::available_at.eq(end.available_at),
            runs::interruptions.eq(interruptions + i32::from(end.interrupted)),
            runs::lease_until.eq(None::<i64>),
            runs::error.eq(end.error),
            runs::note.eq(end.note),
            runs::stages.eq(end.stages),
        ))
        .returning(runs::staged)
        .get_result(c)
        .await?;
    Ok(Some(EndedRow { state: RunState::Queued, staged, attempt_started_at }))
}

pub(crate) async fn expired(
    c: &mut Conn,
    namespace: &str,
    me: &Owner,
    clock: i64,
    limit: i64,
) -> QueryResult<Vec<HeldRow>> {
    runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::lease_until.lt(clock))
        .filter(IsRunning)
        .filter(runs::owner.ne(me))
        .select(HeldRow::as_select())
        .limit(limit)
        .load(c)
        .await
}

pub(crate) async fn take_overdue(c: &mut Conn, namespace: &str, now: i64) -> QueryResult<Vec<OverdueRow>> {
    let overdue: Vec<(OverdueRow, Option<i64>)> = runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::deadline_at.lt(now))
        .filter(IsQueued)
        .filter(runs::attempt.eq(0))
        .select((OverdueRow::as_select(), runs::deadline_at))
        .limit(OVERDUE)
        .load(c)
        .await?;
    let mut taken = Vec::with_capacity(overdue.len());
    for (row, deadline) in overdue {
        diesel::update(runs::table.filter(runs::id.eq(row.id)))
            .set((
                runs::state.eq(RunState::Finished),
                runs::outcome.eq(Some(Outcome::Missed)),
                runs::finished_at.eq(Some(now)),
                runs::error.eq(deadline.map(plan::too_late)),
            ))
            .execute(c)
            .await?;
        taken.push(row);
    }
    Ok(taken)
}

pub(crate) async fn renew(
    c: &mut Conn,
    owner: &Owner,
    attempts: &[(RunId, i32)],
    until: i64,
) -> QueryResult<HashSet<RunId>> {
    let mut renewed = HashSet::with_capacity(attempts.len());
    for (run, attempt) in attempts {
        let renew = RenewLease { until, run: *run, owner, attempt: *attempt };
        if renew.execute(c).await? > 0 {
            renewed.insert(*run);
        }
    }
    Ok(renewed)
}

/// A lease that ended while this transaction held the run's row goes on as if it had been renewed. Here nothing is
/// renewed or taken meanwhile.
pub(crate) async fn extend_lease(_: &mut Conn, _: RunId, _: i64) -> QueryResult<()> {
    Ok(())
}

pub(crate) async fn insert_logs(c: &mut Conn, rows: &[LogRow]) -> QueryResult<()> {
    for row in rows {
        let row = diesel::insert_into(logs::table).values(row).on_conflict_do_nothing();
        insert(logs::table, row).execute(c).await?;
    }
    Ok(())
}

pub(crate) async fn upsert_staged(c: &mut Conn, rows: &[StagedStateRow]) -> QueryResult<()> {
    for row in rows {
        if row.op == "touch" {
            let row = diesel::insert_into(staged::table).values(row).on_conflict_do_nothing();
            insert(staged::table, row).execute(c).await?;
        } else {
            let upsert = UpsertStaged {
                run: row.run_id,
                attempt: row.attempt,
                pipeline: &row.pipeline,
                stage: &row.stage,
                key: &row.key,
                op: row.op,
                value: row.value.as_deref(),
            };
            upsert.execute(c).await?;
        }
    }
    Ok(())
}
