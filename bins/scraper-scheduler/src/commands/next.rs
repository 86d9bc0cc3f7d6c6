//! `next`

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use engine::{Control, ControlError, JobView};
use jobstore::JobState;
use schedule::{Cron, Schedule};

use crate::failure::Failure;
use crate::output;
use crate::pipelines::{self, LoadedFile};
use crate::settings::Settings;
use crate::store;

/// More fires than this are not shown.
const MOST: usize = 10_000;

/// Whose next fires to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pipelines, or ids of jobs [default: all pipelines with a schedule]
    #[arg(value_name = "PIPELINE", conflicts_with_all = ["cron", "interval"])]
    names: Vec<String>,
    /// Of this cron expression; neither file nor store is read
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "interval", allow_hyphen_values = true)]
    cron: Option<String>,
    /// Of this period, counted from --from; neither file nor store is read
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// After this time (exclusive); without an offset it is local time in the zone [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 5)]
    count: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A trigger and what is known of it.
struct Shown {
    name: String,
    fires: Vec<String>,
    /// Why it does not fire.
    note: Option<String>,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    if args.count > MOST {
        return Err(Failure::usage(format!("--count: at most {MOST}")));
    }
    let from = match &args.from {
        Some(text) => schedule::instant::parse(text, settings.timezone)
            .map_err(|error| Failure::usage(format!("--from: {error}")))?,
        None => settings.clock().now(),
    };
    let shown = match (&args.cron, &args.interval) {
        (Some(cron), _) => {
            let cron = Cron::parse(cron).map_err(|error| Failure::usage(format!("--cron: {error}")))?;
            vec![given(
                cron.as_str().to_owned(),
                &Schedule::cron(cron.clone(), settings.timezone),
                from,
                args.count,
            )]
        }
        (_, Some(period)) => {
            let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("--interval: {error}"));
            let period: Duration = schedule::duration::parse(period).map_err(|error| wrong(&error))?;
            let schedule = Schedule::interval(period, settings.timezone).map_err(|error| wrong(&error))?;
            let name = schedule.trigger().to_string();
            vec![given(name, &schedule.with_anchor(from), from, args.count)]
        }
        (None, None) => of_file(args, settings, from).await?,
    };
    if args.json {
        return match shown.as_slice() {
            [one] => output::json(&one.fires),
            several => {
                let by_name: BTreeMap<&str, &Vec<String>> =
                    several.iter().map(|shown| (shown.name.as_str(), &shown.fires)).collect();
                output::json(&by_name)
            }
        };
    }
    let titled = shown.len() > 1;
    for shown in &shown {
        if titled {
            output::line(format!("{}:", shown.name))?;
        }
        let indent = if titled { "  " } else { "" };
        for fire in &shown.fires {
            output::line(format!("{indent}{fire}"))?;
        }
        match &shown.note {
            Some(note) => output::say(format!("{indent}{}: {note}", shown.name)),
            None if shown.fires.is_empty() => output::say(format!("{indent}{}: no further fire", shown.name)),
            None => {}
        }
    }
    Ok(())
}

fn given(name: String, schedule: &Schedule, from: DateTime<Utc>, count: usize) -> Shown {
    Shown { name, fires: fires(schedule, from, count), note: None }
}

fn fires(schedule: &Schedule, from: DateTime<Utc>, count: usize) -> Vec<String> {
    schedule.fires(from).take(count).map(|at| schedule::instant::format(at, schedule.zone())).collect()
}

/// The fires of pipelines of the file, as the store knows them, or as they would be if a scheduler started now.
async fn of_file(args: &Args, settings: &Settings, from: DateTime<Utc>) -> Result<Vec<Shown>, Failure> {
    let file = pipelines::load(settings)?;
    let control = match store::query(settings).await {
        Ok(store) => Some(Control::new(store, settings.clock().clone(), file.pipelines.clone())),
        // The file is enough where there is no store (yet), or none that can be reached.
        Err(failure) => {
            if settings.variable("SCHEDULER_DB_URL").is_some()
                && let Some(message) = failure.message()
            {
                output::say(format!("note: {message}"));
            }
            None
        }
    };
    let names: Vec<String> = if args.names.is_empty() {
        file.file.pipelines.iter().filter(|p| p.schedule.is_some()).map(|p| p.name.clone()).collect()
    } else {
        args.names.clone()
    };
    let mut shown = Vec::with_capacity(names.len());
    for name in names {
        shown.push(one(&name, &file, control.as_ref(), from, args.count).await?);
    }
    Ok(shown)
}

async fn one(
    name: &str,
    file: &LoadedFile,
    control: Option<&Control>,
    from: DateTime<Utc>,
    count: usize,
) -> Result<Shown, Failure> {
    let pipeline = file.pipelines.get(name);
    let id = match pipeline {
        Some(pipeline) => pipeline.job_id().to_string(),
        None => name.to_owned(),
    };
    let stored = match control {
        Some(control) => match control.job(&id).await {
            Ok(job) => Some(job),
            Err(ControlError::UnknownJob { .. }) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let Some(pipeline) = pipeline else {
        // It may be the id of a job that was added at run time.
        return match stored {
            Some(job) => Ok(of_job(name, &job, None, from, count)),
            None => {
                let suggestion = file.pipelines.suggest(name).map(str::to_owned);
                Err(ControlError::UnknownPipeline { name: name.to_owned(), suggestion }.into())
            }
        };
    };
    let name = name.to_owned();
    let Some(schedule) = &pipeline.schedule else {
        let note = if pipeline.after.is_empty() {
            "it has no schedule: it runs once at each start of the scheduler".to_owned()
        } else {
            format!("it has no schedule: it runs after {}", pipeline.after.join(", "))
        };
        return Ok(Shown { name, fires: Vec::new(), note: Some(note) });
    };
    if !pipeline.enabled {
        return Ok(Shown { name, fires: Vec::new(), note: Some("it is not enabled".to_owned()) });
    }
    match stored {
        Some(job) => Ok(of_job(&name, &job, Some(schedule), from, count)),
        // As a scheduler that starts now would register it.
        None => Ok(given(name, &schedule.clone().with_anchor(from), from, count)),
    }
}

/// The fires of a stored job. Where the file has another schedule by now, that one counts, as after a reload.
fn of_job(name: &str, job: &JobView, file: Option<&Schedule>, from: DateTime<Utc>, count: usize) -> Shown {
    let note = match job.state {
        JobState::Scheduled | JobState::Orphaned | JobState::Disabled | JobState::Finished => None,
        state => Some(format!("it is {state}")),
    };
    let stored = job.schedule();
    let schedule = match (file, stored) {
        (Some(file), Ok(stored)) if stored.same_fires(file) => stored,
        (Some(file), _) => file.clone().with_anchor(from),
        (None, Ok(stored)) => stored,
        (None, Err(error)) => {
            return Shown { name: name.to_owned(), fires: Vec::new(), note: Some(error) };
        }
    };
    let fires = if note.is_some() { Vec::new() } else { fires(&schedule, from, count) };
    Shown { name: name.to_owned(), fires, note }
}
