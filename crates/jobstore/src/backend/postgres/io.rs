//! What is done differently on PostgreSQL: many rows in one statement, row locks that nobody waits for
//! (`SKIP LOCKED`), and the server's clock for leases.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

use super::sql::{
    AdvanceJobs, ClaimRuns, Clock, EndAttempts, InsertJobs, InsertRuns, KnownGuards, LockGuards, LockRuns,
    MakeGuards, RenewLeases, TryGuards,
};
use super::{Conn, RunQueryDsl};
use crate::backend::ends_model::{EndWrite, EndedRow};
use crate::backend::plan::{self, Advance, Sizes};
use crate::backend::rows::{ActiveRow, DueRow, HeldRow, JobRow, LogRow, OverdueRow, RunRow, StagedStateRow};
use crate::model::ids::{JobId, Owner, RunId};
use crate::model::run::{Outcome, RunState};
use crate::schema::{
    IsActive, IsQueued, IsRunning, scraper_jobs as jobs, scraper_run_logs as logs, scraper_runs as runs,
    scraper_stage_staged as staged,
};

/// At most so many overdue runs in one transaction.
const OVERDUE: i64 = 500;

#[derive(diesel::QueryableByName)]
struct Truth {
    #[diesel(sql_type = Bool)]
    value: bool,
}

/// Leases are judged by the server's clock, so that hosts whose clocks differ cannot steal live runs.
pub(crate) async fn lease_clock(c: &mut Conn, _: i64) -> QueryResult<i64> {
    Clock { unit: &1_000_000 }.get_result(c).await
}

pub(crate) async fn lock_guards(c: &mut Conn, names: &[String]) -> QueryResult<()> {
    if names.is_empty() {
        return Ok(());
    }
    let locked: Vec<String> = LockGuards { names }.load(c).await?;
    if locked.len() < names.len() {
        let _: Vec<String> = MakeGuards { names }.load(c).await?;
        let _: Vec<String> = LockGuards { names }.load(c).await?;
    }
    Ok(())
}

pub(crate) async fn try_guards(c: &mut Conn, names: Vec<String>) -> QueryResult<Vec<String>> {
    if names.is_empty() {
        return Ok(names);
    }
    let locked: Vec<String> = TryGuards { names: &names }.load(c).await?;
    if locked.len() == names.len() {
        return Ok(locked);
    }
    // Those which are missing are held by others, or new. Only new ones are made, so that nobody is waited for.
    let known: HashSet<String> = KnownGuards { names: &names }.load::<String>(c).await?.into_iter().collect();
    let new: Vec<String> = names.into_iter().filter(|name| !known.contains(name)).collect();
    if new.is_empty() {
        return Ok(locked);
    }
    let made: Vec<String> = MakeGuards { names: &new }.load(c).await?;
    Ok(locked.into_iter().chain(made).collect())
}

/// For a transaction that moves as much as a run has gathered.
pub(crate) async fn allow_long(c: &mut Conn) -> QueryResult<()> {
    diesel::sql_query("SET LOCAL statement_timeout = '10min'").execute(c).await?;
    Ok(())
}

/// A hint to processes that listen; the counter is the truth.
pub(crate) async fn notify(c: &mut Conn, namespace: &str) -> QueryResult<()> {
    diesel::sql_query("SELECT pg_notify('scraper_changes', $1)")
        .bind::<Text, _>(namespace)
        .execute(c)
        .await?;
    Ok(())
}

pub(crate) async fn has_table(c: &mut Conn, name: &str) -> QueryResult<bool> {
    let row: Truth = diesel::sql_query("SELECT to_regclass($1) IS NOT NULL AS value")
        .bind::<Text, _>(name)
        .get_result(c)
        .await?;
    Ok(row.value)
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
        None => due.limit(limit).for_update().skip_locked().load(c).await,
        Some((at, key)) => {
            due.filter(jobs::due_at.ge(at))
                .filter(jobs::due_at.gt(at).or(jobs::job_key.nullable().gt(key)))
                .limit(limit)
                .for_update()
                .skip_locked()
                .load(c)
                .await
        }
    }
}

pub(crate) async fn advance_jobs(c: &mut Conn, advances: &[Advance], now: i64) -> QueryResult<Vec<bool>> {
    if advances.is_empty() {
        return Ok(Vec::new());
    }
    let moved: Vec<i64> = AdvanceJobs {
        keys: advances.iter().map(|a| a.job_key).collect(),
        versions: advances.iter().map(|a| a.version).collect(),
        states: advances.iter().map(|a| a.state).collect(),
        next: advances.iter().map(|a| a.next_fire_at).collect(),
        due: advances.iter().map(|a| a.due_at).collect(),
        errors: advances.iter().map(|a| a.error.as_deref()).collect(),
        now,
    }
    .load(c)
    .await?;
    let moved: HashSet<i64> = moved.into_iter().collect();
    Ok(advances.iter().map(|advance| moved.contains(&advance.job_key)).collect())
}

