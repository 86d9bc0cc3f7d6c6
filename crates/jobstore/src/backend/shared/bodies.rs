//! Transactions that also count a change for others to notice: the work, then the counter, which comes last.

use super::{Conn, changes, jobs, outbox, rescue, runs, turn};
use crate::changes::Claim;
use crate::error::StoreError;
use crate::model::ids::{Owner, RunId};
use crate::model::job::{JobEdit, JobEdited};
use crate::model::outbox::MessageSelection;
use crate::model::run::{CancelRequested, RequestedRun, RunRequest};
use crate::model::turn::{FirePlanner, Rescued, Turn, TurnResult};

async fn bump_if(c: &mut Conn, namespace: &str, changed: bool, claim: &Claim) -> Result<(), StoreError> {
    if changed {
        claim.take(changes::bump(c, namespace).await?);
    }
    Ok(())
}

pub(crate) async fn turn(
    c: &mut Conn,
    namespace: &str,
    what: &Turn,
    planner: &dyn FirePlanner,
    claim: &Claim,
) -> Result<TurnResult, StoreError> {
    let done = turn::turn(c, namespace, what, planner).await?;
    bump_if(c, namespace, done.left_for_others, claim).await?;
    Ok(done.result)
}

pub(crate) async fn rescue_process(
    c: &mut Conn,
    namespace: &str,
    dead: &Owner,
    now: i64,
    claim: &Claim,
) -> Result<Vec<Rescued>, StoreError> {
    let rescued = rescue::of_process(c, namespace, dead, now).await?;
    super::process::forget(c, dead).await?;
    bump_if(c, namespace, !rescued.is_empty(), claim).await?;
    Ok(rescued)
}

pub(crate) async fn edit_jobs(
    c: &mut Conn,
    namespace: &str,
    edits: &[JobEdit],
    now: i64,
    claim: &Claim,
) -> Result<Vec<JobEdited>, StoreError> {
    let results = jobs::edit(c, namespace, edits, now).await?;
    let changed = results.iter().any(|result| matches!(result, JobEdited::Done(_)));
    bump_if(c, namespace, changed, claim).await?;
    Ok(results)
}

pub(crate) async fn request_run(
    c: &mut Conn,
    namespace: &str,
    request: &RunRequest,
    now: i64,
    claim: &Claim,
) -> Result<RequestedRun, StoreError> {
    let requested = runs::request(c, namespace, request, now).await?;
    bump_if(c, namespace, matches!(requested, RequestedRun::Queued { .. }), claim).await?;
    Ok(requested)
}

pub(crate) async fn cancel(
    c: &mut Conn,
    namespace: &str,
    run: RunId,
    by: Option<&str>,
    now: i64,
    claim: &Claim,
) -> Result<CancelRequested, StoreError> {
    let cancelled = runs::cancel(c, run, by, now).await?;
    let changed = matches!(cancelled, CancelRequested::Cancelled | CancelRequested::Requested);
    if !changed {
        return Ok(cancelled);
    }
    // The run's holder may serve another namespace: its own counter has to move.
    let home = runs::namespace_of(c, run).await?;
    let counter = changes::bump(c, &home).await?;
    if home == namespace {
        claim.take(counter);
    }
    Ok(cancelled)
}

pub(crate) async fn retry_messages(
    c: &mut Conn,
    namespace: &str,
    which: &MessageSelection,
    now: i64,
    claim: &Claim,
) -> Result<usize, StoreError> {
    let retried = outbox::retry(c, namespace, which, now).await?;
    bump_if(c, namespace, retried > 0, claim).await?;
    Ok(retried)
}
