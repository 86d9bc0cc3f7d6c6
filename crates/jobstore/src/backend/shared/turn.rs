//! One turn of a scheduler's loop, in one transaction.
//!
//! The order matters. Ends and rescues come first, so that what they free can be used; then the due jobs are read,
//! planned and moved on; then waiting runs are claimed, oldest first, and the new runs of this turn with what room is
//! left: these are inserted as running at once. Everything about overlap is decided under the guards of the pipelines
//! in question.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::{Conn, RunQueryDsl, ends, io, rescue};
use crate::backend::plan::{self, FireDraft, Sizes};
use crate::backend::rows::{ClaimRow, DueRow, PRIORITIES, RunRow};
use crate::error::StoreError;
use crate::logic::board::{Active, Admission, Board, admit};
use crate::model::ids::{JobId, Owner, RunId, RunIds};
use crate::model::run::{ClaimedRun, Outcome, RunPolicy, RunState};
use crate::model::time::{instant, micros, span};
use crate::model::turn::{CancelNotice, FirePlanner, Fired, FiredAs, MissedRun, NextFire, Turn, TurnResult};
use crate::schema::{IsQueued, IsRunning, scraper_jobs as jobs, scraper_runs as runs};

/// The result of a turn, and whether it left something for other processes to notice.
pub(crate) struct TurnDone {
    pub(crate) result: TurnResult,
    pub(crate) left_for_others: bool,
}

/// How long until a due job is looked at again that another process holds right now.
const CONTENDED_US: i64 = 50_000;

pub(crate) async fn turn(
    c: &mut Conn,
    namespace: &str,
    turn: &Turn,
    planner: &dyn FirePlanner,
) -> Result<TurnDone, StoreError> {
    let now = micros(turn.now);
    let clock = io::lease_clock(c, now).await?;
    let mut step = Step {
        namespace,
        turn,
        now,
        clock,
        lease_until: clock.saturating_add(span(turn.lease)),
        board: Board::default(),
        guarded: HashSet::new(),
        result: TurnResult::default(),
        left_ready: false,
        left_jobs: HashSet::new(),
    };

    let due = step.due_jobs(c).await?;
    let drafts = step.plan(c, planner, due).await?;
    let ended = ends::end_attempts(c, namespace, &turn.ends, now).await?;
    step.left_ready |= ended.requeued;
    step.result.ends = ended.results;
    if turn.sweep {
        let rescued = rescue::expired(c, namespace, &turn.owner, clock, now).await?;
        step.left_ready |= !rescued.is_empty();
        step.result.rescued = rescued;
    }
    step.mark_overdue(c).await?;
    let rows = step.admit(c, drafts).await?;
    let left = step.claim_waiting(c).await?;
    step.record(c, rows, left).await?;
    step.cancels(c).await?;
    step.next_wake(c).await?;
    Ok(TurnDone { left_for_others: step.left_ready, result: step.result })
}

/// The state of one turn.
struct Step<'a> {
    namespace: &'a str,
    turn: &'a Turn,
    now: i64,
    /// The clock that judges leases: the server's on PostgreSQL, otherwise the caller's.
    clock: i64,
    lease_until: i64,
    board: Board,
    /// Guards that this transaction holds.
    guarded: HashSet<String>,
    result: TurnResult,
    /// Whether a run stays behind that another process could start.
    left_ready: bool,
    /// Due jobs that the planner left alone.
    left_jobs: HashSet<i64>,
}

