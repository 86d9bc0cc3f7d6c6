//! A fresh PostgreSQL database for each test, on the server that `TEST_POSTGRES_URL` names.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test says that it is skipped")]

use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::NoTls;

/// A database of its own, dropped with this value.
#[derive(Debug)]
pub struct PostgresDatabase {
    server: String,
    name: String,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Looks for what a test with PostgreSQL needs; says that the test is skipped, or fails it, where that is absent.
pub(crate) fn server_or_skip<T>(find: impl FnOnce() -> Option<T>, absent: &str) -> Option<T> {
    let found = find();
    if found.is_none() {
        let required = std::env::var("REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
        assert!(!required, "REQUIRE_POSTGRES=1, but {absent} (see .ci/postgres)");
        println!("skipped: {absent}");
    }
    found
}

impl PostgresDatabase {
    /// Makes a database, if there is a server. Without one, a test has to pass after it has said that it is skipped,
    /// unless `REQUIRE_POSTGRES=1` wants it to fail.
    ///
    /// # Panics
    /// Where the server is required and absent, or cannot be used.
    pub async fn create() -> Option<Self> {
        let server = || std::env::var("TEST_POSTGRES_URL").ok();
        let server = server_or_skip(server, "TEST_POSTGRES_URL names no server")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("scraper_test_{}_{number}", std::process::id());
        let database = PostgresDatabase { server, name };
        database.administer(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name)).await;
        database.administer(&format!("CREATE DATABASE {}", database.name)).await;
        Some(database)
    }

    /// The URL of the database.
    pub fn url(&self) -> String {
        let (base, query) = match self.server.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (self.server.as_str(), String::new()),
        };
        let (server, _) = base.rsplit_once('/').unwrap_or((base, ""));
        format!("{server}/{}{query}", self.name)
    }

    /// The host and port of the server, for a proxy in front of it.
    pub fn address(&self) -> String {
        let after = self.server.split_once("://").map_or(self.server.as_str(), |(_, rest)| rest);
        let place = after.split(['/', '?']).next().unwrap_or(after);
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        if host.contains(':') { host.to_owned() } else { format!("{host}:5432") }
    }

    /// The URL of the database by way of another address.
    pub fn url_through(&self, address: &str) -> String {
        self.url().replacen(&self.address(), address, 1)
    }

    /// Runs statements in the database.
    ///
    /// # Panics
    /// Where they fail.
    pub async fn execute(&self, sql: &str) {
        run(&self.url(), sql).await;
    }

    /// Runs a statement on the server.
    ///
    /// # Panics
    /// Where it fails.
    pub async fn administer(&self, sql: &str) {
        run(&self.server, sql).await;
    }

    /// The first column of the first row of a query's answer, as text.
    ///
    /// # Panics
    /// Where the query fails or finds nothing.
    pub async fn value(&self, sql: &str) -> String {
        let (client, connection) =
            tokio_postgres::connect(&plain(&self.url()), NoTls).await.expect("the server can be reached");
        let driver = tokio::spawn(connection);
        let answer = client.simple_query(sql).await.expect("the query can be run");
        drop(client);
        driver.await.expect("the connection ends").expect("the connection ends in order");
        answer
            .iter()
            .find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .expect("the query finds something")
    }
}

/// The URL for a client that knows no TLS.
fn plain(url: &str) -> String {
    url.replace("sslmode=require", "sslmode=disable").replace("sslmode=verify-full", "sslmode=disable")
}

async fn run(url: &str, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(&plain(url), NoTls).await.expect("the server can be reached");
    let driver = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    drop(client);
    driver.await.expect("the connection ends").expect("the connection ends in order");
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let server = self.server.clone();
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // The test's runtime may be ending: this has one of its own.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (client, connection) =
                    tokio_postgres::connect(&plain(&server), NoTls).await.map_err(std::io::Error::other)?;
                let driver = tokio::spawn(connection);
                client.batch_execute(&sql).await.map_err(std::io::Error::other)?;
                drop(client);
                driver.await.map_err(std::io::Error::other)?.map_err(std::io::Error::other)
            })
        })
        .join();
        match dropped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("database {} stays behind: {error}", self.name),
            Err(_) => eprintln!("database {} stays behind", self.name),
        }
    }
}
