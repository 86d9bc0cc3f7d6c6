//! One connection to the gateway, watched: what does not answer, or never holds, is given up here.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use twilight_gateway::error::ReceiveMessageError;
use twilight_gateway::{CloseFrame, ConfigBuilder, Message, Session, Shard, ShardState};
use twilight_model::gateway::{Intents, ShardId};
use url::Url;

use super::config::BotConfig;
use super::event::{Frame, Interaction, Ready};

/// Close codes after which a new connection would end the same way.
const FATAL: [u16; 6] = [4004, 4010, 4011, 4012, 4013, 4014];
/// Close codes after which the session is over.
const SESSION_OVER: [u16; 2] = [4007, 4009];

/// What a connection leaves to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resume {
    session: Option<Session>,
    url: Option<String>,
}

impl Resume {
    /// Whether there is a session to go on with.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The bot is stopping.
    Stopped,
    /// Discord will not have this bot: why.
    Refused(String),
    /// Discord wants the bot to connect again: at once, or, where the session was invalid, in a moment.
    Reconnect { invalid: bool },
    /// It was lost: why, whether it had ever been ready, the gateway's code, and how many connections were made meanwhile.
    Lost { why: String, was_ready: bool, code: Option<u16>, made: usize },
}

/// What happens on a connection, for whoever handles it.
pub(crate) trait Listener {
    fn ready(&mut self, ready: Ready);
    fn resumed(&mut self);
    fn interaction(&mut self, interaction: Interaction);
}

/// Connects, and listens until the connection ends.
pub(crate) async fn listen(
    config: &BotConfig,
    resume: &mut Resume,
    listener: &mut (dyn Listener + Send),
    stop: &CancellationToken,
) -> Ended {
    let mut shard = connect(config, resume);
    let timing = &config.timing;
    let mut connection = Connection {
        shard: &mut shard,
        timing,
        is_ready: false,
        closing: None,
        was_open: false,
        polls: 0,
        idle_polls: 0,
    };
    let ended = connection.run(listener, stop).await;
    resume.session = shard.session().cloned();
    resume.url = shard.resume_url().filter(|url| is_gateway(url)).map(str::to_owned);
    if shard.resume_url().is_some() && resume.url.is_none() {
        tracing::warn!("the gateway gave a malformed URL to resume at; the usual one is used");
    }
    if matches!(ended, Ended::Lost { code: Some(code), .. } if SESSION_OVER.contains(&code)) {
        resume.session = None;
    }
    ended
}

fn is_gateway(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "ws" | "wss") && url.host().is_some())
}

fn connect(config: &BotConfig, resume: &Resume) -> Shard {
    let mut builder = ConfigBuilder::new(config.token.reveal().trim().to_owned(), Intents::empty());
    if let Some(url) = &config.gateway_url {
        builder = builder.proxy_url(url.trim_end_matches('/').to_owned());
    }
    if let Some(session) = &resume.session {
        builder = builder.session(session.clone());
        if let Some(url) = &resume.url {
            builder = builder.resume_url(url.clone());
        }
    }
    Shard::with_config(ShardId::ONE, builder.build())
}

struct Connection<'a> {
    shard: &'a mut Shard,
    timing: &'a super::config::Timing,
    is_ready: bool,
    /// Set once this side closes: how that ends.
    closing: Option<Closing>,
    /// Whether the connection was seen open.
    was_open: bool,
    /// Polls without a message while there is no connection.
    polls: u32,
    /// All such polls; a connection that ends at once takes two or three of them.
    idle_polls: usize,
}

/// What a poll of the connection found.
enum Polled {
    Message(Result<Message, ReceiveMessageError>),
    /// The connection ended without a message that says so.
    Ended,
    /// Nothing yet, and it takes long.
    Slow,
}

#[derive(Debug, Clone, Copy)]
enum Closing {
    Reconnect { invalid: bool },
    Stop,
}

impl Closing {
    fn ended(self) -> Ended {
        match self {
            Self::Reconnect { invalid } => Ended::Reconnect { invalid },
            Self::Stop => Ended::Stopped,
        }
    }
}

/// Polls after which an attempt to connect is only looked at now and then. A name, TCP, TLS and the upgrade take about ten;
/// more may mean that connections are made and lost within a poll, which twilight does for ever.
const CONNECT_POLLS: u32 = 12;
/// How long a slow attempt is left alone at first; the pauses double.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

