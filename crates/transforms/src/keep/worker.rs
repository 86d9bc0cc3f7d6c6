//! One thread for all work on SQLite in a run.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Sender};

use pipeline_core::{RunContext, StageError};

use super::blocking;

type Work = Box<dyn FnOnce() + Send>;

/// Runs work on one and the same thread.
///
/// SQLite takes the memory of its page caches from the allocator of the thread that it runs on. On whichever
/// thread is free, each of them would end up holding caches that it no longer needs.
#[derive(Debug, Clone)]
pub(crate) struct Worker(Option<Sender<Work>>);

impl Worker {
    /// The worker of a run; its thread ends with the run.
    pub(crate) fn of(run: &RunContext) -> Self {
        (*run.resource(Self::start)).clone()
    }

    fn start() -> Self {
        let (send, work) = mpsc::channel::<Work>();
        let thread = std::thread::Builder::new().name("sqlite".to_owned());
        let started = thread.spawn(move || work.into_iter().for_each(|work| work()));
        Self(started.is_ok().then_some(send))
    }

    /// Does the work, which may block. A panic in it goes on in the caller.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StageError> + Send + 'static,
    ) -> Result<T, StageError> {
        let Some(send) = self.0.clone() else {
            return Err(StageError::fatal("the system refuses to start a thread"));
        };
        // A thread of the runtime waits meanwhile, so that the runtime knows that there is work.
        blocking(move || {
            let (reply, result) = mpsc::sync_channel(1);
            let work = move || {
                // Where nobody waits for it any more, the result is of no use.
                reply.send(catch_unwind(AssertUnwindSafe(work))).ok();
            };
            let gone = |_| StageError::fatal("the thread for SQLite has ended");
            send.send(Box::new(work)).map_err(|_| StageError::fatal("the thread for SQLite has ended"))?;
            match result.recv().map_err(gone)? {
                Ok(result) => result,
                Err(panic) => resume_unwind(panic),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_work_is_done_on_one_thread_and_a_panic_reaches_its_caller() {
        let worker = Worker::start();
        let here = || Ok(std::thread::current().id());
        let first = worker.run(here).await.unwrap();
        assert_eq!(worker.run(here).await.unwrap(), first);
        let panics = tokio::spawn({
            let worker = worker.clone();
            async move { worker.run::<()>(|| panic!("on purpose")).await }
        });
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(worker.run(here).await.unwrap(), first, "it goes on");
    }
}
