//! The server.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::answer::Answer;
use super::request::Request;

type Handler = Box<dyn Fn(&Request) -> Option<Answer> + Send + Sync>;

/// A server on a free port of 127.0.0.1 that ends when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Changes with every request that arrives and every answer that ends.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, VecDeque<Answer>>,
    handlers: Vec<Handler>,
    requests: Vec<Request>,
    in_flight: usize,
    most_in_flight: usize,
    connections: usize,
    open: Vec<tokio::task::AbortHandle>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpServer {
    /// Starts a server.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path with its query.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers for a path (its query does not matter), or for a path with exactly this query. They are given
    /// one after the other; the last one repeats.
    pub fn on(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.shared.state().answers.insert(path.to_owned(), answers.into_iter().collect());
    }

    /// Answers by a function, where [`HttpServer::on`] has none; the latest function is asked first.
    pub fn handle(&self, handler: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) {
        self.shared.state().handlers.push(Box::new(handler));
    }

    /// How often a path was asked for, with whatever query.
    pub fn hits(&self, path: &str) -> usize {
        self.shared.state().requests.iter().filter(|request| request.path() == path).count()
    }

    /// All requests, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// The requests of a path.
    pub fn requests_of(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path() == path).collect()
    }

    /// Forgets the requests.
    pub fn forget(&self) {
        self.shared.state().requests.clear();
    }

    /// The most requests that were being answered at a time.
    pub fn most_in_flight(&self) -> usize {
        self.shared.state().most_in_flight
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// Waits until a path has been asked for so often.
    ///
    /// # Panics
    /// After 30 seconds.
    pub async fn wait_for(&self, path: &str, hits: usize) {
        let mut changed = self.shared.changed.subscribe();
        let wait = async { while self.hits(path) < hits && changed.changed().await.is_ok() {} };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(30), wait).await;
        assert!(waited.is_ok(), "{path} was asked for {} times, not {hits}", self.hits(path));
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.accepting.abort();
        for connection in self.shared.state().open.drain(..) {
            connection.abort();
        }
    }
}

impl std::fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HttpServer").field(&self.address).finish()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // An error of accept is one connection's.
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (reader, writer) = stream.into_split();
        let serving = tokio::spawn(serve(reader, writer, shared.clone()));
        let mut state = shared.state();
        state.connections += 1;
        state.open.retain(|connection| !connection.is_finished());
        state.open.push(serving.abort_handle());
    }
}

/// Serves one connection; a client that goes away ends it.
async fn serve(reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin, shared: Arc<Shared>) {
    let mut reader = BufReader::new(reader);
    while let Ok(Some(request)) = Request::read(&mut reader).await {
        let answer = {
            let mut state = shared.state();
            state.requests.push(request.clone());
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            state.answer(&request)
        };
        let flight = InFlight(shared.clone());
        shared.changed.send_replace(());
        let going_on = answer.send(&request, &mut writer).await;
        drop(flight);
        if !going_on.unwrap_or(false) || writer.flush().await.is_err() {
            break;
        }
    }
    writer.shutdown().await.ok();
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        for key in [request.path_and_query(), request.path()] {
            if let Some(answers) = self.answers.get_mut(key) {
                let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                if let Some(answer) = next {
                    return answer;
                }
            }
        }
        let by_hand = self.handlers.iter().rev().find_map(|handler| handler(request));
        by_hand.unwrap_or_else(|| Answer::status(404))
    }
}

/// A request that is being answered, also when the connection is torn down.
struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
        self.0.changed.send_replace(());
    }
}
