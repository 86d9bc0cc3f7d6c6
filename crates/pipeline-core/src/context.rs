//! What a run and its stages know about themselves, and how they take part in its end.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::error::{RunError, StageError};
use crate::redact::Redactor;
use crate::state::{NoState, StageState, StateScope, StateStore};

/// Who a run is: what is handed on to commands as `SCRAPER_…` and used as idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunIdentity {
    /// Unique for each run; all attempts of a run share it.
    pub run_id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The job whose fire started the run; the pipeline's name where there is no job.
    pub job_id: String,
    /// The nominal instant of the fire, or the instant of the request.
    pub scheduled_for: DateTime<Utc>,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl RunIdentity {
    /// The environment variables that every command of the run gets.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("SCRAPER_RUN_ID", self.run_id.clone()),
            ("SCRAPER_PIPELINE", self.pipeline.clone()),
            ("SCRAPER_JOB_ID", self.job_id.clone()),
            (
                "SCRAPER_SCHEDULED_FOR",
                self.scheduled_for.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            ),
            ("SCRAPER_ATTEMPT", self.attempt.to_string()),
        ]
    }
}

/// When in the run's end a participant commits. Sinks come first and state last, so that a crash
/// between two of them repeats a run's news the next time and never loses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CommitPhase {
    /// Data that the run is for: files, tables.
    Sink,
    /// Messages that leave with the run.
    Outbox,
    /// What the stages remember.
    State,
}

/// Takes part in the end of a run.
///
/// All participants are prepared, then all commit, by phase and in the order in which they enlisted.
/// Where one cannot be prepared, or the run has failed, all are rolled back in reverse order.
#[async_trait]
pub trait Participant: Send {
    /// What it is, for the error message: `file out/books.jsonl`.
    fn name(&self) -> String;

    /// When it commits. Asked once, after preparing.
    fn phase(&self) -> CommitPhase {
        CommitPhase::Sink
    }

    /// Does all that can fail, without making anything visible.
    ///
    /// # Errors
    /// Where the run must not succeed.
    async fn prepare(&mut self) -> Result<(), StageError> {
        Ok(())
    }

    /// Makes it visible.
    ///
    /// # Errors
    /// Where that is impossible after all; the run fails.
    async fn commit(&mut self) -> Result<(), StageError>;

    /// Undoes all; also called after a dry run.
    async fn rollback(&mut self);
}

/// Asked before anything becomes visible outside: may this attempt still act?
///
/// The scheduler's attempts hold a lease; one that has lost it must not write.
#[async_trait]
pub trait Fence: Send + Sync {
    /// # Errors
    /// Where the attempt must stop.
    async fn check(&self) -> Result<(), StageError>;
}

/// Watches the log lines of a run, to keep them with it.
pub trait LogSink: Send + Sync {
    /// A line was written.
    fn line(&self, line: LogLine);
}

/// A line of a run's log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When.
    pub at: DateTime<Utc>,
    /// How grave.
    pub level: crate::item::EventLevel,
    /// The stage's number from 1 and its class, where a stage speaks.
    pub stage: Option<(usize, Arc<str>)>,
    /// What, redacted.
    pub message: String,
}

type Cleanup = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Services that the composing program hands to stages, found by their type.
#[derive(Clone, Default)]
pub struct Services(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Services {
    /// Adds a service; one of the same type is replaced.
    pub fn insert<T: Send + Sync + 'static>(&mut self, service: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(service));
    }

    /// The service of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Services({})", self.0.len())
    }
}

/// How to make a [`RunContext`]: only the identity is required.
pub struct RunOptions {
    /// Who the run is.
    pub identity: RunIdentity,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Ends the run early, as a person or a shutdown asks.
    pub cancel: CancellationToken,
    /// Where stages keep state between runs.
    pub state: Arc<dyn StateStore>,
    /// The folder for state files, spooled bodies and dead letters.
    pub state_dir: PathBuf,
    /// Sinks print what they would write; nothing is kept.
    pub dry_run: bool,
    /// What must never be written down.
    pub redactor: Redactor,
    /// Services for stages.
    pub services: Services,
    /// Asked before anything becomes visible.
    pub fence: Option<Arc<dyn Fence>>,
    /// Gets the run's log lines.
    pub log: Option<Arc<dyn LogSink>>,
}

