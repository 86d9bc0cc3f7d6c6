//! The store on SQLite: opening it, and getting work onto its connections.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, SqliteConnection};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use tokio::sync::Mutex;

use super::connection::{Begin, Mode, connect, prepare_writer, transaction};
use super::schema_version::{self, Version};
use super::{changes, poll, ready};
use crate::backend::prune::Cursor;
use crate::changes::ChangeHub;
use crate::error::{OpenError, StoreError};
use crate::migrations::{KNOWN, NOTES};
use crate::model::time::micros;
use crate::open::{Access, OpenOptions};
use crate::store::StoreKind;

type Connection = SyncConnectionWrapper<SqliteConnection>;

/// A store on SQLite.
pub(crate) struct Store {
    pub(super) namespace: Arc<str>,
    pub(super) place: String,
    pub(super) kind: StoreKind,
    pub(super) hub: Arc<ChangeHub>,
    pub(super) cursor: StdMutex<Cursor>,
    connections: Arc<Connections>,
    poll: Option<tokio::task::JoinHandle<()>>,
}

/// The two connections; none once the store is closed. Where it is only dropped, the writer goes last, too.
pub(super) struct Connections {
    /// Absent in memory, where a second connection would be a second database.
    reader: Option<Mutex<Option<Connection>>>,
    writer: Mutex<Option<Connection>>,
    closed: AtomicBool,
}

impl Connections {
    async fn with<T: Send + 'static>(
        &self,
        connection: &Mutex<Option<Connection>>,
        begin: Begin,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut held = connection.lock().await;
        let connection = held.as_mut().ok_or(StoreError::Closed)?;
        on_thread(connection, move |c| transaction(c, begin, work)).await
    }

    /// A transaction that writes.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with(&self.writer, Begin::Immediate, work).await
    }

    /// A transaction that reads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with(self.reader.as_ref().unwrap_or(&self.writer), Begin::Deferred, work).await
    }

    /// Something on the reading connection that is no transaction.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut held = self.reader.as_ref().unwrap_or(&self.writer).lock().await;
        on_thread(held.as_mut().ok_or(StoreError::Closed)?, work).await
    }
}

/// Runs on a blocking thread. If the caller goes away the work is still done to its end.
async fn on_thread<T: Send + 'static>(
    connection: &mut Connection,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done: QueryResult<Result<T, StoreError>> = connection.spawn_blocking(move |c| Ok(work(c))).await;
    // The only error of the outer kind is a panic within the work, whose transaction has been rolled back.
    done.map_err(|error| StoreError::Database(format!("the transaction broke off: {error}")))?
}

impl Store {
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.connections.write(work).await
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.connections.read(work).await
    }

    /// Something on the writing connection that is no transaction.
    #[cfg(test)]
    pub(super) async fn without_transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut held = self.connections.writer.lock().await;
        on_thread(held.as_mut().ok_or(StoreError::Closed)?, work).await
    }

    /// Waits for work in progress and closes the file.
    pub(super) async fn shut(&self) {
        self.connections.closed.store(true, Ordering::Release);
        if let Some(poll) = &self.poll {
            poll.abort();
        }
        let mut open: Vec<Connection> = Vec::new();
        if let Some(reader) = &self.connections.reader {
            open.extend(reader.lock().await.take());
        }
        // The writer last: whoever closes the file last tidies up its log, and must be able to write for that.
        open.extend(self.connections.writer.lock().await.take());
        if let Err(error) = tokio::task::spawn_blocking(move || drop(open)).await {
            tracing::warn!(%error, "the job store could not be closed in order");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(poll) = &self.poll {
            poll.abort();
        }
    }
}

/// Opens a file, or a database in memory.
pub(crate) async fn open(path: Option<&Path>, options: &OpenOptions) -> Result<Store, OpenError> {
    let place = path.map_or_else(|| "sqlite::memory:".to_owned(), |path| path.display().to_string());
    let (path, options_for_thread, place_for_thread) =
        (path.map(Path::to_path_buf), options.clone(), place.clone());
    let opened = tokio::task::spawn_blocking(move || {
        open_connections(path.as_ref(), &options_for_thread, &place_for_thread)
    })
    .await;
    let (writer, reader, counter) = opened
        .map_err(|error| OpenError::Unreachable { place: place.clone(), reason: error.to_string() })??;
    let in_memory = reader.is_none();
    let connections = Arc::new(Connections {
        writer: Mutex::new(Some(SyncConnectionWrapper::new(writer))),
        reader: reader.map(|reader| Mutex::new(Some(SyncConnectionWrapper::new(reader)))),
        closed: AtomicBool::new(false),
    });
    let hub = Arc::new(ChangeHub::new(counter));
    let namespace: Arc<str> = Arc::from(options.namespace.as_str());
    let poll = match options.poll {
        Some(every) if !in_memory => Some(poll::start(every, &connections, &hub, namespace.clone())),
        _ => None,
    };
    let kind = if in_memory { StoreKind::Memory } else { StoreKind::SqliteFile };
    Ok(Store { namespace, place, kind, hub, cursor: StdMutex::default(), connections, poll })
}

