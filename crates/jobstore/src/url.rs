//! Where a store is: every spelling of a database URL that people bring along.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::OpenError;

/// A parsed database URL. Its `Display` and `Debug` never show a password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    pub(crate) target: Target,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Memory,
    File(PathBuf),
    Postgres(PostgresUrl),
}

/// A PostgreSQL URL, cleaned of what only other drivers understand.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresUrl {
    /// For `tokio_postgres`: `postgresql://…` with parameters that it knows, and none about TLS.
    pub(crate) url: String,
    /// The same without password and parameters.
    pub(crate) shown: String,
    pub(crate) tls: TlsMode,
    /// `sslrootcert`: trusts this file's certificates instead of the usual ones.
    pub(crate) root_cert: Option<PathBuf>,
    /// `sslcert` and `sslkey`: who we are.
    pub(crate) client_cert: Option<(PathBuf, PathBuf)>,
}

/// What libpq's `sslmode` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it; nothing is verified.
    Prefer,
    /// Always; nothing is verified (as in libpq, unless a root certificate is named).
    Require,
    /// Always; the certificate must be signed by a trusted authority.
    VerifyCa,
    /// Always; and it must be the host's.
    VerifyFull,
}

/// Parameters of other drivers and of libpq that change nothing here.
const IGNORED: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "krbsrvname",
    "prepared_statement_cache_size",
    "requiressl",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslsni",
];

/// What `tokio_postgres` understands.
const KNOWN: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

impl StoreUrl {
    /// Understands `sqlite://relative.db`, `sqlite:///relative.db` and `sqlite:////absolute.db` (SQLAlchemy's
    /// spelling), a bare path, `sqlite::memory:`, `postgres://…` and `postgresql://…`, also with SQLAlchemy's driver
    /// suffixes (`postgresql+psycopg2://`, `sqlite+aiosqlite:///`) and libpq's TLS parameters.
    ///
    /// # Errors
    /// [`OpenError::Url`] says which part cannot be used.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        let fail = |reason: String| OpenError::Url { url: redact(text), reason };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(fail("it is empty".to_owned()));
        }
        let Some((scheme, rest)) = split_scheme(trimmed) else {
            return Ok(StoreUrl::file(trimmed));
        };
        let (dialect, driver) = scheme.split_once('+').map_or((scheme, None), |(d, r)| (d, Some(r)));
        if driver.is_some_and(str::is_empty) {
            return Err(fail("nothing follows the '+' in its scheme".to_owned()));
        }
        match dialect.to_ascii_lowercase().as_str() {
            "sqlite" | "sqlite3" => sqlite(rest).map_err(fail),
            "postgres" | "postgresql" => postgres(rest).map_err(fail),
            "mysql" | "mariadb" | "oracle" | "mssql" => {
                Err(fail(format!("{dialect} is not supported (SQLite and PostgreSQL are)")))
            }
            _ => Err(fail(format!(
                "the scheme '{scheme}' is not known (expected sqlite:// or postgresql://, or a file's path)"
            ))),
        }
    }

    /// A SQLite file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        StoreUrl { target: Target::File(path.into()) }
    }

    /// A database in memory.
    pub fn memory() -> Self {
        StoreUrl { target: Target::Memory }
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.target {
            Target::File(path) => Some(path),
            Target::Memory | Target::Postgres(_) => None,
        }
    }

    /// Whether it is on a PostgreSQL server.
    pub fn is_postgres(&self) -> bool {
        matches!(self.target, Target::Postgres(_))
    }
}

impl FromStr for StoreUrl {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        StoreUrl::parse(text)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Memory => f.write_str("sqlite::memory:"),
            Target::File(path) => write!(f, "{}", path.display()),
            Target::Postgres(postgres) => f.write_str(&postgres.shown),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// The scheme and what follows its colon; none for a path (also one with a colon in it, such as `C:\x.db`).
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let plausible = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
    let dialect = scheme.split('+').next().unwrap_or(scheme).to_ascii_lowercase();
    let known = matches!(dialect.as_str(), "sqlite" | "sqlite3" | "postgres" | "postgresql");
    (plausible && (rest.starts_with("//") || known)).then_some((scheme, rest))
}

