//! Transactions that also count a change for others to notice: the work, then the counter, which comes last.

use super::{Conn, changes, jobs, outbox, rescue, runs, turn};
use crate::error::StoreError;
use crate::model::ids::{Owner, RunId};
use crate::model::job::{JobEdit, JobEdited};
use crate::model::outbox::MessageSelection;
use crate::model::run::{CancelRequested, RequestedRun, RunRequest};
use crate::model::turn::{FirePlanner, Rescued, Turn, TurnResult};

/// A result with the counter, where it was moved.
type Counted<T> = Result<(T, Option<i64>), StoreError>;

async fn bump_if(c: &mut Conn, namespace: &str, changed: bool) -> Result<Option<i64>, StoreError> {
    Ok(if changed { Some(changes::bump(c, namespace).await?) } else { None })
}

pub(crate) async fn turn(
    c: &mut Conn,
    namespace: &str,
    what: &Turn,
    planner: &dyn FirePlanner,
) -> Counted<TurnResult> {
    let done = turn::turn(c, namespace, what, planner).await?;
    let counter = bump_if(c, namespace, done.left_for_others).await?;
    Ok((done.result, counter))
}

pub(crate) async fn rescue_process(
    c: &mut Conn,
    namespace: &str,
    dead: &Owner,
    now: i64,
) -> Counted<Vec<Rescued>> {
    let rescued = rescue::of_process(c, namespace, dead, now).await?;
    super::process::forget(c, dead).await?;
    let counter = bump_if(c, namespace, !rescued.is_empty()).await?;
    Ok((rescued, counter))
}

pub(crate) async fn edit_jobs(
    c: &mut Conn,
    namespace: &str,
    edits: &[JobEdit],
    now: i64,
) -> Counted<Vec<JobEdited>> {
    let results = jobs::edit(c, namespace, edits, now).await?;
    let changed = results.iter().any(|result| matches!(result, JobEdited::Done(_)));
    let counter = bump_if(c, namespace, changed).await?;
    Ok((results, counter))
}

pub(crate) async fn request_run(
    c: &mut Conn,
    namespace: &str,
    request: &RunRequest,
    now: i64,
) -> Counted<RequestedRun> {
    let requested = runs::request(c, namespace, request, now).await?;
    let counter = bump_if(c, namespace, matches!(requested, RequestedRun::Queued { .. })).await?;
    Ok((requested, counter))
}

pub(crate) async fn cancel(
    c: &mut Conn,
    namespace: &str,
    run: RunId,
    by: Option<&str>,
    now: i64,
) -> Counted<CancelRequested> {
    let cancelled = runs::cancel(c, run, by, now).await?;
    let changed = matches!(cancelled, CancelRequested::Cancelled | CancelRequested::Requested);
    if !changed {
        return Ok((cancelled, None));
    }
    // The run's holder may serve another namespace: its own counter has to move.
    let home = runs::namespace_of(c, run).await?;
    let counter = changes::bump(c, &home).await?;
    Ok((cancelled, (home == namespace).then_some(counter)))
}

pub(crate) async fn retry_messages(
    c: &mut Conn,
    namespace: &str,
    which: &MessageSelection,
    now: i64,
) -> Counted<usize> {
    let retried = outbox::retry(c, namespace, which, now).await?;
    let counter = bump_if(c, namespace, retried > 0).await?;
    Ok((retried, counter))
}