impl RunOptions {
    /// Options with the system's clock, no state and no services.
    pub fn new(identity: RunIdentity) -> Self {
        Self {
            identity,
            clock: Arc::new(SystemClock),
            cancel: CancellationToken::new(),
            state: Arc::new(NoState),
            state_dir: PathBuf::from(".scraper"),
            dry_run: false,
            redactor: Redactor::new(),
            services: Services::default(),
            fence: None,
            log: None,
        }
    }
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// One run of a pipeline; cheap to clone.
#[derive(Clone)]
pub struct RunContext(Arc<RunInner>);

struct RunInner {
    options: RunOptions,
    started_at: DateTime<Utc>,
    progress: Arc<Progress>,
    ended: Mutex<Ended>,
    /// Woken when the run must stop for a reason of its own.
    stop: CancellationToken,
    participants: Mutex<Vec<Box<dyn Participant>>>,
    cleanups: Mutex<Vec<Cleanup>>,
    resources: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    /// For each stage why its output is not the whole, where that is so.
    incomplete: Mutex<HashMap<usize, String>>,
    warnings: AtomicU64,
}

#[derive(Default)]
struct Ended {
    error: Option<RunError>,
    note: Option<String>,
}

impl RunContext {
    /// A run with these options, which starts now.
    pub fn new(options: RunOptions) -> Self {
        let started_at = options.clock.now();
        Self(Arc::new(RunInner {
            started_at,
            progress: Arc::default(),
            ended: Mutex::default(),
            stop: CancellationToken::new(),
            participants: Mutex::default(),
            cleanups: Mutex::default(),
            resources: Mutex::default(),
            incomplete: Mutex::default(),
            warnings: AtomicU64::new(0),
            options,
        }))
    }

    /// Who the run is.
    pub fn identity(&self) -> &RunIdentity {
        &self.0.options.identity
    }

    /// The pipeline's name.
    pub fn pipeline(&self) -> &str {
        &self.0.options.identity.pipeline
    }

    /// When the run (this attempt) started.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// The present instant.
    pub fn now(&self) -> DateTime<Utc> {
        self.0.options.clock.now()
    }

    /// The run's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.options.clock
    }

    /// Waits on the run's clock. The chain drops a stage that waits when the run ends early.
    pub async fn sleep(&self, time: Duration) {
        let until = chrono::TimeDelta::from_std(time)
            .ok()
            .and_then(|time| self.now().checked_add_signed(time))
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.0.options.clock.sleep_until(until).await;
    }