pub(crate) async fn insert_jobs(c: &mut Conn, rows: &[JobRow]) -> QueryResult<Vec<bool>> {
    let mut all = Vec::with_capacity(rows.len());
    for rows in rows.chunks(2 * Sizes::BATCH) {
        let inserted: Vec<JobId> = InsertJobs {
            namespaces: rows.iter().map(|r| r.namespace.as_str()).collect(),
            ids: rows.iter().map(|r| &r.id).collect(),
            pipelines: rows.iter().map(|r| r.pipeline.as_str()).collect(),
            sources: rows.iter().map(|r| r.source).collect(),
            states: rows.iter().map(|r| r.state).collect(),
            paused: rows.iter().map(|r| r.paused).collect(),
            triggers: rows.iter().map(|r| r.trigger.as_str()).collect(),
            timezones: rows.iter().map(|r| r.timezone.as_str()).collect(),
            specs: rows.iter().map(|r| r.spec.as_str()).collect(),
            next: rows.iter().map(|r| r.next_fire_at).collect(),
            due: rows.iter().map(|r| r.due_at).collect(),
            errors: rows.iter().map(|r| r.error.as_deref()).collect(),
            requested_by: rows.iter().map(|r| r.requested_by.as_deref()).collect(),
            versions: rows.iter().map(|r| r.version).collect(),
            created: rows.iter().map(|r| r.created_at).collect(),
            updated: rows.iter().map(|r| r.updated_at).collect(),
        }
        .load(c)
        .await?;
        // Each inserted id counts once: of two rows with one id in a batch only the first was stored.
        let mut inserted: HashSet<JobId> = inserted.into_iter().collect();
        all.extend(rows.iter().map(|row| inserted.remove(&row.id)));
    }
    Ok(all)
}

pub(crate) async fn active(c: &mut Conn, namespace: &str, pipelines: &[&str]) -> QueryResult<Vec<ActiveRow>> {
    runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::pipeline.eq_any(pipelines))
        .filter(IsActive)
        .order(runs::id)
        .select(ActiveRow::as_select())
        .load(c)
        .await
}

pub(crate) async fn group_running(c: &mut Conn, groups: &[&str]) -> QueryResult<Vec<(String, i64)>> {
    let counted: Vec<(Option<String>, i64)> = runs::table
        .filter(runs::limit_group.eq_any(groups))
        .filter(IsRunning)
        .group_by(runs::limit_group)
        .select((runs::limit_group, diesel::dsl::count_star()))
        .load(c)
        .await?;
    Ok(counted.into_iter().filter_map(|(group, running)| Some((group?, running))).collect())
}

pub(crate) async fn insert_runs<'r>(
    c: &mut Conn,
    rows: impl Iterator<Item = &'r RunRow> + Send,
) -> QueryResult<Vec<bool>> {
    let rows: Vec<&RunRow> = rows.collect();
    let mut all = Vec::with_capacity(rows.len());
    for rows in rows.chunks(2 * Sizes::BATCH) {
        let inserted: Vec<RunId> = InsertRuns {
            ids: rows.iter().map(|r| r.id).collect(),
            namespaces: rows.iter().map(|r| r.namespace.as_str()).collect(),
            pipelines: rows.iter().map(|r| r.pipeline.as_str()).collect(),
            jobs: rows.iter().map(|r| r.job_id.as_ref()).collect(),
            reasons: rows.iter().map(|r| r.reason).collect(),
            states: rows.iter().map(|r| r.state).collect(),
            outcomes: rows.iter().map(|r| r.outcome).collect(),
            scheduled: rows.iter().map(|r| r.scheduled_for).collect(),
            available: rows.iter().map(|r| r.available_at).collect(),
            deadlines: rows.iter().map(|r| r.deadline_at).collect(),
            priorities: rows.iter().map(|r| r.priority).collect(),
            overlaps: rows.iter().map(|r| r.overlap.as_str()).collect(),
            groups: rows.iter().map(|r| r.limit_group.as_deref()).collect(),
            group_max: rows.iter().map(|r| r.limit_max).collect(),
            on_crash: rows.iter().map(|r| r.on_crash).collect(),
            max_attempts: rows.iter().map(|r| r.max_attempts).collect(),
            attempts: rows.iter().map(|r| r.attempt).collect(),
            owners: rows.iter().map(|r| r.owner.as_ref()).collect(),
            leases: rows.iter().map(|r| r.lease_until).collect(),
            started: rows.iter().map(|r| r.started_at).collect(),
            finished: rows.iter().map(|r| r.finished_at).collect(),
            cancelled: rows.iter().map(|r| r.cancel_requested_at).collect(),
            cancelled_by: rows.iter().map(|r| r.cancel_requested_by.as_deref()).collect(),
            requested_by: rows.iter().map(|r| r.requested_by.as_deref()).collect(),
            errors: rows.iter().map(|r| r.error.as_deref()).collect(),
            notes: rows.iter().map(|r| r.note.as_deref()).collect(),
            missed: rows.iter().map(|r| r.missed_count).collect(),
            missed_first: rows.iter().map(|r| r.missed_first).collect(),
        }
        .load(c)
        .await?;
        let inserted: HashSet<RunId> = inserted.into_iter().collect();
        all.extend(rows.iter().map(|row| inserted.contains(&row.id)));
    }
    Ok(all)
}

