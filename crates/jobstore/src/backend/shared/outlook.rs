//! What lies ahead of a scheduler: what has run out, who is to be told to stop, when there is something to do again.

use diesel::prelude::*;

use super::turn::Step;
use super::{Conn, RunQueryDsl};
use crate::error::StoreError;
use crate::model::ids::{Owner, RunId};
use crate::model::time::instant;
use crate::model::turn::CancelNotice;
use crate::schema::{IsQueued, IsRunning, scraper_jobs as jobs, scraper_runs as runs};

/// How long until a due job is looked at again that another process holds right now.
const CONTENDED_US: i64 = 50_000;

impl Step<'_> {
    /// Looks whether leases or deadlines have run out: usually none has, and then nothing else is asked about them.
    pub(super) async fn glance(&mut self, c: &mut Conn) -> Result<(), StoreError> {
        let lease = runs::table
            .filter(runs::namespace.eq(self.namespace))
            .filter(IsRunning)
            .filter(runs::owner.ne(&self.turn.owner))
            .order(runs::lease_until)
            .select(runs::lease_until)
            .limit(1);
        let deadline = runs::table
            .filter(runs::namespace.eq(self.namespace))
            .filter(runs::deadline_at.is_not_null())
            .filter(IsQueued)
            .filter(runs::attempt.eq(0))
            .order(runs::deadline_at)
            .select(runs::deadline_at)
            .limit(1);
        (self.others_lease, self.deadline) =
            diesel::select((lease.single_value(), deadline.single_value())).get_result(c).await?;
        Ok(())
    }

    /// Notes that there is something to do at an instant.
    pub(super) fn wake_at(&mut self, at: i64) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// Who is to be told to stop, and when there is something to do again.
    pub(super) async fn look_ahead(&mut self, c: &mut Conn) -> Result<(), StoreError> {
        let cancel = runs::table
            .filter(runs::owner.eq(&self.turn.owner))
            .filter(IsRunning)
            .filter(runs::cancel_requested_at.is_not_null())
            .select(runs::id)
            .limit(1);
        let due = || {
            jobs::table
                .filter(jobs::namespace.eq(self.namespace))
                .filter(jobs::due_at.is_not_null())
                .order((jobs::due_at, jobs::job_key))
                .limit(1)
        };
        let (cancel, due_at, key, pipeline): (Option<RunId>, Option<i64>, Option<i64>, Option<String>) =
            diesel::select((
                cancel.single_value(),
                due().select(jobs::due_at).single_value(),
                due().select(jobs::job_key).single_value(),
                due().select(jobs::pipeline).single_value(),
            ))
            .get_result(c)
            .await?;
        if cancel.is_some() {
            self.result.cancels = cancel_notices(c, &self.turn.owner).await?;
        }
        if self.turn.fire_limit > 0 && due_at.is_some() {
            let ours = key.is_some_and(|key| !self.left_jobs.contains(&key))
                && pipeline.is_some_and(|pipeline| self.turn.pipelines.contains(&pipeline));
            let next = if ours { due_at } else { self.next_due(c).await? };
            // One that is due already is held by another process, or was left behind by this turn's limit.
            if let Some(due) = next {
                self.wake_at(if due <= self.now { self.now.saturating_add(CONTENDED_US) } else { due });
            }
        }
        if let Some(deadline) = self.deadline {
            // A run becomes missed after its deadline, not at it.
            self.wake_at(deadline.saturating_add(1));
        }
        if self.turn.sweep
            && let Some(until) = self.others_lease
        {
            // Leases are judged by another clock on PostgreSQL: what counts is how far away their end is.
            self.wake_at(self.now.saturating_add((until - self.clock).max(0)).saturating_add(1));
        }
        self.result.next_wake = self.next.map(instant);
        Ok(())
    }

    /// When the next job of a known pipeline is due, where the very next one is not ours.
    pub(super) async fn next_due(&self, c: &mut Conn) -> Result<Option<i64>, StoreError> {
        let mut after: Option<(i64, i64)> = None;
        loop {
            let page = due_page(c, self.namespace, after).await?;
            let Some(last) = page.last() else { return Ok(None) };
            after = Some((last.1, last.0));
            let known = page.iter().find(|(key, _, pipeline)| {
                self.turn.pipelines.contains(pipeline) && !self.left_jobs.contains(key)
            });
            if let Some((_, due, _)) = known {
                return Ok(Some(*due));
            }
        }
    }
}

/// Jobs in the order in which they are due, as (key, due, pipeline).
async fn due_page(
    c: &mut Conn,
    namespace: &str,
    after: Option<(i64, i64)>,
) -> QueryResult<Vec<(i64, i64, String)>> {
    let due = jobs::table
        .filter(jobs::namespace.eq(namespace))
        .order((jobs::due_at, jobs::job_key))
        .select((jobs::job_key, jobs::due_at.assume_not_null(), jobs::pipeline));
    match after {
        // Two at first: the usual answer is the first row.
        None => due.filter(jobs::due_at.is_not_null()).limit(2).load(c).await,
        Some((at, key)) => {
            due.filter(jobs::due_at.ge(at))
                .filter(jobs::due_at.gt(at).or(jobs::job_key.gt(key)).assume_not_null())
                .limit(500)
                .load(c)
                .await
        }
    }
}

/// Running runs of a process whose cancellation is wanted.
pub(crate) async fn cancel_notices(c: &mut Conn, owner: &Owner) -> QueryResult<Vec<CancelNotice>> {
    let found: Vec<(RunId, i32, Option<String>)> = runs::table
        .filter(runs::owner.eq(owner))
        .filter(IsRunning)
        .filter(runs::cancel_requested_at.is_not_null())
        .select((runs::id, runs::attempt, runs::cancel_requested_by))
        .load(c)
        .await?;
    Ok(found
        .into_iter()
        .map(|(id, attempt, requested_by)| CancelNotice { id, attempt, requested_by })
        .collect())
}
