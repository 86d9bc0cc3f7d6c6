//! Runs outside of the loop: requests, cancellations, lists, logs.

use diesel::prelude::*;

use super::{Conn, Db, RunQueryDsl, ends, io};
use crate::backend::plan::{self, Sizes};
use crate::backend::rows::{AttemptRow, ClaimRow, LogRow, PRIORITY_REQUESTED, RunRow};
use crate::error::StoreError;
use crate::logic::board::{Active, Admission, admit};
use crate::model::ids::{Owner, RunId};
use crate::model::outbox::MessageState;
use crate::model::run::{
    AttemptOutcome, AttemptRecord, CancelRequested, ClaimedRun, LogCursor, LogLine, Outcome, QueueCounts,
    RequestedRun, RunFilter, RunRecord, RunRequest, RunState,
};
use crate::model::time::{instant, micros};
use crate::schema::{
    IsActive, IsQueued, IsRunning, scraper_attempts as attempts, scraper_outbox as outbox,
    scraper_run_logs as logs, scraper_runs as runs,
};

pub(crate) async fn request(
    c: &mut Conn,
    namespace: &str,
    request: &RunRequest,
    now: i64,
) -> Result<RequestedRun, StoreError> {
    io::lock_guards(c, &[plan::pipeline_guard(namespace, &request.pipeline)]).await?;
    if let Some(before) = get(c, request.id).await? {
        return Ok(RequestedRun::Queued {
            id: before.id,
            scheduled_for: before.scheduled_for,
            replaced: Vec::new(),
        });
    }
    let active: Vec<Active> = io::active(c, namespace, &[request.pipeline.as_str()])
        .await?
        .into_iter()
        .map(|row| row.into_active())
        .collect();
    let (stop, drop) = match admit(request.policy.overlap, request.reason, &active) {
        Admission::Refuse { by } => return Ok(RequestedRun::AlreadyRunning { runs: by }),
        Admission::Admit { stop, drop } => (stop, drop),
    };
    let mut row = RunRow {
        job_id: request.job_id.clone(),
        scheduled_for: now,
        available_at: micros(request.available_at),
        priority: PRIORITY_REQUESTED,
        requested_by: request.requested_by.clone(),
        ..RunRow::queued(request.id, namespace, &request.pipeline, request.reason, &request.policy)
    };
    // The instant of the request is its identity: it moves on until no other run of the job has it.
    while io::insert_runs(c, std::iter::once(&row)).await? != [true] {
        row.scheduled_for += 1;
    }
    let replaced: Vec<RunId> = stop.iter().chain(&drop).copied().collect();
    let by_this = |old: Vec<RunId>| old.into_iter().map(|old| (old, request.id)).collect();
    ends::replace(c, by_this(stop), by_this(drop), now).await?;
    Ok(RequestedRun::Queued { id: request.id, scheduled_for: instant(row.scheduled_for), replaced })
}

pub(crate) async fn cancel(
    c: &mut Conn,
    run: RunId,
    by: Option<&str>,
    now: i64,
) -> Result<CancelRequested, StoreError> {
    if ends::cancel_waiting(c, run, by.map(str::to_owned), now).await? {
        return Ok(CancelRequested::Cancelled);
    }
    if ends::ask_to_stop(c, run, by.map(str::to_owned), now).await? {
        return Ok(CancelRequested::Requested);
    }
    let found: Option<(RunState, Option<Outcome>)> = runs::table
        .filter(runs::id.eq(run))
        .select((runs::state, runs::outcome))
        .get_result(c)
        .await
        .optional()?;
    Ok(match found {
        None => CancelRequested::NotFound,
        Some((_, Some(outcome))) => CancelRequested::AlreadyFinished(outcome),
        Some((_, None)) => CancelRequested::Requested,
    })
}

pub(crate) async fn namespace_of(c: &mut Conn, run: RunId) -> Result<String, StoreError> {
    Ok(runs::table.filter(runs::id.eq(run)).select(runs::namespace).get_result(c).await?)
}

pub(crate) async fn get(c: &mut Conn, id: RunId) -> Result<Option<RunRecord>, StoreError> {
    let row: Option<RunRow> =
        runs::table.filter(runs::id.eq(id)).select(RunRow::as_select()).get_result(c).await.optional()?;
    row.map(RunRow::into_record).transpose()
}

pub(crate) async fn list(
    c: &mut Conn,
    namespace: &str,
    filter: &RunFilter,
) -> Result<Vec<RunRecord>, StoreError> {
    let mut query = runs::table
        .order(runs::id.desc())
        .limit(Sizes::limit_or_all(filter.limit))
        .select(RunRow::as_select())
        .into_boxed::<Db>();
    if !filter.all_namespaces {
        query = query.filter(runs::namespace.eq(namespace));
    }
    if let Some(pipeline) = &filter.pipeline {
        query = query.filter(runs::pipeline.eq(pipeline));
    }
    if let Some(job) = &filter.job {
        query = query.filter(runs::job_id.eq(job));
    }
    if !filter.states.is_empty() {
        query = query.filter(runs::state.eq_any(&filter.states));
    }
    if !filter.outcomes.is_empty() {
        query = query.filter(runs::outcome.eq_any(&filter.outcomes));
    }
    if let Some(since) = filter.since {
        query = query.filter(runs::id.ge(RunId::lower_bound(since)));
    }
    if let Some(before) = filter.before {
        query = query.filter(runs::id.lt(before));
    }
    let rows: Vec<RunRow> = query.load(c).await?;
    rows.into_iter().map(RunRow::into_record).collect()
}