pub(crate) async fn claim_runs(
    c: &mut Conn,
    claims: &[(RunId, i32)],
    owner: &Owner,
    lease_until: i64,
    now: i64,
) -> QueryResult<Vec<bool>> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let claimed: Vec<RunId> = ClaimRuns {
        ids: claims.iter().map(|(id, _)| *id).collect(),
        attempts: claims.iter().map(|(_, attempt)| *attempt).collect(),
        owner,
        lease_until,
        now,
    }
    .load(c)
    .await?;
    let claimed: HashSet<RunId> = claimed.into_iter().collect();
    Ok(claims.iter().map(|(id, _)| claimed.contains(id)).collect())
}

pub(crate) async fn end_attempts(c: &mut Conn, ends: &[EndWrite<'_>]) -> QueryResult<Vec<Option<EndedRow>>> {
    let ids: Vec<RunId> = ends.iter().map(|end| end.key.run).collect();
    let _: Vec<RunId> = LockRuns { ids: &ids }.load(c).await?;
    let rows: Vec<(RunId, RunState, bool, Option<i64>)> = EndAttempts {
        ids,
        owners: ends.iter().map(|end| &end.key.owner).collect(),
        attempts: ends.iter().map(|end| end.key.attempt).collect(),
        requeue: ends.iter().map(|end| end.state == RunState::Queued).collect(),
        outcomes: ends.iter().map(|end| end.outcome).collect(),
        ended: ends.iter().map(|end| end.at).collect(),
        available: ends.iter().map(|end| end.available_at).collect(),
        interrupted: ends.iter().map(|end| i32::from(end.interrupted)).collect(),
        errors: ends.iter().map(|end| end.error).collect(),
        notes: ends.iter().map(|end| end.note).collect(),
        stages: ends.iter().map(|end| end.stages).collect(),
    }
    .load(c)
    .await?;
    let mut ended: HashMap<RunId, EndedRow> = rows
        .into_iter()
        .map(|(id, state, staged, attempt_started_at)| (id, EndedRow { state, staged, attempt_started_at }))
        .collect();
    Ok(ends.iter().map(|end| ended.remove(&end.key.run)).collect())
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
        .order(runs::id)
        .select(HeldRow::as_select())
        .limit(limit)
        .for_update()
        .skip_locked()
        .load(c)
        .await
}

pub(crate) async fn take_overdue(c: &mut Conn, namespace: &str, now: i64) -> QueryResult<Vec<OverdueRow>> {
    let overdue: Vec<(OverdueRow, Option<i64>)> = runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::deadline_at.lt(now))
        .filter(IsQueued)
        .filter(runs::attempt.eq(0))
        .order(runs::id)
        .select((OverdueRow::as_select(), runs::deadline_at))
        .limit(OVERDUE)
        .for_update()
        .skip_locked()
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
    if attempts.is_empty() {
        return Ok(HashSet::new());
    }
    let renewed: Vec<RunId> = RenewLeases {
        ids: attempts.iter().map(|(id, _)| *id).collect(),
        attempts: attempts.iter().map(|(_, attempt)| *attempt).collect(),
        owner,
        until,
    }
    .load(c)
    .await?;
    Ok(renewed.into_iter().collect())
}

/// A lease could not be renewed while this transaction held the run's row, and nobody could take it. What was left of
/// it when the transaction began (`clock`) is left of it now.
pub(crate) async fn extend_lease(c: &mut Conn, run: RunId, clock: i64) -> QueryResult<()> {
    let passed = lease_clock(c, clock).await? - clock;
    diesel::update(runs::table.filter(runs::id.eq(run)).filter(IsRunning))
        .set(runs::lease_until.eq(runs::lease_until + passed))
        .execute(c)
        .await?;
    Ok(())
}

pub(crate) async fn insert_logs(c: &mut Conn, rows: &[LogRow]) -> QueryResult<()> {
    diesel::insert_into(logs::table).values(rows).on_conflict_do_nothing().execute(c).await?;
    Ok(())
}

pub(crate) async fn upsert_staged(c: &mut Conn, rows: &[StagedStateRow]) -> QueryResult<()> {
    let (touches, writes): (Vec<&StagedStateRow>, Vec<&StagedStateRow>) =
        rows.iter().partition(|row| row.op == "touch");
    if !touches.is_empty() {
        diesel::insert_into(staged::table).values(touches).on_conflict_do_nothing().execute(c).await?;
    }
    if !writes.is_empty() {
        diesel::insert_into(staged::table)
            .values(writes)
            .on_conflict((staged::run_id, staged::attempt, staged::pipeline, staged::stage, staged::key))
            .do_update()
            .set((
                staged::op.eq(diesel::upsert::excluded(staged::op)),
                staged::value.eq(diesel::upsert::excluded(staged::value)),
            ))
            .execute(c)
            .await?;
    }
    Ok(())
}
