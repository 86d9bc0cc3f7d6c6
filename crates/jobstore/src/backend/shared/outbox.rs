//! Messages to send: in order for each target, a batch fixed before it is first sent.

use diesel::prelude::*;

use super::{Conn, Db, RunQueryDsl, io};
use crate::backend::plan::Sizes;
use crate::backend::rows::{MessageRow, NewMessageRow};
use crate::error::StoreError;
use crate::model::ids::{MessageId, Owner};
use crate::model::outbox::{
    ClaimMessages, MessageFilter, MessageRecord, MessageSelection, MessageState, NewMessage, SealedBatch,
    TargetMessages,
};
use crate::model::time::{micros, span};
use crate::schema::{IsAlive, scraper_outbox as outbox};

pub(crate) async fn insert(
    c: &mut Conn,
    namespace: &str,
    messages: &[NewMessage],
    now: i64,
) -> Result<(), StoreError> {
    for message in messages {
        let row = NewMessageRow {
            namespace: namespace.to_owned(),
            pipeline: message.pipeline.clone(),
            stage: message.stage.clone(),
            run_id: message.run,
            target: message.target.clone(),
            kind: message.kind.clone(),
            payload: message.payload.clone(),
            state: MessageState::Waiting,
            attempts: 0,
            next_at: now,
            created_at: now,
        };
        diesel::insert_into(outbox::table).values(row).execute(c).await?;
    }
    Ok(())
}

pub(crate) async fn claim(
    c: &mut Conn,
    namespace: &str,
    claim: &ClaimMessages,
) -> Result<Vec<TargetMessages>, StoreError> {
    let now = micros(claim.now);
    let clock = io::lease_clock(c, now).await?;
    let mut found = Vec::new();
    let mut after = None;
    while found.len() < claim.targets {
        let Some(target) = next_target(c, namespace, after.as_deref()).await? else { break };
        after = Some(target.clone());
        if claim.except.contains(&target) {
            continue;
        }
        let guard = format!("outbox:{namespace}:{target}");
        if io::try_guards(c, vec![guard]).await?.is_empty() {
            continue;
        }
        let messages = claim_target(c, namespace, &target, claim, now, clock).await?;
        if !messages.is_empty() {
            found.push(TargetMessages { target, messages });
        }
    }
    Ok(found)
}

async fn claim_target(
    c: &mut Conn,
    namespace: &str,
    target: &str,
    claim: &ClaimMessages,
    now: i64,
    clock: i64,
) -> Result<Vec<MessageRecord>, StoreError> {
    let Some(head) = heads(c, namespace, target, 1).await?.into_iter().next() else { return Ok(Vec::new()) };
    let taken = head.claimed_until.is_some_and(|until| until > clock);
    if taken || head.next_at > now || !(claim.kinds.is_empty() || claim.kinds.contains(&head.kind)) {
        return Ok(Vec::new());
    }
    let rows: Vec<MessageRow> = match &head.batch {
        Some(batch) => {
            outbox::table
                .filter(outbox::namespace.eq(namespace))
                .filter(outbox::target.eq(target))
                .filter(outbox::batch.eq(batch))
                .filter(IsAlive)
                .order(outbox::id)
                .select(MessageRow::as_select())
                .load(c)
                .await?
        }
        None => heads(c, namespace, target, Sizes::limit(claim.per_target.max(1)))
            .await?
            .into_iter()
            .take_while(|row| row.batch.is_none() && row.next_at <= now && row.kind == head.kind)
            .collect(),
    };
    let ids: Vec<MessageId> = rows.iter().map(|row| row.id).collect();
    for ids in ids.chunks(Sizes::BATCH) {
        diesel::update(outbox::table.filter(outbox::id.eq_any(ids)))
            .set((
                outbox::owner.eq(Some(&claim.owner)),
                outbox::claimed_until.eq(Some(clock.saturating_add(span(claim.lease)))),
            ))
            .execute(c)
            .await?;
    }
    Ok(rows.into_iter().map(MessageRecord::from).collect())
}

async fn next_target(c: &mut Conn, namespace: &str, after: Option<&str>) -> QueryResult<Option<String>> {
    outbox::table
        .filter(outbox::namespace.eq(namespace))
        .filter(outbox::target.gt(after.unwrap_or_default()))
        .filter(IsAlive)
        .order(outbox::target)
        .select(outbox::target)
        .limit(1)
        .get_result(c)
        .await
        .optional()
}

async fn heads(c: &mut Conn, namespace: &str, target: &str, limit: i64) -> QueryResult<Vec<MessageRow>> {
    outbox::table
        .filter(outbox::namespace.eq(namespace))
        .filter(outbox::target.eq(target))
        .filter(IsAlive)
        .order(outbox::id)
        .select(MessageRow::as_select())
        .limit(limit)
        .load(c)
        .await
}

pub(crate) async fn seal(
    c: &mut Conn,
    owner: &Owner,
    batches: &[SealedBatch],
) -> Result<Vec<SealedBatch>, StoreError> {
    let mut refused = Vec::new();
    for sealed in batches {
        let mine: Vec<(MessageId, Option<String>)> = outbox::table
            .filter(outbox::id.eq_any(&sealed.ids))
            .filter(outbox::owner.eq(owner))
            .filter(IsAlive)
            .select((outbox::id, outbox::batch))
            .load(c)
            .await?;
        let sealable = mine.len() == sealed.ids.len()
            && mine.iter().all(|(_, batch)| batch.as_ref().is_none_or(|batch| *batch == sealed.batch));
        if !sealable {
            refused.push(sealed.clone());
            continue;
        }
        diesel::update(outbox::table.filter(outbox::id.eq_any(&sealed.ids)))
            .set((
                outbox::state.eq(MessageState::Sending),
                outbox::batch.eq(Some(&sealed.batch)),
                outbox::nonce.eq(Some(&sealed.nonce)),
            ))
            .execute(c)
            .await?;
    }
    Ok(refused)
}

