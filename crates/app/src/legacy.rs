//! The whole of `scraper-legacy`, which `SCHEDULER_MODE=legacy` of the scheduler is too.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use pipeline_core::Registry;
use pipeline_core::config::{ConfigError, PipelinesFile};
use schedule::Zone;

use crate::exit::Exit;
use crate::logging::{self, LogArgs, LogFormat};
use crate::oneshot::{self, OneShot, SummaryFormat};
use crate::setup::Setup;
use crate::signals::Signals;
use crate::terminal::Terminal;

/// Pipelines at a time, where nobody says otherwise.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// Runs the pipelines of a file once, side by side, and exits
#[derive(Debug, clap::Parser)]
#[command(name = "scraper-legacy", version, max_term_width = 100)]
pub struct LegacyArgs {
    /// The file of pipelines [default: $PIPELINES_CONFIG, else pipelines.yml]
    pub config: Option<PathBuf>,

    /// The pipelines to run [default: all that are enabled]
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,

    /// Show names, stages and schedules; run nothing
    #[arg(long, conflicts_with_all = ["check", "dry_run"])]
    pub list: bool,

    /// Check everything that a run would need; run nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,

    /// Fetch and parse for real, but let sinks print what they would write; keep no state
    #[arg(long)]
    pub dry_run: bool,

    /// Pipelines at a time
    #[arg(long, value_name = "N", default_value_t = CONCURRENCY)]
    pub concurrency: NonZeroUsize,

    /// Where stages keep state between runs [default: $SCRAPER_STATE_DIR, else .scraper]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// How to say what each pipeline did
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub summary: SummaryFormat,

    /// How to log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What to do with a file.
#[derive(Debug, Clone)]
pub struct LegacyRequest {
    /// The file.
    pub config: PathBuf,
    /// The pipelines; all that are enabled where none is named.
    pub pipelines: Vec<String>,
    /// What to do.
    pub action: Action,
    /// Pipelines at a time.
    pub concurrency: NonZeroUsize,
    /// Where stages keep state between runs.
    pub state_dir: PathBuf,
    /// How to say what each pipeline did.
    pub summary: SummaryFormat,
    /// Whether progress lines may be shown.
    pub progress: bool,
}

/// What to do with the pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Run them.
    Run {
        /// Sinks only print; nothing is kept.
        dry_run: bool,
    },
    /// Show them.
    List,
    /// Check them.
    Check,
}

impl LegacyRequest {
    /// All enabled pipelines of the file that the environment names, with the defaults of everything else.
    pub fn from_environment(setup: &Setup) -> Self {
        let setting =
            |name: &str, default: &str| PathBuf::from(setup.environment.setting(name).unwrap_or(default));
        Self {
            config: setting("PIPELINES_CONFIG", "pipelines.yml"),
            pipelines: Vec::new(),
            action: Action::Run { dry_run: false },
            concurrency: CONCURRENCY,
            state_dir: setting("SCRAPER_STATE_DIR", ".scraper"),
            summary: SummaryFormat::default(),
            progress: true,
        }
    }

    fn new(args: LegacyArgs, setup: &Setup) -> Self {
        let from_environment = Self::from_environment(setup);
        let action = match (args.list, args.check) {
            (true, _) => Action::List,
            (_, true) => Action::Check,
            _ => Action::Run { dry_run: args.dry_run },
        };
        Self {
            config: args.config.unwrap_or(from_environment.config),
            pipelines: args.pipelines,
            action,
            concurrency: args.concurrency,
            state_dir: args.state_dir.unwrap_or(from_environment.state_dir),
            summary: args.summary,
            progress: args.log.log_format == LogFormat::Text,
        }
    }
}

/// The program: everything between the arguments and the exit code.
pub fn main(args: LegacyArgs) -> ExitCode {
    main_with(args, |_| {})
}

