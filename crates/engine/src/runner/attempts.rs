//! Attempts: started from claims, settled when they end.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobstore::{AttemptEnd, ClaimedRun, End, Outcome, RunId, StoreError};
use pipeline_core::{RunOutcome, RunReport, StageReport};
use tokio::time::Instant;

use super::Runner;
use crate::event::{EventKind, RunRef};
use crate::lease::Lease;
use crate::logs::storable;
use crate::settle::{Stop, dice, settle};
use crate::shared::Live;
use crate::supervisor::{Joined, Running};

/// Longer errors are cut when they are stored.
const LONGEST_ERROR: usize = 8 * 1024;

/// The end of an attempt that is not yet written, and what is told once it is.
pub(super) struct PendingEnd {
    pub(super) end: AttemptEnd,
    run: RunRef,
    duration: Duration,
    stages: Arc<[StageReport]>,
}

impl PendingEnd {
    pub(super) fn run(&self) -> RunId {
        self.run.id
    }

    pub(super) fn attempt(&self) -> i32 {
        self.end.key.attempt
    }

    /// Leaves out what a database may have refused.
    pub(super) fn strip(&mut self, refused: &StoreError) {
        self.end.stages = None;
        self.end.note = None;
        self.end.error = self
            .end
            .error
            .take()
            .map(|_| format!("the error could not be stored as it was ({refused}): see the log"));
    }

    fn event(&self) -> EventKind {
        let (run, attempt, error) = (self.run.clone(), self.end.key.attempt, self.end.error.clone());
        match self.end.end {
            End::Finish(outcome) => EventKind::Finished {
                run,
                attempt,
                outcome,
                duration: self.duration,
                error,
                note: self.end.note.clone(),
                stages: self.stages.clone(),
            },
            End::Retry { outcome, available_at } => {
                EventKind::Retrying { run, attempt, outcome, error, at: available_at }
            }
            End::Interrupt => EventKind::Interrupted { run, attempt },
        }
    }
}

impl Runner {
    /// Starts an attempt of a run that the store has claimed for this process, by a request sent at these instants.
    pub(super) fn start_claim(&mut self, claim: ClaimedRun, asked: Instant, asked_wall: DateTime<Utc>) {
        // After an outage a claim can be answered twice: by the turn, and by what the store says is held.
        let same = |end: &PendingEnd| end.run() == claim.id && end.attempt() == claim.attempt;
        let known = self.supervisor.contains(claim.id)
            || self.pending.iter().any(same)
            || self.turns.flying_ends().any(same);
        if known {
            return;
        }
        let run = RunRef {
            id: claim.id,
            pipeline: self.shared_name(&claim.pipeline),
            job_id: claim.job_id.clone(),
            reason: claim.reason,
            scheduled_for: claim.scheduled_for,
        };
        let pipeline = match self.pipelines.get(&claim.pipeline) {
            Some(pipeline) if self.phase.is_running() => pipeline.clone(),
            // The shutdown, or a reload, has come between: the run waits for the next one who can.
            _ => return self.give_back(&claim, run),
        };
        let lease = Arc::new(Lease::new(asked, asked_wall, claim.lease));
        let key = self.workshop.key(&claim);
        let attempt = self.workshop.attempt(&claim, pipeline.clone(), lease.clone());
        let started_at = attempt.context.started_at();
        let live = Live {
            run: run.clone(),
            attempt: claim.attempt,
            started_at,
            progress: attempt.context.progress().clone(),
        };
        self.shared.live().insert(claim.id, live);
        self.beat.claimed(lease.until());
        let lateness = (started_at - claim.available_at).to_std().unwrap_or_default();
        self.emit(EventKind::AttemptStarted { run: run.clone(), attempt: claim.attempt, lateness });
        self.supervisor.start(claim, key, pipeline, run, lease, attempt);
    }

    fn give_back(&mut self, claim: &ClaimedRun, run: RunRef) {
        let end = AttemptEnd {
            key: self.workshop.key(claim),
            at: self.clock_now(),
            end: End::Interrupt,
            error: Some("not started: the scheduler was being stopped or reloaded".to_owned()),
            note: None,
            stages: None,
            messages: Vec::new(),
        };
        self.queue_end(PendingEnd { end, run, duration: Duration::ZERO, stages: Arc::new([]) });
    }

    pub(super) fn attempt_ended(&mut self, joined: Joined) {
        if let Some((running, result)) = self.supervisor.ended(joined) {
            self.settle(running, result);
        }
    }

    /// Decides what follows an attempt that has ended, and queues it for the next turn.
    pub(super) fn settle(&mut self, running: Running, result: Result<RunReport, String>) {
        self.shared.live().remove(&running.claim.id);
        self.shared.metrics.attempt_over(&running.run.pipeline);
        let (outcome, error, note, stages) = match result {
            Ok(report) => (report.outcome, report.error, report.note, report.stages),
            Err(panic) => (RunOutcome::Failed, Some(panic), None, Vec::new()),
        };
        let now = self.clock_now();
        let dice = dice(&running.claim.id.to_string(), running.claim.attempt);
        let retry = &running.pipeline.retry;
        let settled = settle(&running.claim, retry, outcome, error, running.stop.as_ref(), now, dice);
        let Some(settled) = settled else { return };
        let stages_text = (!stages.is_empty()).then(|| serde_json::to_string(&stages).unwrap_or_default());
        let end = AttemptEnd {
            key: running.key,
            at: now,
            end: settled.end,
            error: settled.error.map(|error| storable(error, LONGEST_ERROR)),
            note: note.map(|note| storable(note, LONGEST_ERROR)),
            stages: stages_text,
            messages: Vec::new(),
        };
        let duration = (now - running.started_at).to_std().unwrap_or_default();
        self.queue_end(PendingEnd { end, run: running.run, duration, stages: stages.into() });
    }

    fn queue_end(&mut self, pending: PendingEnd) {
        self.pending.push(pending);
        self.turns.want();
    }

    /// The store has taken, or refused, the end of an attempt.
    pub(super) fn end_written(&mut self, end: PendingEnd, written: bool) {
        if !written {
            let (run, attempt) = (end.run, end.end.key.attempt);
            return self.emit(EventKind::Refused { run, attempt });
        }
        let event = end.event();
        let succeeded = matches!(end.end.end, End::Finish(Outcome::Succeeded));
        self.emit(event);
        if succeeded {
            self.follow(&end.run.pipeline);
        }
    }

    /// Gives up on attempts that were told to stop, or should have timed out, and did not.
    pub(super) fn give_up_on_stuck(&mut self, now: Instant) {
        for mut running in self.supervisor.stuck(now) {
            self.emit(EventKind::Stuck { run: running.run.clone(), attempt: running.claim.attempt });
            running.stop.get_or_insert(Stop::Overdue);
            self.settle(running, Err("it was past its time and did not stop".to_owned()));
        }
    }

    /// The name of a pipeline, without a copy where it is known.
    pub(super) fn shared_name(&self, name: &str) -> Arc<str> {
        self.pipelines.get(name).map_or_else(|| Arc::from(name), |pipeline| pipeline.name.clone())
    }
}
