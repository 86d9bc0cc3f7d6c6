//! What a stage is, and three simpler forms of it.

use std::future::Future;
use std::sync::Arc;

use crate::clock::Stopwatch;
use crate::context::StageContext;
use crate::error::StageError;
use crate::item::{Item, RawItem};
use crate::stream::{BATCH, Batch, Emitter, ItemStream};

/// A stage: it turns a stream of items into another one.
///
/// A new one is made for each attempt of a run. What it must clean up it does when it is dropped, or
/// defers with [`crate::RunContext::defer`]; what must become visible only when the run succeeds it enlists
/// with [`crate::RunContext::enlist`]. An error of the input stream never reaches a stage: the chain
/// stops the run first, so the end of the input always is its true end.
pub trait Transform: Send {
    /// Connects the stage to its input.
    fn connect(self: Box<Self>, input: ItemStream, ctx: StageContext) -> ItemStream;
}

/// A stage that brings payloads in. It runs once, when its first input arrives; other items pass on.
pub trait Fetcher: Send + Sized + 'static {
    /// Fetches, and emits what it got.
    ///
    /// # Errors
    /// What [`StageError`] says: of an item, or fatal.
    fn fetch(
        &mut self,
        ctx: &StageContext,
        out: &mut Emitter,
    ) -> impl Future<Output = Result<(), StageError>> + Send;
}

/// A stage that turns payloads into records. Other items pass on.
///
/// Parsing is computing: it runs on threads of its own, on all cores with several payloads at once,
/// and the order of the results is that of the payloads.
pub trait Parser: Send + Sync + 'static {
    /// Parses one payload. It may block, and may read the payload as it comes.
    ///
    /// # Errors
    /// What [`StageError`] says: of an item, or fatal.
    fn parse(&self, raw: RawItem, ctx: &StageContext, out: &mut ParserOutput) -> Result<(), StageError>;
}

/// A stage that does something with items, and passes them on.
pub trait Sink: Send + Sized + 'static {
    /// Whether an item is for this sink; others pass on untouched.
    fn accepts(&self, item: &Item) -> bool {
        matches!(item, Item::Parsed(_))
    }

    /// Called once: before the first item, or at the end of an input without any.
    ///
    /// # Errors
    /// What ends the run.
    fn open(&mut self, ctx: &StageContext) -> impl Future<Output = Result<(), StageError>> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Handles one item.
    ///
    /// # Errors
    /// What [`StageError`] says: of an item, or fatal.
    fn handle(
        &mut self,
        item: &Item,
        ctx: &StageContext,
    ) -> impl Future<Output = Result<(), StageError>> + Send;

    /// Called when a batch of items has been handled and the next one may be long in coming.
    ///
    /// # Errors
    /// What ends the run.
    fn flush(&mut self, ctx: &StageContext) -> impl Future<Output = Result<(), StageError>> + Send {
        let _ = ctx;
        async { Ok(()) }
    }

    /// Called after the last item.
    ///
    /// # Errors
    /// What ends the run.
    fn finish(&mut self, ctx: &StageContext) -> impl Future<Output = Result<(), StageError>> + Send {
        let _ = ctx;
        async { Ok(()) }
    }
}

/// A stage that computes on items one by one, without waiting: map, filter, limit.
pub trait ItemTransform: Send + 'static {
    /// Handles one item: what is to go on is put into `out`, also items that are not for this stage.
    /// The seed item is never shown to it.
    ///
    /// # Errors
    /// What [`StageError`] says: of an item, or fatal.
    fn apply(&mut self, item: Item, ctx: &StageContext, out: &mut Batch) -> Result<(), StageError>;

    /// Called after the last item; may add more.
    ///
    /// # Errors
    /// What ends the run.
    fn finish(&mut self, ctx: &StageContext, out: &mut Batch) -> Result<(), StageError> {
        let _ = (ctx, out);
        Ok(())
    }
}

/// Makes a stage of a [`Fetcher`].
pub fn fetcher(fetcher: impl Fetcher) -> Box<dyn Transform> {
    Box::new(FetcherStage(fetcher))
}

/// Makes a stage of a [`Parser`].
pub fn parser(parser: impl Parser) -> Box<dyn Transform> {
    Box::new(ParserStage(Arc::new(parser)))
}

/// Makes a stage of a [`Sink`].
pub fn sink(sink: impl Sink) -> Box<dyn Transform> {
    Box::new(SinkStage(sink))
}

