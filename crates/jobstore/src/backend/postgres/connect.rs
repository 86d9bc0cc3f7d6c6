//! Connections to PostgreSQL: everywhere with the same TLS and the same settings.

use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls;
use crate::error::{OpenError, StoreError};
use crate::url::{PostgresUrl, TlsMode};

/// How to connect.
#[derive(Clone)]
pub(super) struct Connector {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

/// So that a frozen or vanished process holds no lock, and a vanished server is noticed. The last setting is new in
/// PostgreSQL 14: there it makes the server notice that its client has gone while a statement is running.
const SESSION: &str = "SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '10s'; \
    SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'";

impl Connector {
    pub(super) fn new(url: &PostgresUrl) -> Result<Self, OpenError> {
        let mut config: tokio_postgres::Config =
            url.url.parse().map_err(|error: tokio_postgres::Error| OpenError::Url {
                url: url.shown.clone(),
                reason: error.to_string(),
            })?;
        config.ssl_mode(match url.tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        if config.get_application_name().is_none() {
            config.application_name("scraper-scheduler");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        let asked = |name: &str| url.url.contains(&format!("{name}="));
        if !asked("keepalives_idle") {
            config.keepalives_idle(Duration::from_secs(10));
        }
        if !asked("keepalives_interval") {
            config.keepalives_interval(Duration::from_secs(5));
        }
        if !asked("keepalives_retries") {
            config.keepalives_retries(3);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(15));
        }
        Ok(Connector { config, tls: MakeRustlsConnect::new(tls::config(url)?) })
    }

    /// A connection with the settings of every session.
    pub(super) async fn connect(&self) -> Result<AsyncPgConnection, StoreError> {
        // The URL's timeout ends with the TCP handshake: a server that then says nothing is waited for as long again.
        let patience =
            self.config.get_connect_timeout().copied().unwrap_or_default().max(Duration::from_secs(1)) * 2;
        let (client, connection) = tokio::time::timeout(patience, self.config.connect(self.tls.clone()))
            .await
            .map_err(|_| StoreError::Unreachable("the server does not answer".to_owned()))?
            .map_err(|error| StoreError::Unreachable(reason(&error)))?;
        let made = AsyncPgConnection::try_from_client_and_connection(client, connection).await;
        let mut connection = made.map_err(|error| match error {
            ConnectionError::CouldntSetupConfiguration(error) => StoreError::from(error),
            other => StoreError::Unreachable(other.to_string()),
        })?;
        connection.batch_execute(SESSION).await?;
        Ok(connection)
    }
}

/// An error with its causes: the first line alone says only that something went wrong.
fn reason(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
