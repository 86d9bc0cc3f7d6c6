//! What is done beside the turns: reloads, pipelines that follow others, retention.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use jobstore::{Pruned, Retention, StoreError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::startup::{self, Reconciliation};
use super::{Runner, Wake};
use crate::error::{ControlError, EngineError};
use crate::event::EventKind;
use crate::follow;
use crate::handle::Reloaded;
use crate::pipeline::Pipelines;

/// How often old runs are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// So many are deleted in one transaction.
const PRUNED: usize = 500;
/// Deleting takes at most one part in so many of the store's time.
const PRUNE_SHARE: u32 = 5;

type Reply = oneshot::Sender<Result<Reloaded, ControlError>>;

/// What is known of these.
pub(super) struct Upkeep {
    prune_at: Instant,
    pruning: bool,
    /// A reload that waits until all that is due by the old file has been recorded.
    reload: Option<Reload>,
    reconciling: bool,
}

struct Reload {
    pipelines: Pipelines,
    reply: Reply,
    asked: Instant,
    /// A turn that began later has found nothing more to do.
    ready: bool,
}

/// A reload that is over.
pub(super) struct ReconcileDone {
    pipelines: Pipelines,
    reply: Reply,
    result: Result<Reconciliation, EngineError>,
}

impl Upkeep {
    pub(super) fn new(now: Instant) -> Self {
        Self { prune_at: now + PRUNE_EVERY, pruning: false, reload: None, reconciling: false }
    }

    /// A turn that began at this instant is over.
    pub(super) fn turn_over(&mut self, began: Instant, more: bool) {
        if let Some(reload) = &mut self.reload
            && reload.asked <= began
            && !more
        {
            reload.ready = true;
        }
    }

    pub(super) fn next_prune(&self) -> Option<Instant> {
        (!self.pruning).then_some(self.prune_at)
    }
}

impl Runner {
    pub(super) fn reload(&mut self, pipelines: Pipelines, reply: Reply) {
        if !self.phase.is_running() {
            // Whoever asked may be gone.
            drop(reply.send(Err(ControlError::Stopping)));
            return;
        }
        // A newer file takes the place of one that still waits.
        let reload = Reload { pipelines, reply, asked: Instant::now(), ready: false };
        if let Some(older) = self.upkeep.reload.replace(reload) {
            drop(older.reply.send(Err(ControlError::Superseded)));
        }
        self.turns.want();
    }

    pub(super) fn refuse_reload(&mut self) {
        if let Some(reload) = self.upkeep.reload.take() {
            drop(reload.reply.send(Err(ControlError::Stopping)));
        }
    }

    /// Begins a reload once no fire is due any more by the old file.
    pub(super) fn start_reconcile(&mut self) {
        if self.upkeep.reconciling || !self.phase.is_running() {
            return;
        }
        let Some(reload) = self.upkeep.reload.take_if(|reload| reload.ready) else { return };
        let Reload { pipelines, reply, .. } = reload;
        self.upkeep.reconciling = true;
        let (shared, store) = (self.shared.clone(), self.store.clone());
        let op = async move {
            let result = startup::reconcile(&shared, &store, &pipelines).await;
            Wake::Reconciled(Box::new(ReconcileDone { pipelines, reply, result }))
        };
        self.ops.push(op.boxed());
    }

    pub(super) fn reconciled(&mut self, done: ReconcileDone) {
        self.upkeep.reconciling = false;
        let ReconcileDone { pipelines, reply, result } = done;
        let answer = match result {
            Ok(Reconciliation { events, changes }) => {
                for event in events {
                    if !matches!(event, EventKind::JobKept { .. }) {
                        self.emit(event);
                    }
                }
                self.use_pipelines(pipelines);
                self.emit(EventKind::Reloaded { pipelines: self.pipelines.len(), changes });
                Ok(Reloaded { pipelines: self.pipelines.len(), changes })
            }
            Err(error) => Err(ControlError::Reload(error)),
        };
        // Whoever asked may be gone.
        drop(reply.send(answer));
    }

    fn use_pipelines(&mut self, pipelines: Pipelines) {
        self.pipelines = pipelines.clone();
        self.shared.control.replace_pipelines(pipelines.clone());
        self.turns.want();
        let info = startup::process_info(&self.owner, &pipelines, &self.settings);
        let (shared, store) = (self.shared.clone(), self.store.clone());
        let op = async move {
            let known = async {
                store.register_process(info, shared.control.clock().now()).await?;
                match startup::warn_of_orphans(&shared, &store, &pipelines).await {
                    Err(EngineError::Store(error)) => Err(error),
                    _ => Ok(()),
                }
            };
            Wake::Done("the pipelines of this process could not be made known", known.await)
        };
        self.ops.push(op.boxed());
    }

    /// Looks after the pipelines that wait for this one, which has just succeeded.
    pub(super) fn follow(&mut self, succeeded: &str) {
        let followers = self.pipelines.after(succeeded).to_vec();
        if followers.is_empty() || !self.phase.is_running() {
            return;
        }
        let shared = self.shared.clone();
        let op = async move { Wake::Followed(follow::start_due(&shared, &followers, false).await) };
        self.ops.push(op.boxed());
    }

    /// Looks after all pipelines that wait for others: a process may have died between a success and what follows it.
    pub(super) fn follow_all(&mut self) {
        let followers: Vec<_> =
            self.pipelines.iter().filter(|pipeline| !pipeline.after.is_empty()).cloned().collect();
        if followers.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        let op = async move { Wake::Followed(follow::start_due(&shared, &followers, true).await) };
        self.ops.push(op.boxed());
    }

    pub(super) fn followed(&mut self, result: Result<(), ControlError>) {
        if let Err(error) = result {
            tracing::error!("a pipeline that follows others could not be started: {error}");
        }
        self.turns.want();
    }

    pub(super) fn start_prune(&mut self, now: Instant) {
        let nothing = self.settings.keep_age.is_none() && self.settings.keep_runs.is_none();
        if self.upkeep.pruning || self.upkeep.prune_at > now || !self.phase.is_running() {
            return;
        }
        self.upkeep.prune_at = now + PRUNE_EVERY;
        if nothing {
            return;
        }
        self.upkeep.pruning = true;
        let wall = self.clock_now();
        let age = self.settings.keep_age.and_then(|age| TimeDelta::from_std(age).ok());
        let retention = Retention {
            created_before: age.and_then(|age| wall.checked_sub_signed(age)),
            keep_per_job: self.settings.keep_runs,
            limit: PRUNED,
        };
        let store = self.store.clone();
        let op = async move {
            let result = store.prune(retention).await;
            Wake::Pruned { result, took: now.elapsed() }
        };
        self.ops.push(op.boxed());
    }

    pub(super) fn pruned(&mut self, result: Result<Pruned, StoreError>, took: Duration) {
        self.upkeep.pruning = false;
        match result {
            Ok(pruned) => {
                if pruned.deleted > 0 {
                    tracing::debug!("deleted {} old runs", pruned.deleted);
                }
                if !pruned.done {
                    let pause = (took * PRUNE_SHARE).max(Duration::from_millis(20));
                    self.upkeep.prune_at = Instant::now() + pause;
                }
            }
            Err(error) => tracing::warn!("old runs could not be deleted: {error}"),
        }
    }
}
