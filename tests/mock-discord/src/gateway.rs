//! The gateway half: HELLO, IDENTIFY, RESUME, heartbeats, dispatches with replay, close codes, and every lie.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;
use tokio_websockets::{CloseCode, Message as Frame, ServerBuilder, WebSocketStream};

use crate::state::Shared;

/// How a RESUME is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeAnswer {
    /// Missed events are replayed, then RESUMED.
    Accept,
    /// Invalid session, not resumable.
    Refuse,
}

/// How connections behave from now on.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Whether HELLO is sent.
    pub hello: bool,
    /// Whether the connection is dropped right after the upgrade.
    pub drop_after_upgrade: bool,
    /// Close with this code right after HELLO.
    pub close_after_hello: Option<u16>,
    /// Close with this code when identified.
    pub reject_identify: Option<u16>,
    /// Whether READY is sent.
    pub ready: bool,
    /// Whether heartbeats are acknowledged.
    pub acknowledge: bool,
    /// Whether the client's close after a [`Push::Reconnect`] is answered; otherwise the connection stays open and mute.
    pub answer_close: bool,
    /// The interval that HELLO asks for.
    pub heartbeat: Duration,
    /// What READY says as `resume_gateway_url`; `None`: the mock itself.
    pub resume_url: Option<String>,
    /// How a RESUME is answered.
    pub resume: ResumeAnswer,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            hello: true,
            drop_after_upgrade: false,
            close_after_hello: None,
            reject_identify: None,
            ready: true,
            acknowledge: true,
            answer_close: true,
            heartbeat: Duration::from_millis(41_250),
            resume_url: None,
            resume: ResumeAnswer::Accept,
        }
    }
}

/// Something to push to the connected client.
#[derive(Debug, Clone)]
pub enum Push {
    /// A dispatch of that name, with its payload; counted and replayed on a resume.
    Dispatch(String, Value),
    /// Reconnect, please (op 7).
    Reconnect,
    /// The session is invalid (op 9); whether it can be resumed.
    InvalidSession(bool),
    /// A heartbeat is wanted now (op 1).
    Heartbeat,
    /// Close with this code.
    Close(u16),
    /// The TCP connection ends without a word.
    Drop,
    /// This text frame as it is.
    Text(String),
    /// This binary frame as it is.
    Binary(Vec<u8>),
    /// From now on nothing is read or written, and the connection stays open.
    Freeze,
}

/// What is known of a connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// When it was made.
    pub at: Instant,
    /// Path and query of the upgrade.
    pub uri: String,
    /// The op codes that the client sent, with the payloads of IDENTIFY and RESUME.
    pub received: Vec<(u64, Value)>,
    /// The code that the client closed with.
    pub closed_by_client: Option<u16>,
    /// Whether the connection has ended.
    pub ended: bool,
}

impl Connection {
    /// Whether the client sent this op code.
    pub fn sent(&self, op: u64) -> bool {
        self.received.iter().any(|(o, _)| *o == op)
    }
}

/// A session: it outlives its connections.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) seq: u64,
    /// Numbered events, for a replay.
    pub(crate) sent: VecDeque<(u64, String)>,
}

impl Session {
    /// The text of a dispatch, numbered and kept.
    pub(crate) fn dispatch(&mut self, name: &str, payload: &Value) -> String {
        self.seq += 1;
        let text = json!({"op": 0, "s": self.seq, "t": name, "d": payload}).to_string();
        self.sent.push_back((self.seq, text.clone()));
        if self.sent.len() > 1000 {
            self.sent.pop_front();
        }
        text
    }
}

type Socket = WebSocketStream<TcpStream>;

enum Flow {
    Go,
    End,
    Freeze,
}

struct Client {
    shared: Arc<Shared>,
    index: usize,
    behaviour: Behaviour,
    identified: bool,
    events: VecDeque<Instant>,
    push: tokio::sync::mpsc::UnboundedSender<Push>,
}