/// The program with further classes, which `more` registers; one of a name that is known takes its place.
pub fn main_with(args: LegacyArgs, more: impl FnOnce(&mut Registry)) -> ExitCode {
    let mut setup = match Setup::new() {
        Ok(setup) => setup,
        Err(error) => {
            return refuse(&Terminal::new(pipeline_core::Redactor::new()), &error.to_string()).into();
        }
    };
    more(&mut setup.registry);
    let rust_log = setup.environment.setting("RUST_LOG").map(str::to_owned);
    if let Err(error) = logging::init(&args.log, rust_log.as_deref(), &setup.terminal) {
        return refuse(&setup.terminal, &error).into();
    }
    let request = LegacyRequest::new(args, &setup);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            setup.terminal.say(&format!("error: the runtime cannot be started: {error}"));
            return Exit::Failure.into();
        }
    };
    let exit = runtime.block_on(perform(&request, &setup));
    // What still blocks a thread (a parser that nobody reads any more) must not hold the exit up.
    runtime.shutdown_background();
    exit.into()
}

fn refuse(terminal: &Terminal, error: &str) -> Exit {
    terminal.say(&format!("error: {error}"));
    Exit::Usage
}

/// Does what is asked for. Signals are handled while pipelines run.
pub async fn perform(request: &LegacyRequest, setup: &Setup) -> Exit {
    let terminal = &setup.terminal;
    let zone = match crate::default_zone(&setup.environment) {
        Ok(zone) => zone,
        Err(error) => return refuse(terminal, &error),
    };
    if let Err(error) = crate::DiscordSettings::read(&setup.environment) {
        return refuse(terminal, &error);
    }
    let file = match crate::load(&request.config, setup, zone) {
        Ok(file) => file,
        Err(error) => return refuse_file(terminal, &error),
    };
    let selected = match oneshot::select(&file, &request.pipelines) {
        Ok(selected) => selected,
        Err(unknown) => {
            unknown.iter().for_each(|message| terminal.say(&format!("error: {message}")));
            return Exit::Usage;
        }
    };
    match request.action {
        Action::List => list(&file, &request.pipelines, zone, terminal),
        Action::Check => check(&file, terminal),
        Action::Run { dry_run } => {
            for warning in &file.warnings {
                tracing::warn!("{warning}");
            }
            let run = OneShot {
                file: &file,
                selected,
                setup,
                concurrency: request.concurrency,
                state_dir: request.state_dir.clone(),
                dry_run,
                progress: request.progress,
            };
            match Signals::install() {
                Ok(signals) => run.until_signal(signals, request.summary).await,
                Err(error) => {
                    terminal.say(&format!("error: signals cannot be handled: {error}"));
                    Exit::Failure
                }
            }
        }
    }
}

fn refuse_file(terminal: &Terminal, error: &ConfigError) -> Exit {
    for problem in &error.problems {
        terminal.say(&problem.to_string());
    }
    Exit::Usage
}

fn check(file: &PipelinesFile, terminal: &Terminal) -> Exit {
    for warning in &file.warnings {
        terminal.say(&format!("warning: {warning}"));
    }
    let count = file.pipelines.len();
    let pipelines = if count == 1 { "pipeline" } else { "pipelines" };
    printed(terminal.print(&format!("{}: {count} {pipelines}, all right", file.name)))
}

fn list(file: &PipelinesFile, names: &[String], zone: Zone, terminal: &Terminal) -> Exit {
    let shown = file.pipelines.iter().filter(|pipeline| names.is_empty() || names.contains(&pipeline.name));
    let rows: Vec<[String; 3]> = shown.map(|pipeline| oneshot::list_row(pipeline, zone)).collect();
    for line in oneshot::align(&rows) {
        if let Err(error) = terminal.print(&line) {
            return printed(Err(error));
        }
    }
    Exit::Success
}

/// A reader that has read enough (`| head -1`) is no failure.
fn printed(result: std::io::Result<()>) -> Exit {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Failure,
        _ => Exit::Success,
    }
}
