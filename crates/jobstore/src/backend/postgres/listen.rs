//! Noticing what other processes have changed: a connection that listens for hints, and asking now and then, which is
//! what counts.

use std::sync::{Arc, Weak};
use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use futures_util::StreamExt as _;

use super::changes;
use super::connect::Connector;
use super::pool::Pool;
use crate::changes::ChangeHub;
use crate::error::StoreError;

/// How long after a failure the listener connects again.
const RECONNECT: Duration = Duration::from_secs(5);

/// Listens and asks as long as the store is there.
pub(super) fn start(
    every: Duration,
    connector: Connector,
    pool: &Arc<Pool>,
    hub: &Arc<ChangeHub>,
    namespace: Arc<str>,
) -> tokio::task::JoinHandle<()> {
    let (pool, hub) = (Arc::downgrade(pool), Arc::downgrade(hub));
    let hint = Arc::new(tokio::sync::Notify::new());
    let heard = hint.clone();
    tokio::spawn(async move {
        let listener = listen(connector, namespace.clone(), heard);
        let asker = async {
            loop {
                // A hint only makes it ask sooner; one that got lost costs no more than this wait.
                if let Ok(()) = tokio::time::timeout(every, hint.notified()).await {
                    tracing::trace!("another process has changed something");
                }
                match look(&pool, &hub, &namespace).await {
                    Ok(true) => {}
                    Ok(false) | Err(StoreError::Closed) => return,
                    Err(error) => tracing::debug!(%error, "the job store could not be asked for changes"),
                }
            }
        };
        // The asker ends with the store, and the listener with it.
        futures_util::future::select(std::pin::pin!(listener), std::pin::pin!(asker)).await;
    })
}

/// Hears the hints for this namespace, over connections of its own.
async fn listen(connector: Connector, namespace: Arc<str>, hint: Arc<tokio::sync::Notify>) {
    loop {
        match connector.connect().await {
            Ok(mut connection) => {
                if connection.batch_execute("LISTEN scraper_changes").await.is_ok() {
                    // Whatever was said before is not heard any more.
                    hint.notify_one();
                    let mut notifications = std::pin::pin!(connection.notifications_stream());
                    while let Some(Ok(notification)) = notifications.next().await {
                        if notification.payload == *namespace {
                            hint.notify_one();
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "the job store cannot be listened to"),
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Asks once. Returns false when the store is gone.
async fn look(pool: &Weak<Pool>, hub: &Weak<ChangeHub>, namespace: &str) -> Result<bool, StoreError> {
    let (Some(pool), Some(hub)) = (pool.upgrade(), hub.upgrade()) else {
        return Ok(false);
    };
    let mut leased = pool.connection().await?;
    hub.observed(changes::read(leased.connection(), namespace).await?);
    leased.give_back();
    Ok(true)
}
