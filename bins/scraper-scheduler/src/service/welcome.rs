//! The table of jobs at the start.

use engine::{Handle, JobQuery};

use crate::commands::jobs::table;
use crate::failure::Failure;
use crate::output;

/// More jobs than this are not listed at the start.
const LISTED: usize = 50;

/// Prints the jobs with their next fires.
///
/// # Errors
/// The store cannot be read, or nobody reads the output.
pub(crate) async fn print(handle: &Handle) -> Result<(), Failure> {
    let query = JobQuery { limit: LISTED + 1, ..JobQuery::default() };
    let mut jobs = handle.jobs(query).await?;
    let more = jobs.len() > LISTED;
    jobs.truncate(LISTED);
    let table = table(&jobs);
    if table.is_empty() {
        return Ok(());
    }
    let mut text = table.render();
    if more {
        text.push_str("\n… and more: see `scraper-scheduler jobs list`");
    }
    match output::line(text) {
        // Whoever started the service may not care for what it prints.
        Err(Failure::Silent(_)) => Ok(()),
        other => other,
    }
}
