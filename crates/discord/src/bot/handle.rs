//! From an interaction to its acknowledgement, and on to its answer.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::autocomplete;
use super::commands::{self, Call, Defer, Failure, Plan, refuse};
use super::context::Bot;
use super::control::{ControlError, Requester};
use super::custom_id::Button;
use super::event::{Action, Choice, Interaction};
use super::responder::Responder;
use super::rest::RestError;
use crate::fingerprint::of as fingerprint;
use crate::message::{EPHEMERAL, Message};

/// Takes an interaction on. Returns at once: the connection is not read while this runs.
pub(crate) fn accept(bot: &Arc<Bot>, interaction: Interaction) {
    let received = Instant::now();
    if !bot.is_new(interaction.id) {
        return tracing::debug!(interaction = interaction.id, "a repeated interaction is ignored");
    }
    let Ok(permit) = bot.room.clone().try_acquire_owned() else {
        return tracing::warn!(interaction = interaction.id, "too many commands at a time; one is ignored");
    };
    let bot = bot.clone();
    let tracker = bot.jobs.clone();
    tracker.spawn(async move {
        let id = interaction.id;
        let handled = AssertUnwindSafe(handle(bot, Arc::new(interaction), received)).catch_unwind().await;
        if let Err(panic) = handled {
            tracing::error!(
                interaction = id,
                error_id = error_id(id),
                panic = panic_text(&*panic),
                "a command panicked"
            );
        }
        drop(permit);
    });
}

/// The id that an error is found by in the log.
fn error_id(interaction: u64) -> String {
    format!("{:08x}", fingerprint(&interaction.to_string()) as u32)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("?")
}

async fn handle(bot: Arc<Bot>, interaction: Arc<Interaction>, received: Instant) {
    let planned = std::panic::catch_unwind(AssertUnwindSafe(|| plan(&bot, &interaction)));
    let plan = match planned {
        Ok(plan) => plan,
        Err(panic) => {
            let failure = Failure::Internal(format!("panicked: {}", panic_text(&*panic)));
            match interaction.action {
                Action::Autocomplete { .. } => Plan::Respond(autocomplete::response(Vec::new())),
                _ => refuse(explain(&interaction, failure)),
            }
        }
    };
    let deadline = received + bot.config.timing.acknowledge;
    let (response, work) = match plan {
        Plan::Ignore => return,
        Plan::Respond(response) => (response, None),
        Plan::Work(Defer::Public, work) => (json!({"type": 5}), Some(work)),
        Plan::Work(Defer::Private, work) => (json!({"type": 5, "data": {"flags": EPHEMERAL}}), Some(work)),
        Plan::Work(Defer::Update, work) => (json!({"type": 6}), Some(work)),
    };
    // An edit of a message with buttons would take those away.
    let answers_anew = work.is_some() && response["type"] == 5;
    let responder = Responder::new(bot.clone(), interaction.clone(), received);
    if let Err(error) = bot.rest.acknowledge(&interaction, &response, deadline).await {
        if error == RestError::Taken {
            return tracing::debug!(interaction = interaction.id, "another process of this bot has answered");
        }
        let after = received.elapsed();
        tracing::warn!(interaction = interaction.id, %error, ?after, "an interaction could not be acknowledged in time; \
            nothing was done");
        if answers_anew && matches!(error, RestError::Unavailable(_)) {
            // It may have arrived all the same, and then the user would wait for ever.
            responder
                .edit(&Message::new("Discord did not answer in time; nothing was done. Please try again."))
                .await;
        }
        return;
    }
    let Some(work) = work else { return };
    let failure = match AssertUnwindSafe(work(responder.clone())).catch_unwind().await {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::Internal(format!("panicked: {}", panic_text(&*panic))),
    };
    responder.finish(&Message::new(explain(&interaction, failure))).await;
}

/// The words for a failure; the log has the rest.
fn explain(interaction: &Interaction, failure: Failure) -> String {
    match failure {
        Failure::User(text) => text,
        Failure::Internal(error) => {
            let id = error_id(interaction.id);
            tracing::error!(
                error_id = id,
                interaction = interaction.id,
                user = interaction.user_id,
                error,
                "a command failed"
            );
            format!("⚠️ That did not work. The log of the scheduler says why, at error `{id}`.")
        }
    }
}

fn plan(bot: &Arc<Bot>, interaction: &Arc<Interaction>) -> Plan {
    let admitted = bot.admins.admit(interaction);
    let call =
        |options: &[Choice]| Call { bot: bot.clone(), options: options.to_vec(), by: requester(interaction) };
    match &interaction.action {
        Action::Autocomplete { name, options } => {
            let choices = if admitted || commands::is_for_everyone(name) {
                autocomplete::suggest(&bot.control.snapshot(), options)
            } else {
                Vec::new()
            };
            Plan::Respond(autocomplete::response(choices))
        }
        Action::Command { name, options } => {
            let allowed = admitted || commands::is_for_everyone(name);
            let words: Vec<String> =
                options.iter().map(|o| format!("{}={}", o.name, crate::text::cut(&o.value, 200))).collect();
            audit(interaction, &format!("/{name} {}", words.join(" ")), allowed);
            if allowed { commands::plan(call(options), name) } else { refuse(NOT_ALLOWED) }
        }
        Action::Button { custom_id } => {
            let Some(button) = Button::parse(custom_id) else {
                return refuse("This button is not known (any more).");
            };
            let public = matches!(&button, Button::Page { list: super::custom_id::List::Pipelines, .. });
            let allowed = admitted || public;
            audit(interaction, &format!("button {button}"), allowed);
            if !allowed {
                return refuse(NOT_ALLOWED);
            }
            match button.owner() {
                Some(owner) if owner != interaction.user_id => {
                    refuse("This list belongs to somebody else; ask for your own with the command.")
                }
                _ => commands::button(call(&[]), button),
            }
        }
        Action::Unknown(kind) => {
            tracing::debug!(
                interaction = interaction.id,
                kind,
                "an interaction of an unknown kind is ignored"
            );
            Plan::Ignore
        }
    }
}

const NOT_ALLOWED: &str = "⛔ Only administrators may do that.";

fn requester(interaction: &Interaction) -> Requester {
    Requester {
        user_id: interaction.user_id,
        user_name: crate::text::cut(crate::text::line(&interaction.user_name).trim(), 40).into_owned(),
        guild_id: interaction.guild_id,
        channel_id: interaction.channel_id,
        interaction_id: interaction.id,
    }
}

/// One line for each thing that somebody did, or was not allowed to do.
fn audit(interaction: &Interaction, what: &str, allowed: bool) {
    tracing::info!(
        target: "discord::audit",
        interaction = interaction.id,
        user = interaction.user_id,
        user_name = crate::text::line(&interaction.user_name),
        guild = interaction.guild_id,
        channel = interaction.channel_id,
        what = crate::text::line(what),
        allowed,
        "asked from Discord"
    );
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotFound(text) | ControlError::Refused(text) => {
                Self::User(crate::text::cut(&text, 1500).into_owned())
            }
            ControlError::Internal(error) => {
                let mut text = error.to_string();
                let mut cause = error.source();
                while let Some(next) = cause {
                    text.push_str(": ");
                    text.push_str(&next.to_string());
                    cause = next.source();
                }
                Self::Internal(text)
            }
        }
    }
}

/// A response that only the user sees.
pub(super) fn private(text: impl Into<String>) -> Value {
    Message::new(text).ephemeral().response(4)
}
