//! `/cancel`, `/pause` and `/resume`.

use super::{Call, Defer, Failure, Plan, work};
use crate::bot::custom_id::Reference;
use crate::message::Message;
use crate::text::{code, relative};

pub(super) fn cancel(call: Call) -> Result<Plan, Plan> {
    let snapshot = call.bot.control.snapshot();
    let wanted = Reference::parse(call.required("run_id")?);
    let id = wanted.resolve(snapshot.active.iter().map(|r| r.id.as_str())).unwrap_or_default().to_owned();
    let id = if id.is_empty() { wanted.to_string() } else { id };
    // A run that is not among the active ones will very likely be refused, and refusals are private.
    let known = snapshot.active.iter().any(|run| run.id == id);
    let defer = if known { Defer::Public } else { Defer::Private };
    Ok(work(defer, async move |responder| {
        let (wanted, by) = (id.clone(), call.by.clone());
        call.bot.ask(move |control| async move { control.cancel(&wanted, &by).await }).await?;
        let text = format!("⛔ Run {} is being cancelled, as {} asked.", code(&id, 64), call.who());
        responder.finish(&Message::new(text)).await;
        Ok::<(), Failure>(())
    }))
}

/// The button below a run: the run's own message tells the rest.
pub(super) fn cancel_button(call: Call, run: Reference) -> Plan {
    work(Defer::Private, async move |responder| {
        let id = run.to_string();
        let (wanted, by) = (id.clone(), call.by.clone());
        call.bot.ask(move |control| async move { control.cancel(&wanted, &by).await }).await?;
        responder.finish(&Message::new(format!("⛔ Run {} is being cancelled.", code(&id, 64)))).await;
        Ok::<(), Failure>(())
    })
}

pub(super) fn pause(call: Call) -> Result<Plan, Plan> {
    let id = call.job(&call.bot.control.snapshot())?.id;
    Ok(work(Defer::Public, async move |responder| {
        let (wanted, by) = (id.clone(), call.by.clone());
        call.bot.ask(move |control| async move { control.pause(&wanted, &by).await }).await?;
        let text = format!("⏸️ Job {} is paused by {}.", code(&id, 130), call.who());
        responder.finish(&Message::new(text)).await;
        Ok::<(), Failure>(())
    }))
}

pub(super) fn resume(call: Call) -> Result<Plan, Plan> {
    let id = call.job(&call.bot.control.snapshot())?.id;
    Ok(work(Defer::Public, async move |responder| {
        let (wanted, by) = (id.clone(), call.by.clone());
        let next = call.bot.ask(move |control| async move { control.resume(&wanted, &by).await }).await?;
        let next = next.map(|at| format!(" Next {}.", relative(at))).unwrap_or_default();
        let text = format!("▶️ Job {} is resumed by {}.{next}", code(&id, 130), call.who());
        responder.finish(&Message::new(text)).await;
        Ok::<(), Failure>(())
    }))
}
