//! `schema`

use app::Setup;

use crate::failure::Failure;
use crate::output;

/// No options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, setup: &Setup) -> Result<(), Failure> {
    let schedule = schemars::schema_for!(schedule::ScheduleSpec);
    output::json(&pipeline_core::config::schema(&setup.registry, &schedule))
}
