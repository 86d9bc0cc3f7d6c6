//! What stages keep: reading it, with what the reading attempt has written so far.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Integer, Text};

use super::{Conn, RunQueryDsl};
use crate::backend::plan::Sizes;
use crate::error::StoreError;
use crate::model::ids::AttemptKey;
use crate::model::stage_state::{StageScope, StateEntry};
use crate::schema::{scraper_stage_staged as staged, scraper_stage_state as state};

pub(crate) async fn get(
    c: &mut Conn,
    namespace: &str,
    key: Option<&AttemptKey>,
    scope: &StageScope,
    keys: &[Vec<u8>],
) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    let mut values: HashMap<Vec<u8>, Option<Vec<u8>>> = HashMap::with_capacity(keys.len());
    for keys in keys.chunks(Sizes::BATCH) {
        let committed: Vec<(Vec<u8>, Vec<u8>)> = state::table
            .filter(state::namespace.eq(namespace))
            .filter(state::pipeline.eq(&scope.pipeline))
            .filter(state::stage.eq(&scope.stage))
            .filter(state::key.eq_any(keys))
            .select((state::key, state::value))
            .load(c)
            .await?;
        values.extend(committed.into_iter().map(|(key, value)| (key, Some(value))));
        let Some(attempt) = key else { continue };
        let aside: Vec<(Vec<u8>, Option<Vec<u8>>)> = staged::table
            .filter(staged::run_id.eq(attempt.run))
            .filter(staged::attempt.eq(attempt.attempt))
            .filter(staged::pipeline.eq(&scope.pipeline))
            .filter(staged::stage.eq(&scope.stage))
            .filter(staged::key.eq_any(keys))
            .filter(staged::op.ne("touch"))
            .select((staged::key, staged::value))
            .load(c)
            .await?;
        values.extend(aside);
    }
    Ok(keys.iter().map(|key| values.get(key).cloned().flatten()).collect())
}

/// The first key after all that begin with `prefix`; none if there is no such key.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// The committed entries of a scope and a range of keys, as the end of a statement. `$1` to `$3` are the scope, `$4` is
/// the first key, `$6` the one that ends the range (unless `$5` is 0), `$7` and `$8` the attempt that has not written
/// them (unless `$8` is 0). SQLite numbers such parameters in the order of their first appearance: so they appear.
const RANGE: &str = "FROM scraper_stage_state k \
    WHERE k.namespace = $1 AND k.pipeline = $2 AND k.stage = $3 AND k.key >= $4 AND ($5 = 0 OR k.key < $6) \
    AND NOT EXISTS (SELECT 1 FROM scraper_stage_staged s WHERE s.run_id = $7 AND s.attempt = $8 \
        AND s.pipeline = k.pipeline AND s.stage = k.stage AND s.key = k.key)";

/// A range of keys, ready to be bound to [`RANGE`].
struct Range {
    from: Vec<u8>,
    to: Vec<u8>,
    ends: i32,
    run: String,
    attempt: i32,
}

impl Range {
    fn new(key: Option<&AttemptKey>, prefix: &[u8], after: Option<Vec<u8>>) -> Self {
        let end = end_of(prefix);
        // The first key after `after` is `after` with a zero byte.
        let next = after.map(|mut key| {
            key.push(0);
            key
        });
        Range {
            from: next.into_iter().chain([prefix.to_vec()]).max().unwrap_or_default(),
            ends: i32::from(end.is_some()),
            to: end.unwrap_or_default(),
            run: key.map(|key| key.run.to_string()).unwrap_or_default(),
            attempt: key.map_or(0, |key| key.attempt),
        }
    }
}

#[derive(diesel::QueryableByName)]
struct EntryRow {
    #[diesel(sql_type = Binary)]
    key: Vec<u8>,
    #[diesel(sql_type = Binary)]
    value: Vec<u8>,
}

#[derive(diesel::QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    found: i64,
}

