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

use crate::control;
use crate::faults::{Fault, LimitShape};
use crate::interaction::Acknowledgement;
use crate::log::{Captured, File};
use crate::multipart;
use crate::ratelimit;
use crate::routes::Endpoint;
use crate::state::{MessageKind, Shared, State, merge};
use crate::validate::{self, Refusal};

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

struct Call {
    method: String,
    path: String,
    query: String,
    body: Value,
    files: Vec<File>,
    bearer: Option<String>,
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
        let mut answer = act(shared, state, &endpoint, call, at).unwrap_or_else(Answer::from);
        if let Some(ruling) = ruling {
            ruling.headers(&mut answer.headers);
        }
        answer
    })
}

fn act(
    shared: &Shared,
    state: &mut State,
    endpoint: &Endpoint,
    call: &Call,
    at: Instant,
) -> Result<Answer, Refusal> {
    let application = shared.config.application_id;
    let shown = |state: &mut State, id| match state.message(id) {
        Some(message) => Answer::new(200, message.json(application)),
        None => Refusal::new(404, 10008, "Unknown Message").into(),
    };
    match (call.method.as_str(), endpoint) {
        ("GET", Endpoint::Gateway) => Ok(Answer::new(
            200,
            json!({"url": shared.gateway_url, "shards": 1, "session_start_limit":
                {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}}),
        )),
        ("PUT", Endpoint::Commands { application: app, guild }) => {
            if *app != application {
                return Err(Refusal::new(404, 10002, "Unknown Application"));
            }
            validate::commands(&call.body)?;
            let mut stored = call.body.clone();
            for command in stored.as_array_mut().into_iter().flatten() {
                command["id"] = state.id().to_string().into();
                command["application_id"] = application.to_string().into();
                command["version"] = "1".into();
            }
            state.commands.insert(*guild, stored.clone());
            Ok(Answer::new(200, stored))
        }
        ("POST", Endpoint::Callback { id, token }) => callback(shared, state, *id, token, call, at),
        ("POST", Endpoint::Followup { token }) => {
            let id = usable(shared, state, token)?;
            validate::message(&call.body, &call.files, false)?;
            let record = state.interactions.get(&id).ok_or_else(unknown_interaction)?;
            let channel = record.interaction.channel;
            let ephemeral = call.body["flags"].as_u64().unwrap_or(0) & 64 != 0;
            let message = state.add_message(
                channel,
                MessageKind::Response,
                call.body.clone(),
                call.files.clone(),
                ephemeral,
            );
            Ok(shown(state, message))
        }
        (method, Endpoint::ResponseMessage { token, message }) => {
            let id = usable(shared, state, token)?;
            let original = state.interactions.get(&id).and_then(|r| r.original);
            let target = message.or(original).ok_or_else(|| Refusal::new(404, 10008, "Unknown Message"))?;
            change_message(state, method, target, call)?;
            Ok(if method == "DELETE" { Answer::new(204, Value::Null) } else { shown(state, target) })
        }
        ("POST", Endpoint::ChannelMessages { channel }) => {
            if shared.config.channels.as_ref().is_some_and(|known| !known.contains(channel)) {
                return Err(Refusal::new(404, 10003, "Unknown Channel"));
            }
            validate::message(&call.body, &call.files, false)?;
            let nonce = match &call.body["nonce"] {
                Value::String(s) => Some(s.clone()),
                Value::Number(n) => Some(n.to_string()),
                _ => None,
            };
            if let Some(nonce) = nonce.clone().filter(|_| call.body["enforce_nonce"] == true)
                && let Some((id, sent)) = state.nonces.get(&(*channel, nonce))
                && sent.elapsed() < shared.config.nonce_memory
            {
                let id = *id;
                return Ok(shown(state, id));
            }
            let id = state.add_message(
                *channel,
                MessageKind::Channel,
                call.body.clone(),
                call.files.clone(),
                false,
            );
            if let Some(nonce) = nonce {
                state.nonces.insert((*channel, nonce), (id, Instant::now()));
            }
            Ok(shown(state, id))
        }
        (method @ ("PATCH" | "DELETE"), Endpoint::ChannelMessage { channel, message }) => {
            if state.message(*message).is_none_or(|m| m.channel != *channel || m.ephemeral) {
                return Err(Refusal::new(404, 10008, "Unknown Message"));
            }
            change_message(state, method, *message, call)?;
            Ok(if method == "DELETE" { Answer::new(204, Value::Null) } else { shown(state, *message) })
        }
        ("POST", Endpoint::Webhook { id, token }) => {
            webhook_exists(shared, *id, token)?;
            validate::message(&call.body, &call.files, false)?;
            let message =
                state.add_message(1, MessageKind::Webhook(*id), call.body.clone(), call.files.clone(), false);
            let wait = call.query.split('&').any(|p| p == "wait=true");
            Ok(if wait { shown(state, message) } else { Answer::new(204, Value::Null) })
        }
        (method @ ("PATCH" | "DELETE"), Endpoint::WebhookMessage { id, token, message }) => {
            webhook_exists(shared, *id, token)?;
            if state.message(*message).is_none_or(|m| m.kind != MessageKind::Webhook(*id)) {
                return Err(Refusal::new(404, 10008, "Unknown Message"));
            }
            change_message(state, method, *message, call)?;
            Ok(if method == "DELETE" { Answer::new(204, Value::Null) } else { shown(state, *message) })
        }
        (_, Endpoint::Unknown) => Err(Refusal::new(404, 0, "404: Not Found")),
        _ => Err(Refusal::new(405, 0, "405: Method Not Allowed")),
    }
}

