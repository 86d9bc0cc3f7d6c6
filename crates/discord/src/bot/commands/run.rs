//! `/run`.

use super::{Call, Defer, Failure, Plan, refuse, work};
use crate::bot::progress;
use crate::text::{code, relative};

pub(super) fn plan(call: Call) -> Result<Plan, Plan> {
    let snapshot = call.bot.control.snapshot();
    let pipeline = call.pipeline(&snapshot)?;
    if let Some(run) = snapshot.active.iter().find(|run| pipeline.exclusive && run.pipeline == pipeline.name)
    {
        let (name, id) = (code(&pipeline.name, 100), code(&run.id, 64));
        return Err(refuse(format!("{name} is already running, since {} (run {id}).", relative(run.since))));
    }
    Ok(work(Defer::Public, async move |responder| {
        let (name, by) = (pipeline.name.clone(), call.by.clone());
        let started = call.bot.ask(move |control| async move { control.run(&name, &by).await }).await?;
        progress::follow(&call.bot, responder, &pipeline.name, started, call.who()).await;
        Ok::<(), Failure>(())
    }))
}
