//! What the loop and its handles share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use jobstore::RunId;
use pipeline_core::Progress;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use crate::control::Control;
use crate::engine::Deps;
use crate::error::ControlError;
use crate::event::{EngineEvent, EventKind, Grade, RunRef};
use crate::handle::{Reloaded, Stage};
use crate::metrics::Metrics;
use crate::pipeline::Pipelines;

/// Events that a slow observer may be behind before it loses some.
const EVENTS: usize = 4_096;
/// Commands that may wait for the loop.
const COMMANDS: usize = 64;

/// What a handle asks of the loop. All else it does in the store, and nudges.
pub(crate) enum Command {
    /// Something in the store has changed.
    Nudge,
    /// Uses other pipelines.
    Reload {
        /// The new ones.
        pipelines: Pipelines,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Reloaded, ControlError>>,
    },
}

/// An attempt that runs now.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) run: RunRef,
    pub(crate) attempt: i32,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) progress: Arc<Progress>,
}

pub(crate) struct Shared {
    pub(crate) control: Control,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) events: broadcast::Sender<Arc<EngineEvent>>,
    pub(crate) metrics: Metrics,
    live: Mutex<HashMap<RunId, Live>>,
    condition: Mutex<Condition>,
}

/// How the loop is.
pub(crate) struct Condition {
    pub(crate) stage: Stage,
    pub(crate) store_away: bool,
    pub(crate) last_round: Instant,
}

impl Shared {
    pub(crate) fn new(deps: &Deps) -> (Arc<Self>, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (events, _) = broadcast::channel(EVENTS);
        let control = Control::new(deps.store.clone(), deps.clock.clone(), deps.pipelines.clone());
        let condition =
            Mutex::new(Condition { stage: Stage::Starting, store_away: false, last_round: Instant::now() });
        let shared = Self {
            control,
            commands,
            events,
            metrics: Metrics::default(),
            live: Mutex::default(),
            condition,
        };
        (Arc::new(shared), receiver)
    }

    /// Tells all who watch: the log, the numbers, the observers.
    pub(crate) fn emit(&self, kind: EventKind) {
        let at = self.control.clock().now();
        self.metrics.count(&kind, at);
        match kind.grade() {
            Grade::Debug => tracing::debug!("{kind}"),
            Grade::Info => tracing::info!("{kind}"),
            Grade::Warn => tracing::warn!("{kind}"),
            Grade::Error => tracing::error!("{kind}"),
        }
        if self.events.receiver_count() > 0 {
            // An error says that the last observer has just gone.
            drop(self.events.send(Arc::new(EngineEvent { at, kind })));
        }
    }

    pub(crate) fn condition(&self) -> std::sync::MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn live(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Live>> {
        // Held for moments only, and every change of the map is a single call.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
