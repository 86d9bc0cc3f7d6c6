//! The event loop: the one owner of the scheduling state.
//!
//! Everything that can wake it is a variant of [`Wake`]. What it does on waking up is synchronous and decides; what takes
//! time is a future in [`Runner::ops`] whose end is a wake-up again.

mod attempts;
mod clocks;
mod outage;
mod shutdown;
mod startup;
mod turns;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jobstore::{BeatResult, Changes, ClaimedRun, JobStore, Owner, Pruned, StoreError, TurnResult};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::attempt::Workshop;
use crate::engine::{Deps, Settings, Shutdown, Stopped};
use crate::error::{ControlError, EngineError};
use crate::event::EventKind;
use crate::handle::Stage;
use crate::logs::LogBook;
use crate::pipeline::Pipelines;
use crate::shared::{Command, Shared};
use crate::supervisor::{Joined, Supervisor};

use attempts::PendingEnd;
use clocks::Clocks;
use outage::{BeatSent, Outage};
use shutdown::Phase;
use turns::Turns;
use upkeep::{ReconcileDone, Upkeep};

/// What wakes the loop.
enum Wake {
    /// A turn is over.
    Turn { result: Box<Result<TurnResult, StoreError>>, took: Duration },
    /// A heartbeat was answered.
    Beat { sent: BeatSent, result: Result<BeatResult, StoreError> },
    /// The store was asked, during an outage, what this process holds.
    Probe(Result<Vec<ClaimedRun>, StoreError>),
    /// Old runs were deleted.
    Pruned { result: Result<Pruned, StoreError>, took: Duration },
    /// The pipelines that wait for others were looked after.
    Followed(Result<(), ControlError>),
    /// Other pipelines were reconciled with the store.
    Reconciled(Box<ReconcileDone>),
    /// Something that nobody waits for is done.
    Done(&'static str, Result<(), StoreError>),
    /// An attempt has ended.
    Attempt(Box<Joined>),
    /// A handle asks for something.
    Command(Command),
    /// Others have changed something in the store.
    StoreChanged,
    /// The instant has come for which the store has something to do.
    Due(DateTime<Utc>),
    /// A timer of the loop's own has run out.
    Timer,
    /// Nothing new is to be started.
    Drain,
    /// All is to be cut off.
    CutOff,
}

/// The loop's state.
struct Runner {
    shared: Arc<Shared>,
    store: Arc<dyn JobStore>,
    settings: Settings,
    owner: Owner,
    workshop: Workshop,
    pipelines: Pipelines,
    supervisor: Supervisor,
    /// Ends of attempts that are not yet in a turn.
    pending: Vec<PendingEnd>,
    ops: FuturesUnordered<BoxFuture<'static, Wake>>,
    turns: Turns,
    clocks: Clocks,
    beat: outage::Heart,
    outage: Option<Outage>,
    /// Outages since a turn was last written.
    relapses: u32,
    upkeep: Upkeep,
    phase: Phase,
    /// Why the loop cannot go on.
    fatal: Option<StoreError>,
}

/// Runs an engine until it is told to stop.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut commands: mpsc::Receiver<Command>,
    deps: Deps,
    shutdown: Shutdown,
) -> Result<Stopped, EngineError> {
    let Deps { store, clock, pipelines, mut settings, environment, owner } = deps;
    settings.lease = settings.lease.max(Duration::from_secs(1));
    let (logs, writer) = LogBook::new(store.clone());
    let writer = tokio::spawn(writer);
    let mut changes = store.changes();
    startup::prepare(&shared, &store, &pipelines, &settings, &owner).await?;
    let now = Instant::now();
    let clocks = Clocks::new(now, clock.now());
    let workshop = Workshop { store: store.clone(), clock, environment, owner: owner.clone(), logs };
    let mut runner = Runner {
        beat: outage::Heart::new(now, &settings),
        upkeep: Upkeep::new(now),
        turns: Turns::new(now, outage::interval(&settings)),
        clocks,
        phase: Phase::Running,
        outage: None,
        relapses: 0,
        fatal: None,
        pending: Vec::new(),
        ops: FuturesUnordered::new(),
        supervisor: Supervisor::default(),
        shared,
        store,
        settings,
        owner,
        workshop,
        pipelines,
    };
    runner.greet();
    let stopped = runner.live(&mut commands, &mut changes, &shutdown).await;
    match runner.leave(writer).await {
        Some(error) => Err(error.into()),
        None => Ok(stopped),
    }
}

impl Runner {
    fn greet(&mut self) {
        self.emit(EventKind::Started {
            owner: self.owner.clone(),
            namespace: self.store.namespace().to_owned(),
            pipelines: self.pipelines.len(),
        });
        self.shared.metrics.gauges(self.settings.max_concurrent_runs, 0);
        self.follow_all();
    }

