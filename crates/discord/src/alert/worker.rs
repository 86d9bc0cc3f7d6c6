//! Tells the channels, and tries again for as long as it takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, process};

use chrono::TimeDelta;
use pipeline_core::Clock;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use twilight_http::routing::Route;

use super::AlertConfig;
use super::book::{AlertKind, Due, Entry, Key, RunNotice, Teller, noted};
use super::ledger::{Change, Ledger};
use super::render;
use crate::delivery::{BadToken, Verdict};
use crate::fingerprint;
use crate::http::{ApiBase, Body, Client, Method};
use crate::lock::lock;

/// Between two edits of one message.
const EDITS: Duration = Duration::from_secs(10);
/// Between two requests for one channel.
const INTERVAL: Duration = Duration::from_millis(1010);
/// For one request.
const WITHIN: Duration = Duration::from_secs(15);
/// Pauses after failures double, from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// How long nothing is told where Discord does not know the token.
const PARKED: Duration = Duration::from_secs(15 * 60);
/// An unknown message: somebody has deleted it.
const UNKNOWN_MESSAGE: u64 = 10008;
/// How long a process may take to tell something before another one does.
const CLAIM: TimeDelta = TimeDelta::seconds(60);
/// How often it is looked whether another process has left something untold.
const LOOK: Duration = Duration::from_secs(30);
/// How long the store is left alone when it is away.
const STORE_AWAY: Duration = Duration::from_secs(1);
/// How long the last things may take at a shutdown.
const LAST: Duration = Duration::from_secs(2);

/// Tells channels of failures. Cheap to clone.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

struct Inner {
    client: Client,
    base: ApiBase,
    clock: Arc<dyn Clock>,
    ledger: Ledger,
    /// The name of this process among those that tell.
    name: String,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// What has happened and is not written down yet, in order.
    notices: Vec<(u64, RunNotice)>,
    channels: HashMap<u64, Channel>,
    /// When each pipeline's message was last edited.
    edited: HashMap<Key, Instant>,
}

/// How a channel is doing.
#[derive(Debug, Clone, Copy, Default)]
struct Channel {
    not_before: Option<Instant>,
    failures: u32,
}

/// What came of telling something.
enum Heard {
    /// It is told, or will never be; the message's id, where it has one.
    Over(Option<u64>),
    /// The message that was to be edited is gone.
    Gone,
    /// It is tried again.
    Later,
}

