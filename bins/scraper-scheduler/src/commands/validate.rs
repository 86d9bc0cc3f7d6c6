//! `validate`

use crate::failure::Failure;
use crate::output;
use crate::pipelines;
use crate::settings::Settings;

/// How to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let loaded = pipelines::load(settings)?;
    for warning in &loaded.file.warnings {
        settings.setup.terminal.say(&format!("warning: {warning}"));
    }
    if args.strict && !loaded.file.warnings.is_empty() {
        return Err(Failure::Silent(2));
    }
    let count = loaded.file.pipelines.len();
    let scheduled = loaded.file.pipelines.iter().filter(|pipeline| pipeline.schedule.is_some()).count();
    let noun = if count == 1 { "pipeline" } else { "pipelines" };
    output::line(format!("{}: {count} {noun}, {scheduled} with a schedule, all right", loaded.file.name))
}