    async fn live(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        changes: &mut Changes,
        shutdown: &Shutdown,
    ) -> Stopped {
        loop {
            self.start_what_is_wanted();
            self.note_condition();
            if let Some(stopped) = self.is_over() {
                return stopped;
            }
            let wake = self.next_wake(commands, changes, shutdown).await;
            self.on(wake);
            while let Some(joined) = self.supervisor.try_next() {
                self.attempt_ended(joined);
            }
        }
    }

    fn note_condition(&self) {
        let mut condition = self.shared.condition();
        condition.last_round = Instant::now();
        condition.store_away = self.outage.is_some();
        condition.stage = if self.phase.is_running() { Stage::Running } else { Stage::Stopping };
    }

    /// Waits for whatever comes first.
    async fn next_wake(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        changes: &mut Changes,
        shutdown: &Shutdown,
    ) -> Wake {
        let due = self.next_due();
        let timer = self.next_timer();
        let running = self.phase.is_running();
        let draining = !running;
        let cutting = self.phase.is_cutting();
        let clock = self.shared.control.clock();
        tokio::select! {
            biased;
            () = shutdown.cut_off.cancelled(), if !cutting => Wake::CutOff,
            () = shutdown.drain.cancelled(), if !draining => Wake::Drain,
            Some(wake) = self.ops.next(), if !self.ops.is_empty() => wake,
            joined = self.supervisor.next() => Wake::Attempt(Box::new(joined)),
            Some(command) = commands.recv() => Wake::Command(command),
            () = changes.changed(), if running => Wake::StoreChanged,
            () = tokio::time::sleep_until(timer) => Wake::Timer,
            at = until(clock.as_ref(), due) => Wake::Due(at),
        }
    }

    fn on(&mut self, wake: Wake) {
        match wake {
            Wake::Turn { result, took } => self.turn_done(*result, took),
            Wake::Beat { sent, result } => self.beat_done(&sent, result),
            Wake::Probe(result) => self.probe_done(result),
            Wake::Pruned { result, took } => self.pruned(result, took),
            Wake::Followed(result) => self.followed(result),
            Wake::Reconciled(done) => self.reconciled(*done),
            Wake::Done(what, result) => {
                if let Err(error) = result {
                    tracing::warn!("{what}: {error}");
                }
            }
            Wake::Attempt(joined) => self.attempt_ended(*joined),
            Wake::Command(command) => self.command(command),
            Wake::StoreChanged => self.turns.want(),
            Wake::Due(at) => self.due(at),
            Wake::Timer => self.on_timer(),
            Wake::Drain => self.drain(),
            Wake::CutOff => self.cut_off(),
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Nudge => self.turns.want(),
            Command::Reload { pipelines, reply } => self.reload(pipelines, reply),
        }
    }

    /// Starts the operations that are due and not under way.
    fn start_what_is_wanted(&mut self) {
        let now = Instant::now();
        self.look_at_clocks(now);
        if self.outage.is_some() {
            self.start_probe(now);
            return;
        }
        self.start_beat(now);
        self.start_turn(now);
        self.start_reconcile();
        self.start_prune(now);
    }

    /// The earliest of the loop's own timers.
    fn next_timer(&self) -> Instant {
        let mut at = Instant::now() + Duration::from_secs(3_600);
        let mut consider = |timer: Option<Instant>| {
            if let Some(timer) = timer {
                at = at.min(timer);
            }
        };
        match &self.outage {
            Some(outage) => consider(outage.next_probe()),
            None => {
                consider(self.beat.next());
                consider(self.turns.retry_at());
            }
        }
        if self.outage.is_none() && self.phase.is_running() {
            consider(Some(self.turns.next_sweep()));
            consider(self.upkeep.next_prune());
        }
        consider(self.beat.stop_at());
        consider(self.phase.timer());
        at
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        self.turns.timer(now);
        self.stop_unrenewed(now);
        self.give_up_on_stuck(now);
        self.phase_timer(now);
    }

    fn emit(&self, kind: EventKind) {
        self.shared.emit(kind);
    }

    fn clock_now(&self) -> DateTime<Utc> {
        self.shared.control.clock().now()
    }
}

/// Waits until the clock shows an instant, and says which; for ever without one.
async fn until(clock: &dyn pipeline_core::Clock, at: Option<DateTime<Utc>>) -> DateTime<Utc> {
    match at {
        Some(at) => {
            clock.sleep_until(at).await;
            at
        }
        None => std::future::pending().await,
    }
}
