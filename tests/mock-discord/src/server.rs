//! The listeners, and what a test asks of the mock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::MockConfig;
use crate::faults::Rule;
use crate::gateway::{self, Behaviour, Connection, Push};
use crate::interaction::{Acknowledgement, Interaction, InteractionKind, Record, Ticket};
use crate::log::Captured;
use crate::rest;
use crate::state::{Message, MessageKind, Shared};

/// A running mock. It ends when it is dropped.
#[derive(Debug)]
pub struct MockDiscord {
    shared: Arc<Shared>,
    rest: SocketAddr,
    stop: CancellationToken,
}

impl MockDiscord {
    /// Starts a mock on loopback.
    ///
    /// # Errors
    /// Where a port cannot be taken.
    pub async fn start(config: MockConfig) -> std::io::Result<Self> {
        let rest_listener = TcpListener::bind(("127.0.0.1", config.rest_port)).await?;
        let gateway_listener = TcpListener::bind(("127.0.0.1", config.gateway_port)).await?;
        let rest = rest_listener.local_addr()?;
        let url = format!("ws://{}", gateway_listener.local_addr()?);
        let shared = Arc::new(Shared::new(config, url));
        let stop = CancellationToken::new();
        let rest_shared = shared.clone();
        tokio::spawn(listen(rest_listener, stop.clone(), move |stream| {
            let shared = rest_shared.clone();
            async move {
                let service = service_fn(move |request| rest::serve(shared.clone(), request));
                // An error here is a connection that the client, or a fault, has cut.
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
            }
        }));
        let gateway_shared = shared.clone();
        tokio::spawn(listen(gateway_listener, stop.clone(), move |stream| {
            gateway::serve(gateway_shared.clone(), stream)
        }));
        Ok(Self { shared, rest, stop })
    }

    /// For `DISCORD_API_BASE`.
    pub fn api_base(&self) -> String {
        format!("http://{}", self.rest)
    }

    /// For `DISCORD_GATEWAY_URL`.
    pub fn gateway_url(&self) -> String {
        self.shared.gateway_url.clone()
    }

    /// Ends all connections and listeners at once.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Adds a fault.
    pub fn fault(&self, rule: Rule) {
        self.shared.change(|s| s.rules.push(rule));
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.shared.change(|s| s.rules.clear());
    }

