//! The control interface of the binary, below `/__mock`: what the library offers, over HTTP.
//!
//! `GET requests`, `GET messages`, `GET connections`, `GET interactions/ID`,
//! `POST interactions {kind, name | custom_id, message, options, user, user_name, permissions, guild, channel}`,
//! `POST faults {method, path, after, times, fault, seconds, status, shape, body}`, `DELETE faults`,
//! `POST gateway {push, code, resumable, text}`, `POST token {token}`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::faults::{Fault, LimitShape, Rule};
use crate::gateway::Push;
use crate::interaction::Interaction;
use crate::rest::Answer;
use crate::server;
use crate::state::Shared;

/// Answers a request of the control interface.
pub(crate) fn answer(shared: &std::sync::Arc<Shared>, method: &str, path: &str, body: &Bytes) -> Answer {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    match act(shared, method, path.trim_matches('/'), &body) {
        Ok(value) => Answer::new(200, value),
        Err(why) => Answer::new(400, json!({"error": why})),
    }
}

fn act(shared: &std::sync::Arc<Shared>, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let application = shared.config.application_id;
    match (method, path) {
        ("GET", "requests") => {
            let state = shared.lock();
            let views: Vec<_> = state.log.iter().map(|r| r.view(shared.start)).collect();
            serde_json::to_value(views).map_err(|e| e.to_string())
        }
        ("GET", "messages") => {
            Ok(shared.lock().messages.iter().filter(|m| !m.deleted).map(|m| m.json(application)).collect())
        }
        ("GET", "connections") => Ok(shared
            .lock()
            .connections
            .iter()
            .map(|c| {
                json!({"at_ms": c.at.duration_since(shared.start).as_millis(), "uri": c.uri, "ended": c.ended,
                    "ops": c.received.iter().map(|(op, _)| *op).collect::<Vec<_>>(), "closed_by_client": c.closed_by_client})
            })
            .collect()),
        ("POST", "interactions") => {
            let ticket = server::interact(shared, &interaction(body)?);
            Ok(json!({"id": ticket.id.to_string(), "token": ticket.token}))
        }
        ("GET", path) if path.starts_with("interactions/") => {
            let id = path["interactions/".len()..].parse::<u64>().map_err(|e| e.to_string())?;
            let mut state = shared.lock();
            let record = state.interactions.get(&id).ok_or("no such interaction")?;
            let ack = record.acknowledgement.as_ref().map(
                |a| json!({"type": a.kind, "data": a.data, "elapsed_ms": a.elapsed.as_millis(), "ephemeral": a.ephemeral()}),
            );
            let original = record.original;
            let message = original.and_then(|m| state.message(m)).map(|m| m.json(application));
            Ok(json!({"acknowledgement": ack, "original": message}))
        }
        ("POST", "faults") => {
            let rule = rule(body)?;
            shared.change(|s| s.rules.push(rule));
            Ok(json!({}))
        }
        ("DELETE", "faults") => {
            shared.change(|s| s.rules.clear());
            Ok(json!({}))
        }
        ("POST", "gateway") => {
            let code = u16::try_from(body["code"].as_u64().unwrap_or(4000)).map_err(|e| e.to_string())?;
            let push = match body["push"].as_str().unwrap_or_default() {
                "reconnect" => Push::Reconnect,
                "invalid_session" => Push::InvalidSession(body["resumable"] == true),
                "close" => Push::Close(code),
                "drop" => Push::Drop,
                "freeze" => Push::Freeze,
                "text" => Push::Text(body["text"].as_str().unwrap_or_default().to_owned()),
                other => return Err(format!("unknown push {other:?}")),
            };
            Ok(json!({"pushed": server::push(shared, push)}))
        }
        ("POST", "token") => {
            let token = body["token"].as_str().ok_or("token is missing")?.to_owned();
            shared.change(|s| s.token = token);
            Ok(json!({}))
        }
        _ => Err(format!("unknown {method} {path}")),
    }
}

fn number(body: &Value, key: &str) -> Option<u64> {
    match &body[key] {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.parse().ok(),
        _ => None,
    }
}

fn interaction(body: &Value) -> Result<Interaction, String> {
    let name = body["name"].as_str().unwrap_or_default();
    let options: Vec<(&str, &str)> = body["options"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()))
        .collect();
    let mut made = match body["kind"].as_str().unwrap_or("command") {
        "command" => Interaction::command(name, &options),
        "autocomplete" => Interaction::autocomplete(name, &options),
        "component" => Interaction::click(
            body["custom_id"].as_str().ok_or("custom_id is missing")?,
            number(body, "message").ok_or("message is missing")?,
        ),
        other => return Err(format!("unknown kind {other:?}")),
    };
    if let Some(id) = number(body, "user") {
        made = made.by(id, body["user_name"].as_str().unwrap_or("user"));
    }
    if let Some(bits) = number(body, "permissions") {
        made = made.permissions(bits);
    }
    if body.get("guild").is_some() {
        made = made.guild(number(body, "guild"));
    }
    if let Some(channel) = number(body, "channel") {
        made = made.channel(channel);
    }
    Ok(made)
}

fn rule(body: &Value) -> Result<Rule, String> {
    let seconds = body["seconds"].as_f64().unwrap_or(1.0);
    let status = u16::try_from(body["status"].as_u64().unwrap_or(500)).map_err(|e| e.to_string())?;
    let shape = match body["shape"].as_str().unwrap_or("user") {
        "user" => LimitShape::User,
        "shared" => LimitShape::Shared,
        "global" => LimitShape::Global,
        "body" => LimitShape::BodyOnly,
        "proxy" => LimitShape::Proxy,
        "silent" => LimitShape::Silent,
        other => return Err(format!("unknown shape {other:?}")),
    };
    let fault = match body["fault"].as_str().unwrap_or_default() {
        "status" => Fault::Status(status, body["body"].clone()),
        "html" => Fault::Html(status),
        "delay" => Fault::Delay(Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())?),
        "hang" => Fault::Hang,
        "reset" => Fault::Reset,
        "reset_after" => Fault::ResetAfter,
        "rate_limit" => Fault::RateLimit(shape, seconds),
        other => return Err(format!("unknown fault {other:?}")),
    };
    let mut rule =
        Rule::on(body["method"].as_str().unwrap_or("*"), body["path"].as_str().unwrap_or("**"), fault);
    if let Some(n) = number(body, "after").and_then(|n| usize::try_from(n).ok()) {
        rule = rule.after(n);
    }
    if let Some(n) = number(body, "times").and_then(|n| usize::try_from(n).ok()) {
        rule = rule.times(n);
    }
    Ok(rule)
}
