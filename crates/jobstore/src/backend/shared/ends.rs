//! Ends of attempts, fenced by (owner, attempt), and runs that a later one replaces.

use std::collections::HashMap;

use diesel::prelude::*;

use super::{Conn, RunQueryDsl, io, outbox, staged};
use crate::backend::ends_model::EndWrite;
use crate::backend::plan::{self, Sizes};
use crate::backend::rows::AttemptRow;
use crate::error::StoreError;
use crate::model::ids::{AttemptKey, Owner, RunId};
use crate::model::run::{AttemptOutcome, Outcome, RunState};
use crate::model::time::micros;
use crate::model::turn::{AttemptEnd, End, Ended};
use crate::schema::{IsQueued, IsRunning, scraper_attempts as attempts, scraper_runs as runs};

/// What became of all of them.
pub(crate) struct EndedAttempts {
    pub(crate) results: Vec<Ended>,
    /// Whether one of them is queued again.
    pub(crate) requeued: bool,
}

pub(crate) async fn end_attempts(
    c: &mut Conn,
    namespace: &str,
    ends: &[AttemptEnd],
    now: i64,
) -> Result<EndedAttempts, StoreError> {
    let mut done = EndedAttempts { results: Vec::with_capacity(ends.len()), requeued: false };
    if ends.is_empty() {
        return Ok(done);
    }
    let writes: Vec<EndWrite<'_>> = ends.iter().map(|end| EndWrite::new(end, now)).collect();
    let rows = io::end_attempts(c, &writes).await?;
    let mut refused: Vec<RunId> = Vec::new();
    let mut closed = Vec::new();
    for (end, row) in ends.iter().zip(&rows) {
        let Some(row) = row else {
            refused.push(end.key.run);
            continue;
        };
        if row.staged {
            match end.end {
                End::Finish(Outcome::Succeeded) => staged::apply(c, namespace, &end.key, now).await?,
                _ => staged::discard(c, &end.key).await?,
            }
        }
        if row.state == RunState::Queued {
            done.requeued = true;
            let outcome = match end.end {
                End::Retry { outcome, .. } => outcome,
                _ => AttemptOutcome::Interrupted,
            };
            closed.push(closed_attempt(
                &end.key,
                row.attempt_started_at,
                micros(end.at),
                outcome,
                end.error.clone(),
            ));
        }
        if !end.messages.is_empty() {
            outbox::insert(c, namespace, &end.messages, now).await?;
        }
    }
    insert_attempts(c, &closed).await?;
    let written = written_before(c, &refused).await?;
    done.results.extend(ends.iter().zip(&rows).map(|(end, row)| {
        let fence = written.get(&end.key.run);
        let before =
            fence.is_some_and(|(owner, attempt)| *owner == end.key.owner && *attempt == end.key.attempt);
        if row.is_some() || before { Ended::Written } else { Ended::Refused }
    }));
    Ok(done)
}

pub(crate) fn closed_attempt(
    key: &AttemptKey,
    started_at: Option<i64>,
    finished_at: i64,
    outcome: AttemptOutcome,
    error: Option<String>,
) -> AttemptRow {
    AttemptRow {
        run_id: key.run,
        attempt: key.attempt,
        owner: Some(key.owner.clone()),
        started_at: started_at.unwrap_or(finished_at),
        finished_at,
        outcome,
        error,
    }
}

pub(crate) async fn insert_attempts(c: &mut Conn, rows: &[AttemptRow]) -> QueryResult<()> {
    for row in rows {
        diesel::insert_into(attempts::table).values(row).on_conflict_do_nothing().execute(c).await?;
    }
    Ok(())
}

/// Of runs whose end was not written now: who ended them. A holder that is found here wrote the end itself, in a commit
/// whose answer was lost; whoever rescues a run takes the holder's name out of it.
async fn written_before(c: &mut Conn, ids: &[RunId]) -> QueryResult<HashMap<RunId, (Owner, i32)>> {
    let mut found = HashMap::new();
    for ids in ids.chunks(Sizes::BATCH) {
        let rows: Vec<(RunId, Option<Owner>, i32)> = runs::table
            .filter(runs::id.eq_any(ids))
            .filter(runs::state.ne(RunState::Running))
            .select((runs::id, runs::owner, runs::attempt))
            .load(c)
            .await?;
        found.extend(rows.into_iter().filter_map(|(id, owner, attempt)| Some((id, (owner?, attempt)))));
    }
    Ok(found)
}

/// Runs that a later one replaces, each with the one that does: holders are asked to stop, waiting ones are over.
pub(crate) async fn replace(
    c: &mut Conn,
    mut stop: Vec<(RunId, RunId)>,
    mut drop: Vec<(RunId, RunId)>,
    now: i64,
) -> QueryResult<()> {
    // Always in the same order, so that two transactions cannot wait for one another.
    stop.sort_unstable();
    drop.sort_unstable();
    for (old, new) in stop {
        ask_to_stop(c, old, Some(plan::replaced_by(new)), now).await?;
    }
    for (old, new) in drop {
        cancel_waiting(c, old, Some(plan::replaced_by(new)), now).await?;
    }
    Ok(())
}

/// Asks the holder of a running run to stop it. Returns whether there is one; a second request changes nothing.
pub(crate) async fn ask_to_stop(c: &mut Conn, run: RunId, by: Option<String>, now: i64) -> QueryResult<bool> {
    let asked = diesel::update(runs::table.filter(runs::id.eq(run)).filter(IsRunning))
        .filter(runs::cancel_requested_at.is_null())
        .set((runs::cancel_requested_at.eq(Some(now)), runs::cancel_requested_by.eq(by)))
        .execute(c)
        .await?;
    Ok(asked > 0)
}

/// Ends a waiting run as cancelled. Returns whether it was waiting.
pub(crate) async fn cancel_waiting(
    c: &mut Conn,
    run: RunId,
    by: Option<String>,
    now: i64,
) -> QueryResult<bool> {
    let cancelled = diesel::update(runs::table.filter(runs::id.eq(run)).filter(IsQueued))
        .set((
            runs::state.eq(RunState::Finished),
            runs::outcome.eq(Some(Outcome::Cancelled)),
            runs::finished_at.eq(Some(now)),
            runs::cancel_requested_at.eq(Some(now)),
            runs::cancel_requested_by.eq(by),
        ))
        .execute(c)
        .await?;
    Ok(cancelled > 0)
}
