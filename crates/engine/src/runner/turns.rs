//! Turns: everything that one commit does.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use jobstore::{CancelNotice, Ended, FirePlanner, Fired, FiredAs, Rescued, RescuedAs, Turn, TurnResult};
use tokio::time::Instant;

use super::attempts::PendingEnd;
use super::{Runner, Wake};
use crate::event::{EventKind, RunRef};
use crate::planner::Planner;
use crate::settle::Stop;

/// So many due jobs are fired in one turn: enough to make commits cheap, few enough to start the first runs soon.
const FIRES: usize = 1_000;
/// The pause before the next look, where a store says that there is more to do and then does nothing.
const NO_PROGRESS: Duration = Duration::from_millis(50);
/// The pause where a store names an instant that is past.
const PAST_WAKE: TimeDelta = TimeDelta::seconds(1);

/// What is known of turns.
pub(super) struct Turns {
    wanted: bool,
    /// The turn that is under way, with what its ends were made of.
    flying: Option<Flying>,
    /// When the store has something to do, as far as it knows.
    next_wake: Option<DateTime<Utc>>,
    /// A turn is wanted again then.
    retry_at: Option<Instant>,
    /// When the next search for expired leases is.
    sweep_at: Instant,
    sweep_due: bool,
    sweep_every: Duration,
    /// Not before: after an outage others must have time to renew their leases.
    sweep_hold: Instant,
    /// How often a turn was refused in a row.
    refused: u32,
}

struct Flying {
    turn: Arc<Turn>,
    ends: Vec<PendingEnd>,
    asked: Instant,
    planner: Arc<dyn FirePlanner>,
}

impl Turns {
    pub(super) fn new(now: Instant, sweep_every: Duration) -> Self {
        Self {
            wanted: true,
            flying: None,
            next_wake: None,
            retry_at: None,
            sweep_at: now + sweep_every,
            sweep_due: true,
            sweep_every,
            sweep_hold: now,
            refused: 0,
        }
    }

    /// A turn is wanted as soon as possible.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    pub(super) fn in_flight(&self) -> bool {
        self.flying.is_some()
    }

    /// The ends that the turn under way writes.
    pub(super) fn flying_ends(&self) -> impl Iterator<Item = &PendingEnd> {
        self.flying.iter().flat_map(|flying| &flying.ends)
    }

    pub(super) fn next_sweep(&self) -> Instant {
        self.sweep_at
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Nobody sweeps before this instant.
    pub(super) fn hold_sweeps(&mut self, until: Instant) {
        self.sweep_hold = self.sweep_hold.max(until);
    }

    pub(super) fn timer(&mut self, now: Instant) {
        if self.sweep_at <= now {
            self.sweep_at = now + self.sweep_every;
            self.sweep_due = true;
            self.wanted = true;
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.wanted = true;
        }
    }
}

