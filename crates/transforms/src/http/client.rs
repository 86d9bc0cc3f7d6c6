//! The client: one request, with all the care that it needs.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use pipeline_core::{StageContext, StageError, duration};
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode, redirect};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::address::{Private, PublicResolver, private_literal};
use super::body::{Body, BodyError, Spool};
use super::error::{Again, Cause, Problem};
use super::limits::Rate;
use super::proxy::ProxyUrl;
use super::request::Request;
use super::retry::{RetryPolicy, is_retryable, is_throttling};
use super::robots::{self, Robots, product_token};
use super::shared::RunHttp;
use super::size::ByteSize;
use crate::tls;

/// Redirections that are followed for one request.
const MAX_REDIRECTS: usize = 10;

/// Redirections that are followed for a `robots.txt`, as the RFC says.
const MAX_ROBOTS_REDIRECTS: usize = 5;

/// How much of the body of an error goes into its message.
const EXCERPT: usize = 200;

/// The longest gap that a busy host gets between two requests.
const LONGEST_GAP: Duration = Duration::from_secs(10);

/// How a stage wants its requests made.
#[derive(Debug, Clone)]
pub(crate) struct ClientOptions {
    pub(crate) user_agent: String,
    pub(crate) timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) concurrency: usize,
    pub(crate) rate: Option<Rate>,
    pub(crate) robots: bool,
    pub(crate) proxy: Option<ProxyUrl>,
    pub(crate) cookies: bool,
    pub(crate) max_body: ByteSize,
    pub(crate) allow_private: bool,
}

impl ClientOptions {
    /// The name that requests carry where the file gives no other.
    pub(crate) const USER_AGENT: &str = concat!("scraper-scheduler/", env!("CARGO_PKG_VERSION"));
}

/// An answer that counts: a success, or a 304.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Where it came from, after redirections.
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &reqwest::header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The type of its body.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.header(&CONTENT_TYPE)
    }
}

/// Bodies that may wait to be taken for each request in flight: lists are ahead of the first, and pages of
/// each wait for those before them.
const WAITING: usize = 20;

/// Makes requests for one stage of one run.
pub(crate) struct Client {
    options: ClientOptions,
    ctx: StageContext,
    shared: Arc<RunHttp>,
    spool: Spool,
    /// Requests in flight.
    permits: Semaphore,
    /// What `robots.txt` calls us.
    token: String,
    plain: reqwest::Client,
    /// Made when it is needed: it reads the host's certificates.
    encrypted: OnceLock<reqwest::Client>,
}

impl Client {
    /// A client for this stage.
    ///
    /// # Errors
    /// Where the library refuses the options.
    pub(crate) fn new(options: ClientOptions, ctx: &StageContext) -> Result<Self, StageError> {
        let shared = RunHttp::of(ctx);
        if let Some(password) = options.proxy.as_ref().and_then(ProxyUrl::password) {
            ctx.redactor().add(&password);
        }
        let proxy_is_tls = options.proxy.as_ref().is_some_and(ProxyUrl::is_tls);
        let config = if proxy_is_tls { tls::client_config() } else { tls::untrusting_config() };
        Ok(Self {
            plain: build(&options, &shared, config)?,
            encrypted: OnceLock::new(),
            spool: Spool::in_state_dir(ctx.state_dir())
                .for_waiting(options.concurrency.saturating_mul(WAITING)),
            permits: Semaphore::new(options.concurrency.max(1)),
            token: product_token(&options.user_agent),
            ctx: ctx.clone(),
            shared,
            options,
        })
    }

    /// Where large bodies go.
    pub(crate) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Delivers something: as [`Client::send`], but what is answered does not matter, and the URL, which may be a
    /// secret, is not in the error.
    ///
    /// # Errors
    /// Of the item: what was wrong with the last answer.
    pub(crate) async fn deliver(&self, request: &Request) -> Result<(), StageError> {
        match self.send_checked(request, Purpose::Delivery).await {
            Ok(_) => Ok(()),
            Err(problem) => Err(problem.error),
        }
    }