fn sqlite(rest: &str) -> Result<StoreUrl, String> {
    let (place, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
    let place = match place.strip_prefix("//") {
        // `sqlite:///x` is relative and `sqlite:////x` absolute: one slash belongs to the empty host.
        Some(after) => after.strip_prefix('/').unwrap_or(after),
        None => place,
    };
    for (name, value) in parameters(query.unwrap_or_default()) {
        match (name.as_str(), value.as_str()) {
            // SQLAlchemy's and SQLite's own knobs that change nothing here, or are set anyway.
            ("timeout" | "check_same_thread" | "cache" | "isolation_level" | "uri", _)
            | ("mode", "rwc" | "rw") => {}
            ("mode", "memory") => return Ok(StoreUrl::memory()),
            ("mode", other) => return Err(format!("mode={other} cannot be used for a store")),
            (other, _) => return Err(format!("the parameter '{other}' is not known for SQLite")),
        }
    }
    if place.is_empty() || place == ":memory:" {
        return Ok(StoreUrl::memory());
    }
    if place.contains('\0') {
        return Err("a path cannot hold a zero byte".to_owned());
    }
    Ok(StoreUrl::file(place))
}

fn postgres(rest: &str) -> Result<StoreUrl, String> {
    let Some(after) = rest.strip_prefix("//") else {
        return Err("expected '//' after the scheme".to_owned());
    };
    let after = after.split_once('#').map_or(after, |(before, _)| before);
    let (place, query) = after.split_once('?').map_or((after, ""), |(p, q)| (p, q));
    let mut kept: Vec<String> = Vec::new();
    let (mut tls, mut root_cert, mut cert, mut key) = (None, None, None, None);
    for (name, value) in parameters(query) {
        match name.as_str() {
            "sslmode" | "ssl" => tls = Some(tls_mode(&value)?),
            // libpq's word for the system's own roots, which are the default here.
            "sslrootcert" if value == "system" => tls = tls.or(Some(TlsMode::VerifyFull)),
            "sslrootcert" => root_cert = Some(PathBuf::from(value)),
            "sslcert" => cert = Some(PathBuf::from(value)),
            "sslkey" => key = Some(PathBuf::from(value)),
            "keepalives_count" => kept.push(format!("keepalives_retries={}", encode(&value))),
            known if KNOWN.contains(&known) => kept.push(format!("{known}={}", encode(&value))),
            ignored if IGNORED.contains(&ignored) => {}
            other if other.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                return Err(format!("the parameter '{other}' is not known for PostgreSQL"));
            }
            // It may be the rest of a password: it is not shown.
            _ => {
                return Err(
                    "what follows the '?' are no parameters (in a password, write '?' as %3F)".to_owned()
                );
            }
        }
    }
    let client_cert = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err("sslcert and sslkey are only useful together".to_owned()),
    };
    let mut tls = tls.unwrap_or(if root_cert.is_some() { TlsMode::VerifyFull } else { TlsMode::Prefer });
    if root_cert.is_some() && tls == TlsMode::Require {
        // As libpq: who names a root certificate wants it to be used.
        tls = TlsMode::VerifyCa;
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    let url = format!("postgresql://{place}{query}");
    if let Err(error) = url.parse::<tokio_postgres::Config>() {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        return Err(cause);
    }
    let shown = redact(&format!("postgresql://{place}"));
    Ok(StoreUrl { target: Target::Postgres(PostgresUrl { url, shown, tls, root_cert, client_cert }) })
}

fn tls_mode(value: &str) -> Result<TlsMode, String> {
    Ok(match value {
        "disable" | "false" => TlsMode::Disable,
        "allow" | "prefer" => TlsMode::Prefer,
        "require" | "true" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        other => {
            return Err(format!(
                "sslmode '{other}' is not known (expected disable, prefer, require, verify-ca or verify-full)"
            ));
        }
    })
}