/// Serves one connection to its end.
pub(crate) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let at = Instant::now();
    let Ok((request, mut socket)) = ServerBuilder::new().accept(stream).await else { return };
    let uri = request.uri().to_string();
    let (push, pushed) = unbounded_channel();
    let (index, behaviour) = shared.change(|state| {
        state.connections.push(Connection {
            at,
            uri: uri.clone(),
            received: Vec::new(),
            closed_by_client: None,
            ended: false,
        });
        (state.connections.len() - 1, state.behaviour.clone())
    });
    let mut client =
        Client { shared: shared.clone(), index, behaviour, identified: false, events: VecDeque::new(), push };
    client.run(&mut socket, pushed, &uri).await;
    shared.change(|state| {
        state.connections[index].ended = true;
        if state.active.as_ref().is_some_and(|(i, _)| *i == index) {
            state.active = None;
        }
    });
}

impl Client {
    async fn run(&mut self, socket: &mut Socket, mut pushed: UnboundedReceiver<Push>, uri: &str) {
        if self.behaviour.drop_after_upgrade {
            return;
        }
        let query: Vec<&str> = uri.split('?').nth(1).unwrap_or_default().split('&').collect();
        if !query.contains(&"v=10") || !query.contains(&"encoding=json") {
            return self.close(socket, 4012, "Invalid API version").await;
        }
        if self.behaviour.hello {
            let interval = u64::try_from(self.behaviour.heartbeat.as_millis()).unwrap_or(41_250);
            let hello = json!({"op": 10, "d": {"heartbeat_interval": interval}}).to_string();
            if socket.send(Frame::text(hello)).await.is_err() {
                return;
            }
            if let Some(code) = self.behaviour.close_after_hello {
                return self.close(socket, code, "as told").await;
            }
        }
        let mut silence = Instant::now() + self.patience();
        loop {
            let flow = tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(frame)) if frame.is_close() => {
                        let code = frame.as_close().map_or(1005, |(code, _)| u16::from(code));
                        self.shared.change(|s| s.connections[self.index].closed_by_client = Some(code));
                        // The reply is sent while the stream is polled to its end.
                        while let Some(Ok(_)) = socket.next().await {}
                        Flow::End
                    }
                    Some(Ok(frame)) => match frame.as_text() {
                        Some(text) => {
                            silence = Instant::now() + self.patience();
                            let text = text.to_owned();
                            self.received(socket, &text).await
                        }
                        None => { self.close(socket, 4002, "Decode error").await; Flow::End }
                    },
                    Some(Err(_)) | None => Flow::End,
                },
                Some(push) = pushed.recv() => self.push(socket, push).await,
                () = tokio::time::sleep_until(silence) => {
                    self.close(socket, 4009, "Session timed out").await;
                    Flow::End
                }
            };
            match flow {
                Flow::Go => {}
                Flow::End => return,
                Flow::Freeze => std::future::pending().await,
            }
        }
    }

    fn patience(&self) -> Duration {
        self.behaviour.heartbeat.mul_f64(2.5) + Duration::from_secs(5)
    }

    async fn close(&self, socket: &mut Socket, code: u16, reason: &str) {
        let Ok(code) = CloseCode::try_from(code) else { return };
        if socket.send(Frame::close(Some(code), reason)).await.is_ok() {
            let rest = async { while let Some(Ok(_)) = socket.next().await {} };
            // A client that does not answer the close is cut off.
            tokio::time::timeout(Duration::from_secs(2), rest).await.ok();
        }
    }

    async fn text(&self, socket: &mut Socket, text: String) -> Flow {
        if socket.send(Frame::text(text)).await.is_ok() { Flow::Go } else { Flow::End }
    }

    async fn fatal(&self, socket: &mut Socket, code: u16, reason: &str) -> Flow {
        self.close(socket, code, reason).await;
        Flow::End
    }

    async fn received(&mut self, socket: &mut Socket, text: &str) -> Flow {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return self.fatal(socket, 4002, "Decode error").await;
        };
        let op = frame["op"].as_u64().unwrap_or(u64::MAX);
        self.shared.change(|s| s.connections[self.index].received.push((op, frame["d"].clone())));
        let now = Instant::now();
        self.events.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        self.events.push_back(now);
        if self.events.len() > 120 {
            return self.fatal(socket, 4008, "Rate limited").await;
        }
        match op {
            1 if self.behaviour.acknowledge => self.text(socket, json!({"op": 11}).to_string()).await,
            1 => Flow::Go,
            2 | 6 if self.identified => self.fatal(socket, 4005, "Already authenticated").await,
            2 => self.identify(socket, &frame["d"]).await,
            6 => self.resume(socket, &frame["d"]).await,
            3 | 4 | 8 if self.identified => Flow::Go,
            3 | 4 | 8 => self.fatal(socket, 4003, "Not authenticated").await,
            _ => self.fatal(socket, 4001, "Unknown opcode").await,
        }
    }

    fn token_is_right(&self, d: &Value) -> bool {
        let token = d["token"].as_str().unwrap_or_default();
        token.strip_prefix("Bot ").unwrap_or(token) == self.shared.lock().token
    }

    async fn identify(&mut self, socket: &mut Socket, d: &Value) -> Flow {
        if !self.token_is_right(d) {
            return self.fatal(socket, 4004, "Authentication failed").await;
        }
        if let Some(code) = self.behaviour.reject_identify {
            return self.fatal(socket, code, "as told").await;
        }
        if d["intents"].as_u64().is_none() || !d["properties"].is_object() {
            return self.fatal(socket, 4002, "Decode error").await;
        }
        self.identified = true;
        if !self.behaviour.ready {
            return Flow::Go;
        }
        let url = self.behaviour.resume_url.clone().unwrap_or_else(|| self.shared.gateway_url.clone());
        let application = self.shared.config.application_id;
        let text = self.shared.change(|state| {
            let id = format!("session-{}", state.id());
            let ready = json!({"v": 10, "session_id": id, "resume_gateway_url": url, "guilds": [], "private_channels": [],
                "application": {"id": application.to_string(), "flags": 0}, "session_type": "normal",
                "user": {"id": application.to_string(), "username": "mock", "discriminator": "0", "avatar": null,
                    "bot": true, "mfa_enabled": false, "verified": true, "email": null, "flags": 0}});
            let session = state.sessions.entry(id.clone()).or_default();
            let text = session.dispatch("READY", &ready);
            state.session = Some(id);
            state.active = Some((self.index, self.push.clone()));
            text
        });
        self.text(socket, text).await
    }

    async fn resume(&mut self, socket: &mut Socket, d: &Value) -> Flow {
        if !self.token_is_right(d) {
            return self.fatal(socket, 4004, "Authentication failed").await;
        }
        let id = d["session_id"].as_str().unwrap_or_default().to_owned();
        let seq = d["seq"].as_u64().unwrap_or(0);
        let missed = self.shared.change(|state| {
            if self.behaviour.resume == ResumeAnswer::Refuse {
                return None;
            }
            let session = state.sessions.get_mut(&id)?;
            if seq > session.seq {
                return None;
            }
            let mut missed: Vec<String> =
                session.sent.iter().filter(|(n, _)| *n > seq).map(|(_, text)| text.clone()).collect();
            missed.push(session.dispatch("RESUMED", &json!({})));
            state.session = Some(id);
            state.active = Some((self.index, self.push.clone()));
            Some(missed)
        });
        let Some(missed) = missed else {
            return self.text(socket, json!({"op": 9, "d": false}).to_string()).await;
        };
        self.identified = true;
        for text in missed {
            if matches!(self.text(socket, text).await, Flow::End) {
                return Flow::End;
            }
        }
        Flow::Go
    }

    async fn push(&mut self, socket: &mut Socket, push: Push) -> Flow {
        match push {
            // It was numbered and kept when it was pushed.
            Push::Text(text) => self.text(socket, text).await,
            Push::Dispatch(..) => Flow::Go,
            Push::Reconnect => {
                self.behaviour = self.shared.lock().behaviour.clone();
                let flow = self.text(socket, json!({"op": 7, "d": null}).to_string()).await;
                // The socket answers a close while it is read, so a mute one is not read any more.
                if self.behaviour.answer_close { flow } else { Flow::Freeze }
            }
            Push::InvalidSession(resumable) => {
                self.text(socket, json!({"op": 9, "d": resumable}).to_string()).await
            }
            Push::Heartbeat => self.text(socket, json!({"op": 1, "d": null}).to_string()).await,
            Push::Close(code) => self.fatal(socket, code, "as told").await,
            Push::Drop => Flow::End,
            Push::Binary(bytes) => {
                if socket.send(Frame::binary(bytes)).await.is_ok() {
                    Flow::Go
                } else {
                    Flow::End
                }
            }
            Push::Freeze => Flow::Freeze,
        }
    }
}