pub(crate) async fn scan(
    c: &mut Conn,
    namespace: &str,
    key: Option<&AttemptKey>,
    scope: &StageScope,
    prefix: &[u8],
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<Vec<StateEntry>, StoreError> {
    let range = Range::new(key, prefix, after);
    let rows: Vec<EntryRow> =
        diesel::sql_query(format!("SELECT k.key AS key, k.value AS value {RANGE} ORDER BY k.key LIMIT $9"))
            .bind::<Text, _>(namespace)
            .bind::<Text, _>(&scope.pipeline)
            .bind::<Text, _>(&scope.stage)
            .bind::<Binary, _>(&range.from)
            .bind::<Integer, _>(range.ends)
            .bind::<Binary, _>(&range.to)
            .bind::<Text, _>(&range.run)
            .bind::<Integer, _>(range.attempt)
            .bind::<BigInt, _>(Sizes::limit(limit))
            .load(c)
            .await?;
    Ok(rows.into_iter().map(|row| StateEntry { key: row.key, value: row.value }).collect())
}

pub(crate) async fn count(
    c: &mut Conn,
    namespace: &str,
    key: Option<&AttemptKey>,
    scope: &StageScope,
    prefix: &[u8],
) -> Result<u64, StoreError> {
    let range = Range::new(key, prefix, None);
    let row: CountRow = diesel::sql_query(format!("SELECT count(*) AS found {RANGE}"))
        .bind::<Text, _>(namespace)
        .bind::<Text, _>(&scope.pipeline)
        .bind::<Text, _>(&scope.stage)
        .bind::<Binary, _>(&range.from)
        .bind::<Integer, _>(range.ends)
        .bind::<Binary, _>(&range.to)
        .bind::<Text, _>(&range.run)
        .bind::<Integer, _>(range.attempt)
        .get_result(c)
        .await?;
    Ok(u64::try_from(row.found).unwrap_or(0))
}

/// Puts one value in the place of another. Whether it is there now, also where it was there already: the answer to an
/// earlier request may have been lost.
pub(crate) async fn replace(
    c: &mut Conn,
    namespace: &str,
    scope: &StageScope,
    key: &[u8],
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<bool, StoreError> {
    let entry = state::table
        .filter(state::namespace.eq(namespace))
        .filter(state::pipeline.eq(&scope.pipeline))
        .filter(state::stage.eq(&scope.stage))
        .filter(state::key.eq(key));
    // The condition is judged again by whoever has waited for another writer.
    let replaced = match (old, new) {
        (Some(old), Some(new)) => {
            diesel::update(entry.filter(state::value.eq(old))).set(state::value.eq(new)).execute(c).await?
        }
        (Some(old), None) => diesel::delete(entry.filter(state::value.eq(old))).execute(c).await?,
        (None, Some(new)) => {
            diesel::insert_into(state::table)
                .values((
                    state::namespace.eq(namespace),
                    state::pipeline.eq(&scope.pipeline),
                    state::stage.eq(&scope.stage),
                    state::key.eq(key),
                    state::value.eq(new),
                ))
                .on_conflict_do_nothing()
                .execute(c)
                .await?
        }
        (None, None) => 0,
    };
    if replaced > 0 {
        return Ok(true);
    }
    let found: Option<Vec<u8>> = entry.select(state::value).get_result(c).await.optional()?;
    Ok(found.as_deref() == new)
}

pub(crate) async fn clear(
    c: &mut Conn,
    namespace: &str,
    pipeline: &str,
    stage: Option<&str>,
) -> Result<usize, StoreError> {
    let all = diesel::delete(
        state::table.filter(state::namespace.eq(namespace)).filter(state::pipeline.eq(pipeline)),
    );
    let deleted = match stage {
        None => all.execute(c).await?,
        Some(stage) => all.filter(state::stage.eq(stage)).execute(c).await?,
    };
    Ok(deleted)
}
