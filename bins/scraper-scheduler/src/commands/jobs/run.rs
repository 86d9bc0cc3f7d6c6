//! `jobs run`

use std::time::Duration;

use engine::Control;
use jobstore::{Outcome, RunId, RunRecord, RunState};
use pipeline_core::Clock;

use crate::failure::Failure;
use crate::output;
use crate::pipelines;
use crate::settings::Settings;
use crate::store;

/// How often the store is asked for the outcome.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A job's id or a pipeline's name
    #[arg(value_name = "JOB_OR_PIPELINE")]
    target: String,
    /// Wait for the outcome; the exit code is 0 only if the run succeeded
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let file = pipelines::load(settings)?;
    let store = store::edit(settings).await?;
    let control = Control::new(store, settings.clock().clone(), file.pipelines);
    let queued = control.run_now(&args.target, Some(settings.requested_by())).await?;
    output::line(queued.run.id.to_string())?;
    if !control.anybody_runs(&queued.run.pipeline, settings.clock().now()).await? {
        output::say(format!(
            "No scheduler that has pipeline '{}' is running: the run stays queued until one starts.",
            queued.run.pipeline
        ));
    }
    if !args.wait {
        return Ok(());
    }
    let run = outcome(&control, settings.clock().as_ref(), queued.run.id).await?;
    let what = run.outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
    let error = run.error.map(|error| format!(": {error}")).unwrap_or_default();
    output::say(format!("run {} of {} {what}{error}", run.id, run.pipeline));
    if run.outcome == Some(Outcome::Succeeded) { Ok(()) } else { Err(Failure::Silent(1)) }
}

async fn outcome(control: &Control, clock: &dyn Clock, id: RunId) -> Result<RunRecord, Failure> {
    loop {
        let run = control.run(id).await?.record;
        if run.state == RunState::Finished {
            return Ok(run);
        }
        clock.sleep_until(clock.now() + LOOK_EVERY).await;
    }
}
