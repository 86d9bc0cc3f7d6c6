//! Noticing what other processes have changed in the file.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::store::Connections;
use super::{RunQueryDsl, changes, ready};
use crate::changes::ChangeHub;
use crate::error::StoreError;

#[derive(diesel::QueryableByName)]
struct DataVersion {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    data_version: i64,
}

/// Asks every now and then, as long as the store is there. SQLite's own number moves with every commit of others: only
/// then the counter is read.
pub(super) fn start(
    every: Duration,
    connections: &Arc<Connections>,
    hub: &Arc<ChangeHub>,
    namespace: Arc<str>,
) -> tokio::task::JoinHandle<()> {
    let (connections, hub) = (Arc::downgrade(connections), Arc::downgrade(hub));
    tokio::spawn(async move {
        let mut known = None;
        loop {
            tokio::time::sleep(every).await;
            match look(&connections, &hub, &namespace, known).await {
                Ok(Some(version)) => known = Some(version),
                Ok(None) => return,
                Err(StoreError::Closed) => return,
                Err(error) => tracing::debug!(%error, "the job store could not be asked for changes"),
            }
        }
    })
}

/// Looks once. Returns the number that was seen, or nothing when the store is gone.
async fn look(
    connections: &Weak<Connections>,
    hub: &Weak<ChangeHub>,
    namespace: &Arc<str>,
    known: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    let (Some(connections), Some(hub)) = (connections.upgrade(), hub.upgrade()) else {
        return Ok(None);
    };
    let namespace = namespace.clone();
    let (version, counter) = connections
        .look(move |c| {
            let row: DataVersion =
                ready(async { Ok(diesel::sql_query("PRAGMA data_version").get_result(&mut *c).await?) })?;
            if known == Some(row.data_version) {
                return Ok((row.data_version, None));
            }
            Ok((row.data_version, Some(ready(changes::read(c, &namespace))?)))
        })
        .await?;
    if let Some(counter) = counter {
        hub.observed(counter);
    }
    Ok(Some(version))
}
