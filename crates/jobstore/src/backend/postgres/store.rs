//! The store on PostgreSQL: opening it, its pool, and its transactions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use diesel_async::pooled_connection::bb8::PooledConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection as _, TransactionManager as _,
};
use futures_util::FutureExt as _;

use super::connect::Connector;
use super::schema_version::{self, Version};
use super::{changes, listen};
use crate::backend::prune::Cursor;
use crate::changes::ChangeHub;
use crate::error::{OpenError, StoreError};
use crate::migrations::{KNOWN, NOTES};
use crate::model::time::micros;
use crate::open::{Access, OpenOptions};
use crate::store::StoreKind;
use crate::url::PostgresUrl;

/// The lock under which tables are made: a number that nobody else is likely to use.
const MIGRATION_LOCK: i64 = 0x7363_7261_7065_7231;

/// A store on PostgreSQL.
pub(crate) struct Store {
    pub(super) namespace: Arc<str>,
    pub(super) place: String,
    pub(super) kind: StoreKind,
    pub(super) hub: Arc<ChangeHub>,
    pub(super) cursor: StdMutex<Cursor>,
    pool: Arc<Pool>,
    listener: Option<tokio::task::JoinHandle<()>>,
}

/// The connections that work.
pub(super) struct Pool {
    pool: bb8::Pool<AsyncDieselConnectionManager<AsyncPgConnection>>,
    size: u32,
    closed: AtomicBool,
}

impl Pool {
    /// A connection, new or used before.
    pub(super) async fn connection(
        &self,
    ) -> Result<PooledConnection<'static, AsyncPgConnection>, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        self.pool.get_owned().await.map_err(|error| match error {
            bb8::RunError::TimedOut => StoreError::Busy("no connection became free in time".to_owned()),
            bb8::RunError::User(error) => StoreError::Unreachable(error.to_string()),
        })
    }
}

/// An open transaction. Dropped before its end it takes its connection with it, and the server rolls it back.
pub(super) struct Transaction {
    connection: PooledConnection<'static, AsyncPgConnection>,
}

impl Transaction {
    pub(super) fn connection(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }

    /// Commits what went well, rolls back what did not.
    pub(super) async fn end<T>(mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        match done {
            Ok(value) => {
                AnsiTransactionManager::commit_transaction(&mut *self.connection).await?;
                Ok(value)
            }
            Err(error) => {
                if let Err(second) = AnsiTransactionManager::rollback_transaction(&mut *self.connection).await
                {
                    tracing::debug!(error = %second, "the connection is given up");
                }
                Err(error)
            }
        }
    }
}

