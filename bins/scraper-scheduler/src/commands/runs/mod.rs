//! `runs list|show|cancel`

mod list;
mod show;
mod view;

use engine::{Cancelling, Control, Pipelines};
use jobstore::RunId;

use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;
use crate::store;

/// What to do with runs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Lists runs, newest first
    List(list::Args),
    /// Shows one run with its attempts, its stages and its log
    Show(show::Args),
    /// Cancels a run that waits or runs
    Cancel(CancelArgs),
}

/// Which run to cancel.
#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    /// The run's id
    #[arg(value_name = "RUN")]
    id: String,
}

pub(crate) async fn run(command: &Command, settings: &Settings) -> Result<(), Failure> {
    match command {
        Command::List(args) => list::run(args, settings).await,
        Command::Show(args) => show::run(args, settings).await,
        Command::Cancel(args) => cancel(args, settings).await,
    }
}

async fn cancel(args: &CancelArgs, settings: &Settings) -> Result<(), Failure> {
    let id = run_id(&args.id)?;
    let store = store::edit(settings).await?;
    let control = Control::new(store, settings.clock().clone(), Pipelines::default());
    let by = Some(settings.requested_by());
    match control.cancel_run(id, by).await? {
        Cancelling::Done => output::line(format!("cancelled run {id}")),
        Cancelling::Requested => output::line(format!("run {id} was told to stop")),
    }
}

fn run_id(text: &str) -> Result<RunId, Failure> {
    text.parse().map_err(Failure::usage)
}
