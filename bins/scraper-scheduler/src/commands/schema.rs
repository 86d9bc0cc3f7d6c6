//! `schema`

use app::Setup;

use crate::failure::Failure;
use crate::output;

/// No options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, setup: &Setup) -> Result<(), Failure> {
    output::json(&app::schema(&setup.registry))
}
