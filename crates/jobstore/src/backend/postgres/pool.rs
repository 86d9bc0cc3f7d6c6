//! A few connections that take turns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection as _, TransactionManager as _,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::Connector;
use crate::error::StoreError;

/// How long somebody waits for a connection that others use.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a transaction may take. The server itself ends a statement sooner: one that says nothing for so long is
/// frozen, and nothing else would tell that, because its machine still takes what is sent to it.
const SILENCE: Duration = Duration::from_secs(20);

/// What a transaction came to, or that the server did not answer. Its connection is not used again then.
pub(super) async fn answered<T>(
    transaction: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(SILENCE, transaction)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unreachable("the server does not answer".to_owned())))
}

/// The connections. Unlike a pool for many users it tells at once, and in its own words, why none can be made.
pub(super) struct Pool {
    connector: Connector,
    read_only: bool,
    idle: Mutex<Vec<AsyncPgConnection>>,
    places: Arc<Semaphore>,
    closed: AtomicBool,
}

/// A connection in use. Unless it is given back in order it is closed: it may be in the midst of something.
pub(super) struct Leased {
    connection: AsyncPgConnection,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Leased {
    pub(super) fn connection(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }

    pub(super) fn give_back(self) {
        if !self.pool.closed.load(Ordering::Acquire) {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.connection);
        }
    }
}

/// An open transaction. Dropped before its end it takes its connection with it, and the server rolls it back.
pub(super) struct Transaction {
    leased: Leased,
}

impl Transaction {
    pub(super) fn connection(&mut self) -> &mut AsyncPgConnection {
        self.leased.connection()
    }

    /// Commits what went well, rolls back what did not.
    pub(super) async fn end<T>(mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.leased.connection();
        let ended = match &done {
            Ok(_) => AnsiTransactionManager::commit_transaction(connection).await,
            Err(_) => AnsiTransactionManager::rollback_transaction(connection).await,
        };
        match (ended, done) {
            (Ok(()), done) => {
                self.leased.give_back();
                done
            }
            // What went wrong first is what matters.
            (Err(_), Err(error)) => Err(error),
            (Err(error), Ok(_)) => Err(error.into()),
        }
    }
}

impl Pool {
    pub(super) fn new(connector: Connector, size: u32, read_only: bool) -> Self {
        let places = usize::try_from(size.max(1)).unwrap_or(1);
        Pool {
            connector,
            read_only,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
            closed: AtomicBool::new(false),
        }
    }

    /// A connection: one that is idle, or a new one.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Leased, StoreError> {
        let place = self.place().await?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        Ok(Leased { connection, pool: self.clone(), _place: place })
    }

    /// Begins a transaction. A connection that broke while nobody used it shows so now, and is replaced.
    pub(super) async fn begin(self: &Arc<Self>) -> Result<Transaction, StoreError> {
        let place = self.place().await?;
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (mut connection, new) = match idle {
                Some(connection) => (connection, false),
                None => (self.connect().await?, true),
            };
            match AnsiTransactionManager::begin_transaction(&mut connection).await {
                Ok(()) => {
                    return Ok(Transaction {
                        leased: Leased { connection, pool: self.clone(), _place: place },
                    });
                }
                Err(error) if new => return Err(error.into()),
                Err(error) => tracing::debug!(%error, "an idle connection to the job store was broken"),
            }
        }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        match tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Busy("all connections to the job store are in use".to_owned())),
        }
    }

    async fn connect(&self) -> Result<AsyncPgConnection, StoreError> {
        let mut connection = self.connector.connect().await?;
        if self.read_only {
            connection.batch_execute("SET default_transaction_read_only = on").await?;
        }
        Ok(connection)
    }

    /// Closes what is idle; what is in use ends with its work.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
