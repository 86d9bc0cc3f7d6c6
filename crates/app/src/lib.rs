//! What the two binaries share: settings, logging, loading a file, running its pipelines once, fixtures, notices.
//!
//! This crate is part of the binaries in all but name: it reads the environment, prints and handles signals,
//! which the libraries below it never do.

mod discord;
mod environment;
mod exit;
pub mod fixture;
pub mod legacy;
mod lint;
pub mod logging;
pub mod notify;
pub mod oneshot;
mod pipelines;
pub mod reference;
mod setup;
mod signals;
mod terminal;
mod tls;

pub use discord::DiscordSettings;
pub use environment::{Environment, EnvironmentError};
pub use exit::Exit;
pub use pipelines::{ScheduleChecker, default_zone, load, load_with, registry, schedule_of, schema};
pub use setup::Setup;
pub use signals::{Signal, Signals};
pub use terminal::Terminal;
pub use tls::{install_tls, tls_client};
