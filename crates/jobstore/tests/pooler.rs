//! PgBouncer between the store and the server, where it is installed.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a helper that fails fails its test")]
#![cfg(unix)]

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobstore::{Expect, JobEdit, JobId, OpenOptions, StoreUrl};
use test_support::postgres::PostgresDatabase;

struct Pooler {
    child: Child,
    port: u16,
    keeps_statements: bool,
    _folder: tempfile::TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Pooler {
    /// Starts one in this mode in front of a database; nothing where it is not installed.
    async fn start(database: &PostgresDatabase, mode: &str) -> Option<Self> {
        let Ok(version) = Command::new("pgbouncer").arg("--version").output() else {
            println!("skipped: pgbouncer is not installed");
            return None;
        };
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let minor = version.split(['.', '\n', ' ']).nth(2).and_then(|minor| minor.parse::<u32>().ok());
        let keeps_statements = minor.unwrap() >= 21;
        let statements = if keeps_statements { "max_prepared_statements = 100\n" } else { "" };
        let address = database.address();
        let (host, server_port) = address.rsplit_once(':').unwrap();
        let url = url::Url::parse(&database.url()).unwrap();
        let (user, name) = (url.username(), url.path().trim_start_matches('/'));
        let password = url.password().map(|password| format!(" password='{password}'")).unwrap_or_default();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n{name} = host={host} port={server_port} user={user}{password}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n\
             pool_mode = {mode}\n{statements}"
        );
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new("pgbouncer");
        command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        // It refuses to run as root.
        if let Some((user, group)) = test_support::cluster::other_user() {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
            std::os::unix::fs::chown(&file, Some(user), Some(group)).unwrap();
            command.uid(user).gid(group);
        }
        let child = command.spawn().unwrap();
        let pooler = Self { child, port, keeps_statements, _folder: folder };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(pooler);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("pgbouncer does not start: {version}");
    }

    fn url(&self, database: &PostgresDatabase) -> StoreUrl {
        StoreUrl::parse(&database.url_through(&format!("127.0.0.1:{}", self.port))).unwrap()
    }
}

fn options() -> OpenOptions {
    let now: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    OpenOptions { poll: None, connections: 2, ..OpenOptions::new("default", now) }
}

/// Many schedulers start at once and make the tables; then they work side by side. The first error, where there is one.
async fn work(url: &StoreUrl) -> Result<(), String> {
    let openings = (0..6).map(|_| jobstore::open(url, options()));
    let opened = futures_util::future::join_all(openings).await.into_iter();
    let stores: Vec<_> = opened.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    for _ in 0..20 {
        let edits = stores.iter().map(|store| {
            let delete = JobEdit::Delete { id: JobId::from("nobody"), expect: Expect::Anything };
            store.edit_jobs(vec![delete], options().now)
        });
        for edited in futures_util::future::join_all(edits).await {
            edited.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_pool_is_as_good_as_the_server() {
    let Some(database) = PostgresDatabase::create().await else { return };
    let Some(pooler) = Pooler::start(&database, "session").await else { return };
    work(&pooler.url(&database)).await.unwrap();
    assert_eq!(database.value(LOCKS).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_pool_keeps_no_lock_and_works_or_is_told_apart() {
    let Some(database) = PostgresDatabase::create().await else { return };
    let Some(pooler) = Pooler::start(&database, "transaction").await else { return };
    let worked = work(&pooler.url(&database)).await;
    assert_eq!(database.value(LOCKS).await, "0", "the next one who starts would wait for ever");
    match worked {
        Ok(()) => {}
        Err(error) => {
            assert!(!pooler.keeps_statements && error.contains("pooler"), "{error}");
        }
    }
}