/// Makes a stage of an [`ItemTransform`].
pub fn items(transform: impl ItemTransform) -> Box<dyn Transform> {
    Box::new(ItemStage(transform))
}

struct FetcherStage<F>(F);

impl<F: Fetcher> Transform for FetcherStage<F> {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        let mut fetcher = self.0;
        ItemStream::generate(move |mut out| async move {
            let mut fetched = false;
            while let Some(batch) = input.next_batch().await {
                let mut batch = batch?;
                if !fetched {
                    fetched = true;
                    if let Some(recorded) = crate::tape::play(&ctx, "")? {
                        for item in recorded {
                            out.emit(item).await;
                        }
                    } else {
                        out.tap(crate::tape::tap(&ctx));
                        let done = fetcher.fetch(&ctx, &mut out).await;
                        out.tap(None);
                        match done {
                            Err(error) if !error.is_fatal() => out.error(error).await,
                            done => done?,
                        }
                    }
                }
                batch.items.retain(|item| !item.is_trigger());
                out.emit_batch(batch).await;
            }
            Ok(())
        })
    }
}

struct SinkStage<S>(S);

impl<S: Sink> Transform for SinkStage<S> {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        let mut sink = self.0;
        ItemStream::generate(move |mut out| async move {
            let mut opened = false;
            while let Some(batch) = input.next_batch().await {
                let mut batch = batch?;
                if !opened {
                    opened = true;
                    sink.open(&ctx).await?;
                }
                // All go on in the batch in which they came, unless some fail.
                let mut failed = Vec::new();
                for (at, item) in batch.items.iter().enumerate() {
                    if sink.accepts(item)
                        && let Err(error) = sink.handle(item, &ctx).await
                    {
                        if error.is_fatal() {
                            return Err(error);
                        }
                        failed.push((at, error));
                    }
                }
                let told = batch.errors.len();
                for (at, error) in failed.into_iter().rev() {
                    let item = batch.items.remove(at);
                    batch.errors.push(if error.has_item() { error } else { error.with_item(item) });
                }
                // The first that failed is the one to be told.
                batch.errors[told..].reverse();
                sink.flush(&ctx).await?;
                out.emit_batch(batch).await;
            }
            if !opened {
                sink.open(&ctx).await?;
            }
            sink.finish(&ctx).await
        })
    }
}

struct ItemStage<T>(T);

impl<T: ItemTransform> Transform for ItemStage<T> {
    fn connect(self: Box<Self>, input: ItemStream, ctx: StageContext) -> ItemStream {
        ItemStream::from_batches(ItemStageStream { transform: self.0, input, ctx, done: false })
    }
}

struct ItemStageStream<T> {
    transform: T,
    input: ItemStream,
    ctx: StageContext,
    done: bool,
}

impl<T> Unpin for ItemStageStream<T> {}

impl<T: ItemTransform> futures_util::Stream for ItemStageStream<T> {
    type Item = Result<Batch, StageError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        use std::task::Poll;
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        loop {
            let batch = match this.input.poll_batch(cx) {
                Poll::Ready(Some(Ok(batch))) => batch,
                Poll::Ready(None) => {
                    this.done = true;
                    let mut out = Batch::new();
                    return Poll::Ready(match this.transform.finish(&this.ctx, &mut out) {
                        Ok(()) if out.is_empty() => None,
                        Ok(()) => Some(Ok(out)),
                        Err(error) => Some(Err(error.into_fatal())),
                    });
                }
                other => return other,
            };
            let mut out = Batch { items: Vec::with_capacity(batch.items.len()), errors: batch.errors };
            for item in batch.items {
                if item.is_trigger() {
                    out.items.push(item);
                } else if let Err(error) = this.transform.apply(item, &this.ctx, &mut out) {
                    if error.is_fatal() {
                        this.done = true;
                        return Poll::Ready(Some(Err(error)));
                    }
                    out.errors.push(error);
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(out)));
            }
        }
    }
}

/// Where a [`Parser`] puts its records. It blocks while the reader is behind.
pub struct ParserOutput {
    batch: Batch,
    send: tokio::sync::mpsc::Sender<Batch>,
    closed: bool,
}

impl ParserOutput {
    /// Emits an item. Returns false when nobody reads any more: stop parsing then.
    pub fn emit(&mut self, item: impl Into<Item>) -> bool {
        self.batch.emit(item);
        self.batch.len() < BATCH || self.flush()
    }

