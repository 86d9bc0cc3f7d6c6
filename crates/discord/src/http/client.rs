//! Sends one request over rustls, with a deadline that covers the answer's body too.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::multipart::{Form, Part};

use super::answer::Answer;
use super::secret::Secret;

pub(crate) use reqwest::Method;

/// Answers are small; more than this is not read.
const MAX_ANSWER: usize = 1024 * 1024;

const AGENT: &str = concat!("DiscordBot (scraper-scheduler, ", env!("CARGO_PKG_VERSION"), ")");

/// A file to upload.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) name: String,
    pub(crate) mime: &'static str,
    pub(crate) bytes: Bytes,
}

/// What a request carries.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Json(Bytes),
    /// A JSON payload and a file.
    Form(Bytes, Upload),
}

/// Why no answer arrived. It never holds the URL, because paths hold tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection was made: the request had no effect.
    #[error("no connection to Discord: {0}")]
    Connect(String),
    /// The request may have had its effect.
    #[error("no answer from Discord within {0:?}")]
    Timeout(Duration),
    /// The request may have had its effect.
    #[error("the connection to Discord broke: {0}")]
    Broken(String),
    /// The request could not even be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

/// A pool of connections, with or without a bot's token.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    inner: reqwest::Client,
    authorization: Option<HeaderValue>,
}

impl Client {
    /// A client that sends as this bot, or with no token.
    pub(crate) fn new(token: Option<&Secret>) -> Result<Self, SendError> {
        let cannot = |e: &dyn std::fmt::Display| SendError::Request(e.to_string());
        let authorization = match token {
            None => None,
            Some(token) => {
                let text = token.reveal().trim();
                let text = text.strip_prefix("Bot ").unwrap_or(text);
                let fine = text.bytes().all(|b| b.is_ascii_graphic());
                let value = HeaderValue::from_str(&format!("Bot {text}")).ok().filter(|_| fine);
                let mut value = value.ok_or_else(|| {
                    SendError::Request("the bot's token has characters that no token has".into())
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| cannot(&e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(60))
            .build()
            .map_err(|e| cannot(&e.without_url()))?;
        Ok(Self { inner, authorization })
    }

    /// Sends a request and reads the answer, within a time that covers all of it. `authorised` adds the bot's token.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        body: Body,
        authorised: bool,
        within: Duration,
    ) -> Result<Answer, SendError> {
        let mut request = self.inner.request(method, url).header(USER_AGENT, AGENT);
        if let Some(value) = self.authorization.as_ref().filter(|_| authorised) {
            request = request.header(AUTHORIZATION, value);
        }
        request = match body {
            Body::Json(json) => request.header(CONTENT_TYPE, "application/json").body(json),
            Body::Form(json, file) => {
                let json = Part::stream(json).mime_str("application/json").map_err(|e| broken(&e))?;
                let file = Part::stream(file.bytes)
                    .file_name(file.name)
                    .mime_str(file.mime)
                    .map_err(|e| broken(&e))?;
                request.multipart(Form::new().part("payload_json", json).part("files[0]", file))
            }
        };
        let exchange = async {
            let mut response = request.send().await.map_err(|e| broken(&e))?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|e| broken(&e))? {
                let room = MAX_ANSWER - bytes.len();
                bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if bytes.len() == MAX_ANSWER {
                    break;
                }
            }
            Ok(Answer::new(response.status().as_u16(), response.headers(), bytes.into()))
        };
        tokio::time::timeout(within, exchange).await.unwrap_or(Err(SendError::Timeout(within)))
    }
}

fn broken(error: &reqwest::Error) -> SendError {
    // The innermost cause says the most, and only reqwest's own text ever names the URL.
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = if std::ptr::eq(std::ptr::from_ref(cause).cast::<()>(), std::ptr::from_ref(error).cast::<()>())
    {
        if error.is_builder() { "it is malformed".to_owned() } else { "no further cause is known".to_owned() }
    } else {
        cause.to_string()
    };
    if error.is_builder() {
        SendError::Request(text)
    } else if error.is_connect() {
        SendError::Connect(text)
    } else if error.is_timeout() {
        SendError::Connect("no connection within 10 s".into())
    } else {
        SendError::Broken(text)
    }
}