impl Store {
    /// Begins a transaction. A connection that broke while nobody used it shows so now, and is replaced.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        let mut stale = 0;
        loop {
            let mut connection = self.pool.connection().await?;
            match AnsiTransactionManager::begin_transaction(&mut *connection).await {
                Ok(()) => return Ok(Transaction { connection }),
                Err(_) if stale <= self.pool.size => stale += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the connections.
    pub(super) async fn shut(&self) {
        self.pool.closed.store(true, Ordering::Release);
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

/// Opens a store on a server.
pub(crate) async fn open(url: &PostgresUrl, options: &OpenOptions) -> Result<Store, OpenError> {
    let fail = |error: StoreError| OpenError::from_store(&url.shown, error);
    let connector = Connector::new(url)?;
    // A session of its own: the lock belongs to the session, and a pooler in between might hand that to others.
    let mut session = connector.connect().await.map_err(fail)?;
    match options.access {
        Access::Full => migrate(&mut session, url, options).await?,
        Access::Query => match schema_version::version(&mut session).await.map_err(fail)? {
            Version::None => return Err(OpenError::Missing { place: url.shown.clone() }),
            Version::Older(found) => {
                return Err(OpenError::Older { place: url.shown.clone(), found, known: KNOWN });
            }
            Version::Newer(found) => {
                return Err(OpenError::Newer { place: url.shown.clone(), found, known: KNOWN });
            }
            Version::Current => {}
        },
    }
    let namespace: Arc<str> = Arc::from(options.namespace.as_str());
    let counter = changes::read(&mut session, &namespace).await.map_err(fail)?;
    drop(session);

    let mut manager = ManagerConfig::default();
    // Whether a connection still works shows when its transaction begins.
    manager.recycling_method = RecyclingMethod::Fast;
    let for_pool = connector.clone();
    let read_only = options.access == Access::Query;
    manager.custom_setup = Box::new(move |_| {
        let connector = for_pool.clone();
        async move {
            let mut connection = connector.connect().await.map_err(bad_connection)?;
            if read_only {
                let sql = "SET default_transaction_read_only = on";
                connection.batch_execute(sql).await.map_err(|error| bad_connection(error.into()))?;
            }
            Ok(connection)
        }
        .boxed()
    });
    let size = options.connections.max(1);
    let pool = bb8::Pool::builder()
        .max_size(size)
        .test_on_check_out(false)
        .retry_connection(false)
        .connection_timeout(Duration::from_secs(10))
        .build_unchecked(AsyncDieselConnectionManager::new_with_config(String::new(), manager));
    let pool = Arc::new(Pool { pool, size, closed: AtomicBool::new(false) });
    let hub = Arc::new(ChangeHub::new(counter));
    let listener = options.poll.map(|every| listen::start(every, connector, &pool, &hub, namespace.clone()));
    Ok(Store {
        namespace,
        place: url.shown.clone(),
        kind: StoreKind::Postgres,
        hub,
        cursor: StdMutex::default(),
        pool,
        listener,
    })
}

fn bad_connection(error: StoreError) -> diesel::ConnectionError {
    let reason = match error {
        StoreError::Unreachable(reason) => reason,
        other => other.to_string(),
    };
    diesel::ConnectionError::BadConnection(reason)
}

/// Makes the tables, or brings them up to date. Of several processes one does it while the others wait.
async fn migrate(
    session: &mut AsyncPgConnection,
    url: &PostgresUrl,
    options: &OpenOptions,
) -> Result<(), OpenError> {
    let fail = |error: StoreError| OpenError::from_store(&url.shown, error);
    let newer = |found| OpenError::Newer { place: url.shown.clone(), found, known: KNOWN };
    match schema_version::version(session).await.map_err(fail)? {
        Version::Newer(found) => return Err(newer(found)),
        Version::Current => return check_writable(session).await.map_err(fail),
        Version::None | Version::Older(_) => {}
    }
    let version = migrate_locked(session, micros(options.now)).await.map_err(fail)?;
    match version {
        Version::Newer(found) => Err(newer(found)),
        _ => check_writable(session).await.map_err(fail),
    }
}

async fn migrate_locked(session: &mut AsyncPgConnection, now: i64) -> Result<Version, StoreError> {
    session
        .batch_execute(&format!(
            "SET statement_timeout = '10min'; SET lock_timeout = '2min'; \
             SET idle_in_transaction_session_timeout = '10min'; SELECT pg_advisory_lock({MIGRATION_LOCK})"
        ))
        .await?;
    // The lock ends with the session, also when something goes wrong now.
    session.batch_execute(NOTES).await?;
    let version = schema_version::version(session).await?;
    for migration in schema_version::pending(version) {
        AnsiTransactionManager::begin_transaction(session).await?;
        session.batch_execute(migration.postgres).await?;
        schema_version::note(session, migration, now).await?;
        AnsiTransactionManager::commit_transaction(session).await?;
    }
    session.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})")).await?;
    Ok(version)
}

/// A write that changes nothing, so that a standby or a read-only login is noticed now and not at the first fire.
async fn check_writable(session: &mut AsyncPgConnection) -> Result<(), StoreError> {
    Ok(session.batch_execute("UPDATE scraper_schema SET applied_at = applied_at WHERE version = 0").await?)
}
