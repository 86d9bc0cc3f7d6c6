//! Telling those who wait for changes made by others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::watch;

/// Waits for changes made by others. Changes before the last call of [`Changes::changed`] are never told twice, and
/// those between two calls are never lost.
#[derive(Clone, Debug)]
pub struct Changes {
    seen: watch::Receiver<u64>,
}

impl Changes {
    /// Resolves when something has changed since the last call. Can be dropped at any time without losing a change.
    /// After the store is closed it never resolves.
    pub async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The place where changes are told, whoever noticed them.
#[derive(Debug)]
pub(crate) struct ChangeHub {
    tell: watch::Sender<u64>,
    /// The value of the stored counter that everybody knows about.
    counter: AtomicI64,
}

impl ChangeHub {
    pub(crate) fn new(counter: i64) -> Self {
        ChangeHub { tell: watch::Sender::new(0), counter: AtomicI64::new(counter) }
    }

    pub(crate) fn subscribe(&self) -> Changes {
        Changes { seen: self.tell.subscribe() }
    }

    /// Prepares for a transaction that may move the counter.
    pub(crate) fn claim(self: &Arc<Self>) -> Arc<Claim> {
        Arc::new(Claim { hub: self.clone(), counter: AtomicI64::new(0), kept: AtomicBool::new(false) })
    }

    /// The counter as it was read: news if it has moved.
    pub(crate) fn observed(&self, counter: i64) {
        if self.counter.fetch_max(counter, Ordering::AcqRel) < counter {
            self.announce();
        }
    }

    fn announce(&self) {
        self.tell.send_modify(|count| *count += 1);
    }
}

/// A value that a transaction of this process gives the counter. It is known as one's own before the commit, so that
/// nobody who reads it right afterwards takes it for news; if the transaction fails it is forgotten again.
#[derive(Debug)]
pub(crate) struct Claim {
    hub: Arc<ChangeHub>,
    counter: AtomicI64,
    kept: AtomicBool,
}

impl Claim {
    /// The counter has been moved to this value. What others did before it is news.
    pub(crate) fn take(&self, counter: i64) {
        self.counter.store(counter, Ordering::Release);
        if self.hub.counter.fetch_max(counter, Ordering::AcqRel) < counter - 1 {
            self.hub.announce();
        }
    }

    /// The transaction is committed. With `edit` it was an edit, which the loop of this process has to notice too.
    pub(crate) fn keep(&self, edit: bool) {
        self.kept.store(true, Ordering::Release);
        if edit && self.counter.load(Ordering::Acquire) > 0 {
            self.hub.announce();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let counter = *self.counter.get_mut();
        if counter > 0 && !*self.kept.get_mut() {
            // Another process may give the counter this value. If it is somebody's already, it is told once too often.
            let _unchanged =
                self.hub.counter.compare_exchange(counter, counter - 1, Ordering::AcqRel, Ordering::Acquire);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn only_news_is_told() {
        let hub = Arc::new(ChangeHub::new(5));
        let mut changes = hub.subscribe();
        let mut news = || changes.changed().now_or_never().is_some();
        assert!(!news(), "nothing has happened");
        hub.observed(5);
        assert!(!news(), "the counter has not moved");
        hub.observed(6);
        assert!(news());
        assert!(!news(), "it is told once");
        let turn = hub.claim();
        turn.take(7);
        hub.observed(7);
        turn.keep(false);
        assert!(!news(), "its own change is no news, whoever sees it first");
        hub.claim().keep(true);
        assert!(!news(), "an edit that changed nothing");
        let turn = hub.claim();
        turn.take(9);
        turn.keep(false);
        assert!(news(), "8 was somebody else's");
        let edit = hub.claim();
        edit.take(10);
        hub.observed(10);
        assert!(!news(), "not before it is committed");
        edit.keep(true);
        assert!(news(), "edits are told at home too");
        let failed = hub.claim();
        failed.take(11);
        drop(failed);
        hub.observed(11);
        assert!(news(), "the next who uses the number is somebody else");
    }
}
