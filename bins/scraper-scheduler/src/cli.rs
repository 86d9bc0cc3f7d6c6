//! The command line.

use std::path::PathBuf;

use app::logging::LogArgs;
use clap::{Args, Parser, Subcommand};

use crate::commands::{
    completions, explain, health, jobs, next, outbox, record, run, runs, schema, simulate, test, transforms,
    validate,
};

/// Schedules scraping pipelines: no fire lost, none doubled, nothing silent.
///
/// Without a command it runs the service.
#[derive(Debug, Parser)]
#[command(name = "scraper-scheduler", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// The file of pipelines [env: PIPELINES_CONFIG] [default: pipelines.yml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The job store: sqlite://FILE or postgres://… [env: SCHEDULER_DB_URL] [default: sqlite://scheduler_jobs.db]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// The time zone of schedules that name none [env: SCHEDULER_TIMEZONE] [default: Europe/Stockholm]
    #[arg(long, global = true, value_name = "ZONE")]
    pub(crate) timezone: Option<String>,
    /// Where stages keep state between runs [env: SCRAPER_STATE_DIR] [default: .scraper]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How to log.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the service (the default)
    Run(run::Args),
    /// Checks the file and reports every problem at once
    Validate(validate::Args),
    /// Shows the next fires of pipelines, or of a trigger that is given here
    Next(next::Args),
    /// Explains a cron expression in English, with its next fires and what may surprise
    Explain(explain::Args),
    /// Looks at jobs and changes them, also while a scheduler is running
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Looks at runs and cancels them
    #[command(subcommand)]
    Runs(runs::Command),
    /// Looks at the messages that wait to be sent
    #[command(subcommand)]
    Outbox(outbox::Command),
    /// Tells whether a scheduler is running on the store and on time
    Health(health::Args),
    /// Lives through a span of time in a moment, and tells what would fire
    Simulate(simulate::Args),
    /// Keeps what the fetchers of a pipeline get as a fixture, without secrets, for tests
    Record(record::Args),
    /// Tests pipelines on their fixtures, without the network
    Test(test::Args),
    /// Lists the known classes of stages, or explains one
    Transforms(transforms::Args),
    /// Prints the JSON Schema of the file, for editors
    Schema(schema::Args),
    /// Prints completions for a shell
    Completions(completions::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
