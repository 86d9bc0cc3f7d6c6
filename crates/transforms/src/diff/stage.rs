//! The running diff.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use pipeline_core::{
    Batch, Emitter, Item, ItemStream, ParsedItem, Record, Shape, ShapeCache, StageContext, StageError,
    StageState, StateStore, StateWrite, Topic, Transform, Value,
};
use std::sync::{Arc, Mutex, PoisonError};

use super::baseline;
use super::compare::{alike, compare};
use super::key::{describe, put_key};
use super::kwargs::{DiffParserKwargs, RESERVED};
use super::scratch::Scratch;
use crate::keep::codec::{Decoder, put_record, put_text};
use crate::sql::SqliteStateStore;

/// The form of a snapshot: this byte, flags, the content.
const VERSION: u8 = 1;
/// Flag: the snapshot was read from a table, which may lack fields.
pub(super) const BASELINE: u8 = 1;

/// Removals are read and told so many at a time.
const PAGE: usize = 500;

/// A snapshot as it is stored.
pub(super) fn encode_snapshot(flags: u8, content: &Record) -> Bytes {
    let mut bytes = vec![VERSION, flags];
    put_record(&mut bytes, content);
    bytes.into()
}

/// The class's transform.
pub(super) struct Diff {
    kwargs: DiffParserKwargs,
    shape: Arc<Shape>,
}

impl Diff {
    pub(super) fn new(kwargs: DiffParserKwargs) -> Self {
        let key = kwargs.key.iter().map(String::as_str);
        let names = [RESERVED[0]].into_iter().chain(key).chain(RESERVED[1..].iter().copied());
        Self { shape: Shape::new(names), kwargs }
    }
}

impl Transform for Diff {
    fn connect(self: Box<Self>, mut input: ItemStream, ctx: StageContext) -> ItemStream {
        ItemStream::generate(move |mut out| async move {
            let mut running = Running::new(*self, ctx);
            while let Some(batch) = input.next_batch().await {
                let batch = running.batch(batch?).await?;
                out.emit_batch(batch).await;
            }
            running.finish(&mut out).await
        })
    }
}

/// What a run knows of a topic.
struct Seen {
    topic: Topic,
    diff: Topic,
    /// What its keys begin with.
    prefix: Vec<u8>,
    /// Whether its snapshots come from the baseline's table.
    from_baseline: bool,
}

struct Running {
    kwargs: DiffParserKwargs,
    shape: Arc<Shape>,
    ctx: StageContext,
    state: Option<Box<dyn StageState>>,
    scratch: Scratch,
    topics: Vec<Seen>,
    shapes: ShapeCache,
    /// Whether an item without a key was left out here: it may have been any of the known ones.
    unkeyed: bool,
}

/// An item of a batch that is to be compared.
struct Candidate {
    topic: usize,
    key: Bytes,
}

/// The names of states that the diffs of a run have taken.
#[derive(Default)]
struct Taken(Mutex<Vec<String>>);

impl Running {
    fn new(diff: Diff, ctx: StageContext) -> Self {
        Self {
            kwargs: diff.kwargs,
            shape: diff.shape,
            state: None,
            scratch: Scratch::new(ctx.run()),
            ctx,
            topics: Vec::new(),
            shapes: ShapeCache::default(),
            unkeyed: false,
        }
    }

    async fn state(&mut self) -> Result<&mut Box<dyn StageState>, StageError> {
        if self.state.is_none() {
            let name = self.state_name();
            self.state = Some(match &self.kwargs.db_path {
                None => self.ctx.state(&name).await?,
                Some(path) => {
                    let pipeline = self.ctx.pipeline().to_owned();
                    let scope = pipeline_core::StateScope { pipeline, name };
                    SqliteStateStore::at(path).open(scope, self.ctx.run()).await?
                }
            });
        }
        self.state.as_mut().ok_or_else(|| StageError::fatal("the state is not open"))
    }