    /// Cancelled when somebody outside wants the run to end.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.0.options.cancel
    }

    /// The folder for state files, spooled bodies and dead letters. It may not exist yet.
    pub fn state_dir(&self) -> &Path {
        &self.0.options.state_dir
    }

    /// Whether sinks only print what they would write.
    pub fn is_dry_run(&self) -> bool {
        self.0.options.dry_run
    }

    /// What must never be written down.
    pub fn redactor(&self) -> &Redactor {
        &self.0.options.redactor
    }

    /// A service that the composing program handed in.
    pub fn service<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.options.services.get()
    }

    /// Something that the stages of one run share, made by the first who asks.
    pub fn resource<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut resources = lock(&self.0.resources);
        let made = resources.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make())).clone();
        drop(resources);
        match made.downcast() {
            Ok(resource) => resource,
            Err(_) => unreachable!("resources are kept by their type"),
        }
    }

    /// Opens the state that `name` (of a stage) keeps for this pipeline.
    ///
    /// # Errors
    /// Where the store cannot be used.
    pub async fn state(&self, name: &str) -> Result<Box<dyn StageState>, StageError> {
        let scope = StateScope { pipeline: self.pipeline().to_owned(), name: name.to_owned() };
        self.0.options.state.open(scope, self).await
    }

    /// Whether a later run can read what stages write into their state now.
    pub fn keeps_state(&self) -> bool {
        !self.is_dry_run() && self.0.options.state.is_lasting()
    }

    /// Takes part in the end of the run.
    pub fn enlist(&self, participant: impl Participant + 'static) {
        lock(&self.0.participants).push(Box::new(participant));
    }

    /// Runs `cleanup` when the run is over, however it ends; the last deferred runs first.
    pub fn defer(&self, cleanup: impl Future<Output = ()> + Send + 'static) {
        lock(&self.0.cleanups).push(Box::pin(cleanup));
    }

    /// Counts of each stage, to watch while the run goes on.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.0.progress
    }

    /// Checks the cancellation and the fence: may this attempt still act outside?
    ///
    /// # Errors
    /// Where it must stop.
    pub async fn may_act(&self) -> Result<(), StageError> {
        if self.cancellation().is_cancelled() {
            return Err(StageError::fatal("the run was cancelled"));
        }
        match &self.0.options.fence {
            Some(fence) => fence.check().await,
            None => Ok(()),
        }
    }

    /// Ends the run with success at once; nothing that a sink or stage prepared becomes visible.
    pub fn finish_early(&self, note: impl Into<String>) {
        lock(&self.0.ended).note.get_or_insert_with(|| note.into());
        self.0.stop.cancel();
    }

    /// Writes a line to the run's log.
    pub fn log(&self, level: crate::item::EventLevel, message: impl Into<String>) {
        self.log_as(None, level, message.into());
    }

    fn log_as(&self, stage: Option<&(usize, Arc<str>)>, level: crate::item::EventLevel, message: String) {
        use crate::item::EventLevel;
        let message = match self.redactor().redact(&message) {
            std::borrow::Cow::Owned(redacted) => redacted,
            std::borrow::Cow::Borrowed(_) => message,
        };
        let pipeline = self.pipeline();
        let run = &self.identity().run_id;
        let stage_text = stage.map(|(number, class)| format!("{number} {class}")).unwrap_or_default();
        match level {
            EventLevel::Debug => tracing::debug!(pipeline, run, stage = stage_text, "{message}"),
            EventLevel::Info => tracing::info!(pipeline, run, stage = stage_text, "{message}"),
            EventLevel::Warning => tracing::warn!(pipeline, run, stage = stage_text, "{message}"),
            EventLevel::Error => tracing::error!(pipeline, run, stage = stage_text, "{message}"),
        }
        if level >= EventLevel::Warning {
            self.0.warnings.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(log) = &self.0.options.log {
            log.line(LogLine { at: self.now(), level, stage: stage.cloned(), message });
        }
    }

    pub(crate) fn stop_token(&self) -> &CancellationToken {
        &self.0.stop
    }

    pub(crate) fn fail(&self, error: RunError) {
        lock(&self.0.ended).error.get_or_insert(error);
        self.0.stop.cancel();
    }

    pub(crate) fn take_error(&self) -> Option<RunError> {
        lock(&self.0.ended).error.take()
    }

    pub(crate) fn note(&self) -> Option<String> {
        lock(&self.0.ended).note.clone()
    }

    pub(crate) fn take_participants(&self) -> Vec<Box<dyn Participant>> {
        std::mem::take(&mut *lock(&self.0.participants))
    }

    pub(crate) fn take_cleanups(&self) -> Vec<Cleanup> {
        std::mem::take(&mut *lock(&self.0.cleanups))
    }
}

impl std::fmt::Debug for RunContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RunContext").field(self.identity()).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Only short synchronous sections hold these locks, and none of them leaves a half-made value.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One stage of a run; cheap to clone. It dereferences to the [`RunContext`].
#[derive(Clone, Debug)]
pub struct StageContext {
    run: RunContext,
    /// The number from 1, and the class.
    stage: (usize, Arc<str>),
}

