//! The end of an attempt on its way into a row.

use crate::model::ids::AttemptKey;
use crate::model::run::{Outcome, RunState};
use crate::model::time::micros;
use crate::model::turn::{AttemptEnd, End};

/// The end of an attempt, as it is written.
#[derive(Clone, Debug)]
pub(crate) struct EndWrite<'a> {
    pub(crate) key: &'a AttemptKey,
    /// The state that follows; a run that is queued again while somebody wants it cancelled is finished instead.
    pub(crate) state: RunState,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) at: i64,
    /// When a run that is queued again may start.
    pub(crate) available_at: i64,
    pub(crate) interrupted: bool,
    pub(crate) error: Option<&'a str>,
    pub(crate) note: Option<&'a str>,
    pub(crate) stages: Option<&'a str>,
}

/// A run whose attempt has been ended.
#[derive(Clone, Debug)]
pub(crate) struct EndedRow {
    pub(crate) state: RunState,
    pub(crate) staged: bool,
    pub(crate) attempt_started_at: Option<i64>,
}

impl<'a> EndWrite<'a> {
    pub(crate) fn new(end: &'a AttemptEnd, now: i64) -> Self {
        let (state, outcome, available_at, interrupted) = match end.end {
            End::Finish(outcome) => (RunState::Finished, Some(outcome), 0, false),
            End::Retry { available_at, .. } => (RunState::Queued, None, micros(available_at), false),
            End::Interrupt => (RunState::Queued, None, now, true),
        };
        EndWrite {
            key: &end.key,
            state,
            outcome,
            at: micros(end.at),
            available_at,
            interrupted,
            error: end.error.as_deref(),
            note: end.note.as_deref(),
            stages: end.stages.as_deref(),
        }
    }
}