    /// Emits the error of an item. Returns false when nobody reads any more.
    pub fn error(&mut self, error: StageError) -> bool {
        self.batch.error(error);
        self.batch.len() < BATCH || self.flush()
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed || self.send.is_closed()
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() && self.send.blocking_send(batch).is_err() {
            self.closed = true;
        }
        !self.closed
    }
}

impl std::fmt::Debug for ParserOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ParserOutput")
    }
}

struct ParserStage<P>(Arc<P>);

/// So many payloads are being parsed, or wait parsed, beside one a core.
const AHEAD: usize = 2;

/// A payload that is being parsed: its records arrive in `batches`, its result in `done`.
struct Parsing {
    batches: tokio::sync::mpsc::Receiver<Batch>,
    done: tokio::task::JoinHandle<Result<(), StageError>>,
}

impl<P: Parser> ParserStage<P> {
    fn start(&self, raw: RawItem, ctx: &StageContext) -> Parsing {
        let (send, batches) = tokio::sync::mpsc::channel(2);
        let (parser, ctx) = (self.0.clone(), ctx.clone());
        let done = tokio::task::spawn_blocking(move || {
            let watch = Stopwatch::start();
            let mut out = ParserOutput { batch: Batch::new(), send, closed: false };
            let spare = raw.payload.try_clone().map(|payload| RawItem {
                source: raw.source.clone(),
                payload,
                fetched_at: raw.fetched_at,
                metadata: raw.metadata.clone(),
            });
            let result = parser.parse(raw, &ctx, &mut out);
            if let Some(progress) = ctx.stage_progress() {
                progress.add_busy(watch.elapsed());
            }
            out.flush();
            match (result, spare) {
                // The payload as a whole failed: it is the item at fault.
                (Err(error), Some(raw)) if !error.has_item() => Err(error.with_item(raw)),
                (result, _) => result,
            }
        });
        Parsing { batches, done }
    }
}

impl<P: Parser> Transform for ParserStage<P> {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Some more than there are cores: those that are done wait here for their turn, and no core with them.
        // With one core there is nothing to gain from reading on.
        let width = if cores > 1 { cores + AHEAD } else { 1 };
        ItemStream::generate(move |mut out| async move {
            let mut running = std::collections::VecDeque::<Parsing>::new();
            let mut waiting = Vec::<Item>::new().into_iter();
            let mut ended = false;
            loop {
                // Start what may start: payloads up to the width; anything else keeps its place in the order.
                while running.len() < width {
                    match waiting.next() {
                        Some(Item::Raw(raw)) => running.push_back(self.start(*raw, &ctx)),
                        Some(other) => {
                            drain(&mut running, 0, &mut out).await?;
                            out.emit(other).await;
                        }
                        None => break,
                    }
                }
                if waiting.len() > 0 {
                    drain(&mut running, width - 1, &mut out).await?;
                    continue;
                }
                if ended {
                    return drain(&mut running, 0, &mut out).await;
                }
                // Ask for more input while the first payload is being parsed, whichever comes first.
                let more = match running.front_mut() {
                    None => input.next_batch().await,
                    Some(first) => tokio::select! {
                        biased;
                        batch = first.batches.recv() => {
                            match batch {
                                Some(batch) => out.emit_batch(batch).await,
                                None => {
                                    let left = running.len() - 1;
                                    drain(&mut running, left, &mut out).await?;
                                }
                            }
                            continue;
                        }
                        more = input.next_batch(), if width > 1 => more,
                    },
                };
                match more {
                    Some(batch) => {
                        let batch = batch?;
                        for error in batch.errors {
                            out.error(error).await;
                        }
                        waiting = batch.items.into_iter();
                    }
                    None => ended = true,
                }
            }
        })
    }
}

/// Waits until only `left` payloads are being parsed, and emits what the others gave, in order.
async fn drain(
    running: &mut std::collections::VecDeque<Parsing>,
    left: usize,
    out: &mut Emitter,
) -> Result<(), StageError> {
    while running.len() > left {
        let Some(mut parsing) = running.pop_front() else { return Ok(()) };
        while let Some(batch) = parsing.batches.recv().await {
            out.emit_batch(batch).await;
        }
        match parsing.done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is_fatal() => return Err(error),
            Ok(Err(error)) => out.error(error).await,
            Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => return Err(StageError::fatal("the runtime is shutting down")),
        }
    }
    Ok(())
}
