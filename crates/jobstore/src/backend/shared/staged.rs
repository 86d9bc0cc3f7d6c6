//! What an attempt keeps aside until it succeeds: writes to its stages' state, and messages.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};

use super::{Conn, RunQueryDsl, io};
use crate::backend::plan::Sizes;
use crate::backend::rows::{StagedMessageRow, StagedStateRow};
use crate::error::StoreError;
use crate::model::ids::AttemptKey;
use crate::model::outbox::NewMessage;
use crate::model::stage_state::{StageScope, StateOp, StateWrite};
use crate::schema::{
    IsRunning, scraper_outbox_staged as staged_messages, scraper_runs as runs,
    scraper_stage_staged as staged_state,
};

/// Notes that the attempt has something aside; fails if it does not hold its run.
async fn mark(c: &mut Conn, key: &AttemptKey, staged: bool) -> Result<(), StoreError> {
    let held = diesel::update(runs::table.filter(runs::id.eq(key.run)).filter(IsRunning))
        .filter(runs::owner.eq(&key.owner))
        .filter(runs::attempt.eq(key.attempt))
        .set(runs::staged.eq(staged))
        .execute(c)
        .await?;
    if held == 0 { Err(StoreError::NotHeld { run: key.run, attempt: key.attempt }) } else { Ok(()) }
}

pub(crate) async fn stage_messages(
    c: &mut Conn,
    key: &AttemptKey,
    messages: &[NewMessage],
) -> Result<(), StoreError> {
    mark(c, key, true).await?;
    for message in messages {
        let row = StagedMessageRow {
            run_id: key.run,
            attempt: key.attempt,
            pipeline: message.pipeline.clone(),
            stage: message.stage.clone(),
            target: message.target.clone(),
            kind: message.kind.clone(),
            payload: message.payload.clone(),
        };
        diesel::insert_into(staged_messages::table).values(row).execute(c).await?;
    }
    Ok(())
}

pub(crate) async fn stage_state(
    c: &mut Conn,
    key: &AttemptKey,
    scope: &StageScope,
    writes: &[StateWrite],
) -> Result<(), StoreError> {
    mark(c, key, true).await?;
    // A later write of a key replaces an earlier one, but a touch never replaces a put or a deletion.
    let mut rows: std::collections::BTreeMap<Vec<u8>, StagedStateRow> = std::collections::BTreeMap::new();
    for write in writes {
        let (op, value) = match &write.op {
            StateOp::Put(value) => ("put", Some(value.clone())),
            StateOp::Delete => ("delete", None),
            StateOp::Touch => ("touch", None),
        };
        if op == "touch" && rows.contains_key(&write.key) {
            continue;
        }
        let row = StagedStateRow {
            run_id: key.run,
            attempt: key.attempt,
            pipeline: scope.pipeline.clone(),
            stage: scope.stage.clone(),
            key: write.key.clone(),
            op,
            value,
        };
        rows.insert(write.key.clone(), row);
    }
    let rows: Vec<StagedStateRow> = rows.into_values().collect();
    for rows in rows.chunks(Sizes::BATCH) {
        io::upsert_staged(c, rows).await?;
    }
    Ok(())
}

/// Makes what an attempt has aside valid.
pub(crate) async fn apply(
    c: &mut Conn,
    namespace: &str,
    key: &AttemptKey,
    now: i64,
) -> Result<(), StoreError> {
    // SQLite numbers parameters in the order of their first appearance: so they appear.
    for sql in [
        "DELETE FROM scraper_stage_state WHERE namespace = $1 AND EXISTS (\
            SELECT 1 FROM scraper_stage_staged s WHERE s.run_id = $2 AND s.attempt = $3 AND s.op = 'delete' \
            AND s.pipeline = scraper_stage_state.pipeline AND s.stage = scraper_stage_state.stage \
            AND s.key = scraper_stage_state.key)",
        "INSERT INTO scraper_stage_state (namespace, pipeline, stage, key, value) \
            SELECT $1, s.pipeline, s.stage, s.key, s.value FROM scraper_stage_staged s \
            WHERE s.run_id = $2 AND s.attempt = $3 AND s.op = 'put' \
            ON CONFLICT (namespace, pipeline, stage, key) DO UPDATE SET value = excluded.value",
    ] {
        diesel::sql_query(sql)
            .bind::<Text, _>(namespace)
            .bind::<Text, _>(key.run)
            .bind::<Integer, _>(key.attempt)
            .execute(c)
            .await?;
    }
    diesel::sql_query(
        "INSERT INTO scraper_outbox \
            (namespace, pipeline, stage, run_id, target, kind, payload, state, attempts, next_at, created_at) \
            SELECT $1, s.pipeline, s.stage, s.run_id, s.target, s.kind, s.payload, 'waiting', 0, $2, $2 \
            FROM scraper_outbox_staged s WHERE s.run_id = $3 AND s.attempt = $4 ORDER BY s.seq",
    )
    .bind::<Text, _>(namespace)
    .bind::<BigInt, _>(now)
    .bind::<Text, _>(key.run)
    .bind::<Integer, _>(key.attempt)
    .execute(c)
    .await?;
    discard(c, key).await
}

/// Drops what an attempt has aside.
pub(crate) async fn discard(c: &mut Conn, key: &AttemptKey) -> Result<(), StoreError> {
    diesel::delete(staged_state::table.filter(staged_state::run_id.eq(key.run)))
        .filter(staged_state::attempt.eq(key.attempt))
        .execute(c)
        .await?;
    diesel::delete(staged_messages::table.filter(staged_messages::run_id.eq(key.run)))
        .filter(staged_messages::attempt.eq(key.attempt))
        .execute(c)
        .await?;
    diesel::update(runs::table.filter(runs::id.eq(key.run))).set(runs::staged.eq(false)).execute(c).await?;
    Ok(())
}

/// [`apply`] for an attempt that goes on: it must hold its run.
pub(crate) async fn commit(
    c: &mut Conn,
    namespace: &str,
    key: &AttemptKey,
    now: i64,
) -> Result<(), StoreError> {
    mark(c, key, true).await?;
    let clock = io::lease_clock(c, now).await?;
    io::allow_long(c).await?;
    apply(c, namespace, key, now).await?;
    Ok(io::extend_lease(c, key.run, clock).await?)
}

/// [`discard`] for an attempt that goes on: it must hold its run.
pub(crate) async fn rollback(c: &mut Conn, key: &AttemptKey) -> Result<(), StoreError> {
    mark(c, key, true).await?;
    discard(c, key).await
}
