//! Claims: which waiting runs, and which of a turn's new ones, start now.

use std::collections::HashMap;

use diesel::prelude::*;

use super::turn::Step;
use super::{Conn, RunQueryDsl, io};
use crate::backend::new_run::NewRun;
use crate::backend::plan::{self, Sizes};
use crate::backend::rows::{ClaimRow, PRIORITY_LAST, RunRow};
use crate::error::StoreError;
use crate::logic::board::Active;
use crate::model::ids::RunId;
use crate::model::run::{ClaimedRun, RunPolicy, RunState};
use crate::model::time::instant;
use crate::model::turn::Turn;
use crate::schema::{IsAfter, IsQueued, scraper_runs as runs};

impl Step<'_> {
    /// Reads who is active in these pipelines, as far as it is not known yet. Their guards must be held.
    pub(super) async fn learn(&mut self, c: &mut Conn, pipelines: &[&str]) -> Result<(), StoreError> {
        let mut unknown: Vec<&str> =
            pipelines.iter().copied().filter(|p| !self.board.knows_pipeline(p)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut found: HashMap<String, Vec<Active>> = HashMap::new();
        for row in io::active(c, self.namespace, &unknown).await? {
            found.entry(row.pipeline.clone()).or_default().push(row.into_active());
        }
        for pipeline in unknown {
            self.board.learn_pipeline(pipeline, found.remove(pipeline).unwrap_or_default());
        }
        Ok(())
    }

    /// Reads how many runs of these groups are running. Their guards must be held.
    pub(super) async fn learn_groups(&mut self, c: &mut Conn, groups: &[&str]) -> Result<(), StoreError> {
        let mut unknown: Vec<&str> = groups.iter().copied().filter(|g| !self.board.knows_group(g)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let mut counts: HashMap<String, i64> = io::group_running(c, &unknown).await?.into_iter().collect();
        for group in unknown {
            let running = counts.remove(group).unwrap_or(0);
            self.board.learn_group(group, u32::try_from(running).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Claims waiting runs, the most urgent and then the oldest first. Returns how many slots are left.
    pub(super) async fn claim_waiting(&mut self, c: &mut Conn) -> Result<usize, StoreError> {
        let mut left = self.turn.free_slots;
        let mut after = (i16::MIN, i64::MIN, RunId::MIN);
        // Without a free slot nothing can start before something ends, and that brings the next turn.
        while left > 0 {
            let size = Sizes::claim_page(left);
            let mut page = ready_page(c, self.namespace, after, Sizes::limit(size)).await?;
            let full = page.len() >= size;
            let Some(last) = page.last() else { break };
            after = (last.priority, last.available_at, last.id);
            if let Some(early) = page.iter().position(|row| row.available_at > self.now) {
                // All that follow with this priority are later still: on with the next priority.
                let (priority, at) = (page[early].priority, page[early].available_at);
                self.wake_at(at);
                after = (priority.saturating_add(1), i64::MIN, RunId::MIN);
                page.truncate(early);
            } else if !full {
                after = (i16::MAX, i64::MAX, RunId::MIN);
            }
            page.retain(|row| self.turn.pipelines.contains(&row.pipeline));
            left = self.claim_page(c, page, left).await?;
            if after.0 > PRIORITY_LAST {
                break;
            }
        }
        Ok(left)
    }

    pub(super) async fn claim_page(
        &mut self,
        c: &mut Conn,
        page: Vec<ClaimRow>,
        mut left: usize,
    ) -> Result<usize, StoreError> {
        if page.is_empty() {
            return Ok(left);
        }
        self.try_guards(c, page.iter().map(|row| (row.pipeline.as_str(), row.limit_group.as_deref())))
            .await?;
        let pipelines: Vec<&str> = page
            .iter()
            .map(|row| row.pipeline.as_str())
            .filter(|p| self.guarded.contains(&plan::pipeline_guard(self.namespace, p)))
            .collect();
        self.learn(c, &pipelines).await?;
        let groups: Vec<&str> = page
            .iter()
            .filter_map(|row| row.limit_group.as_deref())
            .filter(|g| self.guarded.contains(&plan::group_guard(g)))
            .collect();
        self.learn_groups(c, &groups).await?;
        let mut chosen = Vec::new();
        for row in page {
            if left == 0 {
                break;
            }
            let policy = row.policy()?;
            if !self.guards_held(&row.pipeline, &policy) {
                // Another process decides about this pipeline right now; what it leaves is looked at again.
                self.result.more = true;
                continue;
            }
            if self.board.try_start(&row.pipeline, row.id, &policy) {
                left -= 1;
                chosen.push((row, policy));
            }
        }
        let claims: Vec<(RunId, i32)> = chosen.iter().map(|(row, _)| (row.id, row.attempt)).collect();
        let claimed = io::claim_runs(c, &claims, &self.turn.owner, self.lease_until, self.now).await?;
        for ((row, policy), claimed) in chosen.into_iter().zip(claimed) {
            if claimed {
                let attempt = row.attempt + 1;
                let row = ClaimRow { attempt, attempt_started_at: Some(self.now), ..row };
                self.result.started.push(row.into_claimed(policy, self.turn.lease));
            } else {
                left += 1;
            }
        }
        Ok(left)
    }

    pub(super) fn guards_held(&self, pipeline: &str, policy: &RunPolicy) -> bool {
        self.guarded.contains(&plan::pipeline_guard(self.namespace, pipeline))
            && policy
                .limit_group
                .as_ref()
                .is_none_or(|group| self.guarded.contains(&plan::group_guard(&group.name)))
    }

    /// Takes those of these guards that nobody else holds. Never waits: whoever waits here while it holds rows could
    /// be waited for.
    pub(super) async fn try_guards<'r>(
        &mut self,
        c: &mut Conn,
        wanted: impl Iterator<Item = (&'r str, Option<&'r str>)>,
    ) -> Result<(), StoreError> {
        let mut names: Vec<String> = Vec::new();
        for (pipeline, group) in wanted {
            names.push(plan::pipeline_guard(self.namespace, pipeline));
            names.extend(group.map(plan::group_guard));
        }
        names.retain(|name| !self.guarded.contains(name));
        names.sort_unstable();
        names.dedup();
        self.guarded.extend(io::try_guards(c, names).await?);
        Ok(())
    }

    /// Writes the new rows; those which fit into the slots that are left are started at once.
    pub(super) async fn record(
        &mut self,
        c: &mut Conn,
        mut rows: Vec<NewRun>,
        mut left: usize,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        if left > 0 {
            let groups: Vec<(String, String)> = rows
                .iter()
                .filter_map(|new| new.row.limit_group.clone().map(|group| (new.row.pipeline.clone(), group)))
                .collect();
            self.try_guards(c, groups.iter().map(|(p, g)| (p.as_str(), Some(g.as_str())))).await?;
            let held: Vec<&str> = groups
                .iter()
                .map(|(_, g)| g.as_str())
                .filter(|g| self.guarded.contains(&plan::group_guard(g)))
                .collect();
            self.learn_groups(c, &held).await?;
        }
        for new in &mut rows {
            let Some(policy) = &new.policy else { continue };
            if new.row.state != RunState::Queued {
                continue;
            }
            if new.row.available_at > self.now {
                self.next = [self.next, Some(new.row.available_at)].into_iter().flatten().min();
                continue;
            }
            if left > 0 && self.guards_held(&new.row.pipeline, policy) {
                if self.board.try_start(&new.row.pipeline, new.row.id, policy) {
                    left -= 1;
                    new.start(&self.turn.owner, self.lease_until, self.now);
                    continue;
                }
            } else if left > 0 {
                self.result.more = true;
            }
            self.left_ready = true;
            self.deadline = [self.deadline, new.row.deadline_at].into_iter().flatten().min();
        }
        let inserted = io::insert_runs(c, rows.iter().map(|new| &new.row)).await?;
        for (new, inserted) in rows.into_iter().zip(inserted) {
            self.result.fired.push(new.fired(inserted));
            if let Some(policy) = new.policy
                && inserted
                && new.row.state == RunState::Running
            {
                self.result.started.push(started_run(new.row, policy, self.turn));
            }
        }
        Ok(())
    }
}

fn started_run(row: RunRow, policy: RunPolicy, turn: &Turn) -> ClaimedRun {
    ClaimedRun {
        id: row.id,
        pipeline: row.pipeline,
        job_id: row.job_id,
        reason: row.reason,
        scheduled_for: instant(row.scheduled_for),
        available_at: instant(row.available_at),
        attempt: row.attempt,
        interruptions: row.interruptions,
        started_at: turn.now,
        lease: turn.lease,
        requested_by: row.requested_by,
        policy,
        cancel_requested: false,
    }
}

/// Waiting runs after a place, in the order in which they start: by priority, then by when they may start.
async fn ready_page(
    c: &mut Conn,
    namespace: &str,
    after: (i16, i64, RunId),
    limit: i64,
) -> QueryResult<Vec<ClaimRow>> {
    let (priority, available_at, id) = after;
    runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(IsAfter { priority, available_at, id })
        .filter(IsQueued)
        .order((runs::priority, runs::available_at, runs::id))
        .select(ClaimRow::as_select())
        .limit(limit)
        .load(c)
        .await
}
