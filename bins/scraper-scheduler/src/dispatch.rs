//! From the arguments to the exit code.

use std::process::ExitCode;
use std::time::Duration;

use app::{Exit, Setup};
use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Command};
use crate::commands::{
    completions, explain, health, jobs, next, outbox, record, run, runs, schema, simulate, test, transforms,
    validate,
};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// Threads that a stage may block without holding up the scheduler's own loop.
const LEAST_WORKERS: usize = 4;

/// Runs the program.
pub(crate) fn main(cli: &Cli) -> ExitCode {
    let setup = match Setup::new() {
        Ok(setup) => setup,
        Err(error) => {
            output::say(format!("error: {error}"));
            return Exit::Usage.into();
        }
    };
    let terminal = setup.terminal.clone();
    let result = match &cli.command {
        // These need no settings: they work whatever the environment says.
        Some(Command::Completions(args)) => completions::run(args),
        Some(Command::Transforms(args)) => transforms::run(args, &setup),
        Some(Command::Schema(args)) => schema::run(args, &setup),
        _ => with_settings(cli, setup),
    };
    match result {
        Ok(()) => Exit::Success.into(),
        Err(failure) => {
            if let Some(message) = failure.message() {
                terminal.say(&format!("error: {message}"));
            }
            failure.exit_code()
        }
    }
}

fn with_settings(cli: &Cli, setup: Setup) -> Result<(), Failure> {
    let rust_log = setup.environment.setting("RUST_LOG").map(str::to_owned);
    let serves = matches!(cli.command, None | Some(Command::Run(_)));
    // A command that answers a question does not talk about how it came to know.
    let quiet = (!serves && rust_log.is_none()).then(|| "warn".to_owned());
    let log = app::logging::LogArgs {
        log_level: cli.globals.log.log_level.clone().or(quiet),
        ..cli.globals.log.clone()
    };
    app::logging::init(&log, rust_log.as_deref(), &setup.terminal).map_err(Failure::usage)?;
    let settings = Settings::new(&cli.globals, setup)?;
    match &cli.command {
        None => service(run::run(&run::Args::default(), &settings)),
        Some(Command::Run(args)) => service(run::run(args, &settings)),
        Some(Command::Validate(args)) => validate::run(args, &settings),
        Some(Command::Explain(args)) => explain::run(args, &settings),
        Some(Command::Simulate(args)) => client(simulate::run(args, &settings)),
        Some(Command::Next(args)) => client(next::run(args, &settings)),
        Some(Command::Jobs(command)) => client(jobs::run(command, &settings)),
        Some(Command::Runs(command)) => client(runs::run(command, &settings)),
        Some(Command::Outbox(command)) => client(outbox::run(command, &settings)),
        Some(Command::Health(args)) => client(health::run(args, &settings)),
        Some(Command::Record(args)) => service(record::run(args, &settings)),
        Some(Command::Test(args)) => service(test::run(args, &settings)),
        Some(Command::Completions(args)) => completions::run(args),
        Some(Command::Transforms(args)) => transforms::run(args, &settings.setup),
        Some(Command::Schema(args)) => schema::run(args, &settings.setup),
    }
}

/// Runs something that takes a moment.
fn client(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on(Builder::new_current_thread().enable_all().build()?, command)
}

/// Runs the service.
fn service(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let runtime =
        Builder::new_multi_thread().worker_threads(cores.max(LEAST_WORKERS)).enable_all().build()?;
    block_on(runtime, command)
}

fn block_on(runtime: Runtime, command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let result = runtime.block_on(command);
    // What still blocks a thread must not hold the exit up.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}
