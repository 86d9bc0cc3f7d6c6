//! What each route does, and what it refuses.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::interaction::Acknowledgement;
use crate::rest::{Answer, Call};
use crate::routes::Endpoint;
use crate::state::{MessageKind, Shared, State, merge};
use crate::validate::{self, Refusal};

/// Does what a request asks for.
pub(crate) fn act(
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