    /// Makes a request, again and again as far as the options allow.
    ///
    /// # Errors
    /// Of the item, with its URL: what was wrong with the last answer.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, StageError> {
        match self.send_checked(request, Purpose::Item).await {
            Ok(answer) => Ok(answer),
            Err(problem) => Err(problem.error.at(&request.url)),
        }
    }

    async fn send_checked(&self, request: &Request, purpose: Purpose) -> Result<Answer, Problem> {
        let mut repetition = 0;
        loop {
            let mut problem = match self.attempt(request, purpose).await {
                Ok(answer) => return Ok(answer),
                Err(problem) => problem,
            };
            let Again::After(named) = problem.again else { return Err(problem) };
            repetition += 1;
            let delay = named.unwrap_or_else(|| self.options.retry.delay(repetition));
            self.slow_down(&request.url, &problem, named, delay);
            if repetition > self.options.retry.max_retries {
                if repetition > 1 {
                    problem.error = problem.error.hint(format!("asked {repetition} times"));
                }
                return Err(problem);
            }
            self.ctx.info(format!(
                "{}: {}; trying again in {} ({repetition} of {})",
                request.url,
                problem.error,
                duration::format(delay),
                self.options.retry.max_retries
            ));
            self.ctx.sleep(delay).await;
        }
    }

    /// A host that says that it is asked too much is asked less, by all stages of the run.
    fn slow_down(&self, url: &Url, problem: &Problem, named: Option<Duration>, delay: Duration) {
        let Cause::Status(status) = problem.cause else { return };
        // A 503 without a time may be about one page only.
        if is_throttling(status) && (status == 429 || named.is_some()) {
            let longest_gap = LONGEST_GAP.min(self.options.retry.max_delay);
            self.shared.limits.throttled(&host_key(url), delay, longest_gap);
        }
    }

    /// One attempt, through all redirections.
    async fn attempt(&self, request: &Request, purpose: Purpose) -> Result<Answer, Problem> {
        let (mut method, mut url, mut body) =
            (request.method.clone(), request.url.clone(), request.body.clone());
        let mut seen = HashSet::new();
        let limit = if purpose == Purpose::Robots { MAX_ROBOTS_REDIRECTS } else { MAX_REDIRECTS };
        loop {
            self.check(&url, purpose).await?;
            if !seen.insert((method.clone(), url.clone(), self.cookies_for(&url))) {
                let message = format!("the redirections go in a circle (back to {url})");
                return Err(Problem::never(Cause::Redirects, StageError::item(message)));
            }
            if seen.len() > limit + 1 {
                let message = format!("more than {limit} redirections (the last to {url})");
                return Err(Problem::never(Cause::Redirects, StageError::item(message)));
            }
            // Where we were sent matters as much as where we began.
            let place = |problem: Problem| match url == request.url {
                true => problem,
                false => Problem { error: problem.error.at(format!("redirected to {url}")), ..problem },
            };
            let (response, permit) = self.exchange(&method, &url, request, &body).await.map_err(place)?;
            let Some(to) = redirection(&response, &url)? else {
                // Half a list must not pass for a whole one.
                let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
                if is_part && purpose == Purpose::Item && !request.headers.contains_key(RANGE) {
                    let error = StageError::item("HTTP 206 Partial Content, and nobody asked for a part");
                    return Err(place(Problem::never(Cause::Status(206), error)));
                }
                let answer = self.finish(response, url.clone(), purpose).await;
                drop(permit);
                return answer.map_err(place);
            };
            let becomes_get = match response.status() {
                StatusCode::SEE_OTHER => method != Method::HEAD,
                StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::POST,
                _ => false,
            };
            if becomes_get {
                (method, body) = (Method::GET, None);
            }
            url = to;
        }
    }

    /// Whether a URL may be asked for at all.
    async fn check(&self, url: &Url, purpose: Purpose) -> Result<(), Problem> {
        if !self.options.allow_private
            && let Some(address) = private_literal(url)
        {
            let error = StageError::item(Private(address).to_string());
            return Err(Problem::never(Cause::Refused, error));
        }
        if purpose != Purpose::Item || !self.options.robots {
            return Ok(());
        }
        let known = self.shared.robots.of(url);
        // Boxed, because asking for the rules is a request itself.
        let robots = known.get_or_init(|| Box::pin(self.fetch_robots(url))).await;
        if robots.allows(&self.token, url) {
            return Ok(());
        }
        let origin = url.origin().ascii_serialization();
        let error = match robots {
            Robots::DisallowAll(why) => {
                let message =
                    format!("{origin}/robots.txt cannot be read, so nothing may be fetched there: {why}");
                StageError::item(message).hint("`robots: false` ignores it, where you may")
            }
            _ => StageError::item(format!("{origin}/robots.txt forbids it to `{}`", self.token))
                .hint("`robots: false` ignores it, where you may"),
        };
        Err(Problem::never(Cause::Refused, error))
    }

    async fn fetch_robots(&self, url: &Url) -> Robots {
        let mut place = url.clone();
        place.set_path("/robots.txt");
        place.set_query(None);
        let request = Request::new(Method::GET, place, HeaderMap::new(), None);
        match self.send_checked(&request, Purpose::Robots).await {
            Ok(answer) => match answer.body {
                Body::Bytes(bytes) => Robots::parse(&bytes),
                Body::Spooled(..) => unreachable!("only the start of a robots.txt is read, into memory"),
            },
            Err(Problem { cause: Cause::Status(400..500) | Cause::Redirects, .. }) => Robots::AllowAll,
            Err(problem) => Robots::DisallowAll(problem.error.to_string()),
        }
    }

    /// One request and the head of its answer.
    async fn exchange(
        &self,
        method: &Method,
        url: &Url,
        request: &Request,
        body: &Option<Bytes>,
    ) -> Result<(Response, SemaphorePermit<'_>), Problem> {
        let Ok(permit) = self.permits.acquire().await else { unreachable!("the semaphore is never closed") };
        self.shared.limits.turn(&host_key(url), self.options.rate).await;
        let mut headers = request.headers_for(url);
        if body.is_none() {
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_LENGTH);
        }
        let client = self.client_for(url)?;
        let mut builder = client.request(method.clone(), url.clone()).headers(headers);
        if let Some(body) = body {
            builder = builder.body(body.clone());
        }
        let response = builder.send().await.map_err(|error| Problem::of(error, self.options.timeout))?;
        Ok((response, permit))
    }

    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, Problem> {
        if url.scheme() == "http" {
            return Ok(&self.plain);
        }
        if let Some(client) = self.encrypted.get() {
            return Ok(client);
        }
        let client = build(&self.options, &self.shared, tls::client_config())
            .map_err(|error| Problem::never(Cause::Refused, error))?;
        Ok(self.encrypted.get_or_init(|| client))
    }

    /// Reads the answer to its end.
    async fn finish(&self, mut response: Response, url: Url, purpose: Purpose) -> Result<Answer, Problem> {
        let status = response.status();
        if !status.is_success() && status != StatusCode::NOT_MODIFIED {
            return Err(self.bad_status(response).await);
        }
        self.shared.limits.went_well(&host_key(&url));
        if let Some(encoding) = response.headers().get(CONTENT_ENCODING) {
            let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
            if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
                let message = format!("the answer is encoded as `{encoding}`, which nobody asked for");
                return Err(Problem::never(Cause::Network, StageError::item(message)));
            }
        }
        let (status, headers) = (status.as_u16(), std::mem::take(response.headers_mut()));
        let body = match purpose {
            Purpose::Robots => self.read_start(&mut response, robots::MAX_SIZE + 1).await?,
            // It has been taken: whatever else is said, or not said to the end, changes nothing.
            Purpose::Delivery => {
                self.read_start(&mut response, EXCERPT).await.unwrap_or(Body::Bytes(Bytes::new()))
            }
            Purpose::Item => self.read_whole(&mut response).await?,
        };
        Ok(Answer { url, status, headers, body })
    }

    async fn read_whole(&self, response: &mut Response) -> Result<Body, Problem> {
        let max = self.options.max_body;
        self.spool.read(response, max.0, self.ctx.now()).await.map_err(|error| match error {
            BodyError::TooLarge => {
                let message = format!("the answer is larger than {max}");
                Problem::never(Cause::Network, StageError::item(message).hint("`max_body` sets the limit"))
            }
            BodyError::Network(error) => Problem::of(error, self.options.timeout),
            BodyError::Spool(folder, error) => {
                let place = folder.display();
                let error =
                    StageError::fatal("a large answer cannot be kept aside").at(place).caused_by(error);
                Problem::never(Cause::Network, error)
            }
        })
    }

    async fn read_start(&self, response: &mut Response, limit: usize) -> Result<Body, Problem> {
        let mut start = Vec::new();
        while start.len() < limit {
            match response.chunk().await {
                Ok(Some(chunk)) => start.extend_from_slice(&chunk[..chunk.len().min(limit - start.len())]),
                Ok(None) => break,
                Err(error) => return Err(Problem::of(error, self.options.timeout)),
            }
        }
        Ok(Body::Bytes(start.into()))
    }

    async fn bad_status(&self, mut response: Response) -> Problem {
        let status = response.status();
        let retry = is_retryable(status.as_u16());
        let named = self.options.retry.retry_after(response.headers(), self.ctx.now());
        let mut message = format!("HTTP {status}");
        // The bodies of APIs say what is wrong; those of web pages only look nice.
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let speaks = content_type.is_some_and(|kind| kind.contains("json") || kind.starts_with("text/plain"));
        if speaks
            && !retry
            && let Ok(Body::Bytes(start)) = self.read_start(&mut response, EXCERPT).await
        {
            let text = String::from_utf8_lossy(&start);
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if !text.is_empty() {
                message.push_str(": ");
                message.push_str(&text);
            }
        }
        let again = if retry { Again::After(named) } else { Again::Never };
        Problem { cause: Cause::Status(status.as_u16()), error: StageError::item(message), again }
    }

    fn cookies_for(&self, url: &Url) -> Option<Vec<u8>> {
        use reqwest::cookie::CookieStore;
        let value = self.options.cookies.then(|| self.shared.cookies.cookies(url)).flatten()?;
        Some(value.as_bytes().to_vec())
    }
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Item,
    Robots,
    Delivery,
}

