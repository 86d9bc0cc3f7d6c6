//! `/remove`: asks first, and removes on a click.

use twilight_model::channel::message::component::ButtonStyle;

use super::{Call, Defer, Failure, Plan, work};
use crate::bot::control::ControlError;
use crate::bot::custom_id::{Button, ROOM, Reference};
use crate::message::{Message, button};
use crate::text::{code, relative};

/// How long the question stands, in seconds.
const STANDS: i64 = 60;

pub(super) fn plan(call: &Call) -> Result<Plan, Plan> {
    let job = call.job(&call.bot.control.snapshot())?;
    let owner = call.by.user_id;
    let expires = call.bot.config.clock.now().timestamp() + STANDS;
    let yes = Button::Remove { job: Reference::new(&job.id, ROOM), owner, expires }.to_string();
    let no = Button::Keep { owner }.to_string();
    let next = job.next_fire_at.map(|at| format!(", next {}", relative(at))).unwrap_or_default();
    let lasting = if job.from_file {
        " It comes from the file and stays removed until its schedule there changes."
    } else {
        ""
    };
    let text = format!(
        "Remove job {} of {} ({}{next})?{lasting}",
        code(&job.id, 130),
        code(&job.pipeline, 100),
        code(&job.trigger, 60)
    );
    let buttons = vec![
        button(ButtonStyle::Danger, "Remove", yes, false),
        button(ButtonStyle::Secondary, "Keep", no, false),
    ];
    Ok(Plan::Respond(Message::new(text).with_buttons(buttons).ephemeral().response(4)))
}

pub(super) fn kept() -> Plan {
    Plan::Respond(Message::new("The job stays.").response(7))
}

pub(super) fn confirmed(call: Call, job: Reference, expires: i64) -> Plan {
    if call.bot.config.clock.now().timestamp() > expires {
        return Plan::Respond(
            Message::new("That question is too old; please ask again with `/remove`.").response(7),
        );
    }
    let snapshot = call.bot.control.snapshot();
    let found = job.resolve(snapshot.jobs.iter().map(|j| j.id.as_str()));
    let Some(id) = found.filter(|id| snapshot.jobs.iter().any(|j| j.id == *id)).map(str::to_owned) else {
        return Plan::Respond(gone(&job.to_string()).response(7));
    };
    work(Defer::Update, async move |responder| {
        let (wanted, by) = (id.clone(), call.by.clone());
        let message =
            match call.bot.ask(move |control| async move { control.remove(&wanted, &by).await }).await {
                Ok(()) => Message::new(format!("🗑️ Job {} is removed.", code(&id, 130))),
                Err(ControlError::NotFound(_)) => gone(&id),
                Err(error) => return Err(error.into()),
            };
        responder.finish(&message).await;
        Ok::<(), Failure>(())
    })
}

fn gone(id: &str) -> Message {
    Message::new(format!("Job {} is already removed.", code(id, 130)))
}
