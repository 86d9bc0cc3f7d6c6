//! Opening a store: what can be wrong with it, each told apart, and nothing changed.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::DateTime;
use jobstore::{
    Access, Expect, JobEdit, JobFilter, JobId, JobStore, OpenError, OpenOptions, StoreError, StoreKind,
    StoreUrl,
};
use test_support::postgres::PostgresDatabase;

fn options() -> OpenOptions {
    OpenOptions::new("default", DateTime::from_timestamp(1_800_000_000, 0).unwrap())
}

async fn open(url: &StoreUrl) -> Result<Arc<dyn JobStore>, OpenError> {
    jobstore::open(url, options()).await
}

/// The error of an open that must fail.
async fn failure(url: &StoreUrl, options: OpenOptions) -> OpenError {
    match jobstore::open(url, options).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

fn file(directory: &tempfile::TempDir, name: &str) -> (PathBuf, StoreUrl) {
    let path = directory.path().join(name);
    (path.clone(), StoreUrl::file(path))
}

fn sqlite(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_query_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, url) = file(&directory, "jobs.db");
    let error = failure(&url, options().query()).await;
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    sqlite(&path, "CREATE TABLE apscheduler_jobs (id TEXT)");
    let before = std::fs::read(&path).unwrap();
    let error = failure(&url, options().query()).await;
    assert!(matches!(error, OpenError::Missing { .. }), "somebody else's file is no store: {error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_query_sees_what_a_scheduler_does_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_, url) = file(&directory, "jobs.db");
    let scheduler = open(&url).await.unwrap();
    let query = jobstore::open(&url, options().query()).await.unwrap();
    assert_eq!(query.kind(), StoreKind::SqliteFile);
    assert_eq!(query.jobs(JobFilter::default()).await.unwrap(), []);
    let delete = || vec![JobEdit::Delete { id: JobId::from("x"), expect: Expect::Anything }];
    let refused = query.edit_jobs(delete(), options().now).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly(_)) && !refused.is_transient(), "{refused:?}");
    scheduler.edit_jobs(delete(), options().now).await.unwrap();
    scheduler.close().await;
    assert_eq!(query.jobs(JobFilter::default()).await.unwrap(), []);
}

#[tokio::test]
async fn foreign_tables_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (path, url) = file(&directory, "scheduler_jobs.db");
    sqlite(
        &path,
        "CREATE TABLE apscheduler_jobs (id TEXT PRIMARY KEY, next_run_time FLOAT, job_state BLOB);
        INSERT INTO apscheduler_jobs VALUES ('pipeline_b', 1.5, x'80'), ('pipeline_a', NULL, x'80')",
    );
    let store = open(&url).await.unwrap();
    let foreign = store.foreign_jobs().await.unwrap().unwrap();
    assert_eq!((foreign.count, foreign.ids), (2, vec!["pipeline_a".to_owned(), "pipeline_b".to_owned()]));
    store.close().await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let ours = |name: &&String| !name.starts_with("sqlite_") && *name != "apscheduler_jobs";
    assert!(tables.iter().filter(ours).all(|name| name.starts_with("scraper_")), "{tables:?}");
    let kept: i64 =
        connection.query_row("SELECT count(*) FROM apscheduler_jobs", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn a_newer_file_is_refused_and_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let (path, url) = file(&directory, "jobs.db");
    open(&url).await.unwrap().close().await;
    sqlite(&path, "INSERT INTO scraper_schema VALUES (99, '0099_future', 0)");
    let before = std::fs::read(&path).unwrap();
    for access in [Access::Full, Access::Query] {
        let error = failure(&url, OpenOptions { access, ..options() }).await;
        assert!(matches!(error, OpenError::Newer { found: 99, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("newer version"), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["jobs.db"]);
}

#[tokio::test]
async fn a_store_is_opened_again_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (path, url) = file(&directory, "odd name?#%é.db");
    for _ in 0..3 {
        let store = open(&url).await.unwrap();
        assert_eq!(
            (store.kind(), store.namespace(), store.place()),
            (StoreKind::SqliteFile, "default", path.display().to_string())
        );
        store.close().await;
    }
    assert!(path.is_file());
    let version: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM scraper_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
}

#[tokio::test]
async fn damaged_files_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let (path, url) = file(&directory, "garbage.db");
    std::fs::write(&path, "this is no database, but it is long enough to be looked at as one. ".repeat(100))
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = failure(&url, options()).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let (path, url) = file(&directory, "damaged.db");
    open(&url).await.unwrap().close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..4096].fill(0xAA);
    std::fs::write(&path, bytes).unwrap();
    let error = failure(&url, options()).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("restore it from a back-up"), "{error}");
}

