//! One PostgreSQL database during one run, and its one transaction at the end.

mod connect;
mod error;
mod merge;
mod tables;
mod tls;
mod write;

use std::time::Duration;

use pipeline_core::StageError;
use tokio::sync::Mutex;

pub(crate) use connect::{PgConnection, PgPlace};
pub(crate) use error::fatal;
pub(crate) use write::PgWrite;

/// A cancelled statement is given up after this time; the server ends it with the connection.
const CANCEL: Duration = Duration::from_secs(5);

/// A database that takes part in a run.
pub(crate) struct PgUnit {
    place: PgPlace,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    connection: Option<PgConnection>,
    parts: Vec<PgWrite>,
}

impl PgUnit {
    pub(crate) fn new(place: PgPlace) -> Self {
        Self { place, inner: Mutex::default() }
    }

    /// What it is, for errors.
    pub(crate) fn place(&self) -> String {
        format!("database {}", self.place.shown())
    }

    /// Makes sure before the run's work that the server is there and lets us in.
    ///
    /// # Errors
    /// Where it is not, or does not.
    pub(crate) async fn probe(&self) -> Result<(), StageError> {
        let connection = self.place.connect().await.map_err(|error| error.at(self.place()))?;
        // A run may take hours: no connection is held meanwhile.
        drop(connection);
        Ok(())
    }

    /// Adds what is to be written when the run succeeds.
    pub(crate) async fn add_part(&self, part: PgWrite) {
        self.inner.lock().await.parts.push(part);
    }

    /// Does all but the commit, in one transaction.
    pub(crate) async fn prepare(&self) -> Result<(), StageError> {
        let mut inner = self.inner.lock().await;
        let inner = &mut *inner;
        if inner.parts.is_empty() {
            return Ok(());
        }
        let connection = inner.connection.insert(self.place.connect().await?);
        connection.execute("beginning", "BEGIN").await?;
        // Runs that write the same tables take turns, and always in the same order.
        let mut names: Vec<String> = inner.parts.iter().flat_map(PgWrite::table_names).collect();
        names.sort();
        names.dedup();
        for name in names {
            let lock = "SELECT pg_advisory_xact_lock(hashtextextended('scraper table ' || $1, 0))";
            let locked = connection.client().execute(lock, &[&name]).await;
            locked.map_err(|error| fatal("waiting for its turn", error))?;
        }
        connection.execute("beginning", "SET LOCAL lock_timeout = '60s'").await?;
        for (number, part) in inner.parts.iter_mut().enumerate() {
            part.apply(connection, number).await?;
        }
        Ok(())
    }

    /// Makes it visible.
    pub(crate) async fn commit(&self) -> Result<(), StageError> {
        let mut inner = self.inner.lock().await;
        if let Some(connection) = &inner.connection {
            connection.execute("committing", "COMMIT").await?;
        }
        *inner = Inner::default();
        Ok(())
    }

    /// Undoes all: a closed connection's transaction is rolled back by the server.
    pub(crate) async fn rollback(&self) {
        let mut inner = self.inner.lock().await;
        if let Some(connection) = inner.connection.take() {
            // The statement that was running when the run stopped would run on until its end.
            tokio::time::timeout(CANCEL, connection.cancel()).await.ok();
        }
        *inner = Inner::default();
    }
}

impl std::fmt::Debug for PgUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PgUnit").field(&self.place.shown()).finish()
    }
}
