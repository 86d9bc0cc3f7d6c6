//! `jobs add`

use std::time::Duration;

use engine::{Control, NewJob};
use schedule::{Cron, Schedule, Trigger, Zone};

use super::view::{JobJson, in_zone};
use crate::failure::Failure;
use crate::output;
use crate::pipelines;
use crate::settings::Settings;
use crate::store;

/// A job to add.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pipeline that it runs
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    #[command(flatten)]
    trigger: TriggerArgs,
    /// Its id (default: pipeline_PIPELINE_manual)
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What makes it fire.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct TriggerArgs {
    /// A cron expression: minute hour day-of-month month day-of-week
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    cron: Option<String>,
    /// A period: 30s, 1h30m, 2d
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// One time: 2026-12-24T18:00, in the zone unless it has an offset
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let file = pipelines::load(settings)?;
    // Where no zone is asked for, a job lives in that of its pipeline's own schedule.
    let own = file.pipelines.get(&args.pipeline).and_then(|pipeline| pipeline.schedule.as_ref());
    let zone = settings.asked_timezone.or(own.map(Schedule::zone)).unwrap_or(settings.timezone);
    let schedule = args.trigger.schedule(zone)?;
    let store = store::edit(settings).await?;
    let control = Control::new(store, settings.clock().clone(), file.pipelines);
    let added = control
        .add_job(NewJob {
            pipeline: args.pipeline.clone(),
            id: args.id.as_deref().map(Into::into),
            schedule: schedule.clone(),
            requested_by: Some(settings.requested_by()),
        })
        .await?;
    if args.json {
        return output::json(&JobJson::new(&control.job(added.id.as_str()).await?));
    }
    let verb = if added.replaced { "replaced" } else { "added" };
    let next = added.next_fire_at.map(|at| in_zone(at, schedule.zone().name())).unwrap_or_default();
    output::line(format!("{verb} {}: {}, next fire {next}", added.id, schedule.describe()))
}

impl TriggerArgs {
    fn schedule(&self, zone: Zone) -> Result<Schedule, Failure> {
        let trigger = match (&self.cron, &self.interval, &self.at) {
            (Some(cron), ..) => Trigger::Cron(Cron::parse(cron).map_err(Failure::usage)?),
            (_, Some(period), _) => Trigger::interval(period_of(period)?).map_err(Failure::usage)?,
            (.., Some(at)) => Trigger::At(schedule::instant::parse(at, zone).map_err(Failure::usage)?),
            (None, None, None) => return Err(Failure::usage("one of --cron, --interval and --at is needed")),
        };
        Ok(Schedule::new(trigger, zone))
    }
}

fn period_of(text: &str) -> Result<Duration, Failure> {
    schedule::duration::parse(text).map_err(Failure::usage)
}
