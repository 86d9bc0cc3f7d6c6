//! A chain of stages, and how it runs to its end.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::Stopwatch;
use crate::context::{Participant, RunContext, StageContext};
use crate::dead_letter;
use crate::error::{RunError, StageError};
use crate::item::Item;
use crate::stream::{Batch, ItemStream};
use crate::transform::Transform;

/// What becomes of an item that fails in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("default" = "fail"))]
pub enum OnError {
    /// The run fails.
    #[default]
    Fail,
    /// The item is counted, logged and left out.
    Skip,
    /// The item is appended to the pipeline's dead letters and left out.
    DeadLetter,
}

/// A stage of a chain.
pub struct Stage {
    /// The class as the file names it.
    pub class: Arc<str>,
    /// What becomes of items that fail.
    pub on_error: OnError,
    /// What it does.
    pub transform: Box<dyn Transform>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("class", &self.class).field("on_error", &self.on_error).finish()
    }
}

/// Stages in order.
#[derive(Debug, Default)]
pub struct Chain {
    stages: Vec<Stage>,
}

/// How an attempt of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// All went through, and what the sinks wrote is visible.
    Succeeded,
    /// A stage failed.
    Failed,
    /// It took longer than its timeout.
    TimedOut,
    /// It was cancelled.
    Cancelled,
}

impl RunOutcome {
    /// The word for it in outputs: `succeeded`, `failed`, `timed_out`, `cancelled`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an attempt of a run did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunReport {
    /// The pipeline.
    pub pipeline: String,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Something to know about a success, such as `unchanged` or `3 items skipped`.
    pub note: Option<String>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: u64,
    /// Counts of each stage.
    pub stages: Vec<StageReport>,
    /// Why it did not succeed, with the stage and the item.
    pub error: Option<String>,
}

/// Counts of one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageReport {
    /// The class.
    pub class: String,
    /// Items that it took; the seed is not counted.
    pub items_in: u64,
    /// Items that it gave.
    pub items_out: u64,
    /// Items that failed in it.
    pub errors: u64,
    /// Time that it computed itself, in milliseconds.
    pub busy_ms: u64,
}

impl Chain {
    /// A chain without stages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stage whose failing items fail the run.
    #[must_use]
    pub fn stage(self, class: impl Into<Arc<str>>, transform: Box<dyn Transform>) -> Self {
        self.stage_with(class, transform, OnError::Fail)
    }

    /// Adds a stage.
    #[must_use]
    pub fn stage_with(
        mut self,
        class: impl Into<Arc<str>>,
        transform: Box<dyn Transform>,
        on_error: OnError,
    ) -> Self {
        self.stages.push(Stage { class: class.into(), on_error, transform });
        self
    }

    /// Runs the chain to its end.
    ///
    /// Whatever happens, the stages have been dropped, what they deferred has run, and their participants
    /// have committed or been rolled back when this returns. `timeout` does not follow a clock that is set.
    pub async fn run(self, ctx: RunContext, timeout: Option<Duration>) -> RunReport {
        let watch = Stopwatch::start();
        let outcome = self.run_to_outcome(&ctx, timeout).await;
        for cleanup in ctx.take_cleanups().into_iter().rev() {
            cleanup.await;
        }
        let error = ctx.take_error();
        let stages = stage_reports(&ctx);
        let errors: u64 = stages.iter().map(|stage| stage.errors).sum();
        let note = match (ctx.note(), errors) {
            (Some(note), _) => Some(note),
            (None, 0) => None,
            (None, 1) => Some("1 item skipped".to_owned()),
            (None, count) => Some(format!("{count} items skipped")),
        };
        RunReport {
            pipeline: ctx.pipeline().to_owned(),
            outcome,
            note: note.filter(|_| outcome == RunOutcome::Succeeded),
            started_at: ctx.started_at(),
            duration_ms: millis(watch.elapsed()),
            stages,
            error: error
                .filter(|_| outcome != RunOutcome::Succeeded)
                .map(|error| ctx.redactor().redact(&error.to_string()).into_owned()),
        }
    }

