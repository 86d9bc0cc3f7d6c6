//! Several lists side by side, their pages in order.

use std::collections::VecDeque;
use std::sync::Arc;

use pipeline_core::{Emitter, ParsedItem, Payload, RawItem, Record, StageError, tape};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::list::{Followed, Lists, Page, PageBody};
use crate::http::Request;

/// Pages of one list that may wait for those of the lists before it.
const WAITING_PAGES: usize = 4;

/// Lists that may be ahead of the first one, for each request in flight: short lists go on behind a slow one.
const AHEAD: usize = 4;

/// Runs lists, and emits their pages in the order in which the lists were started.
pub(super) struct Pump {
    lists: Arc<Lists>,
    skip_unchanged: bool,
    running: VecDeque<Running>,
    /// Unchanged pages that wait for the first one that has changed.
    held: Vec<(Page, Arc<Cause>)>,
    answers: u64,
}

/// What a list is fetched for.
pub(super) struct Cause {
    /// The item, where a list belongs to one.
    pub(super) item: Option<ParsedItem>,
    /// Values of the item that go into the metadata.
    pub(super) kept: Record,
    /// Under which key its answers are recorded; `None` where the whole stage is one.
    pub(super) key: Option<String>,
}

struct Running {
    pages: mpsc::Receiver<Result<Page, StageError>>,
    cause: Arc<Cause>,
    walking: AbortOnDropHandle<()>,
    url: url::Url,
}

impl Pump {
    pub(super) fn new(lists: Arc<Lists>, skip_unchanged: bool) -> Self {
        Self { lists, skip_unchanged, running: VecDeque::new(), held: Vec::new(), answers: 0 }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.running.len() < self.lists.concurrency * AHEAD
    }

    /// Starts a list.
    pub(super) fn start(&mut self, request: Request, followed: Followed, cause: Arc<Cause>) {
        let (send, pages) = mpsc::channel(WAITING_PAGES);
        let url = request.url.clone();
        let walking = tokio::spawn(self.lists.clone().walk(request, followed, send));
        self.running.push_back(Running { pages, cause, walking: AbortOnDropHandle::new(walking), url });
    }

    /// The next page of the first list: `None` at its end. It can be dropped and called again.
    pub(super) async fn next(&mut self) -> Option<Result<Page, StageError>> {
        match self.running.front_mut() {
            Some(first) => first.pages.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Emits what [`Pump::next`] gave.
    ///
    /// # Errors
    /// What ends the run.
    pub(super) async fn emit(
        &mut self,
        page: Option<Result<Page, StageError>>,
        out: &mut Emitter,
    ) -> Result<(), StageError> {
        let Some(first) = self.running.front() else { return Ok(()) };
        let (cause, url) = (first.cause.clone(), first.url.clone());
        match page {
            None => {
                // A list that panicked has ended too.
                let walked = match self.running.pop_front() {
                    Some(done) => done.walking.await,
                    None => Ok(()),
                };
                match walked {
                    Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
                    Err(_) => Err(StageError::fatal("the runtime is shutting down")),
                    Ok(()) => Ok(()),
                }
            }
            Some(Ok(page)) => {
                self.answers += 1;
                if self.skip_unchanged && matches!(page.body, PageBody::Kept(_)) && !self.lists.run.is_fresh()
                {
                    self.held.push((page, cause));
                    return Ok(());
                }
                self.release(out).await?;
                self.hand_on(page, &cause, out).await
            }
            Some(Err(error)) if error.is_fatal() => Err(error),
            Some(Err(error)) => {
                self.release(out).await?;
                out.error(cause.blame(error, &url, &self.lists)).await;
                Ok(())
            }
        }
    }

    /// Emits what was held back: something has changed.
    async fn release(&mut self, out: &mut Emitter) -> Result<(), StageError> {
        for (page, cause) in std::mem::take(&mut self.held) {
            self.hand_on(page, &cause, out).await?;
        }
        Ok(())
    }

    async fn hand_on(&self, page: Page, cause: &Cause, out: &mut Emitter) -> Result<(), StageError> {
        let metadata = page.metadata(&cause.kept);
        let body = match page.body {
            PageBody::Fresh(body) => body,
            PageBody::Kept(kept) => match self.lists.load(&kept, &page.request).await {
                Ok(body) => body,
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    out.error(cause.blame(error, &page.request.url, &self.lists)).await;
                    return Ok(());
                }
            },
        };
        let source = page.request.url.to_string();
        let raw = RawItem { source, payload: body.into_payload(), fetched_at: page.fetched_at, metadata };
        match &cause.key {
            Some(key) => out.emit(tape::record(&self.lists.ctx, key, raw.into())?).await,
            None => out.emit(raw).await,
        }
        Ok(())
    }

    /// Ends the stage once all lists are done. Where nothing at all has changed, and that is all that the stage is
    /// for, the run ends early and this never returns.
    ///
    /// # Errors
    /// What ends the run.
    pub(super) async fn finish(&mut self, out: &mut Emitter) -> Result<(), StageError> {
        if self.skip_unchanged && self.answers > 0 && !self.lists.run.is_fresh() {
            self.lists.ctx.finish_early("unchanged");
            // No later stage must take this for the end of its input.
            return std::future::pending().await;
        }
        self.release(out).await?;
        match &self.lists.cache {
            Some(cache) => cache.sweep().await,
            None => Ok(()),
        }
    }
}

impl Cause {
    /// Hands over the item at fault.
    fn blame(&self, error: StageError, url: &url::Url, lists: &Lists) -> StageError {
        match &self.item {
            _ if error.has_item() => error,
            Some(item) => error.with_item(item.clone()),
            None => error.with_item(RawItem {
                source: url.to_string(),
                payload: Payload::from(""),
                fetched_at: lists.ctx.now(),
                metadata: [("url", url.as_str())].into_iter().collect(),
            }),
        }
    }
}
