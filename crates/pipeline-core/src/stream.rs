//! The stream between two stages.
//!
//! Items travel in small batches of what is ready at the moment, so that the price of a boxed stage,
//! of counting and of timing is paid per batch. Authors of transforms see single items.
//! A stream is pulled: a slow sink slows the fetcher, and no more than a batch a stage waits.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;

use crate::error::StageError;
use crate::item::Item;

/// The most items in a batch.
pub const BATCH: usize = 128;

/// Items that are ready together, and the errors of the items that failed.
#[derive(Debug, Default)]
pub struct Batch {
    /// What goes on.
    pub items: Vec<Item>,
    /// What failed. The chain takes these out by the stage's `on_error`, so a stage never sees any.
    pub errors: Vec<StageError>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it holds neither items nor errors.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.errors.is_empty()
    }

    /// Items and errors together.
    pub fn len(&self) -> usize {
        self.items.len() + self.errors.len()
    }

    /// Adds an item, or the error that took its place.
    pub fn push(&mut self, item: Result<Item, StageError>) {
        match item {
            Ok(item) => self.items.push(item),
            Err(error) => self.errors.push(error),
        }
    }

    /// Adds an item.
    pub fn emit(&mut self, item: impl Into<Item>) {
        self.items.push(item.into());
    }

    /// Adds the error of an item.
    pub fn error(&mut self, error: StageError) {
        self.errors.push(error);
    }
}

impl From<Vec<Item>> for Batch {
    fn from(items: Vec<Item>) -> Self {
        Self { items, errors: Vec::new() }
    }
}

type BoxedBatches = Pin<Box<dyn Stream<Item = Result<Batch, StageError>> + Send>>;

/// A stream of items, in batches underneath.
///
/// As a [`Stream`] it yields single items; an `Err` is fatal for the run unless it is an error of an item.
/// [`ItemStream::next_batch`] takes what is ready together.
pub struct ItemStream {
    batches: BoxedBatches,
    items: std::vec::IntoIter<Item>,
    errors: VecDeque<StageError>,
}

impl ItemStream {
    /// A stream over a stream of batches.
    pub fn from_batches(batches: impl Stream<Item = Result<Batch, StageError>> + Send + 'static) -> Self {
        Self { batches: Box::pin(batches), items: Vec::new().into_iter(), errors: VecDeque::new() }
    }

    /// A stream over a stream of items; those that are ready together make a batch.
    pub fn from_items(items: impl Stream<Item = Result<Item, StageError>> + Send + 'static) -> Self {
        Self::from_batches(ReadyBatches { items: Box::pin(items), done: false })
    }

    /// A stream over a future that emits items: what `async fn` authors write.
    ///
    /// The future is suspended whenever a batch is full, so nothing runs ahead of the reader.
    pub fn generate<F, Fut>(make: F) -> Self
    where
        F: FnOnce(Emitter) -> Fut,
        Fut: Future<Output = Result<(), StageError>> + Send + 'static,
    {
        let shared = Arc::new(Mutex::new(Batch::new()));
        let future = make(Emitter { shared: shared.clone(), tap: None });
        Self::from_batches(Generated { shared, future: Some(Box::pin(future)), failed: None })
    }

    /// The next batch: never empty; `None` at the end of the stream.
    ///
    /// # Errors
    /// An error of the stream itself, which is fatal.
    pub async fn next_batch(&mut self) -> Option<Result<Batch, StageError>> {
        std::future::poll_fn(|cx| self.poll_batch(cx)).await
    }

    /// [`ItemStream::next_batch`] for hand-written streams.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Batch, StageError>>> {
        if self.items.len() > 0 || !self.errors.is_empty() {
            let items = std::mem::take(&mut self.items).collect();
            let errors = std::mem::take(&mut self.errors).into();
            return Poll::Ready(Some(Ok(Batch { items, errors })));
        }
        loop {
            match self.batches.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(batch))) if batch.is_empty() => {}
                other => return other,
            }
        }
    }
}

impl Stream for ItemStream {
    type Item = Result<Item, StageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.items.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            if let Some(error) = self.errors.pop_front() {
                return Poll::Ready(Some(Err(error)));
            }
            match self.batches.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(batch))) => {
                    self.items = batch.items.into_iter();
                    self.errors = batch.errors.into();
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into_fatal()))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl std::fmt::Debug for ItemStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ItemStream")
    }
}

/// Where the author of a fetcher or parser puts items.
pub struct Emitter {
    shared: Arc<Mutex<Batch>>,
    tap: Option<crate::tape::Tap>,
}

