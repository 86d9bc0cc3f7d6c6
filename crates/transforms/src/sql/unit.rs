//! One SQLite file during one run: what the stages read from it, and the one transaction at the end.
//!
//! The connection's own (`main`) database is a private temporary one that holds what is put aside; the
//! file itself is attached as `db`. So nothing is locked and nothing is created while the run goes on,
//! and a killed run leaves nothing behind.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline_core::{StageError, Stopwatch};
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::OwnedMutexGuard;

use super::error::{fatal, is_busy, place};
use super::file_lock;
use super::staged_state::StagedState;
use crate::keep::Worker;

/// How long another program may keep the file locked.
const BUSY: Duration = Duration::from_secs(30);

/// The lock is asked for in slices of this length, so that a cancelled run does not wait for it.
const SLICE: Duration = Duration::from_millis(250);

/// What a stage writes into the file at the end of the run, within the transaction.
pub(crate) trait Part: Send {
    /// Writes it. Long work asks `stop` now and then.
    ///
    /// # Errors
    /// Where the run must fail; then nothing of it is kept.
    fn apply(&mut self, db: &Connection, stop: &Stop) -> Result<(), StageError>;
}

/// Whether the work for a run is to stop, because the run has failed or was cancelled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// Where the work is to stop.
    pub(crate) fn check(&self) -> Result<(), StageError> {
        if self.0.load(Ordering::Relaxed) { Err(StageError::fatal("the run was stopped")) } else { Ok(()) }
    }
}

/// A SQLite file that takes part in a run.
pub(crate) struct SqliteUnit {
    worker: Worker,
    file: Arc<SqliteFile>,
    inner: Arc<Mutex<Inner>>,
    /// Beside the connection, since that is locked by the very work that is to be interrupted.
    interrupt: Arc<Mutex<Option<InterruptHandle>>>,
    has_state: AtomicBool,
    stop: Stop,
    turn: Mutex<Option<OwnedMutexGuard<()>>>,
}

struct SqliteFile {
    /// As the file of pipelines names it.
    path: PathBuf,
    /// The same for all names that the file has.
    real: PathBuf,
    dry_run: bool,
}

/// The connection and what was put aside.
#[derive(Default)]
pub(crate) struct Inner {
    connection: Option<Connection>,
    attached: bool,
    closed: bool,
    parts: Vec<Box<dyn Part>>,
    /// What the stages keep in this file, once one has asked for it.
    pub(crate) state: StagedState,
}

impl SqliteUnit {
    pub(crate) fn new(path: &Path, real: PathBuf, dry_run: bool, worker: Worker) -> Self {
        Self {
            worker,
            file: Arc::new(SqliteFile { path: path.to_owned(), real, dry_run }),
            inner: Arc::default(),
            interrupt: Arc::default(),
            has_state: AtomicBool::new(false),
            stop: Stop::default(),
            turn: Mutex::default(),
        }
    }

    /// What it is, for errors.
    pub(crate) fn place(&self) -> String {
        place(&self.file.path)
    }

    /// Whether stages keep state in it, so that it commits last.
    pub(crate) fn has_state(&self) -> bool {
        self.has_state.load(Ordering::Relaxed)
    }

    /// Says that a stage keeps state in it.
    pub(crate) fn mark_state(&self) {
        self.has_state.store(true, Ordering::Relaxed);
    }

    /// Makes sure before the run's work that the file can be read, and written where it will be.
    ///
    /// # Errors
    /// Where it is no database, or can neither be written nor made.
    pub(crate) async fn probe(&self) -> Result<(), StageError> {
        let file = self.file.clone();
        self.call(move |inner, _| {
            if file.dry_run {
                return Ok(());
            }
            if !inner.attached {
                return crate::keep::check_folder_of(&file.real);
            }
            // SQLite opens a write-protected file for reading, and would find out at the end.
            let opened = std::fs::OpenOptions::new().read(true).write(true).open(&file.real);
            opened.map(drop).map_err(|error| {
                StageError::fatal("it cannot be written")
                    .hint("the file and its folder must be writable for the user that runs this")
                    .caused_by(error)
            })
        })
        .await
        .map_err(|error| error.at(self.place()))
    }

