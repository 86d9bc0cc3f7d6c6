//! Stopping: let chains end, cut them off, write what became of them.

use std::time::Duration;

use jobstore::StoreError;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Runner;
use crate::engine::Stopped;
use crate::event::EventKind;
use crate::handle::Stage;
use crate::settle::Stop;

/// How long cut-off chains may take to stop their children and to be dropped.
const TO_END: Duration = Duration::from_secs(8);
/// The same after a second signal.
const TO_END_AT_ONCE: Duration = Duration::from_secs(2);
/// How long the last outcomes may take to be written.
const TO_WRITE: Duration = Duration::from_secs(3);

/// How far the engine's life has come.
pub(super) enum Phase {
    /// It works.
    Running,
    /// Nothing new starts; chains may go on until then.
    Draining { until: Instant },
    /// Chains have been told to stop; those that have not by then are given up.
    Cutting { until: Instant, at_once: bool },
    /// All chains have ended; their outcomes may be written until then.
    Writing { until: Instant, at_once: bool },
}

impl Phase {
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Self::Running)
    }

    /// Whether everything has been cut off at once.
    pub(super) fn is_cutting(&self) -> bool {
        matches!(self, Self::Cutting { at_once: true, .. } | Self::Writing { at_once: true, .. })
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        match self {
            Self::Running => None,
            Self::Draining { until } | Self::Cutting { until, .. } | Self::Writing { until, .. } => {
                Some(*until)
            }
        }
    }
}

impl Runner {
    pub(super) fn drain(&mut self) {
        if !self.phase.is_running() {
            return;
        }
        let grace = self.settings.shutdown_grace;
        self.emit(EventKind::Stopping { running: self.supervisor.len(), grace });
        self.phase = Phase::Draining { until: Instant::now() + grace };
        self.refuse_reload();
    }

    pub(super) fn cut_off(&mut self) {
        if self.phase.is_running() {
            self.emit(EventKind::Stopping { running: self.supervisor.len(), grace: Duration::ZERO });
            self.refuse_reload();
        }
        self.supervisor.stop_all(&Stop::Shutdown);
        self.phase = Phase::Cutting { until: Instant::now() + TO_END_AT_ONCE, at_once: true };
    }

    /// The loop cannot go on: chains may end as in a shutdown.
    pub(super) fn fail(&mut self, error: StoreError) {
        tracing::error!("the scheduler stops: {error}");
        self.fatal.get_or_insert(error);
        self.drain();
    }

    pub(super) fn phase_timer(&mut self, now: Instant) {
        match self.phase {
            Phase::Draining { until } if until <= now => {
                self.supervisor.stop_all(&Stop::Shutdown);
                self.phase = Phase::Cutting { until: now + TO_END, at_once: false };
            }
            Phase::Cutting { until, .. } if until <= now => {
                for mut running in self.supervisor.abandon_all() {
                    self.emit(EventKind::Stuck { run: running.run.clone(), attempt: running.claim.attempt });
                    running.stop.get_or_insert(Stop::Shutdown);
                    self.settle(running, Err("it did not stop".to_owned()));
                }
            }
            _ => {}
        }
    }

    /// Whether nothing is left to be done. Called each time round, it moves on to the writing of the last outcomes.
    pub(super) fn is_over(&mut self) -> Option<Stopped> {
        if self.phase.is_running() || !self.supervisor.is_empty() {
            return None;
        }
        let now = Instant::now();
        let at_once = self.phase.is_cutting();
        if !matches!(self.phase, Phase::Writing { .. }) {
            self.phase = Phase::Writing { until: now + TO_WRITE, at_once };
        }
        let written = self.pending.is_empty() && !self.turns.in_flight();
        let out_of_time = matches!(self.phase, Phase::Writing { until, .. } if until <= now);
        // Where the store is broken for good there is nothing to wait for.
        if !written && !out_of_time && self.fatal.is_none() {
            return None;
        }
        for end in self.pending.iter().chain(self.turns.flying_ends()) {
            tracing::error!(
                "the end of attempt {} of run {} could not be written: the run is taken over when its lease ends",
                end.attempt(),
                end.run()
            );
        }
        Some(if at_once { Stopped::CutOff } else { Stopped::Drained })
    }

    /// The last things: logs written, the process forgotten.
    pub(super) async fn leave(self, writer: JoinHandle<()>) -> Option<StoreError> {
        let Self { shared, store, owner, workshop, supervisor, ops, outage, fatal, .. } = self;
        drop((workshop, supervisor, ops));
        // Late lines and a slow store must not hold up the exit.
        if tokio::time::timeout(Duration::from_secs(2), writer).await.is_err() {
            tracing::warn!("the last lines of runs' logs could not be written in time");
        }
        if fatal.is_none() && outage.is_none() {
            let forget = tokio::time::timeout(Duration::from_secs(2), store.forget_process(&owner));
            match forget.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!("this process could not be signed off: {error}"),
                Err(_) => tracing::warn!("this process could not be signed off in time"),
            }
        }
        shared.condition().stage = Stage::Stopped;
        shared.emit(EventKind::Stopped);
        fatal
    }
}
