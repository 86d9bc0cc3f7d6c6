//! How long runs are kept.

use chrono::{DateTime, Utc};

/// What to delete. Queued and running runs are never deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Finished runs that were created before this instant go; `None` keeps them whatever their age.
    pub created_before: Option<DateTime<Utc>>,
    /// So many finished runs of each job stay (of a pipeline without job, too). Skipped and missed ones are counted
    /// apart, so that they never push out real ones. `None` keeps any number.
    pub keep_per_job: Option<u32>,
    /// At most so many are deleted in one call, to keep its transaction short.
    pub limit: usize,
}

/// What a call of `prune` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many runs are gone.
    pub deleted: usize,
    /// Whether nothing is left to delete, as far as this call could see; call again soon otherwise.
    pub done: bool,
}