    /// Works on the connection, on a thread that may block. Where the file is goes before an error.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T, StageError> + Send + 'static,
    ) -> Result<T, StageError> {
        self.call(|inner, _| work(inner)).await.map_err(|error| error.at(self.place()))
    }

    /// Adds what is to be written when the run succeeds.
    pub(crate) fn add_part(&self, part: impl Part + 'static) {
        lock(&self.inner).parts.push(Box::new(part));
    }

    /// Does all but the commit, in one transaction.
    pub(crate) async fn prepare(&self) -> Result<(), StageError> {
        let nothing = {
            let inner = lock(&self.inner);
            inner.parts.is_empty() && inner.state.is_unchanged()
        };
        if nothing {
            return Ok(());
        }
        // Runs of one program queue here however long each takes; other programs have 30 s to let go.
        let turn = file_lock::of(&self.file.real).lock_owned().await;
        *lock(&self.turn) = Some(turn);
        let file = self.file.clone();
        self.call(move |inner, _| inner.attach_to_write(&file.real)).await?;
        self.begin().await?;
        self.call(|inner, stop| inner.apply(stop)).await
    }

    async fn begin(&self) -> Result<(), StageError> {
        let watch = Stopwatch::start();
        loop {
            let last = watch.elapsed() + SLICE >= BUSY;
            let begun = self.call(move |inner, stop| {
                stop.check()?;
                match inner.begin() {
                    Ok(()) => Ok(true),
                    Err(error) if is_busy(&error) && !last => Ok(false),
                    Err(error) => Err(fatal("writing", error)),
                }
            });
            if begun.await? {
                return Ok(());
            }
        }
    }

    /// Makes it visible.
    pub(crate) async fn commit(&self) -> Result<(), StageError> {
        self.call(|inner, _| inner.commit()).await?;
        self.close().await;
        Ok(())
    }

    /// Undoes all.
    pub(crate) async fn rollback(&self) {
        self.stop.set();
        if let Some(interrupt) = &*lock(&self.interrupt) {
            interrupt.interrupt();
        }
        self.close().await;
    }

    async fn close(&self) {
        let inner = self.inner.clone();
        // Closing rolls back what is open, removes the temporary database and empties the WAL.
        let closing = self.worker.run(move || {
            *lock(&inner) = Inner { closed: true, ..Inner::default() };
            Ok(())
        });
        // It returns nothing but that, or that the whole runtime is ending.
        closing.await.ok();
        lock(&self.turn).take();
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Inner, &Stop) -> Result<T, StageError> + Send + 'static,
    ) -> Result<T, StageError> {
        let (inner, stop, file) = (self.inner.clone(), self.stop.clone(), self.file.clone());
        let interrupt = self.interrupt.clone();
        let work = move || {
            let mut inner = lock(&inner);
            if let Some(handle) = inner.open(&file.real, file.dry_run)? {
                *lock(&interrupt) = Some(handle);
            }
            work(&mut inner, &stop)
        };
        self.worker.run(work).await
    }
}

impl Inner {
    /// The connection.
    ///
    /// # Errors
    /// After the run's end.
    pub(crate) fn connection(&self) -> Result<&Connection, StageError> {
        self.connection.as_ref().ok_or_else(|| StageError::fatal("it was closed with the run"))
    }

    /// The connection where the file exists, attached as `db`.
    pub(crate) fn attached(&self) -> Option<&Connection> {
        self.connection.as_ref().filter(|_| self.attached)
    }

    /// The connection, and the state that lies in it.
    pub(crate) fn with_state(&mut self) -> Result<(&Connection, bool, &mut StagedState), StageError> {
        let connection =
            self.connection.as_ref().ok_or_else(|| StageError::fatal("it was closed with the run"))?;
        Ok((connection, self.attached, &mut self.state))
    }