pub(crate) async fn sent(c: &mut Conn, owner: &Owner, ids: &[MessageId]) -> Result<(), StoreError> {
    for ids in ids.chunks(Sizes::BATCH) {
        diesel::delete(outbox::table.filter(outbox::id.eq_any(ids)).filter(outbox::owner.eq(owner)))
            .execute(c)
            .await?;
    }
    Ok(())
}

/// Sending failed: with `next_at` they are tried again then, without it they are given up on.
pub(crate) async fn failed(
    c: &mut Conn,
    owner: &Owner,
    ids: &[MessageId],
    error: &str,
    next_at: Option<i64>,
) -> Result<(), StoreError> {
    for ids in ids.chunks(Sizes::BATCH) {
        diesel::update(outbox::table.filter(outbox::id.eq_any(ids)).filter(outbox::owner.eq(owner)))
            .set((
                outbox::attempts.eq(outbox::attempts + 1),
                outbox::error.eq(Some(error)),
                next_at.map(|at| outbox::next_at.eq(at)),
                next_at.is_none().then(|| outbox::state.eq(MessageState::Dead)),
                outbox::owner.eq(None::<&str>),
                outbox::claimed_until.eq(None::<i64>),
            ))
            .execute(c)
            .await?;
    }
    Ok(())
}

pub(crate) async fn release(c: &mut Conn, owner: &Owner) -> Result<(), StoreError> {
    diesel::update(outbox::table.filter(outbox::owner.eq(owner)))
        .set((outbox::owner.eq(None::<&str>), outbox::claimed_until.eq(None::<i64>)))
        .execute(c)
        .await?;
    Ok(())
}

/// When the first target can be sent to.
pub(crate) async fn next_at(c: &mut Conn, namespace: &str) -> Result<Option<i64>, StoreError> {
    let mut earliest: Option<i64> = None;
    let mut after = None;
    while let Some(target) = next_target(c, namespace, after.as_deref()).await? {
        for head in heads(c, namespace, &target, 1).await? {
            let at = head.next_at.max(head.claimed_until.unwrap_or(i64::MIN));
            earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
        }
        after = Some(target);
    }
    Ok(earliest)
}

pub(crate) async fn list(
    c: &mut Conn,
    namespace: &str,
    filter: &MessageFilter,
) -> Result<Vec<MessageRecord>, StoreError> {
    let mut query = outbox::table
        .order(outbox::id)
        .limit(Sizes::limit_or_all(filter.limit))
        .select(MessageRow::as_select())
        .into_boxed::<Db>();
    if !filter.all_namespaces {
        query = query.filter(outbox::namespace.eq(namespace));
    }
    if let Some(state) = filter.state {
        query = query.filter(outbox::state.eq(state));
    }
    if let Some(pipeline) = &filter.pipeline {
        query = query.filter(outbox::pipeline.eq(pipeline));
    }
    if let Some(run) = filter.run {
        query = query.filter(outbox::run_id.eq(run));
    }
    if let Some(after) = filter.after {
        query = query.filter(outbox::id.gt(after));
    }
    let rows: Vec<MessageRow> = query.load(c).await?;
    Ok(rows.into_iter().map(MessageRecord::from).collect())
}

/// The ids of a selection, in the store's namespace.
async fn selected(c: &mut Conn, namespace: &str, which: &MessageSelection) -> QueryResult<Vec<MessageId>> {
    let query = outbox::table
        .filter(outbox::namespace.eq(namespace))
        .order(outbox::id)
        .select(outbox::id)
        .into_boxed::<Db>();
    match which {
        MessageSelection::Ids(ids) => query.filter(outbox::id.eq_any(ids)).load(c).await,
        MessageSelection::State(state) => query.filter(outbox::state.eq(*state)).load(c).await,
        MessageSelection::All => query.load(c).await,
    }
}

pub(crate) async fn retry(
    c: &mut Conn,
    namespace: &str,
    which: &MessageSelection,
    now: i64,
) -> Result<usize, StoreError> {
    let ids = selected(c, namespace, which).await?;
    for ids in ids.chunks(Sizes::BATCH) {
        diesel::update(outbox::table.filter(outbox::id.eq_any(ids)))
            .set((outbox::next_at.eq(now), outbox::attempts.eq(0)))
            .execute(c)
            .await?;
        // What was sealed stays sealed: its nonce may still keep a repeat from showing twice.
        for (sealed, state) in [(true, MessageState::Sending), (false, MessageState::Waiting)] {
            let dead =
                outbox::table.filter(outbox::id.eq_any(ids)).filter(outbox::state.eq(MessageState::Dead));
            let dead = dead.filter(outbox::batch.is_not_null().eq(sealed));
            diesel::update(dead).set(outbox::state.eq(state)).execute(c).await?;
        }
    }
    Ok(ids.len())
}

pub(crate) async fn purge(
    c: &mut Conn,
    namespace: &str,
    which: &MessageSelection,
) -> Result<usize, StoreError> {
    let ids = selected(c, namespace, which).await?;
    let mut purged = 0;
    for ids in ids.chunks(Sizes::BATCH) {
        purged += diesel::delete(outbox::table.filter(outbox::id.eq_any(ids))).execute(c).await?;
    }
    Ok(purged)
}