impl Alerts {
    /// # Errors
    /// Where the token cannot be sent.
    pub fn new(config: AlertConfig) -> Result<Self, BadToken> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let AlertConfig { token, api_base: base, clock, store } = config;
        let client = Client::new(Some(&token)).map_err(BadToken::from)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = clock.now().timestamp_micros();
        let name = format!("{:016x}", fingerprint::of(&format!("{now} {} {count}", process::id())));
        let (ledger, state) = (Ledger::new(store), Mutex::default());
        Ok(Self(Arc::new(Inner { client, base, clock, ledger, name, state, changed: Notify::new() })))
    }

    /// Notes what a run came to, for this channel. Returns at once, whatever Discord and the store do.
    pub fn notify(&self, channel: u64, notice: RunNotice) {
        {
            let mut state = lock(&self.0.state);
            // One success after another is no news.
            let of_pipeline =
                |(at, known): &&(u64, RunNotice)| *at == channel && known.pipeline == notice.pipeline;
            let last = state.notices.iter().rev().find(of_pipeline).map(|(_, known)| known.kind);
            if (last, notice.kind) == (Some(AlertKind::Succeeded), AlertKind::Succeeded) {
                return;
            }
            state.notices.push((channel, notice));
        }
        self.0.changed.notify_one();
    }

    /// Whether everything that is known of here has been told.
    pub fn is_quiet(&self) -> bool {
        lock(&self.0.state).notices.is_empty()
            && self.0.ledger.entries().iter().all(|(_, entry)| entry.due().is_none())
    }

    /// Tells the channels until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut away = false;
        while !shutdown.is_cancelled() {
            let turn = self.turn(&shutdown);
            tokio::pin!(turn);
            let turned = tokio::select! {
                turned = &mut turn => turned,
                // What is being told is told to its end, if that is soon.
                () = shutdown.cancelled() => {
                    let Ok(turned) = tokio::time::timeout(LAST, &mut turn).await else { break };
                    turned
                }
            };
            let wait = match turned {
                Ok(wait) => {
                    away = false;
                    wait.unwrap_or(LOOK).min(LOOK)
                }
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(%error, "alerts wait: what is known of failing pipelines cannot be kept");
                    }
                    STORE_AWAY
                }
            };
            tokio::select! {
                () = self.0.changed.notified(), if !away => {}
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => {}
            }
        }
        let last = async {
            self.note().await?;
            self.let_go().await
        };
        match tokio::time::timeout(LAST, last).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what is known of failing pipelines could not be kept"),
            Err(_) => tracing::warn!("what is known of failing pipelines could not be kept in time"),
        }
    }

    /// Tells the channels what is left, for `within` at most: for programs that end. Whether all was told.
    pub async fn drain(&self, within: Duration) -> bool {
        let never = CancellationToken::new();
        let telling = async {
            loop {
                match self.turn(&never).await {
                    Ok(None) => return,
                    Ok(Some(wait)) => tokio::time::sleep(wait).await,
                    Err(error) => {
                        tracing::warn!(%error, "alerts wait: what is known of failing pipelines cannot be kept");
                        tokio::time::sleep(STORE_AWAY).await;
                    }
                }
            }
        };
        let done = tokio::time::timeout(within, telling).await.is_ok();
        if let Err(error) = self.let_go().await {
            tracing::warn!(%error, "what is known of failing pipelines could not be kept");
        }
        done
    }

    /// Writes down what has happened, and tells what can be told now. How long until something more can be.
    async fn turn(&self, shutdown: &CancellationToken) -> io::Result<Option<Duration>> {
        self.note().await?;
        loop {
            match self.next().filter(|_| !shutdown.is_cancelled()) {
                Some((key, due, wait)) if wait.is_zero() => self.tell(&key, &due).await?,
                other => return Ok(other.map(|(_, _, wait)| wait)),
            }
            self.note().await?;
        }
    }

    /// Writes down what has happened.
    async fn note(&self) -> io::Result<()> {
        self.0.ledger.look().await?;
        loop {
            let (key, notices) = {
                let state = lock(&self.0.state);
                let Some((channel, first)) = state.notices.first() else { return Ok(()) };
                let key = (*channel, first.pipeline.clone());
                let of_key = |(at, notice): &&(u64, RunNotice)| *at == key.0 && notice.pipeline == key.1;
                let notices: Vec<RunNotice> =
                    state.notices.iter().filter(of_key).map(|(_, notice)| notice.clone()).collect();
                (key, notices)
            };
            let all = |known: Option<&Entry>| {
                let mut changed = None;
                for notice in &notices {
                    changed = noted(changed.as_ref().or(known), notice).or(changed);
                }
                changed.map_or(Change::Nothing, |entry| Change::Put(Box::new(entry)))
            };
            self.0.ledger.change(&key, all).await?;
            let mut left = notices.len();
            lock(&self.0.state).notices.retain(|(at, notice)| {
                let is_noted = left > 0 && *at == key.0 && notice.pipeline == key.1;
                left -= usize::from(is_noted);
                !is_noted
            });
        }
    }

    /// What is to be told next, and how long until then.
    fn next(&self) -> Option<(Key, Due, Duration)> {
        let (now, wall) = (Instant::now(), self.0.clock.now());
        let state = lock(&self.0.state);
        let until = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let due = self.0.ledger.entries().into_iter().filter_map(|(key, entry)| {
            let due = entry.due()?;
            let mut wait = until(state.channels.get(&key.0).and_then(|c| c.not_before));
            if matches!(due, Due::Edit(_)) && entry.recovered.is_none() {
                wait = wait.max(until(state.edited.get(&key).map(|at| *at + EDITS)));
            }
            if let Some(others) = entry.told_by_others(&self.0.name, wall) {
                wait = wait.max((others - wall).to_std().unwrap_or_default());
            }
            Some((key, due, wait))
        });
        due.min_by_key(|(_, _, wait)| *wait)
    }

    async fn tell(&self, key: &Key, due: &Due) -> io::Result<()> {
        let Some(entry) = self.claim(key, due).await? else { return Ok(()) };
        let (channel, pipeline) = key;
        let (method, route, message) = match due {
            Due::Post => (Method::POST, None, render::failure(pipeline, &entry)),
            Due::Edit(id) => (Method::PATCH, Some(*id), render::failure(pipeline, &entry)),
            Due::Recovered => {
                let Some(recovery) = &entry.recovered else { return Ok(()) };
                (Method::POST, None, render::recovery(pipeline, &entry, recovery))
            }
        };
        let mut body = message.body();
        let route = match route {
            Some(message_id) => Route::UpdateMessage { channel_id: *channel, message_id },
            None => {
                // The same words for the same failure have the same nonce, so that a lost answer shows nothing twice.
                let Entry { first_at, since, lost, .. } = &entry;
                let nonce =
                    fingerprint::of(&format!("{channel} {pipeline} {due:?} {first_at} {since} {lost}"));
                body["nonce"] = format!("{nonce:016x}").into();
                body["enforce_nonce"] = true.into();
                Route::CreateMessage { channel_id: *channel }
            }
        };
        let url = self.0.base.url(&route.to_string());
        let sent = self.0.client.send(method, &url, Body::Json(body.to_string().into()), true, WITHIN).await;
        let id = sent.as_ref().ok().and_then(crate::http::Answer::message_id);
        let code = sent.as_ref().ok().and_then(crate::http::Answer::code);
        let heard = self.heard(key, due, Verdict::of(sent), id, code);
        self.write_down(key, due, &entry, &heard).await
    }

    /// Takes it upon this process to tell something; nothing where another one does, or it is told already.
    async fn claim(&self, key: &Key, due: &Due) -> io::Result<Option<Entry>> {
        let now = self.0.clock.now();
        let teller = Teller { name: self.0.name.clone(), until: now + CLAIM };
        let claim = |entry: Option<&Entry>| match entry {
            Some(entry)
                if entry.due().as_ref() == Some(due) && entry.told_by_others(&self.0.name, now).is_none() =>
            {
                Change::Put(Box::new(Entry { teller: Some(teller.clone()), ..entry.clone() }))
            }
            _ => Change::Nothing,
        };
        self.0.ledger.change(key, claim).await
    }

    /// What an answer means for this process and for the channel.
    fn heard(&self, key: &Key, due: &Due, verdict: Verdict, id: Option<u64>, code: Option<u64>) -> Heard {
        let now = Instant::now();
        let mut state = lock(&self.0.state);
        let channel = state.channels.entry(key.0).or_default();
        channel.not_before = Some(now + INTERVAL);
        let mut hold = |time: Duration| channel.not_before = Some(now + time);
        match &verdict {
            Verdict::Arrived(_) => {}
            Verdict::TooMany { wait, .. } => {
                hold(*wait);
                return Heard::Later;
            }
            Verdict::Later(why) | Verdict::Odd(why) => {
                channel.failures = channel.failures.saturating_add(1);
                let pause =
                    BACKOFF.0.saturating_mul(2_u32.saturating_pow(channel.failures - 1)).min(BACKOFF.1);
                channel.not_before = Some(now + pause);
                tracing::warn!(channel = key.0, pipeline = key.1, why, again_in = ?pause, "an alert waits");
                return Heard::Later;
            }
            Verdict::Unauthorised(why) => {
                hold(PARKED);
                tracing::error!(channel = key.0, why, "Discord does not know the token; alerts wait");
                return Heard::Later;
            }
            Verdict::Never(_) if code == Some(UNKNOWN_MESSAGE) && matches!(due, Due::Edit(_)) => {
                return Heard::Gone;
            }
            Verdict::Never(why) => {
                tracing::error!(channel = key.0, pipeline = key.1, why, "an alert is given up on");
            }
        }
        channel.failures = 0;
        match due {
            Due::Recovered => drop(state.edited.remove(key)),
            Due::Post | Due::Edit(_) => drop(state.edited.insert(key.clone(), now)),
        }
        Heard::Over(id)
    }

    /// Writes down what came of it; what has happened meanwhile stays.
    async fn write_down(&self, key: &Key, due: &Due, said: &Entry, heard: &Heard) -> io::Result<()> {
        let written = |entry: Option<&Entry>| {
            let Some(entry) = entry else { return Change::Nothing };
            let mut next = entry.free();
            match (heard, due) {
                // It stays this process's for a while: another one would not be heard either.
                (Heard::Later, _) => return Change::Nothing,
                (Heard::Over(_), Due::Recovered) if entry.recovered == said.recovered => {
                    return Change::Remove;
                }
                // It is another failure by now.
                _ if entry.first_at != said.first_at => {}
                (Heard::Over(_), Due::Recovered) => {}
                (Heard::Over(id), Due::Post | Due::Edit(_)) => {
                    next.told = said.count;
                    next.message = id.or(entry.message);
                }
                (Heard::Gone, _) => {
                    (next.message, next.told, next.lost) = (None, 0, entry.lost.saturating_add(1));
                }
            }
            Change::Put(Box::new(next))
        };
        // Until it is written, it would be told again.
        while let Err(error) = self.0.ledger.change(key, written).await {
            tracing::debug!(%error, "what was told of a failing pipeline is written as soon as possible");
            tokio::time::sleep(STORE_AWAY).await;
        }
        Ok(())
    }

    /// Leaves what this process was about to tell to others.
    async fn let_go(&self) -> io::Result<()> {
        let is_mine = |entry: &Entry| entry.teller.as_ref().is_some_and(|teller| teller.name == self.0.name);
        for (key, entry) in self.0.ledger.entries() {
            if is_mine(&entry) {
                let free = |entry: Option<&Entry>| match entry {
                    Some(entry) if is_mine(entry) => Change::Put(Box::new(entry.free())),
                    _ => Change::Nothing,
                };
                self.0.ledger.change(&key, free).await?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alerts").field("at", &self.0.clock.now()).finish_non_exhaustive()
    }
}