    fn open(&mut self, real: &Path, dry_run: bool) -> Result<Option<InterruptHandle>, StageError> {
        if self.closed {
            return Err(StageError::fatal("it was closed with the run"));
        }
        if self.connection.is_some() {
            return Ok(None);
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
        let opened = Connection::open_with_flags("", flags).and_then(|connection| {
            connection.busy_timeout(BUSY)?;
            connection.set_prepared_statement_cache_capacity(64);
            // What is put aside needs no journal: it is thrown away whole where anything fails.
            connection.execute_batch(
                "PRAGMA main.journal_mode=OFF; PRAGMA main.synchronous=OFF; PRAGMA main.cache_size=-16384;
                 PRAGMA temp_store=FILE;",
            )?;
            Ok(connection)
        });
        let connection = opened.map_err(|error| fatal("opening a temporary database", error))?;
        if real.exists() {
            // A reader that must not write leaves the files beside a database in WAL mode behind. So a dry run,
            // which never begins to write, opens one that nobody uses like a writer, who tidies up.
            let in_use = ["-wal", "-shm"].iter().any(|end| beside(real, end).exists());
            let mode = if dry_run && in_use { "ro" } else { "rw" };
            attach(&connection, real, mode).map_err(|error| fatal("opening", error))?;
            self.attached = true;
        }
        let handle = connection.get_interrupt_handle();
        self.connection = Some(connection);
        Ok(Some(handle))
    }

    fn attach_to_write(&mut self, real: &Path) -> Result<(), StageError> {
        let connection = self.connection()?;
        if !self.attached {
            let folders = crate::keep::make_folder_of(real)?;
            attach(connection, real, "rwc").map_err(|error| fatal("creating it", error))?;
            folders.keep();
            self.attached = true;
        }
        Ok(())
    }

    /// Begins the transaction, or fails as busy within a slice.
    fn begin(&self) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Ok(()) };
        connection.busy_timeout(SLICE)?;
        let mode: String = connection.query_row("PRAGMA db.journal_mode", [], |row| row.get(0))?;
        if mode != "wal" {
            match connection.query_row("PRAGMA db.journal_mode=WAL", [], |row| row.get::<_, String>(0)) {
                Err(error) if is_busy(&error) => return Err(error),
                // Where there can be no WAL (a network file system) the old journal does as well.
                _ => {}
            }
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.busy_timeout(BUSY)
    }

    fn apply(&mut self, stop: &Stop) -> Result<(), StageError> {
        let mut parts = std::mem::take(&mut self.parts);
        let connection = self.connection()?;
        for part in &mut parts {
            part.apply(connection, stop)?;
        }
        self.state.apply(connection).map_err(|error| fatal("writing the state", error))?;
        stop.check()
    }

    fn commit(&mut self) -> Result<(), StageError> {
        match &self.connection {
            Some(connection) if !connection.is_autocommit() => {
                connection.execute_batch("COMMIT").map_err(|error| fatal("committing", error))
            }
            _ => Ok(()),
        }
    }
}

/// The path of a file that SQLite keeps beside a database.
fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    name.into()
}

impl std::fmt::Debug for SqliteUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SqliteUnit").field(&self.file.real).finish()
    }
}

/// Attaches a file as `db`, and reads its header.
pub(crate) fn attach(connection: &Connection, path: &Path, mode: &str) -> rusqlite::Result<()> {
    connection.execute("ATTACH ?1 AS db", [uri(path, mode)])?;
    connection.execute_batch("PRAGMA db.cache_size=-16384")?;
    connection.query_row("SELECT count(*) FROM db.sqlite_schema", [], |_| Ok(()))
}

/// The URI of a file, in which nothing of its name has a meaning of its own.
pub(crate) fn uri(path: &Path, mode: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
    let path = percent_encode(path.as_os_str().as_encoded_bytes(), KEPT);
    format!("file:{path}?mode={mode}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in the work ends the run; what it left behind is only rolled back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
