//! Scheduler processes and their heartbeats.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;

use super::{Conn, RunQueryDsl, io, outlook};
use crate::backend::plan::Sizes;
use crate::error::StoreError;
use crate::model::ids::{AttemptKey, Owner, RunId};
use crate::model::process::{Beat, BeatResult, ProcessIdentity, ProcessInfo, ProcessRecord};
use crate::model::time::{instant, micros, span};
use crate::schema::{
    IsRunning, scraper_outbox as outbox, scraper_processes as processes, scraper_runs as runs,
};

/// Processes that nobody has heard of for so long are forgotten.
const FORGET_US: i64 = 7 * 24 * 3600 * 1_000_000;

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = processes)]
struct ProcessRow {
    owner: Owner,
    namespace: String,
    host: String,
    boot_id: String,
    pid_namespace: String,
    pid: i64,
    start_time: String,
    version: String,
    pipelines: String,
    started_at: i64,
    last_seen: i64,
    loop_late_us: i64,
}

pub(crate) async fn register(
    c: &mut Conn,
    namespace: &str,
    process: &ProcessInfo,
    now: i64,
) -> Result<(), StoreError> {
    let clock = io::lease_clock(c, now).await?;
    diesel::delete(processes::table.filter(processes::last_seen.lt(clock.saturating_sub(FORGET_US))))
        .execute(c)
        .await?;
    let row = ProcessRow {
        owner: process.owner.clone(),
        namespace: namespace.to_owned(),
        host: process.identity.host.clone(),
        boot_id: process.identity.boot_id.clone(),
        pid_namespace: process.identity.pid_namespace.clone(),
        pid: i64::from(process.identity.pid),
        start_time: process.identity.start_time.clone(),
        version: process.version.clone(),
        pipelines: serde_json::to_string(&process.pipelines)
            .map_err(|error| StoreError::Database(error.to_string()))?,
        started_at: clock,
        last_seen: clock,
        loop_late_us: 0,
    };
    let known = diesel::update(processes::table.filter(processes::owner.eq(&process.owner)))
        .set((
            processes::version.eq(&row.version),
            processes::pipelines.eq(&row.pipelines),
            processes::last_seen.eq(clock),
        ))
        .execute(c)
        .await?;
    if known == 0 {
        diesel::insert_into(processes::table).values(&row).execute(c).await?;
    }
    Ok(())
}

/// Forgets a process; what it was sending can be sent by others at once.
pub(crate) async fn forget(c: &mut Conn, owner: &Owner) -> Result<(), StoreError> {
    diesel::delete(processes::table.filter(processes::owner.eq(owner))).execute(c).await?;
    diesel::update(outbox::table.filter(outbox::owner.eq(owner)))
        .set((outbox::owner.eq(None::<&str>), outbox::claimed_until.eq(None::<i64>)))
        .execute(c)
        .await?;
    Ok(())
}

pub(crate) async fn list(c: &mut Conn, namespace: &str, now: i64) -> Result<Vec<ProcessRecord>, StoreError> {
    let clock = io::lease_clock(c, now).await?;
    let rows: Vec<ProcessRow> = processes::table
        .filter(processes::namespace.eq(namespace))
        .order(processes::last_seen.desc())
        .select(ProcessRow::as_select())
        .load(c)
        .await?;
    rows.into_iter()
        .map(|row| {
            let duration = |us: i64| Duration::from_micros(u64::try_from(us).unwrap_or(0));
            Ok(ProcessRecord {
                namespace: row.namespace,
                info: ProcessInfo {
                    owner: row.owner,
                    identity: ProcessIdentity {
                        host: row.host,
                        boot_id: row.boot_id,
                        pid_namespace: row.pid_namespace,
                        pid: u32::try_from(row.pid).unwrap_or(0),
                        start_time: row.start_time,
                    },
                    version: row.version,
                    pipelines: serde_json::from_str(&row.pipelines)
                        .map_err(|error| StoreError::Corrupt(format!("pipelines of a process: {error}")))?,
                },
                started_at: instant(row.started_at),
                last_seen: instant(row.last_seen),
                silent_for: duration(clock - row.last_seen),
                loop_late: duration(row.loop_late_us),
            })
        })
        .collect()
}

pub(crate) async fn beat(c: &mut Conn, beat: &Beat) -> Result<BeatResult, StoreError> {
    let now = micros(beat.now);
    let clock = io::lease_clock(c, now).await?;
    diesel::update(processes::table.filter(processes::owner.eq(&beat.owner)))
        .set((processes::last_seen.eq(clock), processes::loop_late_us.eq(span(beat.loop_late))))
        .execute(c)
        .await?;
    let renewed = io::renew(c, &beat.owner, &beat.attempts, clock.saturating_add(span(beat.lease))).await?;
    let silent: Vec<(RunId, i32)> =
        beat.attempts.iter().filter(|(run, _)| !renewed.contains(run)).copied().collect();
    let held = still_held(c, &beat.owner, &silent).await?;
    Ok(BeatResult {
        lost: silent
            .into_iter()
            .filter(|attempt| !held.contains(attempt))
            .map(|(run, attempt)| AttemptKey { run, attempt, owner: beat.owner.clone() })
            .collect(),
        cancels: outlook::cancel_notices(c, &beat.owner).await?,
    })
}

/// Of attempts that could not be renewed: those whose row is only locked by another transaction of this process. While
/// it is, nobody can take it.
async fn still_held(
    c: &mut Conn,
    owner: &Owner,
    silent: &[(RunId, i32)],
) -> QueryResult<HashSet<(RunId, i32)>> {
    let ids: Vec<RunId> = silent.iter().map(|(run, _)| *run).collect();
    let mut held = HashSet::new();
    for ids in ids.chunks(Sizes::BATCH) {
        let rows: Vec<(RunId, i32)> = runs::table
            .filter(runs::id.eq_any(ids))
            .filter(runs::owner.eq(owner))
            .filter(IsRunning)
            .select((runs::id, runs::attempt))
            .load(c)
            .await?;
        held.extend(rows);
    }
    Ok(held)
}
