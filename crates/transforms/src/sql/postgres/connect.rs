//! Connections to PostgreSQL.

use std::path::PathBuf;
use std::time::Duration;

use pipeline_core::StageError;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::fatal;
use super::tls::{self, Trust};

/// The server notices within this time that we are gone; older servers than 14 do not know the setting.
const SESSION: &str = "SET statement_timeout = 0;
    SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'";

/// Parameters of libpq and of other drivers that change nothing here.
const IGNORED: [&str; 6] = [
    "gssencmode",
    "krbsrvname",
    "fallback_application_name",
    "client_encoding",
    "sslcompression",
    "sslnegotiation",
];

/// A database and how to get there.
#[derive(Clone)]
pub(crate) struct PgPlace {
    config: tokio_postgres::Config,
    trust: Trust,
    root_cert: Option<PathBuf>,
    shown: String,
}

impl PgPlace {
    /// Understands a `postgresql://` URL with libpq's parameters.
    ///
    /// # Errors
    /// Says what is wrong, without the password.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut kept = Vec::new();
        let (mut mode, mut root_cert) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" if value == "system" => mode = mode.or_else(|| Some("verify-full".to_owned())),
                "sslrootcert" => root_cert = Some(PathBuf::from(&*value)),
                "sslcert" | "sslkey" => {
                    return Err(format!("`{name}`: client certificates are not supported"));
                }
                ignored if IGNORED.contains(&ignored) => {}
                _ => {
                    let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                    kept.push(format!("{name}={}", value.replace('+', "%20")));
                }
            }
        }
        let (ssl, trust) = match mode.as_deref() {
            None if root_cert.is_some() => (SslMode::Require, Trust::Full),
            None | Some("prefer" | "allow") => (SslMode::Prefer, Trust::Any),
            Some("disable") => (SslMode::Disable, Trust::Any),
            // As libpq: who names a root certificate wants it to be used.
            Some("require") if root_cert.is_some() => (SslMode::Require, Trust::Authority),
            Some("require") => (SslMode::Require, Trust::Any),
            Some("verify-ca") => (SslMode::Require, Trust::Authority),
            Some("verify-full") => (SslMode::Require, Trust::Full),
            Some(other) => {
                return Err(format!(
                    "sslmode `{other}` is not known: disable, prefer, require, verify-ca and verify-full are"
                ));
            }
        };
        let parameters = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        let mut config: tokio_postgres::Config =
            format!("{base}{parameters}").parse().map_err(|error: tokio_postgres::Error| {
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
            })?;
        config.ssl_mode(ssl);
        if config.get_application_name().is_none() {
            config.application_name("scraper");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(10));
        }
        config.keepalives_idle(Duration::from_secs(30));
        Ok(Self { config, trust, root_cert, shown: shown(base) })
    }

    /// The URL without password and parameters.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Connects.
    ///
    /// # Errors
    /// Where the server does not answer, or not let us in.
    pub(crate) async fn connect(&self) -> Result<PgConnection, StageError> {
        let tls = MakeRustlsConnect::new(tls::config(self.trust, self.root_cert.as_deref())?);
        let connected = self.config.connect(tls.clone()).await;
        let (client, connection) = connected.map_err(|error| fatal("connecting", error))?;
        let driver = tokio::spawn(async move {
            // Its error is also that of the request that was under way.
            connection.await.ok();
        });
        let connection = PgConnection { client, driver, tls };
        connection.execute("connecting", SESSION).await?;
        Ok(connection)
    }
}

impl std::fmt::Debug for PgPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PgPlace").field(&self.shown).finish()
    }
}

/// The URL without what could be a password.
fn shown(base: &str) -> String {
    match base.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once("://").map_or(user, |(_, user)| user);
            let name = user.split_once(':').map_or(user, |(name, _)| name);
            format!("postgresql://{name}@{host}")
        }
        None => base.to_owned(),
    }
}

/// A connection; closed when it is dropped.
pub(crate) struct PgConnection {
    client: Client,
    driver: JoinHandle<()>,
    tls: MakeRustlsConnect,
}

impl PgConnection {
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, doing: &str, sql: &str) -> Result<(), StageError> {
        self.client.batch_execute(sql).await.map_err(|error| fatal(doing, error))
    }

    /// Ends the statement that is running.
    pub(crate) async fn cancel(&self) {
        // Where the server cannot be reached for that, closing the connection does it later.
        self.client.cancel_token().cancel_query(self.tls.clone()).await.ok();
    }
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let cases = [
            ("postgresql://u:p@h/d", SslMode::Prefer, Trust::Any),
            ("postgresql://u:p@h/d?sslmode=disable", SslMode::Disable, Trust::Any),
            ("postgresql://u:p@h/d?sslmode=require&connect_timeout=3", SslMode::Require, Trust::Any),
            ("postgresql://u:p@h/d?sslmode=require&sslrootcert=/ca.pem", SslMode::Require, Trust::Authority),
            ("postgresql://u:p@h/d?sslrootcert=/ca.pem", SslMode::Require, Trust::Full),
            ("postgresql://u:p@h/d?sslrootcert=system", SslMode::Require, Trust::Full),
            ("postgresql://u:p@h/d?sslmode=verify-ca&gssencmode=disable", SslMode::Require, Trust::Authority),
            ("postgresql://u:p@h/d?sslmode=verify-full", SslMode::Require, Trust::Full),
        ];
        for (url, mode, trust) in cases {
            let place = PgPlace::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((place.config.get_ssl_mode(), place.trust), (mode, trust), "{url}");
            assert_eq!(place.shown(), "postgresql://u@h/d");
            assert!(!format!("{place:?}").contains(":p@"));
        }
        for wrong in [
            "postgresql://h/d?sslmode=maybe",
            "postgresql://h/d?sslcert=x",
            "postgresql://h/d?colour=red",
            "postgresql://h:x/d",
        ] {
            assert!(PgPlace::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_without_the_password() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let place = PgPlace::parse(&format!("postgresql://u:secret@127.0.0.1:{port}/d")).unwrap();
        let error = place.connect().await.err().unwrap().to_string();
        assert!(error.contains("connecting failed") && error.contains("is the server up"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
