//! What the engine is made from, by the environment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::{RunEnvironment, StageStates};
use jobstore::{JobStore, StoreKind};

use crate::failure::Failure;
use crate::settings::{Settings, keep_runs};

/// The most runs at a time that make sense in one process.
const MOST_RUNS: usize = 100_000;

/// The engine's limits and times.
///
/// # Errors
/// A variable has a wrong value; it is named.
pub(crate) fn engine_settings(settings: &Settings) -> Result<engine::Settings, Failure> {
    let defaults = engine::Settings::default();
    let keep = settings.variable("SCHEDULER_KEEP_RUNS").unwrap_or("90d,1000");
    let (keep_age, keep_runs) =
        keep_runs(keep).map_err(|error| Failure::usage(format!("SCHEDULER_KEEP_RUNS: {error}")))?;
    let second = Duration::from_secs(1);
    Ok(engine::Settings {
        max_concurrent_runs: settings.number(
            "SCHEDULER_MAX_CONCURRENT_RUNS",
            defaults.max_concurrent_runs,
            MOST_RUNS,
        )?,
        lease: settings.duration("SCHEDULER_LEASE", defaults.lease, second)?,
        shutdown_grace: settings.duration(
            "SCHEDULER_SHUTDOWN_GRACE",
            defaults.shutdown_grace,
            Duration::ZERO,
        )?,
        keep_age,
        keep_runs,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..defaults
    })
}

/// What the runs get. With PostgreSQL, what stages keep lives in the store, so that every replica sees it.
pub(crate) fn run_environment(settings: &Settings, store: &Arc<dyn JobStore>) -> RunEnvironment {
    let state = match store.kind() {
        StoreKind::Postgres => StageStates::JobStore,
        StoreKind::Memory | StoreKind::SqliteFile => {
            StageStates::Other(Arc::new(transforms::SqliteStateStore::new(&settings.state_dir)))
        }
    };
    RunEnvironment {
        state,
        state_dir: settings.state_dir.clone(),
        services: settings.setup.services.clone(),
        redactor: settings.setup.redactor.clone(),
    }
}

/// Where to listen for HTTP, where that is wanted.
///
/// # Errors
/// It is no address.
pub(crate) fn http_addr(settings: &Settings) -> Result<Option<SocketAddr>, Failure> {
    let Some(text) = settings.variable("SCHEDULER_HTTP_ADDR") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        Failure::usage(format!("SCHEDULER_HTTP_ADDR: `{text}` is not an address such as 127.0.0.1:9464"))
    })
}
