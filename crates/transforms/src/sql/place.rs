//! Where a database is, in all the spellings that people bring along.

use std::path::PathBuf;

use pipeline_core::BuildErrors;

/// A database as the file of pipelines names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL URL, `postgresql://…`.
    Postgres(String),
}

impl Place {
    /// The one database that `db_path` or `db_url` names.
    ///
    /// # Errors
    /// Where there is none, or there are two, or it is of no known kind.
    pub(crate) fn of(db_path: Option<&str>, db_url: Option<&str>) -> Result<Self, BuildErrors> {
        match (db_path, db_url) {
            (Some(path), None) => Self::parse(path, true).map_err(|why| BuildErrors::at("db_path", why)),
            (None, Some(url)) => Self::parse(url, false).map_err(|why| BuildErrors::at("db_url", why)),
            (None, None) => Err(BuildErrors::at("", "needs a `db_path` (SQLite) or a `db_url` (PostgreSQL)")),
            (Some(_), Some(_)) => {
                Err(BuildErrors::at("db_url", "stands beside `db_path`; only one can be meant"))
            }
        }
    }

    fn parse(text: &str, is_path: bool) -> Result<Self, String> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, rest)| is_scheme(scheme, rest))
        else {
            return match text {
                "" => Err("is empty".to_owned()),
                path if is_path => Ok(Self::Sqlite(path.into())),
                _ => {
                    Err("is not a URL: write `postgresql://user@host/name` or `sqlite:///file.db`".to_owned())
                }
            };
        };
        // SQLAlchemy adds the driver to the scheme: `postgresql+psycopg2`, `sqlite+aiosqlite`.
        match scheme.split('+').next().unwrap_or(scheme) {
            "postgres" | "postgresql" => Ok(Self::Postgres(format!("postgresql:{rest}"))),
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // Three slashes are a relative path, four an absolute one.
                let path = path.strip_prefix('/').unwrap_or(path);
                let path = path.split_once('?').map_or(path, |(path, _)| path);
                match path {
                    "" | ":memory:" => Err("names no file: a database in memory would be lost".to_owned()),
                    path => Ok(Self::Sqlite(path.into())),
                }
            }
            other => Err(format!("`{other}` is not a known kind of database: SQLite and PostgreSQL are")),
        }
    }
}

fn is_scheme(scheme: &str, rest: &str) -> bool {
    let known = ["sqlite", "postgres", "postgresql"].contains(&scheme.split('+').next().unwrap_or(scheme));
    let letters = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    !scheme.is_empty() && letters && (known || rest.starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let file = |path: &str| Some(Place::Sqlite(path.into()));
        let server = |url: &str| Some(Place::Postgres(url.to_owned()));
        let cases = [
            (Some("shop.db"), None, file("shop.db")),
            (Some("/var/shop.db"), None, file("/var/shop.db")),
            (Some("C:\\shop.db"), None, file("C:\\shop.db")),
            (Some("a:b.db"), None, file("a:b.db")),
            (Some("sqlite:///shop.db"), None, file("shop.db")),
            (Some("sqlite+aiosqlite:////var/shop.db"), None, file("/var/shop.db")),
            (None, Some("sqlite://shop.db"), file("shop.db")),
            (None, Some("postgres://u:p@h/d"), server("postgresql://u:p@h/d")),
            (
                None,
                Some("postgresql+psycopg2://u@h/d?sslmode=disable"),
                server("postgresql://u@h/d?sslmode=disable"),
            ),
            (None, Some("mysql://h/d"), None),
            (None, Some("shop.db"), None),
            (None, Some("sqlite::memory:"), None),
            (Some(""), None, None),
            (Some("a"), Some("sqlite:///b"), None),
            (None, None, None),
        ];
        for (path, url, expected) in cases {
            assert_eq!(Place::of(path, url).ok(), expected, "{path:?} {url:?}");
        }
    }
}
