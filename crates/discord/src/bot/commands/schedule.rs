//! `/schedule`.

use std::fmt::Write;

use super::{Call, Defer, Failure, Plan, refuse, warnings, work};
use crate::message::Message;
use crate::text::{code, cut, full, length, line, plain, relative};

/// Nobody needs a longer one.
const LONGEST: usize = 300;

pub(super) fn plan(call: Call) -> Result<Plan, Plan> {
    let snapshot = call.bot.control.snapshot();
    let pipeline = call.pipeline(&snapshot)?.name;
    let cron = call.required("cron")?.to_owned();
    if length(&cron) > LONGEST {
        let n = length(&cron);
        return Err(refuse(format!(
            "A cron expression is at most {LONGEST} characters long, and this one has {n}."
        )));
    }
    if let Err(why) = call.bot.control.check_cron(&pipeline, &cron) {
        let why = why.replace("```", "'''");
        return Err(refuse(format!("That is no schedule:\n```\n{}\n```", cut(&why, 1500))));
    }
    Ok(work(Defer::Public, async move |responder| {
        let (name, text, by) = (pipeline.clone(), cron.clone(), call.by.clone());
        let made =
            call.bot.ask(move |control| async move { control.schedule(&name, &text, &by).await }).await?;
        let verb = if made.replaced { "replaced" } else { "added" };
        let mut answer = format!(
            "🗓️ Job {} {verb} by {}: {} runs **{}** ({}, {}).",
            code(&made.job_id, 120),
            call.who(),
            code(&pipeline, 100),
            plain(&made.english, 300),
            code(&cron, 100),
            plain(&line(&made.timezone), 60)
        );
        for at in made.next.iter().take(3) {
            // Writing to a string cannot fail.
            write!(answer, "\n• {} ({})", full(*at), relative(*at)).ok();
        }
        answer.push_str(&warnings(&made.warnings));
        responder.finish(&Message::new(cut(&answer, 1990))).await;
        Ok::<(), Failure>(())
    }))
}
