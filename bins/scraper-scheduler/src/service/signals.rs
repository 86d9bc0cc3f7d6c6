//! Signals: the first SIGTERM or SIGINT drains, a second one cuts off, SIGHUP reloads.

use std::sync::Arc;

use app::Signals;
use engine::Shutdown;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::failure::Failure;

/// Starts to listen for signals. SIGHUP notifies `reload`.
///
/// # Errors
/// The system does not allow it.
pub(crate) fn listen(shutdown: Shutdown, reload: Arc<Notify>) -> Result<(), Failure> {
    let mut stop = Signals::install()?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let first = stop.next().await;
        tracing::info!("{}: stopping; a second signal stops at once", first.name());
        shutdown.drain.cancel();
        let second = stop.next().await;
        tracing::warn!("{}: stopping at once", second.name());
        shutdown.cut_off.cancel();
    });
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload.notify_one();
        }
    });
    Ok(())
}
