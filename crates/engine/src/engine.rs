//! What an engine is made from, and how it is started and stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jobstore::{JobStore, Owner};
use pipeline_core::{Clock, Redactor, Services, StateStore, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::error::EngineError;
use crate::handle::Handle;
use crate::pipeline::Pipelines;
use crate::runner;
use crate::shared::{Command, Shared};

/// Everything that an engine needs from outside.
pub struct Deps {
    /// Where jobs and runs are kept.
    pub store: Arc<dyn JobStore>,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// What runs.
    pub pipelines: Pipelines,
    /// Limits and times.
    pub settings: Settings,
    /// What the runs get.
    pub environment: RunEnvironment,
    /// The name under which it claims runs: never used again once this engine has ended.
    pub owner: Owner,
}

impl Deps {
    /// An engine on the system's clock with the default settings.
    pub fn new(store: Arc<dyn JobStore>, pipelines: Pipelines) -> Self {
        Self {
            store,
            clock: Arc::new(SystemClock),
            pipelines,
            settings: Settings::default(),
            environment: RunEnvironment::default(),
            owner: Owner::generate(SystemClock.now()),
        }
    }
}

/// Limits and times of an engine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many runs this process makes at a time.
    pub max_concurrent_runs: usize,
    /// How long a claim is good without being renewed; renewed every third of it. At least a second.
    pub lease: Duration,
    /// The process makes itself heard at least this often, whatever the length of its leases.
    pub longest_silence: Duration,
    /// How long running chains may go on after a stop was asked for.
    pub shutdown_grace: Duration,
    /// Finished runs older than this are deleted.
    pub keep_age: Option<Duration>,
    /// So many finished runs of each job are kept.
    pub keep_runs: Option<u32>,
    /// The version of the program, as the store shows it.
    pub version: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_concurrent_runs: 16,
            lease: Duration::from_secs(30),
            longest_silence: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(30),
            keep_age: Some(Duration::from_secs(90 * 86_400)),
            keep_runs: Some(1_000),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What the runs get from the composing program.
#[derive(Clone)]
pub struct RunEnvironment {
    /// Where stages keep state between runs.
    pub state: StageStates,
    /// The folder for state files, spooled bodies and dead letters.
    pub state_dir: PathBuf,
    /// Services for stages.
    pub services: Services,
    /// What must never be written down.
    pub redactor: Redactor,
}

impl Default for RunEnvironment {
    fn default() -> Self {
        Self {
            state: StageStates::None,
            state_dir: PathBuf::from(".scraper"),
            services: Services::default(),
            redactor: Redactor::new(),
        }
    }
}

/// Where stages keep state between runs.
#[derive(Clone)]
pub enum StageStates {
    /// Nowhere.
    None,
    /// In the job store, so that every scheduler on it sees the same.
    JobStore,
    /// Elsewhere, such as in files.
    Other(Arc<dyn StateStore>),
}

/// How an engine is told to stop. Both tokens may be cancelled at any time, in any order.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Nothing new is started; running chains may go on for [`Settings::shutdown_grace`].
    pub drain: CancellationToken,
    /// Running chains are cut off at once.
    pub cut_off: CancellationToken,
}

/// How an engine has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// As asked: the chains have ended, or were cut off after their grace.
    Drained,
    /// The chains were cut off at once.
    CutOff,
}

/// An engine that is ready to run.
pub struct Engine {
    shared: Arc<Shared>,
    commands: tokio::sync::mpsc::Receiver<Command>,
    deps: Deps,
}

impl Engine {
    /// Makes an engine. It does nothing yet.
    pub fn new(deps: Deps) -> Self {
        let (shared, commands) = Shared::new(&deps);
        Self { shared, commands, deps }
    }

    /// Controls and watches the engine, also before it runs and after it has stopped.
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    /// The name under which this engine claims runs.
    pub fn owner(&self) -> &Owner {
        &self.deps.owner
    }

    /// Runs until `shutdown` asks it to stop.
    ///
    /// # Errors
    /// Where the store cannot be used: at the start for whatever reason, later only where waiting does not help.
    pub async fn run(self, shutdown: Shutdown) -> Result<Stopped, EngineError> {
        runner::run(self.shared, self.commands, self.deps, shutdown).await
    }
}

/// Makes an engine and runs it until `shutdown` asks it to stop. See [`Engine`] for the parts.
///
/// # Errors
/// As [`Engine::run`].
pub async fn run(deps: Deps, shutdown: Shutdown) -> Result<Stopped, EngineError> {
    Engine::new(deps).run(shutdown).await
}