type Opened = (SqliteConnection, Option<SqliteConnection>, i64);

fn open_connections(path: Option<&PathBuf>, options: &OpenOptions, place: &str) -> Result<Opened, OpenError> {
    let fail = |error: StoreError| explain(OpenError::from_store(place, error), path);
    if options.access == Access::Query && path.is_some_and(|path| !path.exists()) {
        return Err(OpenError::Missing { place: place.to_owned() });
    }
    let busy = options.busy_timeout;
    let mut writer = match (path, options.access) {
        (None, _) | (_, Access::Full) => connect(path, Mode::Create, busy).map_err(fail)?,
        (Some(_), Access::Query) => connect(path, Mode::Existing, busy)
            .and_then(|mut c| look_at(&mut c).map(|_| c))
            .or_else(|_| connect(path, Mode::ReadOnly, busy))
            .map_err(fail)?,
    };
    // Nothing is written before the version is known: a newer store is left as it is.
    let version = look_at(&mut writer).map_err(fail)?;
    if let Version::Newer(found) = version {
        return Err(OpenError::Newer { place: place.to_owned(), found, known: KNOWN });
    }
    match options.access {
        Access::Query => match version {
            Version::None if path.is_some() => return Err(OpenError::Missing { place: place.to_owned() }),
            Version::Older(found) => {
                return Err(OpenError::Older { place: place.to_owned(), found, known: KNOWN });
            }
            Version::None => migrate(&mut writer, options, place)?,
            Version::Current | Version::Newer(_) => {}
        },
        Access::Full => {
            retry_busy(busy, || prepare_writer(&mut writer, place)).map_err(fail)?;
            migrate(&mut writer, options, place)?;
            check_writable(&mut writer).map_err(fail)?;
        }
    }
    let reader = match path {
        None => None,
        Some(_) => {
            let mode = if options.access == Access::Full { Mode::Existing } else { Mode::ReadOnly };
            Some(connect(path, mode, busy).map_err(fail)?)
        }
    };
    if options.access == Access::Query && path.is_some() {
        writer.batch_execute("PRAGMA query_only = ON").map_err(|error| fail(error.into()))?;
    }
    let counter = ready(changes::read(&mut writer, &options.namespace)).map_err(fail)?;
    Ok((writer, reader, counter))
}

/// The version of what is stored; the first thing that is read, and so the first to notice a damaged file.
fn look_at(c: &mut SqliteConnection) -> Result<Version, StoreError> {
    transaction(c, Begin::Deferred, |c| ready(schema_version::version(c)))
}

/// A write that changes nothing, so that a file that cannot be written is noticed now and not at the first fire.
fn check_writable(c: &mut SqliteConnection) -> Result<(), StoreError> {
    transaction(c, Begin::Immediate, |c| {
        c.batch_execute("UPDATE scraper_schema SET applied_at = applied_at WHERE version = 1")?;
        Ok(())
    })
}

/// Several processes that open a new file at once get into one another's way in places that the busy timeout does not
/// cover (the change to a write-ahead log).
fn retry_busy(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let mut left = patience.as_millis() / PAUSE.as_millis();
    loop {
        match attempt() {
            Err(StoreError::Busy(_)) if left > 0 => {
                left -= 1;
                std::thread::park_timeout(PAUSE);
            }
            other => return other,
        }
    }
}

fn migrate(c: &mut SqliteConnection, options: &OpenOptions, place: &str) -> Result<(), OpenError> {
    let now = micros(options.now);
    let known = look_at(c).map_err(|error| OpenError::from_store(place, error))?;
    if known == Version::Current {
        return Ok(());
    }
    // Alone with the file: of several processes one makes the tables, the others find them.
    let newer = transaction(c, Begin::Exclusive, |c| {
        c.batch_execute(NOTES)?;
        let version = ready(schema_version::version(c))?;
        if let Version::Newer(found) = version {
            return Ok(Some(found));
        }
        for migration in schema_version::pending(version) {
            c.batch_execute(migration.sqlite)?;
            ready(schema_version::note(c, migration, now))?;
        }
        Ok(None)
    })
    .map_err(|error| OpenError::from_store(place, error))?;
    match newer {
        Some(found) => Err(OpenError::Newer { place: place.to_owned(), found, known: KNOWN }),
        None => Ok(()),
    }
}

/// SQLite only says that it cannot open a file; the usual reason is easily seen.
fn explain(error: OpenError, path: Option<&PathBuf>) -> OpenError {
    let (OpenError::Unreachable { place, reason }, Some(path)) = (&error, path) else {
        return error;
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let why = match directory {
        _ if path.is_dir() => "it is a directory".to_owned(),
        Some(directory) if !directory.exists() => {
            format!("the directory {} does not exist", directory.display())
        }
        Some(directory) if !directory.is_dir() => format!("{} is not a directory", directory.display()),
        _ => return error,
    };
    OpenError::Unreachable { place: place.clone(), reason: format!("{why} ({reason})") }
}