    /// With another key nothing is comparable, so its fields are part of the name; a second diff of the
    /// chain with the same key gets a name of its own.
    fn state_name(&self) -> String {
        let taken = self.ctx.resource(Taken::default);
        let mut taken = taken.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!(
            "diff {}",
            Value::from(self.kwargs.key.iter().map(|key| Value::from(&**key)).collect::<Vec<_>>())
        );
        let alike = taken.iter().filter(|other| **other == name).count();
        taken.push(name.clone());
        if alike == 0 { name } else { format!("{name} #{}", alike + 1) }
    }

    async fn batch(&mut self, batch: Batch) -> Result<Batch, StageError> {
        let mut out = Batch { items: Vec::with_capacity(batch.items.len() + 16), errors: batch.errors };
        let mut candidates = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            candidates.push(match item {
                Item::Parsed(item) if self.kwargs.is_for(&item.topic) => Some(self.candidate(item).await?),
                _ => None,
            });
        }
        let keys = candidates.iter().flatten().flatten().map(|candidate| candidate.key.clone()).collect();
        let mut new = self.scratch.add(keys).await?.into_iter();
        let mut work = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            work.push(match candidate {
                None => Work::Pass,
                Some(Err(error)) => Work::Fail(error),
                Some(Ok(candidate)) if new.next() == Some(true) => Work::Compare(candidate),
                Some(Ok(_)) => Work::Repeated,
            });
        }
        let mut snapshots = self.snapshots(&work).await?.into_iter();
        let mut writes = Vec::with_capacity(work.len());
        let now = self.ctx.now();
        for (item, work) in batch.items.into_iter().zip(work) {
            match (work, item) {
                (Work::Compare(candidate), Item::Parsed(item)) => {
                    let snapshot = snapshots.next().flatten();
                    let event = self.compare(&item, candidate, snapshot, now, &mut writes)?;
                    out.items.push(item.into());
                    out.items.extend(event.map(Item::from));
                }
                (Work::Repeated, Item::Parsed(item)) => {
                    let key = describe(&self.kwargs.key, &item.content);
                    let error = StageError::item(format!("the key {key} came twice in this run"))
                        .at(&item.topic)
                        .hint("only the first was compared; is `key` what identifies an item?");
                    out.errors.push(error.with_item(item));
                }
                (Work::Fail(error), Item::Parsed(item)) => {
                    self.unkeyed = true;
                    out.errors.push(error.at(&item.topic).with_item(item));
                }
                (_, item) => out.items.push(item),
            }
        }
        if !writes.is_empty() {
            self.state().await?.write(writes).await?;
        }
        Ok(out)
    }

    /// The outer error is the run's, the inner one the item's.
    async fn candidate(&mut self, item: &ParsedItem) -> Result<Result<Candidate, StageError>, StageError> {
        let topic = match self.topics.iter().position(|seen| seen.topic == item.topic) {
            Some(at) => at,
            None => self.meet(item).await?,
        };
        let mut key = self.topics[topic].prefix.clone();
        let put = put_key(&mut key, &self.kwargs.key, &item.content);
        Ok(put.map(|()| Candidate { topic, key: key.into() }))
    }

    /// The first item of a topic.
    async fn meet(&mut self, item: &ParsedItem) -> Result<usize, StageError> {
        let mut prefix = Vec::new();
        put_text(&mut prefix, &item.topic);
        let mut from_baseline = false;
        if let Some(baseline) = self.kwargs.baseline.clone()
            && baseline.topic.as_ref().is_none_or(|topic| *topic == item.topic)
        {
            if baseline.topic.is_none() && !self.topics.is_empty() {
                return Err(StageError::fatal(format!(
                    "`baseline` does not say which topic it is for, and there are several: `{}` and `{}`",
                    self.topics[0].topic, item.topic
                ))
                .hint("add `topic` to it"));
            }
            from_baseline = self.state().await?.count(&prefix).await? == 0;
            if from_baseline {
                let (kwargs, ctx) = (self.kwargs.clone(), self.ctx.clone());
                let prefix = prefix.clone();
                baseline::load(
                    &kwargs,
                    &baseline,
                    &item.topic,
                    prefix,
                    &item.content,
                    &mut self.scratch,
                    &ctx,
                )
                .await?;
            }
        }
        let (topic, diff) = (item.topic.clone(), item.topic.diff());
        self.topics.push(Seen { topic, diff, prefix, from_baseline });
        Ok(self.topics.len() - 1)
    }

    /// The snapshots of what is to be compared, in order.
    async fn snapshots(&mut self, work: &[Work]) -> Result<Vec<Option<Bytes>>, StageError> {
        let compared = |work: &Work| match work {
            Work::Compare(candidate) => {
                Some((self.topics[candidate.topic].from_baseline, candidate.key.clone()))
            }
            _ => None,
        };
        let wanted: Vec<(bool, Bytes)> = work.iter().filter_map(compared).collect();
        let keys = |baseline: bool| -> Vec<Bytes> {
            wanted.iter().filter(|(from, _)| *from == baseline).map(|(_, key)| key.clone()).collect()
        };
        let (from_table, from_state) = (keys(true), keys(false));
        let mut table = match from_table.as_slice() {
            [] => Vec::new(),
            keys => self.scratch.baseline(keys).await?,
        }
        .into_iter();
        let mut state = match from_state.as_slice() {
            [] => Vec::new(),
            keys => self.state().await?.get_many(keys).await?,
        }
        .into_iter();
        let next = |(from_table, _): &(bool, Bytes)| if *from_table { table.next() } else { state.next() };
        Ok(wanted.iter().map(next).map(Option::flatten).collect())
    }

    fn compare(
        &mut self,
        item: &ParsedItem,
        candidate: Candidate,
        snapshot: Option<Bytes>,
        now: DateTime<Utc>,
        writes: &mut Vec<StateWrite>,
    ) -> Result<Option<ParsedItem>, StageError> {
        let Candidate { topic, key } = candidate;
        let encoded = encode_snapshot(0, &item.content);
        let Some(snapshot) = snapshot else {
            writes.push(StateWrite::Put(key, encoded));
            let (diff, at) = (self.topics[topic].diff.clone(), item.discovered_at);
            return Ok(Some(self.event(diff, at, "new", (None, Some(&item.content)), &[], now)));
        };
        if snapshot == encoded {
            writes.push(StateWrite::Touch(key));
            return Ok(None);
        }
        let (flags, mut old) = self.decode(&snapshot)?;
        let known_only = flags & BASELINE != 0;
        if known_only {
            for (field, value) in item.content.iter() {
                if let Some(column) = old.get_mut(field) {
                    *column = alike(std::mem::take(column), value);
                }
            }
        }
        let found = compare(&self.kwargs, &old, &item.content, known_only);
        let encoded = if found.kept.is_empty() {
            encoded
        } else {
            let mut kept = item.content.clone();
            for (field, value) in found.kept {
                kept.insert(field.as_str(), value);
            }
            encode_snapshot(0, &kept)
        };
        writes.push(if encoded == snapshot { StateWrite::Touch(key) } else { StateWrite::Put(key, encoded) });
        if found.changed.is_empty() {
            return Ok(None);
        }
        let (diff, at) = (self.topics[topic].diff.clone(), item.discovered_at);
        Ok(Some(self.event(diff, at, "changed", (Some(&old), Some(&item.content)), &found.changed, now)))
    }

    fn decode(&mut self, snapshot: &[u8]) -> Result<(u8, Record), StageError> {
        let mut decoder = Decoder::new(snapshot);
        let version = decoder.byte();
        let decoded = match version {
            Some(VERSION) => decoder.byte().zip(decoder.record(&mut self.shapes)),
            _ => None,
        };
        decoded.ok_or_else(|| {
            StageError::fatal("a snapshot cannot be read: it is damaged, or a newer version wrote it")
                .hint("use the newer version, or remove the state file to begin anew")
        })
    }

    fn event(
        &self,
        topic: Topic,
        discovered_at: DateTime<Utc>,
        change: &str,
        (old, new): (Option<&Record>, Option<&Record>),
        changed: &[String],
        now: DateTime<Utc>,
    ) -> ParsedItem {
        let source = new.or(old);
        let mut values = Vec::with_capacity(self.shape.names().len());
        values.push(Value::from(change));
        for field in &self.kwargs.key {
            values.push(source.and_then(|content| content.get(field)).cloned().unwrap_or_default());
        }
        values.push(old.cloned().into());
        values.push(new.cloned().into());
        values.push(Value::from(changed.iter().map(|field| Value::from(&**field)).collect::<Vec<_>>()));
        // Always the same number of digits, so that the text sorts as the time does.
        values.push(Value::from(now.to_rfc3339_opts(SecondsFormat::Micros, true)));
        ParsedItem { topic, content: Record::from_shape(self.shape.clone(), values), discovered_at }
    }

    /// Tells the removals, where that is allowed.
    async fn finish(&mut self, out: &mut Emitter) -> Result<(), StageError> {
        let tells = self.tells_removals();
        if tells {
            self.guard().await?;
        }
        for topic in 0..self.topics.len() {
            self.removals(topic, tells, out).await?;
        }
        Ok(())
    }

    fn tells_removals(&self) -> bool {
        if !self.kwargs.removals || self.topics.is_empty() {
            return false;
        }
        let unkeyed = || self.unkeyed.then(|| "an item without a key was left out".to_owned());
        match self.ctx.upstream_incomplete().or_else(unkeyed) {
            Some(why) => {
                self.ctx.info(format!("removals are not looked for in this run: {why}"));
                false
            }
            None => true,
        }
    }

    /// Fails the run where a topic would lose too much.
    async fn guard(&mut self) -> Result<(), StageError> {
        for topic in 0..self.topics.len() {
            let Seen { topic, prefix, from_baseline, .. } = &self.topics[topic];
            let (name, prefix) = (topic.clone(), prefix.clone());
            let (known, removed) = if *from_baseline {
                self.scratch.count_baseline().await?
            } else {
                let state = self.state().await?;
                (state.count(&prefix).await?, state.count_untouched(&prefix).await?)
            };
            let limit = self.kwargs.max_removed;
            if removed > 0 && !limit.allows(removed, known) {
                let percent = removed as f64 * 100.0 / known as f64;
                return Err(StageError::fatal(format!(
                    "{removed} of {known} known rows of `{name}` ({percent:.0}%) did not come, which is more than \
                     `max_removed: {limit}` allows; nothing was changed"
                ))
                .hint("is the source whole? if they are truly gone, raise `max_removed` for one run"));
            }
        }
        Ok(())
    }

    async fn removals(&mut self, topic: usize, tells: bool, out: &mut Emitter) -> Result<(), StageError> {
        let Seen { diff, prefix, from_baseline, .. } = &self.topics[topic];
        let (diff, prefix, from_baseline) = (diff.clone(), prefix.clone(), *from_baseline);
        if !tells && !from_baseline {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = if from_baseline {
                self.scratch.unseen_baseline(after, PAGE).await?
            } else {
                self.state().await?.untouched(&prefix, after, PAGE).await?
            };
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let now = self.ctx.now();
            let mut writes = Vec::with_capacity(page.len());
            let mut events = Batch::new();
            for (key, snapshot) in page {
                if tells {
                    let (_, old) = self.decode(&snapshot)?;
                    events.emit(self.event(diff.clone(), now, "removed", (Some(&old), None), &[], now));
                    writes.push(StateWrite::Delete(key));
                } else {
                    // What the table knew stays known.
                    writes.push(StateWrite::Put(key, snapshot));
                }
            }
            self.state().await?.write(writes).await?;
            out.emit_batch(events).await;
        }
    }
}

/// What becomes of an item of a batch.
enum Work {
    Pass,
    Compare(Candidate),
    Repeated,
    Fail(StageError),
}
