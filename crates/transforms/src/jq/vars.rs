//! What a jq program sees beside its input: `$meta`, `$run` and the clock.

use std::sync::Arc;

use chrono::SecondsFormat;
use pipeline_core::{Clock, Record, RunContext};
use tokio_util::sync::CancellationToken;

use super::convert;
use super::value::{Object, Val};

/// The surroundings of a program; made once for a stage, cheap to clone.
#[derive(Clone)]
pub(crate) struct JqVars {
    pub(super) meta: Val,
    pub(super) run: Val,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cancel: CancellationToken,
    pub(super) steps: u64,
}

impl JqVars {
    /// The surroundings in this run, with an empty `$meta`.
    pub(crate) fn new(run: &RunContext) -> Self {
        let started_at = run.started_at();
        let fields: Record = [
            ("started_at", started_at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            ("date", started_at.format("%Y-%m-%d").to_string()),
            ("pipeline", run.pipeline().to_owned()),
            ("scheduled_for", run.identity().scheduled_for.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        ]
        .into_iter()
        .collect();
        Self {
            meta: Val::object(Object::default()),
            run: convert::record_to_val(&fields, &mut 0),
            clock: run.clock().clone(),
            cancel: run.cancellation().clone(),
            steps: super::STEPS,
        }
    }

    /// The same with this `$meta`.
    pub(crate) fn with_meta(&self, meta: &Record) -> Self {
        Self { meta: convert::record_to_val(meta, &mut 0), ..self.clone() }
    }
}

impl std::fmt::Debug for JqVars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JqVars").finish_non_exhaustive()
    }
}
