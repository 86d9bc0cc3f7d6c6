//! `jobs list` and `jobs show`

use engine::{Control, JobQuery};

use super::view::{JobJson, in_zone, table};
use crate::failure::Failure;
use crate::output;
use crate::pipelines;
use crate::settings::Settings;
use crate::store;

/// Which jobs to list.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Removed jobs too
    #[arg(long)]
    all: bool,
    /// Of this pipeline only
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which job to show.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

async fn control(settings: &Settings) -> Result<Control, Failure> {
    let store = store::query(settings).await?;
    // Only for telling which jobs have no home: a file that is broken just now must not hide the jobs.
    let pipelines = pipelines::load(settings).map(|file| file.pipelines).unwrap_or_default();
    Ok(Control::new(store, settings.clock().clone(), pipelines))
}

pub(crate) async fn list(args: &ListArgs, settings: &Settings) -> Result<(), Failure> {
    let control = control(settings).await?;
    let query = JobQuery { all: args.all, pipeline: args.pipeline.clone(), ..JobQuery::default() };
    let jobs = control.jobs(query).await?;
    if args.json {
        let jobs: Vec<JobJson> = jobs.iter().map(JobJson::new).collect();
        return output::json(&jobs);
    }
    let table = table(&jobs);
    if table.is_empty() {
        output::say("There are no jobs: a scheduler that starts on this store registers those of its file.");
        return Ok(());
    }
    output::line(table.render())
}

pub(crate) async fn show(args: &ShowArgs, settings: &Settings) -> Result<(), Failure> {
    let control = control(settings).await?;
    let job = control.job(&args.id).await?;
    let next = job.next_fires(settings.clock().now(), 5).unwrap_or_default();
    let next: Vec<String> = next.into_iter().map(|at| in_zone(at, &job.record.timezone)).collect();
    if args.json {
        #[derive(serde::Serialize)]
        struct Shown {
            #[serde(flatten)]
            job: JobJson,
            description: Option<String>,
            next_fires: Vec<String>,
        }
        let description = job.schedule().ok().map(|schedule| schedule.describe());
        return output::json(&Shown { job: JobJson::new(&job), description, next_fires: next });
    }
    let record = &job.record;
    let mut lines = vec![
        ("job", record.id.to_string()),
        ("pipeline", record.pipeline.clone()),
        ("trigger", record.trigger.clone()),
        ("timezone", record.timezone.clone()),
        ("state", job.state.to_string()),
        ("source", record.source.to_string()),
    ];
    match job.schedule() {
        Ok(schedule) => lines.insert(3, ("meaning", schedule.describe())),
        Err(error) => lines.push(("error", error)),
    }
    if record.paused && job.state != jobstore::JobState::Paused {
        lines.push(("paused", "yes".to_owned()));
    }
    lines.extend(record.error.clone().map(|error| ("error", error)));
    lines.extend(record.requested_by.clone().map(|by| ("requested by", by)));
    lines.push(("registered", output::utc(record.created_at)));
    lines.extend(job.last.as_ref().map(|run| {
        let outcome = run.outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
        (
            "last run",
            format!("{outcome}, {} ({})", run.finished_at.map(output::utc).unwrap_or_default(), run.id),
        )
    }));
    lines.extend(
        next.into_iter().enumerate().map(|(at, fire)| (if at == 0 { "next fires" } else { "" }, fire)),
    );
    for (name, value) in lines {
        output::line(format!("{name:<13} {value}").trim_end())?;
    }
    Ok(())
}
