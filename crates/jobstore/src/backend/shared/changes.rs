//! The counter of changes that schedulers should notice.

use diesel::prelude::*;

use super::{Conn, RunQueryDsl, io};
use crate::error::StoreError;
use crate::schema::scraper_changes as changes;

/// Counts a change. The last statement of its transaction: nobody who waits for it holds up anybody else.
pub(crate) async fn bump(c: &mut Conn, namespace: &str) -> Result<i64, StoreError> {
    let counter = diesel::insert_into(changes::table)
        .values((changes::namespace.eq(namespace), changes::counter.eq(1)))
        .on_conflict(changes::namespace)
        .do_update()
        .set(changes::counter.eq(changes::counter + 1))
        .returning(changes::counter)
        .get_result(c)
        .await?;
    io::notify(c, namespace).await?;
    Ok(counter)
}

pub(crate) async fn read(c: &mut Conn, namespace: &str) -> Result<i64, StoreError> {
    let counter: Option<i64> = changes::table
        .filter(changes::namespace.eq(namespace))
        .select(changes::counter)
        .get_result(c)
        .await
        .optional()?;
    Ok(counter.unwrap_or(0))
}
