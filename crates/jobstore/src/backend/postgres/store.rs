//! The store on PostgreSQL: opening it.

use std::sync::{Arc, Mutex as StdMutex};

use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection as _, TransactionManager as _,
};

use super::connect::Connector;
use super::pool::{Pool, Transaction};
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

impl Store {
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        self.pool.begin().await
    }

    /// Ends the connections.
    pub(super) async fn shut(&self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
        self.pool.close();
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
    // A session of its own: what it sets for the making of tables is not for others.
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

    let pool = Arc::new(Pool::new(connector.clone(), options.connections, options.access == Access::Query));
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

/// The lock and the settings end with their transaction, and so belong to it also where a pooler hands the session to
/// others in between.
async fn migrate_locked(session: &mut AsyncPgConnection, now: i64) -> Result<Version, StoreError> {
    loop {
        AnsiTransactionManager::begin_transaction(session).await?;
        session
            .batch_execute(&format!(
                "SET LOCAL statement_timeout = '10min'; SET LOCAL lock_timeout = '2min'; \
                 SET LOCAL idle_in_transaction_session_timeout = '10min'; \
                 SELECT pg_advisory_xact_lock({MIGRATION_LOCK}); {NOTES}"
            ))
            .await?;
        // Another process may have been faster.
        let version = schema_version::version(session).await?;
        let next = schema_version::pending(version).first();
        if let Some(migration) = next {
            session.batch_execute(migration.postgres).await?;
            schema_version::note(session, migration, now).await?;
        }
        AnsiTransactionManager::commit_transaction(session).await?;
        if next.is_none() {
            return Ok(version);
        }
    }
}

/// A write that changes nothing, so that a standby or a read-only login is noticed now and not at the first fire.
async fn check_writable(session: &mut AsyncPgConnection) -> Result<(), StoreError> {
    Ok(session.batch_execute("UPDATE scraper_schema SET applied_at = applied_at WHERE version = 0").await?)
}
