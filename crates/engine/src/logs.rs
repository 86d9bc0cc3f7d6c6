//! The logs of runs: gathered from all attempts, written to the store in batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobstore::{JobStore, RunId};
use pipeline_core::{EventLevel, LogLine, LogSink};
use tokio::sync::{mpsc, oneshot};

/// Lines that wait to be written, over all runs. Where the store cannot keep up, further ones are dropped and counted.
const WAITING: usize = 4_096;
/// Lines that are kept of one attempt.
const PER_ATTEMPT: i64 = 10_000;
/// Lines in one transaction.
const BATCH: usize = 512;
/// How long a line may wait for others.
const LINGER: Duration = Duration::from_millis(200);
/// The pause after a failed write.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer lines are cut.
const LONGEST: usize = 16 * 1024;

enum Entry {
    Line(jobstore::LogLine),
    /// Answered when all that came before is written.
    Flush(oneshot::Sender<()>),
}

/// Where attempts leave their lines.
#[derive(Clone)]
pub(crate) struct LogBook {
    sender: mpsc::Sender<Entry>,
}

impl LogBook {
    /// A book, and the future that writes it until the last [`LogBook`] and [`AttemptLog`] is gone.
    pub(crate) fn new(store: Arc<dyn JobStore>) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender }, write(store, receiver))
    }

    /// The log of one attempt.
    pub(crate) fn attempt(&self, run: RunId, attempt: i32) -> Arc<AttemptLog> {
        Arc::new(AttemptLog {
            sender: self.sender.clone(),
            run,
            attempt,
            next: AtomicI64::new(0),
            dropped: AtomicU64::new(0),
        })
    }
}

/// The log of one attempt.
pub(crate) struct AttemptLog {
    sender: mpsc::Sender<Entry>,
    run: RunId,
    attempt: i32,
    next: AtomicI64,
    dropped: AtomicU64,
}

impl AttemptLog {
    /// Adds what was dropped, and waits until all is written, but not for long: an outage must not hold up an outcome.
    pub(crate) async fn finish(&self, now: DateTime<Utc>) {
        if self.next.load(Ordering::Relaxed) == 0 {
            return;
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let seq = self.next.fetch_add(1, Ordering::Relaxed);
            let text = format!("{dropped} further lines were not kept");
            let line = self.stored(seq, now, EventLevel::Warning, None, text);
            // Where even this finds no room, the process's own log has the lines.
            drop(self.sender.try_send(Entry::Line(line)));
        }
        let (done, written) = oneshot::channel();
        let flushed = async {
            if self.sender.send(Entry::Flush(done)).await.is_ok() {
                // An error says that the writer has ended, and then there is nothing to wait for.
                drop(written.await);
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(2), flushed).await);
    }

    fn stored(
        &self,
        seq: i64,
        at: DateTime<Utc>,
        level: EventLevel,
        stage: Option<String>,
        text: String,
    ) -> jobstore::LogLine {
        let level = match level {
            EventLevel::Debug => "debug",
            EventLevel::Info => "info",
            EventLevel::Warning => "warning",
            EventLevel::Error => "error",
        };
        jobstore::LogLine {
            run: self.run,
            attempt: self.attempt,
            seq,
            at,
            level: level.to_owned(),
            stage,
            text: storable(text, LONGEST),
        }
    }
}

impl LogSink for AttemptLog {
    fn line(&self, line: LogLine) {
        if line.level == EventLevel::Debug {
            return;
        }
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let stage = line.stage.map(|(number, class)| format!("{number} {class}"));
        let kept = seq < PER_ATTEMPT && {
            let stored = self.stored(seq, line.at, line.level, stage, line.message);
            self.sender.try_send(Entry::Line(stored)).is_ok()
        };
        if !kept {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A text that every database can store: without NUL characters, and at most so many bytes long.
pub(crate) fn storable(mut text: String, longest: usize) -> String {
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    if text.len() > longest {
        let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

async fn write(store: Arc<dyn JobStore>, mut receiver: mpsc::Receiver<Entry>) {
    let mut lines = Vec::new();
    let mut flushes = Vec::new();
    let mut entries = Vec::with_capacity(BATCH);
    loop {
        if receiver.recv_many(&mut entries, BATCH).await == 0 {
            return;
        }
        gather(&mut entries, &mut lines, &mut flushes);
        // Give others a moment to fill the batch, unless somebody waits for it.
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        while flushes.is_empty() && lines.len() < BATCH {
            tokio::select! {
                biased;
                count = receiver.recv_many(&mut entries, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    gather(&mut entries, &mut lines, &mut flushes);
                }
                () = &mut linger => break,
            }
        }
        while !lines.is_empty() {
            match store.append_logs(lines.clone()).await {
                Ok(()) => lines.clear(),
                Err(error) if error.is_transient() => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::error!("{} lines of runs' logs could not be stored: {error}", lines.len());
                    lines.clear();
                }
            }
        }
        for flush in flushes.drain(..) {
            // Nobody waits any more where this fails.
            let _nobody = flush.send(());
        }
    }
}

fn gather(
    entries: &mut Vec<Entry>,
    lines: &mut Vec<jobstore::LogLine>,
    flushes: &mut Vec<oneshot::Sender<()>>,
) {
    for entry in entries.drain(..) {
        match entry {
            Entry::Line(line) => lines.push(line),
            Entry::Flush(done) => flushes.push(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_made_storable() {
        let cases =
            [("plain", 10, "plain"), ("a\0b", 10, "a\u{fffd}b"), ("åäö", 3, "å…"), ("abcdef", 3, "abc…")];
        for (text, longest, expected) in cases {
            assert_eq!(storable(text.to_owned(), longest), expected);
        }
    }
}
