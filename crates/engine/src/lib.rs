//! The scheduler's engine: the only place that knows *when* and *what*.
//!
//! It reconciles a file's pipelines with the jobs of a store, claims runs, runs their chains, retries, times out,
//! cancels, renews leases, rescues the runs of dead processes, and shuts down in order. It knows no database, no
//! network and no signals: a [`jobstore::JobStore`], a [`pipeline_core::Clock`] and a [`Shutdown`] come from outside.
//!
//! - [`Engine`] is made from [`Deps`] and runs until its [`Shutdown`] says so.
//! - [`Handle`] controls it and watches it: [`EngineEvent`]s tell each decision.
//! - [`Control`] does the same work on a store whose engine runs elsewhere.
//!
//! One event loop owns the scheduling state. Decisions (what becomes of the file's jobs, of late fires, of an attempt
//! that has ended) are pure functions beside it.

mod attempt;
mod control;
mod engine;
mod error;
mod event;
mod follow;
mod from_config;
mod handle;
mod lease;
mod logs;
pub mod metrics;
mod pipeline;
mod planner;
mod process;
mod reconcile;
mod runner;
mod settle;
mod shared;
mod spec;
mod state;
mod supervisor;

pub use control::{
    ALIVE, Cancelling, Control, JobAdded, JobChanged, JobQuery, JobView, NewJob, Queued, RunView,
};
pub use engine::{Deps, Engine, RunEnvironment, Settings, Shutdown, StageStates, Stopped, run};
pub use error::{ControlError, EngineError};
pub use event::{EngineEvent, EventKind, RunRef};
pub use handle::{Events, Handle, LiveAttempt, Observed, Reloaded, Stage, Status};
pub use pipeline::{BuildChain, Pipeline, Pipelines, config_job_id, runtime_job_id};