fn webhook_exists(shared: &Shared, id: u64, token: &str) -> Result<(), Refusal> {
    let Some(known) = &shared.config.webhooks else { return Ok(()) };
    match known.iter().find(|(known, _)| *known == id) {
        None => Err(Refusal::new(404, 10015, "Unknown Webhook")),
        Some((_, right)) if right != token => Err(Refusal::new(401, 50027, "Invalid Webhook Token")),
        Some(_) => Ok(()),
    }
}

fn change_message(state: &mut State, method: &str, id: u64, call: &Call) -> Result<(), Refusal> {
    let message = state.message(id).ok_or_else(|| Refusal::new(404, 10008, "Unknown Message"))?;
    match method {
        "GET" => {}
        "DELETE" => message.deleted = true,
        "PATCH" => {
            validate::message(&call.body, &call.files, true)?;
            merge(&mut message.body, &call.body);
            message.files.extend(call.files.iter().cloned());
            message.edits += 1;
        }
        _ => return Err(Refusal::new(405, 0, "405: Method Not Allowed")),
    }
    Ok(())
}

fn unknown_interaction() -> Refusal {
    Refusal::new(404, 10062, "Unknown interaction")
}

/// The interaction that this token may still be used for.
fn usable(shared: &Shared, state: &State, token: &str) -> Result<u64, Refusal> {
    let ended =
        || Refusal::new(shared.config.ended_token.0, shared.config.ended_token.1, "Invalid Webhook Token");
    let record = state.interactions.values().find(|r| r.ticket.token == token).ok_or_else(ended)?;
    if record.ticket.at.elapsed() > shared.config.token_lifetime {
        return Err(ended());
    }
    match &record.acknowledgement {
        Some(ack) if ack.kind != 8 => Ok(record.ticket.id),
        _ => Err(Refusal::new(404, 10015, "Unknown Webhook")),
    }
}

fn callback(
    shared: &Shared,
    state: &mut State,
    id: u64,
    token: &str,
    call: &Call,
    at: Instant,
) -> Result<Answer, Refusal> {
    let record = state
        .interactions
        .get_mut(&id)
        .filter(|r| r.ticket.token == token)
        .ok_or_else(unknown_interaction)?;
    let elapsed = at.duration_since(record.ticket.at);
    if record.acknowledgement.is_some() {
        return Err(Refusal::new(400, 40060, "Interaction has already been acknowledged."));
    }
    if elapsed > shared.config.acknowledge_within {
        record.late = true;
        return Err(unknown_interaction());
    }
    let kind = call.body["type"].as_u64().unwrap_or(0);
    let data = call.body.get("data").cloned().unwrap_or(Value::Null);
    let fits = match record.interaction.type_number() {
        2 => matches!(kind, 4 | 5 | 9),
        3 => matches!(kind, 4..=7 | 9),
        _ => kind == 8,
    };
    if !fits {
        return Err(Refusal::form("type", format!("{kind} is no response to this interaction")));
    }
    match kind {
        4 => validate::message(&data, &call.files, false)?,
        7 => validate::message(&data, &call.files, true)?,
        8 => validate::choices(&data)?,
        _ => {}
    }
    let acknowledgement = Acknowledgement { kind, data: data.clone(), elapsed };
    let ephemeral = acknowledgement.ephemeral();
    let channel = record.interaction.channel;
    record.acknowledgement = Some(acknowledgement);
    let clicked = match &record.interaction.kind {
        crate::interaction::InteractionKind::Component { message, .. } => Some(*message),
        _ => None,
    };
    let original = match kind {
        4 | 5 => Some(state.add_message(channel, MessageKind::Response, data, call.files.clone(), ephemeral)),
        7 => {
            if let Some(message) = clicked.and_then(|m| state.message(m)) {
                merge(&mut message.body, &data);
                message.edits += 1;
            }
            clicked
        }
        _ => clicked,
    };
    if let Some(record) = state.interactions.get_mut(&id) {
        record.original = original;
    }
    Ok(Answer::new(204, Value::Null))
}
