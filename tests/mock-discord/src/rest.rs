//! The REST half: every request is captured, judged and answered here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::acts;
use crate::control;
use crate::faults::{Fault, LimitShape};
use crate::log::{Captured, File};
use crate::multipart;
use crate::ratelimit;
use crate::routes::Endpoint;
use crate::state::Shared;
use crate::validate::Refusal;

const MAX_REQUEST: usize = 25 * 1024 * 1024;

/// What a request is answered with.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, headers: HeaderMap::new(), body }
    }

    fn limited(shape: LimitShape, seconds: f64) -> Self {
        let (headers, body) = ratelimit::refusal(shape, seconds);
        Self { status: 429, headers, body }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status, refusal.body)
    }
}

/// A request that could be read.
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    pub(crate) files: Vec<File>,
    pub(crate) bearer: Option<String>,
}

/// Answers one request; an error closes the connection instead.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let full_path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let Ok(bytes) = Limited::new(body, MAX_REQUEST + 1024).collect().await.map(|b| b.to_bytes()) else {
        return Ok(respond(Refusal::new(413, 40005, "Request entity too large").into()));
    };
    if let Some(rest) = full_path.strip_prefix("/__mock") {
        return Ok(respond(control::answer(&shared, head.method.as_str(), rest, &bytes)));
    }
    // The URLs of webhooks that Discord shows name no version.
    let known = full_path
        .strip_prefix("/api/v10/")
        .or_else(|| full_path.strip_prefix("/api/").filter(|rest| rest.starts_with("webhooks/")));
    let is_api = known.is_some();
    let path = known.map_or_else(|| full_path.clone(), |rest| format!("/{rest}"));
    let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let parsed = parse_body(header("content-type").as_deref(), &bytes);
    let (body, files) = match &parsed {
        Ok((body, files)) => (body.clone(), files.clone()),
        Err(_) => (Value::Null, Vec::new()),
    };
    let method = head.method.as_str().to_owned();
    let bearer = header("authorization");
    let (index, fault) = shared.change(|state| {
        state.log.push(Captured {
            at,
            method: method.clone(),
            path: path.clone(),
            query: query.clone(),
            authorization: bearer.clone(),
            body: body.clone(),
            files: files.clone(),
            status: None,
        });
        (state.log.len() - 1, state.rules.iter_mut().find_map(|rule| rule.strike(&method, &path)))
    });
    let call = Call { method, path, query, body, files, bearer };
    let real = || match &parsed {
        Ok(_) if !is_api => Refusal::new(404, 0, "404: Not Found").into(),
        Ok(_) => judge(&shared, &call, at),
        Err(why) => Refusal::form("body", why).into(),
    };
    let answer = match fault {
        None => real(),
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            real()
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::ResetAfter) => {
            let _ = real();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Some(Fault::Status(status, body)) => Answer::new(status, body),
        Some(Fault::Html(status)) => {
            Answer::new(status, Value::String("<html><body><h1>Bad gateway</h1></body></html>".into()))
        }
        Some(Fault::RateLimit(shape, seconds)) => Answer::limited(shape, seconds),
    };
    shared.change(|state| state.log[index].status = Some(answer.status));
    Ok(respond(answer))
}

fn parse_body(content_type: Option<&str>, bytes: &Bytes) -> Result<(Value, Vec<File>), String> {
    if bytes.is_empty() {
        return Ok((Value::Null, Vec::new()));
    }
    let content_type = content_type.unwrap_or_default();
    if let Some(boundary) = multipart::boundary(content_type) {
        let mut parts = multipart::parse(bytes, &boundary)?;
        let json = parts.iter().position(|p| p.field == "payload_json").map(|i| parts.remove(i));
        let body = match json {
            Some(part) => serde_json::from_slice(&part.bytes).map_err(|e| format!("payload_json: {e}"))?,
            None => json!({}),
        };
        return Ok((body, parts));
    }
    if !content_type.starts_with("application/json") {
        return Err(format!("Content-Type is {content_type:?}"));
    }
    serde_json::from_slice(bytes).map(|body| (body, Vec::new())).map_err(|e| e.to_string())
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let (bytes, kind) = match answer.body {
        Value::Null => (Bytes::new(), "application/json"),
        Value::String(html) => (Bytes::from(html), "text/html"),
        json => (Bytes::from(json.to_string()), "application/json"),
    };
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = answer.headers;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn judge(shared: &Shared, call: &Call, at: Instant) -> Answer {
    let endpoint = Endpoint::parse(&call.path, shared.config.application_id);
    shared.change(|state| {
        if endpoint.needs_bot() {
            let wanted = format!("Bot {}", state.token);
            if call.bearer.as_deref() != Some(wanted.as_str()) {
                return Refusal::new(401, 0, "401: Unauthorized").into();
            }
            if let Some(limit) = shared.config.global_limit {
                let ruling = state.buckets.admit("global", limit, Duration::from_secs(1));
                if !ruling.admitted {
                    return Answer::limited(LimitShape::Global, ruling.reset_after().as_secs_f64());
                }
            }
        }
        let ruling = match &endpoint {
            Endpoint::ChannelMessages { channel } if call.method == "POST" => shared
                .config
                .channel_limit
                .map(|(n, p)| state.buckets.admit(&format!("channel {channel}"), n, p)),
            Endpoint::ChannelMessage { channel, .. } => shared
                .config
                .channel_limit
                .map(|(n, p)| state.buckets.admit(&format!("edit {channel}"), n, p)),
            Endpoint::Webhook { id, .. } | Endpoint::WebhookMessage { id, .. } => {
                shared.config.webhook_limit.map(|(n, p)| state.buckets.admit(&format!("webhook {id}"), n, p))
            }
            Endpoint::Followup { token } | Endpoint::ResponseMessage { token, .. } => shared
                .config
                .webhook_limit
                .map(|(n, p)| state.buckets.admit(&format!("response {token}"), n, p)),
            _ => None,
        };
        if let Some(ruling) = ruling.as_ref().filter(|r| !r.admitted) {
            let mut answer = Answer::limited(LimitShape::User, ruling.reset_after().as_secs_f64());
            ruling.headers(&mut answer.headers);
            return answer;
        }
        let mut answer = acts::act(shared, state, &endpoint, call, at).unwrap_or_else(Answer::from);
        if let Some(ruling) = ruling {
            ruling.headers(&mut answer.headers);
        }
        answer
    })
}