impl Connection<'_> {
    async fn run(&mut self, listener: &mut (dyn Listener + Send), stop: &CancellationToken) -> Ended {
        let mut silence = self.timing.silence;
        let mut deadline = Instant::now() + self.timing.ready;
        let mut hello = false;
        loop {
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => return self.close().await,
                message = self.next() => message,
                () = tokio::time::sleep_until(deadline) => {
                    return if let Some(closing) = self.closing {
                        closing.ended()
                    } else if self.is_ready {
                        self.lost(format!("nothing was heard for {silence:?}"))
                    } else {
                        self.lost(format!("it was not ready within {:?}", self.timing.ready))
                    };
                }
            };
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => {
                    return match self.closing {
                        Some(closing) => closing.ended(),
                        None => self.closed(frame.as_ref()),
                    };
                }
                Some(Err(error)) => {
                    // The error's own text repeats the whole event, tokens and all.
                    if let Some(why) = self.unreadable(&error) {
                        return self.lost(why);
                    }
                    continue;
                }
                None => {
                    return match self.closing {
                        Some(closing) => closing.ended(),
                        // twilight has begun another one already.
                        None => Ended::Lost {
                            why: "the connection ended without a word".into(),
                            was_ready: self.is_ready,
                            code: None,
                            made: if self.is_ready { 2 } else { 2 + self.idle_polls / 2 },
                        },
                    };
                }
            };
            if self.is_ready && self.closing.is_none() {
                deadline = Instant::now() + silence;
            }
            match Frame::read(&text) {
                Frame::Hello { heartbeat_ms } => {
                    if hello {
                        // The old connection ended unseen, and twilight made a new one by itself.
                        return self
                            .closing
                            .map_or_else(|| self.lost("the connection was replaced".into()), Closing::ended);
                    }
                    hello = true;
                    silence = silence.max(Duration::from_millis(heartbeat_ms.min(600_000)).mul_f32(2.0));
                }
                Frame::Ready(ready) => {
                    self.is_ready = true;
                    deadline = Instant::now() + silence;
                    listener.ready(ready);
                }
                Frame::Resumed => {
                    self.is_ready = true;
                    deadline = Instant::now() + silence;
                    listener.resumed();
                }
                frame @ (Frame::Reconnect | Frame::InvalidSession) => {
                    self.closing =
                        Some(Closing::Reconnect { invalid: matches!(frame, Frame::InvalidSession) });
                    deadline = Instant::now() + self.timing.close;
                }
                Frame::Interaction(interaction) => listener.interaction(*interaction),
                Frame::BadInteraction { id, why } => {
                    tracing::warn!(interaction = id, why, "an interaction could not be read and is ignored");
                }
                Frame::Other => {}
            }
        }
    }

    /// The next message. `None` where the connection ended without a word: twilight would make new ones without end, and
    /// without ever returning.
    async fn next(&mut self) -> Option<Result<Message, ReceiveMessageError>> {
        loop {
            if self.is_storm() {
                let doublings = (self.polls - CONNECT_POLLS).min(16);
                tokio::time::sleep(CONNECT_PAUSE.saturating_mul(1 << (doublings - 1))).await;
            }
            match poll_fn(|cx| self.poll(cx)).await {
                Polled::Message(message) => return Some(message),
                Polled::Ended => return None,
                Polled::Slow => {}
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        if let Poll::Ready(message) = Pin::new(&mut *self.shard).poll_next(cx) {
            self.polls = 0;
            self.was_open = true;
            return Poll::Ready(message.map_or(Polled::Ended, Polled::Message));
        }
        if !matches!(self.shard.state(), ShardState::Disconnected { .. }) {
            self.polls = 0;
            self.was_open = true;
            return Poll::Pending;
        }
        self.polls += 1;
        self.idle_polls += 1;
        if self.was_open && self.closing.is_none() {
            Poll::Ready(Polled::Ended)
        } else if self.is_storm() {
            Poll::Ready(Polled::Slow)
        } else {
            Poll::Pending
        }
    }

    /// Whether an attempt to connect takes suspiciously many polls.
    fn is_storm(&self) -> bool {
        self.polls > CONNECT_POLLS
    }

    fn lost(&self, why: String) -> Ended {
        // A storm fills any window.
        let made = if self.is_storm() { usize::MAX } else { 1 };
        Ended::Lost { why, was_ready: self.is_ready, code: None, made }
    }

    fn closed(&self, frame: Option<&CloseFrame<'_>>) -> Ended {
        let Some(frame) = frame else { return self.lost("the gateway closed the connection".into()) };
        let reason: String = frame.reason.chars().filter(|c| !c.is_control()).take(100).collect();
        let why = format!("the gateway closed the connection with {} {reason}", frame.code);
        if FATAL.contains(&frame.code) {
            return Ended::Refused(why);
        }
        Ended::Lost { why, was_ready: self.is_ready, code: Some(frame.code), made: 1 }
    }

    /// Why the connection is lost, where the error means that.
    fn unreadable(&self, error: &ReceiveMessageError) -> Option<String> {
        use twilight_gateway::error::ReceiveMessageErrorType;
        match error.kind() {
            ReceiveMessageErrorType::Deserializing { event } => {
                tracing::warn!(
                    bytes = event.len(),
                    "a message of the gateway could not be read and is ignored"
                );
                None
            }
            ReceiveMessageErrorType::Reconnect => {
                let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
                Some(format!("no connection to the gateway: {cause}"))
            }
            _ => Some("the gateway sent what cannot be read".into()),
        }
    }

    /// Says good-bye.
    async fn close(&mut self) -> Ended {
        if self.is_ready && self.closing.is_none() {
            self.closing = Some(Closing::Stop);
            self.shard.close(CloseFrame::NORMAL);
            let bye = async {
                while let Some(Ok(message)) = self.next().await {
                    if message.is_close() {
                        break;
                    }
                }
            };
            // A gateway that does not answer is left without an answer.
            tokio::time::timeout(Duration::from_secs(1), bye).await.ok();
        }
        Ended::Stopped
    }
}

/// A listener that hands everything to the bot.
pub(crate) struct Dispatcher<F> {
    pub(crate) bot: Arc<super::context::Bot>,
    pub(crate) on_ready: F,
}

impl<F: FnMut(Option<Ready>) + Send> Listener for Dispatcher<F> {
    fn ready(&mut self, ready: Ready) {
        (self.on_ready)(Some(ready));
    }

    fn resumed(&mut self) {
        (self.on_ready)(None);
    }

    fn interaction(&mut self, interaction: Interaction) {
        super::handle::accept(&self.bot, interaction);
    }
}
