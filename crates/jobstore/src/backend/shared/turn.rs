//! One turn of a scheduler's loop, in one transaction.
//!
//! The order matters. Ends and rescues come first, so that what they free can be used; then the due jobs are read,
//! planned and moved on; then waiting runs are claimed, oldest first, and the new runs of this turn with what room is
//! left: these are inserted as running at once. Everything about overlap is decided under the guards of the pipelines
//! in question.

use std::collections::HashSet;

use super::{Conn, ends, io, rescue};
use crate::backend::new_run::NewRun;
use crate::backend::plan::{self, FireDraft, Sizes};
use crate::backend::rows::DueRow;
use crate::error::StoreError;
use crate::logic::board::{Admission, Board, admit};
use crate::model::ids::{RunId, RunIds};
use crate::model::run::Outcome;
use crate::model::time::{instant, micros, span};
use crate::model::turn::{FirePlanner, FiredAs, MissedRun, NextFire, Turn, TurnResult};

/// The result of a turn, and whether it left something for other processes to notice.
pub(crate) struct TurnDone {
    pub(crate) result: TurnResult,
    pub(crate) left_for_others: bool,
}

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
        others_lease: None,
        deadline: None,
        next: None,
    };

    step.glance(c).await?;
    let due = step.due_jobs(c).await?;
    let drafts = step.plan(c, planner, due).await?;
    let ended = ends::end_attempts(c, namespace, &turn.ends, now).await?;
    step.left_ready |= ended.requeued;
    step.result.ends = ended.results;
    if turn.sweep && step.others_lease.is_some_and(|until| until < clock) {
        let rescued = rescue::expired(c, namespace, &turn.owner, clock, now).await?;
        step.left_ready |= !rescued.is_empty();
        step.result.rescued = rescued;
        step.glance(c).await?;
    }
    if step.deadline.is_some_and(|deadline| deadline < now) {
        step.mark_overdue(c).await?;
        step.glance(c).await?;
    }
    let rows = step.admit(c, drafts).await?;
    let left = step.claim_waiting(c).await?;
    step.record(c, rows, left).await?;
    step.look_ahead(c).await?;
    Ok(TurnDone { left_for_others: step.left_ready, result: step.result })
}

/// The state of one turn.
pub(super) struct Step<'a> {
    pub(super) namespace: &'a str,
    pub(super) turn: &'a Turn,
    pub(super) now: i64,
    /// The clock that judges leases: the server's on PostgreSQL, otherwise the caller's.
    pub(super) clock: i64,
    pub(super) lease_until: i64,
    pub(super) board: Board,
    /// Guards that this transaction holds.
    pub(super) guarded: HashSet<String>,
    pub(super) result: TurnResult,
    /// Whether a run stays behind that another process could start.
    pub(super) left_ready: bool,
    /// Due jobs that the planner left alone.
    pub(super) left_jobs: HashSet<i64>,
    /// When the first lease of another process ends.
    pub(super) others_lease: Option<i64>,
    /// The first deadline of a waiting run.
    pub(super) deadline: Option<i64>,
    /// When there is something to do again, as far as it is known.
    pub(super) next: Option<i64>,
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
}