/// The attempts of these runs: the earlier ones from their own rows, the latest from its run's row.
pub(crate) async fn attempts_of(c: &mut Conn, ids: &[RunId]) -> Result<Vec<AttemptRecord>, StoreError> {
    let mut found: Vec<AttemptRecord> = Vec::new();
    for ids in ids.chunks(Sizes::BATCH) {
        let rows: Vec<AttemptRow> = attempts::table
            .filter(attempts::run_id.eq_any(ids))
            .select(AttemptRow::as_select())
            .load(c)
            .await?;
        let closed: std::collections::HashSet<(RunId, i32)> =
            rows.iter().map(|row| (row.run_id, row.attempt)).collect();
        found.extend(rows.into_iter().map(AttemptRecord::from));
        let latest: Vec<RunRow> =
            runs::table.filter(runs::id.eq_any(ids)).select(RunRow::as_select()).load(c).await?;
        found.extend(
            latest
                .into_iter()
                .filter(|run| run.attempt > 0 && !closed.contains(&(run.id, run.attempt)))
                .map(latest_attempt),
        );
    }
    found.sort_by_key(|attempt| (attempt.run, attempt.attempt));
    Ok(found)
}

fn latest_attempt(run: RunRow) -> AttemptRecord {
    let outcome = run.outcome.map(|outcome| match outcome {
        Outcome::Succeeded => AttemptOutcome::Succeeded,
        Outcome::Failed => AttemptOutcome::Failed,
        Outcome::TimedOut => AttemptOutcome::TimedOut,
        Outcome::Cancelled | Outcome::Skipped | Outcome::Missed => AttemptOutcome::Cancelled,
        Outcome::Abandoned => AttemptOutcome::Crashed,
    });
    AttemptRecord {
        run: run.id,
        attempt: run.attempt,
        owner: run.owner,
        started_at: instant(run.attempt_started_at.or(run.started_at).unwrap_or(run.available_at)),
        finished_at: run.finished_at.map(instant),
        outcome,
        error: run.outcome.and(run.error),
    }
}

/// Everything that `owner` holds. The leases are what is left of them.
pub(crate) async fn held_by(c: &mut Conn, owner: &Owner, now: i64) -> Result<Vec<ClaimedRun>, StoreError> {
    let clock = io::lease_clock(c, now).await?;
    let rows: Vec<(ClaimRow, Option<i64>)> = runs::table
        .filter(runs::owner.eq(owner))
        .filter(IsRunning)
        .order(runs::id)
        .select((ClaimRow::as_select(), runs::lease_until))
        .load(c)
        .await?;
    rows.into_iter()
        .map(|(row, lease_until)| {
            let policy = row.policy()?;
            let left = u64::try_from(lease_until.unwrap_or(clock) - clock).unwrap_or(0);
            Ok(row.into_claimed(policy, std::time::Duration::from_micros(left)))
        })
        .collect()
}

pub(crate) async fn counts(c: &mut Conn, namespace: &str, now: i64) -> Result<QueueCounts, StoreError> {
    let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
    let active: i64 =
        runs::table.filter(runs::namespace.eq(namespace)).filter(IsActive).count().get_result(c).await?;
    let running: i64 =
        runs::table.filter(runs::namespace.eq(namespace)).filter(IsRunning).count().get_result(c).await?;
    let waiting: i64 = runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(IsQueued)
        .filter(runs::available_at.gt(now))
        .count()
        .get_result(c)
        .await?;
    let messages: i64 = outbox::table.filter(outbox::namespace.eq(namespace)).count().get_result(c).await?;
    let dead: i64 = outbox::table
        .filter(outbox::namespace.eq(namespace))
        .filter(outbox::state.eq(MessageState::Dead))
        .count()
        .get_result(c)
        .await?;
    Ok(QueueCounts {
        ready: unsigned(active - running - waiting),
        waiting: unsigned(waiting),
        running: unsigned(running),
        messages_waiting: unsigned(messages - dead),
        messages_dead: unsigned(dead),
    })
}

pub(crate) async fn append_logs(c: &mut Conn, lines: &[LogLine]) -> Result<(), StoreError> {
    let mut ids: Vec<RunId> = lines.iter().map(|line| line.run).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut alive = std::collections::HashSet::new();
    for ids in ids.chunks(Sizes::BATCH) {
        let found: Vec<RunId> = runs::table.filter(runs::id.eq_any(ids)).select(runs::id).load(c).await?;
        alive.extend(found);
    }
    let rows: Vec<LogRow> = lines
        .iter()
        .filter(|line| alive.contains(&line.run))
        .map(|line| LogRow {
            run_id: line.run,
            attempt: line.attempt,
            seq: line.seq,
            at: micros(line.at),
            level: line.level.clone(),
            stage: line.stage.clone(),
            text: line.text.clone(),
        })
        .collect();
    for rows in rows.chunks(Sizes::BATCH) {
        io::insert_logs(c, rows).await?;
    }
    Ok(())
}

pub(crate) async fn logs_of(
    c: &mut Conn,
    run: RunId,
    after: LogCursor,
    limit: usize,
) -> Result<Vec<LogLine>, StoreError> {
    let rows: Vec<LogRow> = logs::table
        .filter(logs::run_id.eq(run))
        .filter(logs::attempt.ge(after.attempt))
        .filter(logs::attempt.gt(after.attempt).or(logs::seq.gt(after.seq)))
        .order((logs::attempt, logs::seq))
        .limit(Sizes::limit_or_all(limit))
        .select(LogRow::as_select())
        .load(c)
        .await?;
    Ok(rows.into_iter().map(LogLine::from).collect())
}