impl Emitter {
    /// Emits an item; await the answer, which waits until there is room for the next one.
    pub fn emit(&mut self, item: impl Into<Item>) -> Room<'_> {
        let mut item = item.into();
        if let Some(tap) = &self.tap {
            item = match tap(item) {
                Ok(item) => item,
                Err(error) => return self.error(error.into_fatal()),
            };
        }
        // A payload may be large: it goes out alone. Records wait for company.
        let at_once = matches!(item, Item::Raw(_));
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.items.push(item);
        let full = at_once || shared.len() >= BATCH;
        drop(shared);
        Room { emitter: self, full }
    }

    /// Emits the error of an item; the stage's `on_error` decides what becomes of it.
    pub fn error(&mut self, error: StageError) -> Room<'_> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).errors.push(error);
        Room { emitter: self, full: true }
    }

    /// Sends each further item through a tap first, or through none.
    pub(crate) fn tap(&mut self, tap: Option<crate::tape::Tap>) {
        self.tap = tap;
    }

    /// Emits a whole batch.
    pub async fn emit_batch(&mut self, mut batch: Batch) {
        if let Some(tap) = &self.tap {
            for item in std::mem::take(&mut batch.items) {
                match tap(item) {
                    Ok(item) => batch.items.push(item),
                    Err(error) => batch.errors.push(error.into_fatal()),
                }
            }
        }
        {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.items.extend(batch.items);
            shared.errors.extend(batch.errors);
        }
        self.flush().await;
    }

    /// Waits until what was emitted has been taken.
    pub fn flush(&mut self) -> Room<'_> {
        Room { emitter: self, full: true }
    }
}

/// Waits until there is room for more: at once, unless a batch is full.
#[derive(Debug)]
#[must_use = "await it, or the stage runs ahead of its reader"]
pub struct Room<'a> {
    emitter: &'a Emitter,
    full: bool,
}

impl Future for Room<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if !self.full {
            return Poll::Ready(());
        }
        // No waker is needed: the stream takes the batch right after this poll and polls again.
        let empty = self.emitter.shared.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if empty { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl std::fmt::Debug for Emitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Emitter")
    }
}

type BoxedGenerator = Pin<Box<dyn Future<Output = Result<(), StageError>> + Send>>;

struct Generated {
    shared: Arc<Mutex<Batch>>,
    future: Option<BoxedGenerator>,
    failed: Option<StageError>,
}

impl Stream for Generated {
    type Item = Result<Batch, StageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(future) = &mut this.future else { return Poll::Ready(None) };
        let polled = future.as_mut().poll(cx);
        let batch = std::mem::take(&mut *this.shared.lock().unwrap_or_else(PoisonError::into_inner));
        if let Poll::Ready(result) = polled {
            this.future = None;
            this.failed = result.err();
        }
        if !batch.is_empty() {
            return Poll::Ready(Some(Ok(batch)));
        }
        match (&this.future, this.failed.take()) {
            (_, Some(error)) => Poll::Ready(Some(Err(error))),
            (None, None) => Poll::Ready(None),
            (Some(_), None) => Poll::Pending,
        }
    }
}

struct ReadyBatches {
    items: Pin<Box<dyn Stream<Item = Result<Item, StageError>> + Send>>,
    done: bool,
}

impl Stream for ReadyBatches {
    type Item = Result<Batch, StageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        let mut batch = Batch::new();
        while batch.len() < BATCH {
            match this.items.as_mut().poll_next(cx) {
                Poll::Ready(Some(item)) => {
                    let raw = matches!(item, Ok(Item::Raw(_)));
                    batch.push(item);
                    if raw {
                        break;
                    }
                }
                Poll::Ready(None) => {
                    this.done = true;
                    break;
                }
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if batch.is_empty() { Poll::Ready(None) } else { Poll::Ready(Some(Ok(batch))) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::item::ParsedItem;
    use crate::value::Record;

    fn item(n: i64) -> Item {
        Item::Parsed(ParsedItem {
            topic: "t".into(),
            content: [("n", n)].into_iter().collect::<Record>(),
            discovered_at: chrono::DateTime::UNIX_EPOCH,
        })
    }

    #[tokio::test]
    async fn a_generator_never_runs_more_than_a_batch_ahead() {
        let made = Arc::new(std::sync::atomic::AtomicI64::new(0));
        let counter = made.clone();
        let mut stream = ItemStream::generate(move |mut out| async move {
            for n in 0..1000 {
                counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                out.emit(item(n)).await;
            }
            Ok(())
        });
        let first = stream.next_batch().await.unwrap().unwrap();
        assert_eq!(first.items.len(), BATCH);
        assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), BATCH as i64);
        let rest = stream.collect::<Vec<_>>().await;
        assert_eq!(rest.len(), 1000 - BATCH);
    }

    #[tokio::test]
    async fn what_is_ready_goes_out_while_the_rest_waits() {
        let (send, receive) = tokio::sync::oneshot::channel::<()>();
        let mut stream = ItemStream::generate(|mut out| async move {
            out.emit(item(1)).await;
            receive.await.ok();
            out.emit(item(2)).await;
            Err(StageError::fatal("the end"))
        });
        assert_eq!(stream.next_batch().await.unwrap().unwrap().items.len(), 1);
        send.send(()).unwrap();
        assert_eq!(stream.next_batch().await.unwrap().unwrap().items.len(), 1);
        assert!(stream.next_batch().await.unwrap().is_err());
        assert!(stream.next_batch().await.is_none());
    }

    #[tokio::test]
    async fn single_items_become_batches_and_back() {
        let items = stream::iter((0..300).map(|n| Ok(item(n))));
        let mut stream = ItemStream::from_items(items);
        assert!(stream.next().await.is_some());
        let rest = stream.next_batch().await.unwrap().unwrap();
        assert_eq!(rest.items.len(), BATCH - 1);
        assert_eq!(stream.count().await, 300 - BATCH);
    }
}
