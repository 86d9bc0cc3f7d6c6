//! A run that a turn has decided on and not written yet.

use crate::backend::plan;
use crate::backend::rows::RunRow;
use crate::model::ids::{JobId, Owner, RunId};
use crate::model::run::{Outcome, RunPolicy, RunState};
use crate::model::time::instant;
use crate::model::turn::{Fired, FiredAs};

/// A run that is not written yet.
pub(crate) struct NewRun {
    pub(crate) row: RunRow,
    /// Only of runs that may start.
    pub(crate) policy: Option<RunPolicy>,
    pub(crate) what: FiredAs,
}

impl NewRun {
    /// A later fire of the same turn replaces it.
    pub(crate) fn replace(&mut self, by: RunId, now: i64) {
        self.row.cancel_requested_at = Some(now);
        self.row.cancel_requested_by = Some(plan::replaced_by(by));
        self.row.state = RunState::Finished;
        self.row.outcome = Some(Outcome::Cancelled);
        self.row.finished_at = Some(now);
    }

    pub(crate) fn start(&mut self, owner: &Owner, lease_until: i64, now: i64) {
        self.row.state = RunState::Running;
        self.row.attempt = 1;
        self.row.owner = Some(owner.clone());
        self.row.lease_until = Some(lease_until);
        self.row.started_at = Some(now);
        self.row.attempt_started_at = Some(now);
    }

    pub(crate) fn fired(&self, inserted: bool) -> Fired {
        Fired {
            job_id: self.row.job_id.clone().unwrap_or_else(|| JobId::new(String::new())),
            pipeline: self.row.pipeline.clone(),
            scheduled_for: instant(self.row.scheduled_for),
            reason: self.row.reason,
            run: self.row.id,
            what: if inserted { self.what.clone() } else { FiredAs::Duplicate },
        }
    }
}
