//! `record FILE PIPELINE`: keeps what the fetchers of a pipeline get, for tests.

use std::path::{Path, PathBuf};

use pipeline_core::dead_letter::file_name;

use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// What to record.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file of pipelines
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The pipeline
    pipeline: String,
    /// The folder of the fixture [default: fixtures/PIPELINE beside the file]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let setup = &settings.setup;
    let file = app::load(&args.file, setup, settings.timezone).map_err(|error| {
        error.problems.iter().for_each(|problem| setup.terminal.say(&problem.to_string()));
        Failure::Silent(2)
    })?;
    let Some(pipeline) = file.get(&args.pipeline) else {
        let meant = file.suggest(&args.pipeline).map(|name| format!(", did you mean `{name}`?"));
        let meant = meant.unwrap_or_default();
        return Err(Failure::usage(format!(
            "{}: there is no pipeline `{}`{meant}",
            file.name, args.pipeline
        )));
    };
    let beside = args.file.parent().unwrap_or(Path::new(""));
    let folder = args.into.clone().unwrap_or_else(|| beside.join("fixtures").join(file_name(&pipeline.name)));
    let (clock, redactor) = (setup.clock.clone(), setup.redactor.clone());
    let report = app::fixture::record(pipeline, &setup.registry, &folder, clock, redactor)
        .await
        .map_err(Failure::Failed)?;
    let items = report.stages.last().map_or(0, |stage| stage.items_out);
    output::line(format!("{}: recorded {}, {items} items came out", folder.display(), pipeline.name))
}
