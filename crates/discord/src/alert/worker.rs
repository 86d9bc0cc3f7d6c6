//! Tells the channels, and tries again for as long as it takes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::Clock;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use twilight_http::routing::Route;

use super::book::{Book, Due, Entry, Key, RunNotice};
use super::render;
use super::store::AlertStore;
use crate::delivery::{BadToken, Verdict};
use crate::fingerprint;
use crate::http::{ApiBase, Body, Client, Method, Secret};
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

/// The settings of alerts.
pub struct AlertConfig {
    /// The bot's token.
    pub token: Secret,
    /// Discord's REST interface.
    pub api_base: ApiBase,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where alerts are kept over a restart; `None`: nowhere.
    pub store: Option<Arc<dyn AlertStore>>,
}

/// Tells channels of failures. Cheap to clone.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

struct Inner {
    client: Client,
    base: ApiBase,
    clock: Arc<dyn Clock>,
    store: Option<Arc<dyn AlertStore>>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    book: Book,
    loaded: bool,
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

impl Alerts {
    /// # Errors
    /// Where the token cannot be sent.
    pub fn new(config: AlertConfig) -> Result<Self, BadToken> {
        let client = Client::new(Some(&config.token)).map_err(BadToken::from)?;
        let (base, clock, store) = (config.api_base, config.clock, config.store);
        Ok(Self(Arc::new(Inner {
            client,
            base,
            clock,
            store,
            state: Mutex::default(),
            changed: Notify::new(),
        })))
    }

    /// Notes what a run came to, for this channel. Returns at once, whatever Discord does.
    pub fn notify(&self, channel: u64, notice: RunNotice) {
        if lock(&self.0.state).book.note(channel, notice) {
            self.0.changed.notify_one();
        }
    }

    /// Whether everything has been told.
    pub fn is_quiet(&self) -> bool {
        lock(&self.0.state).book.0.values().all(|entry| entry.due().is_none())
    }

    /// Tells the channels until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        self.load().await;
        self.save().await;
        loop {
            let wait = match self.next() {
                Some((key, due, wait)) if wait.is_zero() => {
                    let told = shutdown.run_until_cancelled(self.tell(&key, &due)).await;
                    self.save().await;
                    if told.is_none() {
                        return;
                    }
                    continue;
                }
                Some((_, _, wait)) => wait,
                None => Duration::from_secs(3600),
            };
            tokio::select! {
                () = self.0.changed.notified() => self.save().await,
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => return self.save().await,
            }
        }
    }

    /// Tells the channels what is left, for `within` at most: for programs that end. Whether all was told.
    pub async fn drain(&self, within: Duration) -> bool {
        let telling = async {
            self.load().await;
            while let Some((key, due, wait)) = self.next() {
                tokio::time::sleep(wait).await;
                self.tell(&key, &due).await;
            }
        };
        let done = tokio::time::timeout(within, telling).await.is_ok();
        self.save().await;
        done
    }

    /// What is to be told next, and how long until then.
    fn next(&self) -> Option<(Key, Due, Duration)> {
        let now = Instant::now();
        let state = lock(&self.0.state);
        let until = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let due = state.book.0.iter().filter_map(|(key, entry)| {
            let due = entry.due()?;
            let mut wait = until(state.channels.get(&key.0).and_then(|c| c.not_before));
            if matches!(due, Due::Edit(_)) && entry.recovered.is_none() {
                wait = wait.max(until(state.edited.get(key).map(|at| *at + EDITS)));
            }
            Some((key.clone(), due, wait))
        });
        due.min_by_key(|(_, _, wait)| *wait)
    }