    async fn run_to_outcome(self, ctx: &RunContext, timeout: Option<Duration>) -> RunOutcome {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let stream = self.connect(ctx);
        let end = drive(stream, ctx, deadline).await;
        let mut participants = ctx.take_participants();
        let outcome = match end {
            End::Completed if !ctx.is_dry_run() => commit(&mut participants, ctx, deadline).await,
            End::Completed | End::Early => RunOutcome::Succeeded,
            End::Failed => RunOutcome::Failed,
            End::TimedOut => RunOutcome::TimedOut,
            End::Cancelled => RunOutcome::Cancelled,
        };
        for participant in participants.iter_mut().rev() {
            participant.rollback().await;
        }
        match outcome {
            RunOutcome::TimedOut => {
                let after = timeout.unwrap_or_default();
                ctx.fail(run_error(ctx, None, format!("timed out after {}", humane(after))));
            }
            RunOutcome::Cancelled => ctx.fail(run_error(ctx, None, "cancelled".to_owned())),
            RunOutcome::Succeeded | RunOutcome::Failed => {}
        }
        outcome
    }

    fn connect(self, ctx: &RunContext) -> ItemStream {
        ctx.progress().set(self.stages.iter().map(|stage| stage.class.clone()));
        let seed = futures_util::stream::iter([Ok(Batch::from(vec![Item::Trigger]))]);
        let mut stream = ItemStream::from_batches(seed);
        for (stage, number) in self.stages.into_iter().zip(1..) {
            let ctx = StageContext::new(ctx.clone(), number, stage.class);
            let upstream = Arc::new(std::sync::atomic::AtomicU64::new(0));
            let input = ItemStream::from_batches(Metered {
                input: stream,
                ctx: ctx.clone(),
                nanos: upstream.clone(),
            });
            let output = stage.transform.connect(input, ctx.clone());
            stream = ItemStream::from_batches(Guarded {
                output: Some(output),
                ctx,
                on_error: stage.on_error,
                upstream,
            });
        }
        stream
    }
}

enum End {
    Completed,
    Early,
    Failed,
    TimedOut,
    Cancelled,
}

