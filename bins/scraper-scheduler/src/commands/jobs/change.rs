//! `jobs remove`, `jobs pause` and `jobs resume`

use engine::{Control, JobChanged, Pipelines};

use super::view::in_zone;
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;
use crate::store;

/// Which job to change.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job's id
    #[arg(value_name = "JOB")]
    id: String,
}

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Remove,
    Pause,
    Resume,
}

pub(crate) async fn run(verb: Verb, args: &Args, settings: &Settings) -> Result<(), Failure> {
    let store = store::edit(settings).await?;
    let control = Control::new(store, settings.clock().clone(), Pipelines::default());
    let by = Some(settings.requested_by());
    let changed = match verb {
        Verb::Remove => control.remove_job(&args.id, by).await?,
        Verb::Pause => control.pause_job(&args.id, by).await?,
        Verb::Resume => control.resume_job(&args.id, by).await?,
    };
    output::line(told(verb, &changed))
}

fn told(verb: Verb, changed: &JobChanged) -> String {
    let job = &changed.job;
    let id = &job.id;
    match (verb, changed.changed) {
        (Verb::Remove, true) => format!("removed {id}"),
        (Verb::Remove, false) => format!("{id} is removed already"),
        (Verb::Pause, true) => format!("paused {id}"),
        (Verb::Pause, false) => format!("{id} is paused already"),
        (Verb::Resume, changed) => {
            let verb = if changed { "resumed" } else { "not paused:" };
            match job.next_fire_at {
                Some(at) => format!("{verb} {id}, next fire {}", in_zone(at, &job.timezone)),
                None => format!("{verb} {id}"),
            }
        }
    }
}