impl StageContext {
    /// The context of the stage with this number (from 1) and class; chains make these.
    pub fn new(run: RunContext, number: usize, class: impl Into<Arc<str>>) -> Self {
        Self { run, stage: (number, class.into()) }
    }

    /// The run.
    pub fn run(&self) -> &RunContext {
        &self.run
    }

    /// The stage's number in the chain, from 1.
    pub fn number(&self) -> usize {
        self.stage.0
    }

    /// The stage's class as the file names it.
    pub fn class(&self) -> &str {
        &self.stage.1
    }

    /// Writes an informative line to the run's log.
    pub fn info(&self, message: impl Into<String>) {
        self.run.log_as(Some(&self.stage), crate::item::EventLevel::Info, message.into());
    }

    /// Writes a warning to the run's log; the run's summary counts them.
    pub fn warn(&self, message: impl Into<String>) {
        self.run.log_as(Some(&self.stage), crate::item::EventLevel::Warning, message.into());
    }

    /// Writes a line that is of interest when looking for a fault.
    pub fn debug(&self, message: impl Into<String>) {
        self.run.log_as(Some(&self.stage), crate::item::EventLevel::Debug, message.into());
    }

    /// Says that the output of this stage is not the whole (an item was skipped, a limit was reached),
    /// so that no later diff takes what is absent for removed.
    pub fn mark_incomplete(&self, why: impl Into<String>) {
        lock(&self.run.0.incomplete).entry(self.stage.0).or_insert_with(|| why.into());
    }

    /// Why the input of this stage is not the whole, where an earlier stage said so.
    pub fn upstream_incomplete(&self) -> Option<String> {
        let incomplete = lock(&self.run.0.incomplete);
        incomplete.iter().filter(|(number, _)| **number < self.stage.0).map(|(_, why)| why.clone()).next()
    }

    /// A name for this stage's state or spooled files that stays the same while other stages come and go
    /// is the author's to choose; this one is unique in the chain: `3-diff.DiffParser`.
    pub fn label(&self) -> String {
        format!("{}-{}", self.stage.0, self.stage.1)
    }
}

impl std::ops::Deref for StageContext {
    type Target = RunContext;
    fn deref(&self) -> &RunContext {
        &self.run
    }
}

/// Counts of the stages of a run, readable at any time.
#[derive(Debug, Default)]
pub struct Progress {
    stages: std::sync::OnceLock<Vec<StageProgress>>,
}

impl Progress {
    pub(crate) fn set(&self, classes: impl IntoIterator<Item = Arc<str>>) {
        // A context runs one chain; a second one would only share its counts.
        self.stages.get_or_init(|| classes.into_iter().map(StageProgress::new).collect());
    }

    /// The stages in order; empty before the chain has been connected.
    pub fn stages(&self) -> &[StageProgress] {
        self.stages.get().map_or(&[], Vec::as_slice)
    }
}

/// Counts of one stage.
#[derive(Debug)]
pub struct StageProgress {
    /// The class.
    pub class: Arc<str>,
    pub(crate) items_in: AtomicU64,
    pub(crate) items_out: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) busy_nanos: AtomicU64,
}

impl StageProgress {
    fn new(class: Arc<str>) -> Self {
        Self {
            class,
            items_in: AtomicU64::new(0),
            items_out: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
        }
    }

    /// Items that the stage took.
    pub fn items_in(&self) -> u64 {
        self.items_in.load(Ordering::Relaxed)
    }

    /// Items that the stage gave.
    pub fn items_out(&self) -> u64 {
        self.items_out.load(Ordering::Relaxed)
    }

    /// Items that failed in the stage.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Time that the stage itself computed, without its input and without waiting.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.load(Ordering::Relaxed))
    }

    /// Adds time that was spent for the stage on another thread.
    pub fn add_busy(&self, time: Duration) {
        self.busy_nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl StageContext {
    /// The counts of this stage, where it runs in a chain.
    pub fn stage_progress(&self) -> Option<&StageProgress> {
        self.run.progress().stages().get(self.stage.0.checked_sub(1)?)
    }
}
