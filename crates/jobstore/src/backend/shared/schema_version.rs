//! Which version the stored schema has, and bringing it up to date.

use diesel::prelude::*;

use super::{Conn, RunQueryDsl, io};
use crate::error::StoreError;
use crate::migrations::{KNOWN, MIGRATIONS, Migration};
use crate::schema::scraper_schema as notes;

/// How a stored schema stands to this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// There is none.
    None,
    /// It is older.
    Older(i64),
    /// It is what this program writes.
    Current,
    /// It is newer.
    Newer(i64),
}

pub(crate) async fn version(c: &mut Conn) -> Result<Version, StoreError> {
    if !io::has_table(c, "scraper_schema").await? {
        return Ok(Version::None);
    }
    let found: Option<i64> = notes::table
        .select(notes::version)
        .order(notes::version.desc())
        .limit(1)
        .get_result(c)
        .await
        .optional()?;
    Ok(match found {
        None => Version::None,
        Some(found) if found > KNOWN => Version::Newer(found),
        Some(KNOWN) => Version::Current,
        Some(found) => Version::Older(found),
    })
}

/// The migrations that are still to be made.
pub(crate) fn pending(version: Version) -> &'static [Migration] {
    match version {
        Version::None => MIGRATIONS,
        Version::Older(found) => {
            let first = MIGRATIONS.iter().position(|m| m.version > found).unwrap_or(MIGRATIONS.len());
            &MIGRATIONS[first..]
        }
        Version::Current | Version::Newer(_) => &[],
    }
}

/// Notes that a migration was made.
pub(crate) async fn note(c: &mut Conn, migration: &Migration, now: i64) -> Result<(), StoreError> {
    diesel::insert_into(notes::table)
        .values((
            notes::version.eq(migration.version),
            notes::name.eq(migration.name),
            notes::applied_at.eq(now),
        ))
        .execute(c)
        .await?;
    Ok(())
}