/// Pulls the stream until it ends, or the run must.
async fn drive(mut stream: ItemStream, ctx: &RunContext, deadline: Option<Instant>) -> End {
    let expired = sleep_until(deadline);
    tokio::pin!(expired);
    loop {
        tokio::select! {
            biased;
            () = ctx.cancellation().cancelled() => return End::Cancelled,
            () = ctx.stop_token().cancelled() => {
                return if ctx.note().is_some() { End::Early } else { End::Failed };
            }
            () = &mut expired => return End::TimedOut,
            batch = stream.next_batch() => match batch {
                // A stage that always has something ready must not keep the other runs from theirs.
                Some(Ok(_)) => tokio::task::consume_budget().await,
                // Guarded streams turn errors into the run's failure; none comes through.
                Some(Err(error)) => {
                    ctx.fail(run_error(ctx, None, error.to_string()));
                    return End::Failed;
                }
                None => return End::Completed,
            },
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Prepares all participants and commits them; leaves in the list what must be rolled back.
async fn commit(
    participants: &mut Vec<Box<dyn Participant>>,
    ctx: &RunContext,
    deadline: Option<Instant>,
) -> RunOutcome {
    let prepare = async {
        for participant in participants.iter_mut() {
            participant.prepare().await.map_err(|error| (participant.name(), error))?;
        }
        ctx.may_act().await.map_err(|error| ("the run's end".to_owned(), error))
    };
    let prepared = tokio::select! {
        biased;
        () = ctx.cancellation().cancelled() => return RunOutcome::Cancelled,
        () = sleep_until(deadline) => return RunOutcome::TimedOut,
        prepared = prepare => prepared,
    };
    if let Err((name, error)) = prepared {
        ctx.fail(run_error(ctx, None, format!("{name}: {error}")));
        return RunOutcome::Failed;
    }
    // Stable: within a phase the order of the chain.
    participants.sort_by_key(|participant| participant.phase());
    while !participants.is_empty() {
        let mut participant = participants.remove(0);
        if let Err(error) = participant.commit().await {
            ctx.fail(run_error(ctx, None, format!("{}: {error}", participant.name())));
            participants.insert(0, participant);
            return RunOutcome::Failed;
        }
    }
    RunOutcome::Succeeded
}

fn run_error(ctx: &RunContext, stage: Option<(usize, String)>, message: String) -> RunError {
    RunError { pipeline: ctx.pipeline().to_owned(), stage, message }
}

fn stage_reports(ctx: &RunContext) -> Vec<StageReport> {
    let report = |stage: &crate::context::StageProgress| StageReport {
        class: stage.class.to_string(),
        items_in: stage.items_in(),
        items_out: stage.items_out(),
        errors: stage.errors(),
        busy_ms: millis(stage.busy()),
    };
    ctx.progress().stages().iter().map(report).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn humane(time: Duration) -> String {
    crate::duration::format(time)
}

/// The input of a stage: counts what the stage takes, and how long the stages before it computed.
struct Metered {
    input: ItemStream,
    ctx: StageContext,
    nanos: Arc<std::sync::atomic::AtomicU64>,
}

impl Stream for Metered {
    type Item = Result<Batch, StageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let watch = Stopwatch::start();
        let polled = self.input.poll_batch(cx);
        self.nanos.fetch_add(nanos(watch.elapsed()), Ordering::Relaxed);
        if let (Poll::Ready(Some(Ok(batch))), Some(progress)) = (&polled, self.ctx.stage_progress()) {
            progress.items_in.fetch_add(count(&batch.items), Ordering::Relaxed);
        }
        polled
    }
}

/// The output of a stage: its fence against panics, its count, and what becomes of failed items.
struct Guarded {
    /// Taken when the stage has failed: from then on the stream neither yields nor ends, so that no
    /// later stage mistakes the failure for the end of its input.
    output: Option<ItemStream>,
    ctx: StageContext,
    on_error: OnError,
    upstream: Arc<std::sync::atomic::AtomicU64>,
}

impl Guarded {
    fn fail(&mut self, message: String) -> Poll<Option<Result<Batch, StageError>>> {
        self.output = None;
        let stage = Some((self.ctx.number(), self.ctx.class().to_owned()));
        self.ctx.run().fail(run_error(self.ctx.run(), stage, message));
        Poll::Pending
    }

    /// Applies `on_error`; returns the error that fails the run.
    fn settle(&mut self, errors: Vec<StageError>) -> Option<String> {
        for error in errors {
            let text = error.to_string();
            if let Some(progress) = self.ctx.stage_progress() {
                progress.errors.fetch_add(1, Ordering::Relaxed);
            }
            if error.is_fatal() {
                return Some(text);
            }
            match self.on_error {
                OnError::Fail => return Some(text),
                OnError::Skip => self.ctx.warn(format!("item skipped: {text}")),
                OnError::DeadLetter => {
                    if let Err(io) = dead_letter::append(&self.ctx, error) {
                        return Some(format!("{text} (and its dead letter could not be written: {io})"));
                    }
                    self.ctx.warn(format!("item dead-lettered: {text}"));
                }
            }
            self.ctx.mark_incomplete(format!("stage {} left out an item", self.ctx.number()));
        }
        None
    }
}

impl Stream for Guarded {
    type Item = Result<Batch, StageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(output) = &mut this.output else { return Poll::Pending };
            let before = this.upstream.load(Ordering::Relaxed);
            let watch = Stopwatch::start();
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| output.poll_batch(cx)));
            let all = nanos(watch.elapsed());
            let upstream = this.upstream.load(Ordering::Relaxed).wrapping_sub(before);
            if let Some(progress) = this.ctx.stage_progress() {
                progress.busy_nanos.fetch_add(all.saturating_sub(upstream), Ordering::Relaxed);
            }
            match polled {
                Err(panic) => return this.fail(format!("the stage panicked: {}", panic_text(&*panic))),
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(None)) => return Poll::Ready(None),
                Ok(Poll::Ready(Some(Err(error)))) => return this.fail(error.to_string()),
                Ok(Poll::Ready(Some(Ok(mut batch)))) => {
                    if !batch.errors.is_empty() {
                        let errors = std::mem::take(&mut batch.errors);
                        if let Some(message) = this.settle(errors) {
                            return this.fail(message);
                        }
                    }
                    if batch.items.is_empty() {
                        continue;
                    }
                    if let Some(progress) = this.ctx.stage_progress() {
                        progress.items_out.fetch_add(count(&batch.items), Ordering::Relaxed);
                    }
                    return Poll::Ready(Some(Ok(batch)));
                }
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn count(items: &[Item]) -> u64 {
    // Only the seed is not counted, and it comes alone or first.
    let seed = usize::from(items.first().is_some_and(Item::is_trigger));
    (items.len() - seed) as u64
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