fn parameters(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

/// Percent-encodes a parameter's value; form encoding's plus sign is no space in a database URL.
fn encode(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A URL with its password, and every parameter that could hold one, taken out. It is for messages, also about URLs
/// that cannot be understood: in doubt it hides too much.
fn redact(text: &str) -> String {
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once(':') else {
        return text.to_owned();
    };
    // The last '@' ends the user information: a password written without encoding may hold one, or a '?'.
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => format!("{user}@{host}"),
        },
        None => rest.to_owned(),
    };
    let Some((base, query)) = rest.split_once('?') else {
        return format!("{scheme}:{rest}");
    };
    let shown: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    format!("{scheme}:{base}?{}", shown.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_sqlite(text: &str, expected: Option<&str>) {
        let url = StoreUrl::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(url.path(), expected.map(Path::new), "{text}");
        assert!(!url.is_postgres(), "{text}");
    }

    #[test]
    fn sqlite_spellings() {
        check_sqlite("sqlite://scheduler_jobs.db", Some("scheduler_jobs.db"));
        check_sqlite("sqlite://dir/scheduler_jobs.db", Some("dir/scheduler_jobs.db"));
        check_sqlite("sqlite:///relative.db", Some("relative.db"));
        check_sqlite("sqlite:///./relative.db", Some("./relative.db"));
        check_sqlite("sqlite:////abs/olute.db", Some("/abs/olute.db"));
        check_sqlite("sqlite+aiosqlite:////abs.db", Some("/abs.db"));
        check_sqlite("sqlite+pysqlite:///rel.db", Some("rel.db"));
        check_sqlite("sqlite:rel.db", Some("rel.db"));
        check_sqlite("SQLite:///rel.db", Some("rel.db"));
        check_sqlite("sqlite:///rel.db?timeout=20&check_same_thread=false", Some("rel.db"));
        check_sqlite("jobs.db", Some("jobs.db"));
        check_sqlite("/var/lib/jobs.db", Some("/var/lib/jobs.db"));
        check_sqlite("./with:colon.db", Some("./with:colon.db"));
        check_sqlite("C:\\jobs.db", Some("C:\\jobs.db"));
        check_sqlite(" jobs.db ", Some("jobs.db"));
        check_sqlite("sqlite:///with space é.db", Some("with space é.db"));
        for memory in [
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite:///:memory:",
            "sqlite://",
            "sqlite:///x?mode=memory",
        ] {
            check_sqlite(memory, None);
            assert_eq!(StoreUrl::parse(memory).unwrap(), StoreUrl::memory());
        }
    }

    fn check_postgres(text: &str, url: &str, tls: TlsMode, shown: &str) {
        let parsed = StoreUrl::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let Target::Postgres(postgres) = &parsed.target else { panic!("{text}") };
        assert_eq!(postgres.url, url, "{text}");
        assert_eq!(postgres.tls, tls, "{text}");
        assert_eq!(parsed.to_string(), shown, "{text}");
    }

    #[test]
    fn postgres_spellings() {
        use TlsMode::*;
        let plain = "postgresql://u:p@h:5432/d";
        let shown = "postgresql://u:***@h:5432/d";
        check_postgres("postgres://u:p@h:5432/d", plain, Prefer, shown);
        check_postgres("postgresql+psycopg2://u:p@h:5432/d", plain, Prefer, shown);
        check_postgres("postgresql+asyncpg://u:p@h:5432/d?ssl=require", plain, Require, shown);
        check_postgres("postgresql://u:p@h:5432/d?sslmode=disable", plain, Disable, shown);
        check_postgres("postgresql://u:p@h:5432/d?sslmode=allow", plain, Prefer, shown);
        check_postgres("postgresql://u:p@h:5432/d?sslmode=verify-ca", plain, VerifyCa, shown);
        check_postgres(
            "postgresql://u:p@h:5432/d?sslmode=verify-full&sslrootcert=/ca.pem",
            plain,
            VerifyFull,
            shown,
        );
        check_postgres(
            "postgresql://u:p@h:5432/d?sslmode=require&sslrootcert=/ca.pem",
            plain,
            VerifyCa,
            shown,
        );
        check_postgres("postgresql://u:p@h:5432/d?sslrootcert=system", plain, VerifyFull, shown);
        check_postgres(
            "postgresql://u:p@h/d?application_name=a%20b&keepalives_count=4&gssencmode=disable&connect_timeout=3",
            "postgresql://u:p@h/d?application_name=a%20b&keepalives_retries=4&connect_timeout=3",
            Prefer,
            "postgresql://u:***@h/d",
        );
        check_postgres(
            "postgresql:///d?host=/run/postgresql&user=u&password=secret",
            "postgresql:///d?host=%2Frun%2Fpostgresql&user=u&password=secret",
            Prefer,
            "postgresql:///d",
        );
        check_postgres(
            "postgres://u:p%40x@h1,h2:1/d",
            "postgresql://u:p%40x@h1,h2:1/d",
            Prefer,
            "postgresql://u:***@h1,h2:1/d",
        );
    }

    #[test]
    fn refusals_say_why_and_show_no_password() {
        for (text, reason) in [
            ("", "empty"),
            ("mysql://u:secret@h/d", "mysql is not supported"),
            ("redis://h", "scheme 'redis' is not known"),
            ("postgresql:u:secret@h", "expected '//'"),
            ("postgresql://u:secret@h/d?sslmode=maybe", "sslmode 'maybe'"),
            ("postgresql://u:secret@h/d?wibble=1", "'wibble'"),
            ("postgresql://u:secret@h/d?sslcert=/a", "together"),
            ("postgresql://u:secret@h:port/d", "port"),
            ("postgresql://u@h/d?password=secret&x=1", "'x'"),
            ("sqlite:///a.db?mode=ro", "mode=ro"),
            ("sqlite:///a.db?journal=off", "'journal'"),
            ("postgresql+://u:secret@h/d", "'+'"),
            ("postgresql://u:?secret@h:port/d", "%3F"),
        ] {
            let message = StoreUrl::parse(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
            assert!(!message.contains("secret"), "{text}: {message}");
        }
        let odd = StoreUrl::parse("postgresql://u:se@cret@h/d").unwrap_or_else(|e| panic!("{e}"));
        assert!(!format!("{odd:?} {odd}").contains("cret"), "{odd:?}");
    }
}
