//! One file for each command.

pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod jobs;
pub(crate) mod next;
pub(crate) mod outbox;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod simulate;
pub(crate) mod test;
pub(crate) mod transforms;
pub(crate) mod validate;
