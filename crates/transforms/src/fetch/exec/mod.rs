//! Stages that are commands of the machine: `exec.CommandFetcher` and `exec.CommandTransform`.
//!
//! A command runs in a process group of its own. Whatever ends the run (success, failure, a timeout, a
//! person, the death of this process), the whole group ends with it; see [`process`].

mod fetcher;
mod lines;
mod process;
mod protocol;
#[cfg(test)]
mod tests;
mod transform;
mod watchdog;

pub(crate) use fetcher::CommandFetcher;
pub use process::CommandEnvironment;
pub(crate) use transform::CommandTransform;
