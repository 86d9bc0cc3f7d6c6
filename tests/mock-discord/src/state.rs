//! What the mock knows: messages, interactions, commands, sessions, and the request log.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::MockConfig;
use crate::faults::Rule;
use crate::gateway::{Behaviour, Connection, Push, Session};
use crate::interaction::Record;
use crate::log::{Captured, File};
use crate::ratelimit::Buckets;

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Sent to a channel by the bot.
    Channel,
    /// Sent by a webhook of that id.
    Webhook(u64),
    /// The response to an interaction, or a follow-up.
    Response,
}

/// A message that exists.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id.
    pub id: u64,
    /// Its channel.
    pub channel: u64,
    /// Where it came from.
    pub kind: MessageKind,
    /// Its present body, as JSON.
    pub body: Value,
    /// Its files.
    pub files: Vec<File>,
    /// How often it was edited.
    pub edits: usize,
    /// Whether only one user sees it.
    pub ephemeral: bool,
    /// Whether it still exists.
    pub deleted: bool,
    /// When it was sent.
    pub at: Instant,
}

impl Message {
    /// Its text, empty where there is none.
    pub fn content(&self) -> &str {
        self.body["content"].as_str().unwrap_or_default()
    }

    /// Everything in it that a reader sees, as one string.
    pub fn text(&self) -> String {
        let mut all = self.content().to_owned();
        for embed in self.body["embeds"].as_array().into_iter().flatten() {
            for key in ["title", "description"] {
                all.push('\n');
                all.push_str(embed[key].as_str().unwrap_or_default());
            }
            for field in embed["fields"].as_array().into_iter().flatten() {
                for key in ["name", "value"] {
                    all.push('\n');
                    all.push_str(field[key].as_str().unwrap_or_default());
                }
            }
        }
        all
    }

    /// The ids and labels of its buttons.
    pub fn buttons(&self) -> Vec<(String, String)> {
        let rows = self.body["components"].as_array().into_iter().flatten();
        rows.flat_map(|row| row["components"].as_array().into_iter().flatten())
            .filter(|b| b["disabled"] != true)
            .filter_map(|b| {
                Some((
                    b["custom_id"].as_str()?.to_owned(),
                    b["label"].as_str().unwrap_or_default().to_owned(),
                ))
            })
            .collect()
    }

    /// The message as Discord shows it.
    pub(crate) fn json(&self, application: u64) -> Value {
        let attachments: Vec<Value> = self
            .files
            .iter()
            .enumerate()
            .map(|(i, f)| {
                json!({"id": (self.id * 16 + i as u64).to_string(), "filename": f.name, "size": f.bytes.len(),
                "url": "http://127.0.0.1/file", "proxy_url": "http://127.0.0.1/file"})
            })
            .collect();
        json!({
            "id": self.id.to_string(), "channel_id": self.channel.to_string(),
            "author": {"id": application.to_string(), "username": "mock", "discriminator": "0", "avatar": null, "bot": true},
            "content": self.body["content"].as_str().unwrap_or_default(),
            "timestamp": "2026-01-01T00:00:00.000000+00:00", "edited_timestamp": null, "tts": false,
            "mention_everyone": false, "mentions": [], "mention_roles": [], "attachments": attachments,
            "embeds": self.body.get("embeds").filter(|v| v.is_array()).cloned().unwrap_or_else(|| json!([])),
            "components": self.body.get("components").filter(|v| v.is_array()).cloned().unwrap_or_else(|| json!([])),
            "pinned": false, "type": 0, "flags": if self.ephemeral {64} else {0},
            "nonce": self.body.get("nonce").cloned().unwrap_or(Value::Null),
        })
    }
}

/// Everything behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) log: Vec<Captured>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) messages: Vec<Message>,
    pub(crate) interactions: HashMap<u64, Record>,
    pub(crate) commands: HashMap<Option<u64>, Value>,
    pub(crate) nonces: HashMap<(u64, String), (u64, Instant)>,
    pub(crate) buckets: Buckets,
    pub(crate) behaviour: Behaviour,
    pub(crate) connections: Vec<Connection>,
    pub(crate) sessions: HashMap<String, Session>,
    /// The connection that is identified, and how to push to it.
    pub(crate) active: Option<(usize, tokio::sync::mpsc::UnboundedSender<Push>)>,
    /// The newest session, to which dispatches belong.
    pub(crate) session: Option<String>,
    pub(crate) token: String,
    next_id: u64,
}

/// The state and a way to wait for a change of it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: MockConfig,
    pub(crate) start: Instant,
    pub(crate) gateway_url: String,
    state: Mutex<State>,
    changed: Notify,
}

impl Shared {
    pub(crate) fn new(config: MockConfig, gateway_url: String) -> Self {
        let state = State {
            log: Vec::new(),
            rules: Vec::new(),
            messages: Vec::new(),
            interactions: HashMap::new(),
            commands: HashMap::new(),
            nonces: HashMap::new(),
            buckets: Buckets::default(),
            behaviour: Behaviour::default(),
            connections: Vec::new(),
            sessions: HashMap::new(),
            active: None,
            session: None,
            token: config.token.clone(),
            next_id: 1000,
        };
        Self { config, start: Instant::now(), gateway_url, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes all who wait.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Waits until the state yields something.
    pub(crate) async fn wait<T>(
        &self,
        within: Duration,
        mut probe: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        let waiting = async {
            loop {
                let notified = self.changed.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if let Some(found) = probe(&self.lock()) {
                    return found;
                }
                notified.await;
            }
        };
        tokio::time::timeout(within, waiting).await.ok()
    }
}

impl State {
    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn add_message(
        &mut self,
        channel: u64,
        kind: MessageKind,
        body: Value,
        files: Vec<File>,
        ephemeral: bool,
    ) -> u64 {
        let id = self.id();
        let at = Instant::now();
        self.messages.push(Message {
            id,
            channel,
            kind,
            body,
            files,
            edits: 0,
            ephemeral,
            deleted: false,
            at,
        });
        id
    }

    pub(crate) fn message(&mut self, id: u64) -> Option<&mut Message> {
        self.messages.iter_mut().find(|m| m.id == id && !m.deleted)
    }
}

/// Merges an edit into a body: keys that are given replace those that were.
pub(crate) fn merge(body: &mut Value, edit: &Value) {
    if body.is_null() {
        *body = json!({});
    }
    let (Some(body), Some(edit)) = (body.as_object_mut(), edit.as_object()) else { return };
    for (key, value) in edit {
        body.insert(key.clone(), value.clone());
    }
}
