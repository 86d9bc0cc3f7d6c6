//! Telling those who wait for changes made by others.

use std::sync::atomic::{AtomicI64, Ordering};

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

    /// A change that this process has made itself through its interface: the loop has to notice it too.
    pub(crate) fn edited(&self, counter: i64) {
        self.counter.fetch_max(counter, Ordering::AcqRel);
        self.announce();
    }

    /// A change that the loop of this process has made for others: only what others did before it is news.
    pub(crate) fn left_for_others(&self, counter: i64) {
        if self.counter.fetch_max(counter, Ordering::AcqRel) < counter - 1 {
            self.announce();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn only_news_is_told() {
        let hub = ChangeHub::new(5);
        let mut changes = hub.subscribe();
        let mut news = || changes.changed().now_or_never().is_some();
        assert!(!news(), "nothing has happened");
        hub.observed(5);
        assert!(!news(), "the counter has not moved");
        hub.observed(6);
        assert!(news());
        assert!(!news(), "it is told once");
        hub.left_for_others(7);
        assert!(!news(), "its own change is no news");
        hub.left_for_others(9);
        assert!(news(), "8 was somebody else's");
        hub.edited(10);
        assert!(news(), "edits are told at home too");
        hub.observed(10);
        assert!(!news(), "and not twice");
    }
}