fn build(
    options: &ClientOptions,
    shared: &RunHttp,
    mut tls: rustls::ClientConfig,
) -> Result<reqwest::Client, StageError> {
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(&options.user_agent)
        .timeout(options.timeout)
        .redirect(redirect::Policy::none())
        .referer(false)
        // The environment is the composing program's business.
        .no_proxy()
        .pool_max_idle_per_host(options.concurrency.max(1))
        // Real servers send odd headers.
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true);
    let refused =
        |error: reqwest::Error| StageError::fatal("the HTTP client cannot be made").caused_by(error);
    if let Some(proxy) = &options.proxy {
        builder = builder.proxy(proxy.to_reqwest().map_err(refused)?);
    }
    if options.cookies {
        builder = builder.cookie_provider(shared.cookies.clone());
    }
    if !options.allow_private {
        let trusted = options.proxy.as_ref().map(|proxy| Arc::from(proxy.host()));
        builder = builder.dns_resolver(Arc::new(PublicResolver { trusted }));
    }
    builder.build().map_err(refused)
}

/// Where an answer sends us, if it does.
fn redirection(response: &Response, url: &Url) -> Result<Option<Url>, Problem> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let wrong = |message: String| Problem::never(Cause::Redirects, StageError::item(message));
    let status = response.status();
    let Some(location) = response.headers().get(LOCATION) else {
        return Err(wrong(format!("HTTP {status} without a Location")));
    };
    let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let mut to = url
        .join(&location)
        .map_err(|error| wrong(format!("HTTP {status} to `{location}`, which is no URL: {error}")))?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(wrong(format!("HTTP {status} to `{location}`, which cannot be fetched")));
    }
    to.set_fragment(None);
    // A redirection must not choose who we are.
    to.set_username("").ok();
    to.set_password(None).ok();
    Ok(Some(to))
}

/// What counts as one host: name and port.
fn host_key(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