    /// Changes how connections to the gateway behave from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.shared.change(|s| change(&mut s.behaviour));
    }

    /// Makes another bot token the valid one.
    pub fn set_token(&self, token: &str) {
        self.shared.change(|s| token.clone_into(&mut s.token));
    }

    /// Pushes something to the identified connection; whether there is one.
    pub fn push(&self, what: Push) -> bool {
        push(&self.shared, what)
    }

    /// Dispatches an interaction; without a connection it waits for the session to be resumed.
    pub fn interact(&self, interaction: Interaction) -> Ticket {
        interact(&self.shared, &interaction)
    }

    /// Waits for the first response to an interaction.
    pub async fn acknowledged(&self, ticket: &Ticket, within: Duration) -> Option<Acknowledgement> {
        self.shared.wait(within, |s| s.interactions.get(&ticket.id)?.acknowledgement.clone()).await
    }

    /// The first response to an interaction, where there is one by now.
    pub fn acknowledgement(&self, ticket: &Ticket) -> Option<Acknowledgement> {
        self.shared.lock().interactions.get(&ticket.id)?.acknowledgement.clone()
    }

    /// The message that `@original` means.
    pub fn original(&self, ticket: &Ticket) -> Option<Message> {
        let mut state = self.shared.lock();
        let id = state.interactions.get(&ticket.id)?.original?;
        state.message(id).cloned()
    }

    /// Waits until the response of an interaction is as wanted.
    pub async fn response(
        &self,
        ticket: &Ticket,
        within: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Option<Message> {
        self.shared
            .wait(within, |s| {
                let id = s.interactions.get(&ticket.id)?.original?;
                s.messages.iter().find(|m| m.id == id && !m.deleted && wanted(m)).cloned()
            })
            .await
    }

    /// Waits until the captured requests are as wanted.
    pub async fn requests_until<T>(
        &self,
        within: Duration,
        mut wanted: impl FnMut(&[Captured]) -> Option<T>,
    ) -> Option<T> {
        self.shared.wait(within, |s| wanted(&s.log)).await
    }

    /// Waits until the messages are as wanted.
    pub async fn messages_until<T>(
        &self,
        within: Duration,
        mut wanted: impl FnMut(&[Message]) -> Option<T>,
    ) -> Option<T> {
        self.shared.wait(within, |s| wanted(&s.messages)).await
    }

    /// Waits until the connections to the gateway are as wanted.
    pub async fn connections_until<T>(
        &self,
        within: Duration,
        mut wanted: impl FnMut(&[Connection]) -> Option<T>,
    ) -> Option<T> {
        self.shared.wait(within, |s| wanted(&s.connections)).await
    }

    /// Waits until a client is identified.
    pub async fn ready(&self, within: Duration) -> bool {
        self.shared.wait(within, |s| s.active.as_ref().map(|_| ())).await.is_some()
    }

    /// All captured requests.
    pub fn requests(&self) -> Vec<Captured> {
        self.shared.lock().log.clone()
    }

    /// How many requests of that method and path pattern were captured.
    pub fn count(&self, method: &str, pattern: &str) -> usize {
        self.shared.lock().log.iter().filter(|r| r.is(method, pattern)).count()
    }

    /// All messages that exist.
    pub fn messages(&self) -> Vec<Message> {
        self.shared.lock().messages.iter().filter(|m| !m.deleted).cloned().collect()
    }

    /// The messages that the bot, or a webhook, sent to channels (not the responses to interactions).
    pub fn sent(&self) -> Vec<Message> {
        self.messages().into_iter().filter(|m| m.kind != MessageKind::Response).collect()
    }

    /// All connections to the gateway so far.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.lock().connections.clone()
    }

    /// The commands of a guild, or the global ones.
    pub fn commands(&self, guild: Option<u64>) -> Option<Value> {
        self.shared.lock().commands.get(&guild).cloned()
    }

    /// How many interactions were answered too late.
    pub fn late(&self) -> usize {
        self.shared.lock().interactions.values().filter(|r| r.late).count()
    }
}

impl Drop for MockDiscord {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn push(shared: &Shared, push: Push) -> bool {
    shared.change(|state| {
        let push = match push {
            Push::Dispatch(name, payload) => {
                let Some(id) = state.session.clone() else { return false };
                let Some(session) = state.sessions.get_mut(&id) else { return false };
                Push::Text(session.dispatch(&name, &payload))
            }
            other => other,
        };
        state.active.as_ref().is_some_and(|(_, sender)| sender.send(push).is_ok())
    })
}

pub(crate) fn interact(shared: &Shared, interaction: &Interaction) -> Ticket {
    let application = shared.config.application_id;
    let (ticket, message) = shared.change(|state| {
        let id = state.id();
        let ticket = Ticket { id, token: format!("interaction-token-{id}"), at: Instant::now() };
        let record = Record {
            interaction: interaction.clone(),
            ticket: ticket.clone(),
            acknowledgement: None,
            original: None,
            late: false,
        };
        state.interactions.insert(id, record);
        let message = match &interaction.kind {
            InteractionKind::Component { message, .. } => {
                state.message(*message).map(|m| m.json(application))
            }
            _ => None,
        };
        (ticket, message)
    });
    let payload = interaction.payload(ticket.id, &ticket.token, application, message);
    push(shared, Push::Dispatch("INTERACTION_CREATE".into(), payload));
    ticket
}

async fn listen<F, Fut>(listener: TcpListener, stop: CancellationToken, serve: F)
where
    F: Fn(tokio::net::TcpStream) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    // Without this an answer of two small writes waits for a delayed acknowledgement.
                    stream.set_nodelay(true).ok();
                    connections.spawn(serve(stream));
                }
            }
        }
    }
}