impl Runner {
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        let waits = self.phase.is_running() && self.outage.is_none() && !self.turns.in_flight();
        self.turns.next_wake.filter(|_| waits)
    }

    pub(super) fn due(&mut self, at: DateTime<Utc>) {
        let late = (self.clock_now() - at).to_std().unwrap_or_default();
        self.beat.was_late(late);
        self.turns.next_wake = None;
        self.turns.want();
    }

    pub(super) fn start_turn(&mut self, now: Instant) {
        let running = self.phase.is_running();
        let wanted = if running { self.turns.wanted } else { !self.pending.is_empty() };
        let paused = self.turns.refused > 0 && self.turns.retry_at.is_some_and(|at| at > now);
        if !wanted || paused || self.turns.in_flight() {
            return;
        }
        self.turns.wanted = false;
        self.turns.retry_at = None;
        let sweep = running && std::mem::take(&mut self.turns.sweep_due) && self.turns.sweep_hold <= now;
        let ends = std::mem::take(&mut self.pending);
        let turn = Arc::new(Turn {
            now: self.clock_now(),
            owner: self.owner.clone(),
            pipelines: self.pipelines.names().clone(),
            ends: ends.iter().map(|end| end.end.clone()).collect(),
            free_slots: if running {
                self.settings.max_concurrent_runs.saturating_sub(self.supervisor.len())
            } else {
                0
            },
            fire_limit: if running { FIRES } else { 0 },
            lease: self.settings.lease,
            sweep,
        });
        let planner: Arc<dyn FirePlanner> = Arc::new(Planner(self.pipelines.clone()));
        self.turns.flying = Some(Flying { turn: turn.clone(), ends, asked: now, planner: planner.clone() });
        let store = self.store.clone();
        let op = async move {
            let result = Box::new(store.turn(turn, planner).await);
            Wake::Turn { result, took: now.elapsed() }
        };
        self.ops.push(op.boxed());
    }

    pub(super) fn turn_done(&mut self, result: Result<TurnResult, jobstore::StoreError>, took: Duration) {
        let Some(flying) = self.turns.flying.take() else { return };
        match result {
            Ok(result) => {
                self.turns.refused = 0;
                self.relapses = 0;
                self.shared.metrics.turn(took);
                self.beat.was_late(took);
                self.turn_written(flying, result);
            }
            Err(error) => {
                // What could not be written goes first next time; the store takes repetitions.
                let later = std::mem::replace(&mut self.pending, flying.ends);
                self.pending.extend(later);
                self.turns.want();
                if error.is_transient() {
                    self.lose_store(&error);
                } else {
                    self.turn_refused(error);
                }
            }
        }
    }

    /// The store did not take a turn, for a reason that does not go away by itself. Texts that it may not like are
    /// replaced, so that one bad outcome does not hold up all others, and the turn is repeated with growing pauses.
    fn turn_refused(&mut self, error: jobstore::StoreError) {
        if matches!(error, jobstore::StoreError::Closed | jobstore::StoreError::Corrupt(_)) {
            return self.fail(error);
        }
        tracing::error!("a turn of the loop was refused: {error}");
        self.turns.refused += 1;
        if self.turns.refused == 3 {
            self.pending.iter_mut().for_each(|end| end.strip(&error));
        }
        let pause = Duration::from_millis(100) * 2_u32.pow(self.turns.refused.min(8));
        self.turns.retry_at = Some(Instant::now() + pause);
    }

    fn turn_written(&mut self, flying: Flying, result: TurnResult) {
        let TurnResult {
            ends,
            fired,
            finished_jobs,
            invalid_jobs,
            missed,
            rescued,
            started,
            cancels,
            next_wake,
            more,
        } = result;
        let progress = !(fired.is_empty()
            && finished_jobs.is_empty()
            && invalid_jobs.is_empty()
            && missed.is_empty()
            && rescued.is_empty()
            && started.is_empty());
        let Flying { turn, ends: sent, asked, planner } = flying;
        drop(planner);
        for (end, ended) in sent.into_iter().zip(ends) {
            self.end_written(end, ended == Ended::Written);
        }
        for rescued in rescued {
            self.rescued(rescued);
        }
        for event in fired.into_iter().filter_map(fired_event) {
            self.emit(event);
        }
        for job in finished_jobs {
            self.emit(EventKind::JobFinished { job });
        }
        for (job, error) in invalid_jobs {
            self.emit(EventKind::JobInvalid { job, error });
        }
        for missed in missed {
            let run = RunRef {
                id: missed.id,
                pipeline: missed.pipeline.into(),
                job_id: missed.job_id,
                reason: jobstore::Reason::Schedule,
                scheduled_for: missed.scheduled_for,
            };
            let at = missed.scheduled_for;
            self.emit(EventKind::Missed { run, count: 1, first: at, last: at });
        }
        for claim in started {
            self.start_claim(claim, asked, turn.now);
        }
        self.cancel_all(cancels);
        self.shared.metrics.gauges(self.settings.max_concurrent_runs, self.supervisor.len());
        self.upkeep.turn_over(asked, more);
        match (more, progress) {
            (true, true) => self.turns.want(),
            (true, false) => self.turns.retry_at = Some(Instant::now() + NO_PROGRESS),
            (false, _) => {}
        }
        self.turns.next_wake = next_wake.map(|at| {
            let now = self.clock_now();
            if at <= turn.now && !more { now + PAST_WAKE } else { at }
        });
    }

    fn rescued(&self, rescued: Rescued) {
        let outcome = match rescued.what {
            RescuedAs::Queued => None,
            RescuedAs::Finished(outcome) => Some(outcome),
        };
        self.emit(EventKind::Rescued {
            run: rescued.id,
            pipeline: rescued.pipeline,
            attempt: rescued.attempt,
            owner: rescued.owner,
            outcome,
        });
    }

    pub(super) fn cancel_all(&mut self, cancels: Vec<CancelNotice>) {
        for cancel in cancels {
            let of_this_attempt =
                self.supervisor.get(cancel.id).is_some_and(|running| running.claim.attempt == cancel.attempt);
            if of_this_attempt {
                let by = cancel.requested_by;
                if self.supervisor.stop(cancel.id, Stop::Cancelled { by: by.clone() }).is_some() {
                    self.emit(EventKind::Cancelling { run: cancel.id, by });
                }
            }
        }
    }
}

/// What there is to tell of a fire.
pub(super) fn fired_event(fired: Fired) -> Option<EventKind> {
    let run = RunRef {
        id: fired.run,
        pipeline: fired.pipeline.into(),
        job_id: Some(fired.job_id),
        reason: fired.reason,
        scheduled_for: fired.scheduled_for,
    };
    match fired.what {
        FiredAs::Run { replaced } => Some(EventKind::Fired { run, replaced }),
        FiredAs::Skipped { by } => Some(EventKind::Skipped { run, by }),
        FiredAs::Missed(missed) => {
            Some(EventKind::Missed { run, count: missed.count, first: missed.first, last: missed.last })
        }
        FiredAs::Duplicate => None,
    }
}