    async fn tell(&self, key: &Key, due: &Due) {
        let Some(entry) = lock(&self.0.state).book.0.get(key).cloned() else { return };
        let (channel, pipeline) = key;
        let (method, route, message) = match due {
            Due::Post => (Method::POST, None, render::failure(pipeline, &entry)),
            Due::Edit(id) => (Method::PATCH, Some(*id), render::failure(pipeline, &entry)),
            Due::Recovered => {
                let Some(recovery) = &entry.recovered else { return };
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
        self.heard(key, due, &entry, Verdict::of(sent), id, code);
    }

    fn heard(
        &self,
        key: &Key,
        due: &Due,
        said: &Entry,
        verdict: Verdict,
        id: Option<u64>,
        code: Option<u64>,
    ) {
        let now = Instant::now();
        let mut state = lock(&self.0.state);
        let State { book, channels, edited, .. } = &mut *state;
        let channel = channels.entry(key.0).or_default();
        channel.not_before = Some(now + INTERVAL);
        let mut hold = |time: Duration| channel.not_before = Some(now + time);
        let is_over = match &verdict {
            Verdict::Arrived(_) => true,
            Verdict::TooMany { wait, .. } => {
                hold(*wait);
                false
            }
            Verdict::Later(why) | Verdict::Odd(why) => {
                channel.failures = channel.failures.saturating_add(1);
                let pause =
                    BACKOFF.0.saturating_mul(2_u32.saturating_pow(channel.failures - 1)).min(BACKOFF.1);
                channel.not_before = Some(now + pause);
                tracing::warn!(channel = key.0, pipeline = key.1, why, again_in = ?pause, "an alert waits");
                false
            }
            Verdict::Unauthorised(why) => {
                hold(PARKED);
                tracing::error!(channel = key.0, why, "Discord does not know the token; alerts wait");
                false
            }
            Verdict::Never(_) if code == Some(UNKNOWN_MESSAGE) && matches!(due, Due::Edit(_)) => {
                if let Some(entry) = book.0.get_mut(key) {
                    (entry.message, entry.told, entry.lost) = (None, 0, entry.lost.saturating_add(1));
                }
                false
            }
            Verdict::Never(why) => {
                tracing::error!(channel = key.0, pipeline = key.1, why, "an alert is given up on");
                true
            }
        };
        if !is_over {
            return;
        }
        channel.failures = 0;
        match due {
            Due::Recovered => {
                // It may have failed again meanwhile; then it is another entry.
                if book.0.get(key).is_some_and(|entry| entry.recovered == said.recovered) {
                    book.0.remove(key);
                    edited.remove(key);
                }
            }
            Due::Post | Due::Edit(_) => {
                if let Some(entry) = book.0.get_mut(key).filter(|entry| entry.first_at == said.first_at) {
                    entry.told = said.count;
                    entry.message = id.or(entry.message);
                }
                edited.insert(key.clone(), now);
            }
        }
    }

    async fn load(&self) {
        let Some(store) = self.0.store.clone() else { return };
        if std::mem::replace(&mut lock(&self.0.state).loaded, true) {
            return;
        }
        let saved = match store.load().await {
            Ok(saved) => saved,
            Err(error) => return tracing::warn!(%error, "what was known of failing pipelines cannot be read"),
        };
        let mut state = lock(&self.0.state);
        for (key, text) in saved {
            let read = key.split_once(' ').and_then(|(channel, pipeline)| {
                let entry: Entry = serde_json::from_str(&text).ok()?;
                Some(((channel.parse().ok()?, pipeline.to_owned()), entry))
            });
            match read {
                // What happened since the start is newer.
                Some((key, entry)) => drop(state.book.0.entry(key).or_insert(entry)),
                None => tracing::warn!(key, "what was known of a failing pipeline cannot be read"),
            }
        }
    }

    async fn save(&self) {
        let Some(store) = &self.0.store else { return };
        let all: BTreeMap<String, String> = lock(&self.0.state)
            .book
            .0
            .iter()
            .filter_map(|((channel, pipeline), entry)| {
                Some((format!("{channel} {pipeline}"), serde_json::to_string(entry).ok()?))
            })
            .collect();
        if let Err(error) = store.save(all).await {
            tracing::warn!(%error, "what is known of failing pipelines cannot be saved; a restart will tell it again");
        }
    }
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alerts").field("at", &self.0.clock.now()).finish_non_exhaustive()
    }
}
