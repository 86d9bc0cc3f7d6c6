//! What stages put aside until the run's end: bytes for values, a file for rows.

pub(crate) mod codec;
mod folder;
mod spool;
#[cfg(test)]
pub(crate) mod testing;
mod worker;

pub(crate) use folder::{MadeFolders, check_folder_of, make_folder_of};
pub(crate) use spool::{Spool, SpoolReader, SpoolWriter, begin_frame, end_frame};
pub(crate) use worker::Worker;

use pipeline_core::StageError;

/// Runs work that blocks on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StageError> + Send + 'static,
) -> Result<T, StageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(StageError::fatal("the runtime is shutting down")),
    }
}
