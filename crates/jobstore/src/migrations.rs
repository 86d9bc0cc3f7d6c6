//! The migrations, embedded: forwards only, each in a transaction of its own with the note that it was made.

/// A step from one version of the schema to the next.
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

macro_rules! migration {
    ($version:literal, $folder:literal) => {
        Migration {
            version: $version,
            name: $folder,
            sqlite: include_str!(concat!("../migrations/sqlite/", $folder, "/up.sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $folder, "/up.sql")),
        }
    };
}

/// All of them, the oldest first.
pub(crate) const MIGRATIONS: &[Migration] = &[migration!(1, "0001_initial")];

/// The version that this program writes.
pub(crate) const KNOWN: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Where the notes are kept. `applied_at` is in microseconds.
pub(crate) const NOTES: &str = "CREATE TABLE IF NOT EXISTS scraper_schema (\
    version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_one_another() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(migration.version).unwrap(), index + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)), "{}", migration.name);
        }
    }
}