#[tokio::test]
async fn places_where_nothing_can_be_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let cases = [
        (directory.path().join("no/such/jobs.db"), "does not exist"),
        (directory.path().to_path_buf(), "it is a directory"),
        (PathBuf::from("/dev/null/jobs.db"), "is not a directory"),
    ];
    for (path, reason) in cases {
        let error = failure(&StoreUrl::file(&path), options()).await;
        assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(reason) && message.contains(&path.display().to_string()), "{message}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (path, url) = file(&directory, "jobs.db");
    open(&url).await.unwrap().close().await;
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    if std::fs::OpenOptions::new().append(true).open(&path).is_ok() {
        println!("skipped: this user can write everything");
        return;
    }
    let error = failure(&url, options()).await;
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
    let query = jobstore::open(&url, options().query()).await.unwrap();
    assert_eq!(query.jobs(JobFilter::default()).await.unwrap(), []);
}

/// Many at once, as when all replicas are rolled out.
async fn stampede(url: &StoreUrl) {
    let openers: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { jobstore::open(&url, options()).await.map(|_| ()) })
        })
        .collect();
    for opener in openers {
        opener.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stampede_on_a_file() {
    for _ in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        let (_, url) = file(&directory, "jobs.db");
        stampede(&url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stampede_on_a_server() {
    let Some(database) = PostgresDatabase::create().await else { return };
    let url = StoreUrl::parse(&database.url()).unwrap();
    stampede(&url).await;
    assert_eq!(database.value("SELECT count(*) FROM scraper_schema").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_told_apart() {
    let Some(database) = PostgresDatabase::create().await else { return };
    let url = StoreUrl::parse(&database.url()).unwrap();
    let error = failure(&url, options().query()).await;
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert_eq!(database.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, "0");

    let store = open(&url).await.unwrap();
    assert_eq!(store.kind(), StoreKind::Postgres);
    assert_eq!(
        database.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'scraper!_%' ESCAPE '!'").await,
        "0"
    );
    let query = jobstore::open(&url, options().query()).await.unwrap();
    let delete = vec![JobEdit::Delete { id: JobId::from("x"), expect: Expect::Anything }];
    let refused = query.edit_jobs(delete, options().now).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly(_)), "{refused:?}");

    database.execute("INSERT INTO scraper_schema VALUES (99, '0099_future', 0)").await;
    for access in [Access::Full, Access::Query] {
        let error = failure(&url, OpenOptions { access, ..options() }).await;
        assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    }
    database.execute("DELETE FROM scraper_schema WHERE version = 99").await;
    let name = database.value("SELECT current_database()").await;
    database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let error = failure(&url, options()).await;
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_without_the_password() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url =
        StoreUrl::parse(&format!("postgresql://u:secret@127.0.0.1:{port}/d?connect_timeout=2")).unwrap();
    let error = failure(&url, options()).await;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    let message = format!("{error} {error:?}");
    assert!(message.contains("refused") && !message.contains("secret"), "{message}");
    let bad_roots =
        StoreUrl::parse(&format!("postgresql://u@127.0.0.1:{port}/d?sslrootcert=/no/such.pem")).unwrap();
    let error = failure(&bad_roots, options()).await;
    assert!(matches!(&error, OpenError::File { path, .. } if path == Path::new("/no/such.pem")), "{error}");
}

/// TLS as the URL asks for it, against a server whose certificate is for `localhost` only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_what_libpq_means_by_it() {
    let Some(database) = PostgresDatabase::create().await else { return };
    let Ok(authority) = std::env::var("TEST_POSTGRES_CA") else {
        println!("skipped: TEST_POSTGRES_CA names no certificate of the server's authority");
        return;
    };
    let by_name = |parameters: &str| {
        let port = database.address().rsplit_once(':').unwrap().1.to_owned();
        let url = database.url_through(&format!("localhost:{port}"));
        let (base, _) = url.split_once('?').unwrap();
        format!("{base}?{parameters}")
    };
    let by_address = |parameters: &str| by_name(parameters).replace("localhost", "127.0.0.1");
    let used = "SELECT count(*) > 0 FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE ssl AND datname = current_database()";
    for (url, encrypted) in [
        (by_address("sslmode=disable"), "f"),
        (by_address("application_name=x"), "t"),
        (by_address("sslmode=require"), "t"),
        (by_address(&format!("sslmode=verify-ca&sslrootcert={authority}")), "t"),
        (by_name(&format!("sslmode=verify-full&sslrootcert={authority}")), "t"),
    ] {
        let store =
            open(&StoreUrl::parse(&url).unwrap()).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        store.ping().await.unwrap();
        assert_eq!(database.value(used).await, encrypted, "{url}");
        store.close().await;
        drop(store);
        let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        while database.value(left).await != "0" {
            tokio::task::yield_now().await;
        }
    }
    for (url, reason) in [
        (by_address(&format!("sslmode=verify-full&sslrootcert={authority}")), "name"),
        (by_name("sslmode=verify-full"), "UnknownIssuer"),
        (by_name("sslmode=verify-ca"), "UnknownIssuer"),
    ] {
        let error = failure(&StoreUrl::parse(&url).unwrap(), options()).await;
        assert!(matches!(error, OpenError::Unreachable { .. }), "{url}: {error}");
        assert!(error.to_string().contains(reason), "{url}: {error}");
    }
}
