//! Runs whose holder is gone: the attempt is closed as crashed, the run is queued again or over.

use diesel::prelude::*;

use super::{Conn, RunQueryDsl, ends, io, staged};
use crate::backend::rows::HeldRow;
use crate::error::StoreError;
use crate::logic::crash::after_crash;
use crate::model::ids::{AttemptKey, Owner};
use crate::model::run::{AttemptOutcome, Outcome, RunState};
use crate::model::time::instant;
use crate::model::turn::{Rescued, RescuedAs};
use crate::schema::{IsRunning, scraper_runs as runs};

/// At most so many in one transaction; the next turn takes the rest.
const LIMIT: i64 = 500;

const LEASE_ENDED: &str = "its process died, or could not renew its lease";
const PROCESS_GONE: &str = "its process died";

/// Rescues the runs of others whose lease has ended by `clock`.
pub(crate) async fn expired(
    c: &mut Conn,
    namespace: &str,
    me: &Owner,
    clock: i64,
    now: i64,
) -> Result<Vec<Rescued>, StoreError> {
    let held = io::expired(c, namespace, me, clock, LIMIT).await?;
    rescue(c, held, LEASE_ENDED, now).await
}

/// Rescues everything that a dead process holds.
pub(crate) async fn of_process(
    c: &mut Conn,
    namespace: &str,
    dead: &Owner,
    now: i64,
) -> Result<Vec<Rescued>, StoreError> {
    let held = runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::owner.eq(dead))
        .filter(IsRunning)
        .order(runs::id)
        .select(HeldRow::as_select())
        .load(c)
        .await?;
    rescue(c, held, PROCESS_GONE, now).await
}

async fn rescue(c: &mut Conn, held: Vec<HeldRow>, error: &str, now: i64) -> Result<Vec<Rescued>, StoreError> {
    let mut rescued = Vec::with_capacity(held.len());
    for row in held {
        let owner = row.owner.clone().unwrap_or_else(|| Owner::new("unknown"));
        let key = AttemptKey { run: row.id, attempt: row.attempt, owner: owner.clone() };
        let what = after_crash(
            row.on_crash,
            row.max_attempts,
            row.attempt,
            row.interruptions,
            row.cancel_requested_at.is_some(),
        );
        if !write(c, &key, what, error, now).await? {
            continue;
        }
        if row.staged {
            staged::discard(c, &key).await?;
        }
        let crashed = ends::closed_attempt(
            &key,
            row.attempt_started_at,
            now,
            AttemptOutcome::Crashed,
            Some(error.to_owned()),
        );
        ends::insert_attempts(c, &[crashed]).await?;
        rescued.push(Rescued {
            id: row.id,
            job_id: row.job_id,
            pipeline: row.pipeline,
            scheduled_for: instant(row.scheduled_for),
            attempt: row.attempt,
            owner,
            what,
        });
    }
    Ok(rescued)
}

/// Takes the run from its holder: from now on that one's writes are refused, because its name is gone from the row.
async fn write(c: &mut Conn, key: &AttemptKey, what: RescuedAs, error: &str, now: i64) -> QueryResult<bool> {
    let (state, outcome, finished_at) = match what {
        RescuedAs::Queued => (RunState::Queued, None, None),
        RescuedAs::Finished(outcome) => (RunState::Finished, Some(outcome), Some(now)),
    };
    let error = (outcome != Some(Outcome::Cancelled)).then_some(error);
    let written = diesel::update(runs::table.filter(runs::id.eq(key.run)).filter(IsRunning))
        .filter(runs::attempt.eq(key.attempt))
        .set((
            runs::state.eq(state),
            runs::outcome.eq(outcome),
            runs::finished_at.eq(finished_at),
            runs::available_at.eq(now),
            runs::owner.eq(None::<&str>),
            runs::lease_until.eq(None::<i64>),
            runs::error.eq(error),
        ))
        .execute(c)
        .await?;
    Ok(written > 0)
}
