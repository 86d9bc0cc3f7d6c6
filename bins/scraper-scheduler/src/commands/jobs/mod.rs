//! `jobs list|show|add|remove|pause|resume|run`

mod add;
mod change;
mod list;
mod run;
mod view;

use crate::failure::Failure;
use crate::settings::Settings;

pub(crate) use view::table;

/// What to do with jobs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Lists the jobs with their next fires
    List(list::ListArgs),
    /// Shows one job
    Show(list::ShowArgs),
    /// Adds a job to a pipeline, or replaces the one with the same id
    Add(add::Args),
    /// Removes a job; one of the file stays removed until its schedule changes
    Remove(change::Args),
    /// Pauses a job
    Pause(change::Args),
    /// Ends a job's pause, or brings a removed job back
    Resume(change::Args),
    /// Runs a job or a pipeline now, and prints the run's id
    Run(run::Args),
}

pub(crate) async fn run(command: &Command, settings: &Settings) -> Result<(), Failure> {
    match command {
        Command::List(args) => list::list(args, settings).await,
        Command::Show(args) => list::show(args, settings).await,
        Command::Add(args) => add::run(args, settings).await,
        Command::Remove(args) => change::run(change::Verb::Remove, args, settings).await,
        Command::Pause(args) => change::run(change::Verb::Pause, args, settings).await,
        Command::Resume(args) => change::run(change::Verb::Resume, args, settings).await,
        Command::Run(args) => run::run(args, settings).await,
    }
}