impl Step<'_> {
    /// The due jobs of known pipelines, locked, at most as many as one turn fires.
    async fn due_jobs(&mut self, c: &mut Conn) -> Result<Vec<DueRow>, StoreError> {
        let mut found: Vec<DueRow> = Vec::new();
        let mut after = None;
        while found.len() < self.turn.fire_limit {
            let wanted = self.turn.fire_limit - found.len();
            let page = io::due_jobs(c, self.namespace, self.now, after, Sizes::limit(wanted)).await?;
            let full = page.len() >= wanted;
            after = page.last().map(|job| (job.due_at.unwrap_or_default(), job.job_key));
            found.extend(page.into_iter().filter(|job| self.turn.pipelines.contains(&job.pipeline)));
            if !full {
                return Ok(found);
            }
        }
        self.result.more = self.turn.fire_limit > 0;
        Ok(found)
    }

    /// Asks the planner, moves the jobs on, and gives back what is to be recorded for those which could be moved.
    async fn plan(
        &mut self,
        c: &mut Conn,
        planner: &dyn FirePlanner,
        due: Vec<DueRow>,
    ) -> Result<Vec<FireDraft>, StoreError> {
        let mut drafts = Vec::with_capacity(due.len());
        let mut advances = Vec::with_capacity(due.len());
        for row in due {
            let key = row.job_key;
            let job = row.into_job();
            let plan = planner.plan(&job, self.turn.now);
            let next = plan::forwards(&job, plan.next);
            if next == NextFire::Leave {
                self.left_jobs.insert(key);
                continue;
            }
            advances.push(plan::advance(key, &job, &next));
            drafts.push(FireDraft {
                job_id: job.id,
                pipeline: job.pipeline,
                runs: plan.runs,
                missed: plan.missed,
                next,
            });
        }
        let moved = io::advance_jobs(c, &advances, self.now).await?;
        let mut moved = moved.into_iter();
        drafts.retain(|_| moved.next().unwrap_or(false));
        for draft in &drafts {
            match &draft.next {
                NextFire::Finished => self.result.finished_jobs.push(draft.job_id.clone()),
                NextFire::Invalid(reason) => {
                    self.result.invalid_jobs.push((draft.job_id.clone(), reason.clone()));
                }
                NextFire::At { .. } | NextFire::Leave => {}
            }
        }
        // The guards of these pipelines are taken before any row of a run is locked, always in the same order.
        let mut pipelines: Vec<&str> =
            drafts.iter().filter(|d| !d.runs.is_empty()).map(|d| d.pipeline.as_str()).collect();
        pipelines.sort_unstable();
        pipelines.dedup();
        let guards: Vec<String> = pipelines.iter().map(|p| plan::pipeline_guard(self.namespace, p)).collect();
        io::lock_guards(c, &guards).await?;
        self.guarded.extend(guards);
        Ok(drafts)
    }

    /// Waiting runs whose deadline has passed become missed.
    async fn mark_overdue(&mut self, c: &mut Conn) -> Result<(), StoreError> {
        let overdue = io::take_overdue(c, self.namespace, self.now).await?;
        self.result.missed.extend(overdue.into_iter().map(|row| MissedRun {
            id: row.id,
            job_id: row.job_id,
            pipeline: row.pipeline,
            scheduled_for: instant(row.scheduled_for),
        }));
        Ok(())
    }

    /// Reads who is active in these pipelines, as far as it is not known yet. Their guards must be held.
    async fn learn(&mut self, c: &mut Conn, pipelines: &[&str]) -> Result<(), StoreError> {
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
    async fn learn_groups(&mut self, c: &mut Conn, groups: &[&str]) -> Result<(), StoreError> {
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

    /// Applies the overlap rules to the planned runs: makes their rows, cancels what is replaced.
    async fn admit(&mut self, c: &mut Conn, drafts: Vec<FireDraft>) -> Result<Vec<NewRun>, StoreError> {
        let pipelines: Vec<&str> =
            drafts.iter().filter(|d| !d.runs.is_empty()).map(|d| d.pipeline.as_str()).collect();
        self.learn(c, &pipelines).await?;
        let mut ids = RunIds::new(self.turn.now);
        let mut rows = Vec::new();
        let mut stop: Vec<(RunId, RunId)> = Vec::new();
        let mut drop: Vec<(RunId, RunId)> = Vec::new();
        for draft in drafts {
            if let Some(missed) = draft.missed {
                let id = ids.next_id();
                let row =
                    plan::missed_row(id, self.namespace, &draft.job_id, &draft.pipeline, &missed, self.now);
                rows.push(NewRun { row, policy: None, what: FiredAs::Missed(missed) });
            }
            for planned in draft.runs {
                let id = ids.next_id();
                let mut row = plan::fired_row(id, self.namespace, &draft.job_id, &draft.pipeline, &planned);
                let active = self.board.active(&draft.pipeline);
                match admit(planned.policy.overlap, planned.reason, active) {
                    Admission::Refuse { by } => {
                        row.note = Some(plan::in_the_way(&by));
                        rows.push(NewRun {
                            row: row.ended(Outcome::Skipped, self.now),
                            policy: None,
                            what: FiredAs::Skipped { by },
                        });
                    }
                    Admission::Admit { stop: running, drop: waiting } => {
                        self.board.mark_cancelled(&draft.pipeline, &running);
                        self.board.remove(&draft.pipeline, &waiting);
                        // One that is new in this turn has no row yet: it gets its outcome before it is written.
                        for old in &waiting {
                            match rows.iter_mut().find(|new: &&mut NewRun| new.row.id == *old) {
                                Some(new) => new.replace(id, self.now),
                                None => drop.push((*old, id)),
                            }
                        }
                        stop.extend(running.iter().map(|old| (*old, id)));
                        self.board.add(&draft.pipeline, row.as_active());
                        let replaced = running.into_iter().chain(waiting).collect();
                        rows.push(NewRun {
                            row,
                            policy: Some(planned.policy),
                            what: FiredAs::Run { replaced },
                        });
                    }
                }
            }
        }
        ends::replace(c, stop, drop, self.now).await?;
        Ok(rows)
    }

    /// Claims waiting runs, the most urgent and then the oldest first. Returns how many slots are left.
    async fn claim_waiting(&mut self, c: &mut Conn) -> Result<usize, StoreError> {
        let mut left = self.turn.free_slots;
        for priority in PRIORITIES {
            let mut after = None;
            while left > 0 {
                let size = Sizes::claim_page(left);
                let page =
                    ready_page(c, self.namespace, priority, self.now, after, Sizes::limit(size)).await?;
                let full = page.len() >= size;
                after = page.last().map(|row| (row.available_at, row.id));
                let known: Vec<ClaimRow> =
                    page.into_iter().filter(|row| self.turn.pipelines.contains(&row.pipeline)).collect();
                left = self.claim_page(c, known, left).await?;
                if !full {
                    break;
                }
            }
        }
        Ok(left)
    }

    async fn claim_page(
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
                self.result.started.push(claimed_run(row, policy, self.turn, self.now));
            } else {
                left += 1;
            }
        }
        Ok(left)
    }

    fn guards_held(&self, pipeline: &str, policy: &RunPolicy) -> bool {
        self.guarded.contains(&plan::pipeline_guard(self.namespace, pipeline))
            && policy
                .limit_group
                .as_ref()
                .is_none_or(|group| self.guarded.contains(&plan::group_guard(&group.name)))
    }

    /// Takes those of these guards that nobody else holds. Never waits: whoever waits here while it holds rows could
    /// be waited for.
    async fn try_guards<'r>(
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
    async fn record(
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
            if new.row.state != RunState::Queued || new.row.available_at > self.now {
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

    /// Runs of this process that somebody wants cancelled.
    async fn cancels(&mut self, c: &mut Conn) -> Result<(), StoreError> {
        self.result.cancels = cancel_notices(c, &self.turn.owner).await?;
        Ok(())
    }

    /// When there is something to do again.
    async fn next_wake(&mut self, c: &mut Conn) -> Result<(), StoreError> {
        let mut next: Option<i64> = None;
        let mut at = |instant: Option<i64>| next = [next, instant].into_iter().flatten().min();
        if self.turn.fire_limit > 0 {
            at(self.next_due(c).await?);
        }
        for priority in PRIORITIES {
            at(next_available(c, self.namespace, priority, self.now).await?);
        }
        at(next_deadline(c, self.namespace, self.now).await?);
        if self.turn.sweep {
            // Leases are judged by another clock on PostgreSQL: what counts is how far away their end is.
            let lease = next_lease(c, self.namespace, &self.turn.owner).await?;
            at(lease.map(|until| self.now.saturating_add((until - self.clock).max(0)).saturating_add(1)));
        }
        self.result.next_wake = next.map(instant);
        Ok(())
    }

    /// When the next job of a known pipeline is due. One that is due already is held by another process (or left
    /// behind by this turn's limit): it is looked at again soon.
    async fn next_due(&mut self, c: &mut Conn) -> Result<Option<i64>, StoreError> {
        let mut after: Option<(i64, i64)> = None;
        loop {
            let page = due_page(c, self.namespace, after).await?;
            let Some(last) = page.last() else { return Ok(None) };
            after = Some((last.1, last.0));
            let known = page.iter().find(|(key, _, pipeline)| {
                self.turn.pipelines.contains(pipeline) && !self.left_jobs.contains(key)
            });
            if let Some((_, due, _)) = known {
                return Ok(Some(if *due <= self.now { self.now.saturating_add(CONTENDED_US) } else { *due }));
            }
        }
    }
}

/// A run that is not written yet.
struct NewRun {
    row: RunRow,
    /// Only of runs that may start.
    policy: Option<RunPolicy>,
    what: FiredAs,
}

impl NewRun {
    /// A later fire of the same turn replaces it.
    fn replace(&mut self, by: RunId, now: i64) {
        self.row.cancel_requested_at = Some(now);
        self.row.cancel_requested_by = Some(plan::replaced_by(by));
        self.row.state = RunState::Finished;
        self.row.outcome = Some(Outcome::Cancelled);
        self.row.finished_at = Some(now);
    }

    fn start(&mut self, owner: &Owner, lease_until: i64, now: i64) {
        self.row.state = RunState::Running;
        self.row.attempt = 1;
        self.row.owner = Some(owner.clone());
        self.row.lease_until = Some(lease_until);
        self.row.started_at = Some(now);
        self.row.attempt_started_at = Some(now);
    }

    fn fired(&self, inserted: bool) -> Fired {
        Fired {
            job_id: self.row.job_id.clone().unwrap_or_else(|| JobId::new(String::new())),
            pipeline: self.row.pipeline.clone(),
            scheduled_for: instant(self.row.scheduled_for),
            reason: self.row.reason,
            run: self.row.id,
            what: if inserted { self.what.clone() } else { FiredAs::Duplicate },
        }
    }
}

fn claimed_run(row: ClaimRow, policy: RunPolicy, turn: &Turn, now: i64) -> ClaimedRun {
    ClaimedRun {
        id: row.id,
        pipeline: row.pipeline,
        job_id: row.job_id,
        reason: row.reason,
        scheduled_for: instant(row.scheduled_for),
        available_at: instant(row.available_at),
        attempt: row.attempt + 1,
        interruptions: row.interruptions,
        started_at: instant(now),
        lease: turn.lease,
        requested_by: row.requested_by,
        policy,
        cancel_requested: row.cancel_requested_at.is_some(),
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

/// Waiting runs of one priority that could start by now, oldest first.
async fn ready_page(
    c: &mut Conn,
    namespace: &str,
    priority: i16,
    now: i64,
    after: Option<(i64, RunId)>,
    limit: i64,
) -> QueryResult<Vec<ClaimRow>> {
    let ready = runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::priority.eq(priority))
        .filter(runs::available_at.le(now))
        .filter(IsQueued)
        .order((runs::available_at, runs::id))
        .select(ClaimRow::as_select());
    match after {
        None => ready.limit(limit).load(c).await,
        Some((at, id)) => {
            ready
                .filter(runs::available_at.ge(at))
                .filter(runs::available_at.gt(at).or(runs::id.gt(id)))
                .limit(limit)
                .load(c)
                .await
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

async fn next_available(c: &mut Conn, namespace: &str, priority: i16, now: i64) -> QueryResult<Option<i64>> {
    runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::priority.eq(priority))
        .filter(runs::available_at.gt(now))
        .filter(IsQueued)
        .order(runs::available_at)
        .select(runs::available_at)
        .limit(1)
        .get_result(c)
        .await
        .optional()
}

async fn next_deadline(c: &mut Conn, namespace: &str, now: i64) -> QueryResult<Option<i64>> {
    let first: Option<Option<i64>> = runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(runs::deadline_at.gt(now))
        .filter(IsQueued)
        .order(runs::deadline_at)
        .select(runs::deadline_at)
        .limit(1)
        .get_result(c)
        .await
        .optional()?;
    // A run becomes missed after its deadline, not at it.
    Ok(first.flatten().map(|at| at.saturating_add(1)))
}

async fn next_lease(c: &mut Conn, namespace: &str, owner: &Owner) -> QueryResult<Option<i64>> {
    let first: Option<Option<i64>> = runs::table
        .filter(runs::namespace.eq(namespace))
        .filter(IsRunning)
        .filter(runs::owner.ne(owner))
        .order(runs::lease_until)
        .select(runs::lease_until)
        .limit(1)
        .get_result(c)
        .await
        .optional()?;
    Ok(first.flatten())
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
