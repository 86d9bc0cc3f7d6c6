//! `runs list`

use chrono::{DateTime, TimeDelta, Utc};
use engine::{Control, Pipelines, RunView};
use jobstore::{Outcome, RunFilter};
use pipeline_core::duration;

use super::view::RunJson;
use crate::failure::Failure;
use crate::output::{self, Table, utc};
use crate::settings::Settings;
use crate::store;

/// Which runs to list.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of this pipeline
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// With this outcome: succeeded, failed, timed_out, cancelled, skipped, missed, abandoned
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',')]
    outcome: Vec<String>,
    /// From this time on: a date with or without a time, or how long ago (2h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// So many at most; 0 is all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let outcomes = args.outcome.iter().map(|text| text.parse::<Outcome>());
    let filter = RunFilter {
        pipeline: args.pipeline.clone(),
        job: args.job.as_deref().map(Into::into),
        outcomes: outcomes.collect::<Result<_, _>>().map_err(Failure::usage)?,
        since: args.since.as_deref().map(|text| since(text, settings, settings.clock().now())).transpose()?,
        limit: args.limit,
        ..RunFilter::default()
    };
    let store = store::query(settings).await?;
    let control = Control::new(store, settings.clock().clone(), Pipelines::default());
    let runs = control.runs(filter).await?;
    if args.json {
        let runs: Vec<RunJson> = runs.iter().map(RunJson::new).collect();
        return output::json(&runs);
    }
    let mut table = Table::new(&["RUN", "PIPELINE", "REASON", "SCHEDULED FOR", "STATE", "TOOK", "WHY"]);
    for run in &runs {
        table.row(row(run));
    }
    if table.is_empty() {
        output::say("No runs.");
        return Ok(());
    }
    output::line(table.render())
}

/// A date with a time, or how long ago.
fn since(text: &str, settings: &Settings, now: DateTime<Utc>) -> Result<DateTime<Utc>, Failure> {
    if let Ok(ago) = duration::parse(text) {
        let ago = TimeDelta::from_std(ago).unwrap_or(TimeDelta::MAX);
        return Ok(now.checked_sub_signed(ago).unwrap_or(DateTime::<Utc>::MIN_UTC));
    }
    schedule::instant::parse(text, settings.timezone).map_err(Failure::usage)
}

fn row(run: &RunView) -> [String; 7] {
    let record = &run.record;
    let state = match record.outcome {
        Some(outcome) => outcome.to_string(),
        None => record.state.to_string(),
    };
    let state = match record.count {
        Some(count) if count > 1 => format!("{state} ×{count}"),
        _ => state,
    };
    let took = record.started_at.zip(record.finished_at).and_then(|(from, to)| (to - from).to_std().ok());
    let mut why = record.error.clone().or_else(|| record.note.clone()).unwrap_or_default();
    if why.chars().count() > 60 {
        why = why.chars().take(59).chain(['…']).collect();
    }
    [
        record.id.to_string(),
        record.pipeline.clone(),
        record.reason.to_string(),
        utc(record.scheduled_for),
        state,
        took.map(duration::format).unwrap_or_else(|| "-".to_owned()),
        why,
    ]
}
