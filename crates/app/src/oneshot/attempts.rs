//! One pipeline: its attempts under its limits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pipeline_core::config::Pipeline;
use pipeline_core::{RunContext, RunIdentity, RunOptions, RunOutcome, RunReport, StateStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::progress::ProgressLine;
use super::summary::{Outcome, PipelineSummary};
use super::tellers::Tellers;
use crate::notify::Notice;
use crate::setup::Setup;

/// What all pipelines of a one-shot run share.
pub(super) struct Shared {
    pub(super) setup: Setup,
    pub(super) state: Arc<dyn StateStore>,
    pub(super) state_dir: PathBuf,
    pub(super) dry_run: bool,
    pub(super) cancel: CancellationToken,
    /// The instant of the request: every run's `scheduled_for`.
    pub(super) requested_at: DateTime<Utc>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) groups: HashMap<String, Arc<Semaphore>>,
    pub(super) tellers: Tellers,
}

impl Shared {
    /// Runs a pipeline to its end: attempts, with waits between them, until one succeeds or none is left.
    pub(super) async fn run(&self, pipeline: &Pipeline) -> PipelineSummary {
        let run_id = self.new_run_id();
        let mut attempt = 1;
        let mut first_start = None;
        loop {
            let Some(permits) = self.permits(pipeline).await else {
                return PipelineSummary::not_run(&pipeline.name, Outcome::Cancelled, "it had not started");
            };
            let report = self.attempt(pipeline, &run_id, attempt).await;
            drop(permits);
            let first_start = *first_start.get_or_insert(report.started_at);
            let may_retry = matches!(report.outcome, RunOutcome::Failed | RunOutcome::TimedOut)
                && pipeline.retry.allows_after(attempt);
            if may_retry {
                let delay = pipeline.retry.delay_after(attempt, dice(&run_id, attempt));
                let wait = pipeline_core::duration::format(delay);
                let of = pipeline.retry.max_attempts;
                tracing::warn!(
                    pipeline = pipeline.name,
                    "attempt {attempt} of {of} was no success: again in {wait}"
                );
                if self.wait(delay).await {
                    attempt += 1;
                    continue;
                }
            }
            let summary = self.summary(pipeline, report, attempt, first_start);
            self.tell(pipeline, &run_id, attempt, &summary);
            return summary;
        }
    }

    fn tell(&self, pipeline: &Pipeline, run_id: &str, attempt: u32, summary: &PipelineSummary) {
        if !self.tellers.is_needed() {
            return;
        }
        let notice = Notice {
            pipeline: pipeline.name.clone(),
            run_id: run_id.to_owned(),
            job_id: None,
            scheduled_for: self.requested_at,
            outcome: summary.outcome.as_str().to_owned(),
            attempt,
            error: summary.error.clone(),
            finished_at: self.setup.clock.now(),
        };
        self.tellers.ended(pipeline, &notice);
    }

    fn summary(
        &self,
        pipeline: &Pipeline,
        report: RunReport,
        attempt: u32,
        first_start: DateTime<Utc>,
    ) -> PipelineSummary {
        let mut summary = PipelineSummary::of(report);
        if attempt > 1 {
            let attempts = format!("attempt {attempt} of {}", pipeline.retry.max_attempts);
            summary.note = Some(match summary.note {
                Some(note) => format!("{note}; {attempts}"),
                None => attempts,
            });
            let all = self.setup.clock.now() - first_start;
            summary.duration_ms = u64::try_from(all.num_milliseconds()).unwrap_or(0);
            summary.started_at = Some(first_start);
        }
        summary
    }

    /// A place in the pipeline's group, and a slot. None where everything is cancelled.
    async fn permits(&self, pipeline: &Pipeline) -> Option<Vec<OwnedSemaphorePermit>> {
        let group = pipeline.limit_group.as_ref().and_then(|group| self.groups.get(&group.name));
        let mut permits = Vec::with_capacity(2);
        for semaphore in group.into_iter().chain([&self.slots]) {
            let permit = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return None,
                permit = semaphore.clone().acquire_owned() => permit,
            };
            permits.push(permit.ok()?);
        }
        Some(permits)
    }

    async fn attempt(&self, pipeline: &Pipeline, run_id: &str, attempt: u32) -> RunReport {
        let options = RunOptions {
            clock: self.setup.clock.clone(),
            cancel: self.cancel.child_token(),
            state: self.state.clone(),
            state_dir: self.state_dir.clone(),
            dry_run: self.dry_run,
            redactor: self.setup.redactor.clone(),
            services: self.setup.services.clone(),
            ..RunOptions::new(RunIdentity {
                run_id: run_id.to_owned(),
                pipeline: pipeline.name.clone(),
                job_id: pipeline.name.clone(),
                scheduled_for: self.requested_at,
                attempt,
            })
        };
        let ctx = RunContext::new(options);
        let chain = match pipeline.build_chain(&self.setup.registry, &self.setup.services) {
            Ok(chain) => chain,
            Err(error) => return self.cannot_be_built(&ctx, &error.to_string()),
        };
        tracing::info!(pipeline = pipeline.name, run = run_id, attempt, "started");
        let line = ProgressLine::start(&self.setup.terminal, &pipeline.name, ctx.progress().clone());
        let report = chain.run(ctx, pipeline.timeout.or(None)).await;
        drop(line);
        self.log_end(&report, run_id);
        report
    }

    fn log_end(&self, report: &RunReport, run: &str) {
        let pipeline = report.pipeline.as_str();
        let took = super::summary::seconds(report.duration_ms);
        match (&report.error, &report.note) {
            (Some(error), _) => {
                let error = super::summary::without_name(error, pipeline);
                tracing::error!(pipeline, run, "{} in {took}: {error}", report.outcome);
            }
            (None, Some(note)) => tracing::info!(pipeline, run, "{} in {took} ({note})", report.outcome),
            (None, None) => tracing::info!(pipeline, run, "{} in {took}", report.outcome),
        }
    }

    /// A file that was changed under the program, such as a schema beside it.
    fn cannot_be_built(&self, ctx: &RunContext, error: &str) -> RunReport {
        let error = self.setup.redactor.redact(error).into_owned();
        tracing::error!(pipeline = ctx.pipeline(), "{error}");
        RunReport {
            pipeline: ctx.pipeline().to_owned(),
            outcome: RunOutcome::Failed,
            note: None,
            started_at: ctx.started_at(),
            duration_ms: 0,
            stages: Vec::new(),
            error: Some(format!("pipeline `{}`: {error}", ctx.pipeline())),
        }
    }

    /// Waits; false where everything is cancelled meanwhile.
    async fn wait(&self, delay: Duration) -> bool {
        let until = chrono::TimeDelta::from_std(delay)
            .ok()
            .and_then(|delay| self.setup.clock.now().checked_add_signed(delay))
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => false,
            () = self.setup.clock.sleep_until(until) => true,
        }
    }

    fn new_run_id(&self) -> String {
        let now = self.setup.clock.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.timestamp_subsec_nanos());
        Uuid::new_v7(stamp).to_string()
    }
}

/// A number from 0 to 1 that differs between runs and attempts.
fn dice(run_id: &str, attempt: u32) -> f64 {
    let hash = run_id.bytes().chain(attempt.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    f64::from(u32::try_from(hash >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
