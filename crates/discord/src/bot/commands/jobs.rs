//! `/jobs` and `/next`.

use super::{Call, Defer, Failure, Plan, work};
use crate::bot::control::{JobFires, JobInfo};
use crate::bot::custom_id::List;
use crate::bot::paging;
use crate::message::Message;
use crate::text::{code, cut, full, plain, relative};

pub(super) fn list(call: Call, page: usize, defer: Defer) -> Plan {
    work(defer, async move |responder| {
        let jobs = call.bot.ask(|control| async move { control.jobs().await }).await?;
        let message = if jobs.is_empty() {
            Message::new("There are no jobs. `/schedule` adds one.")
        } else {
            let lines: Vec<String> = jobs.iter().map(job_line).collect();
            let heading = format!("**{} job{}**", jobs.len(), if jobs.len() == 1 { "" } else { "s" });
            paging::page(&heading, &lines, page, call.by.user_id, &List::Jobs)
        };
        responder.finish(&message).await;
        Ok::<(), Failure>(())
    })
}

fn job_line(job: &JobInfo) -> String {
    let when = match job.next_fire_at {
        Some(at) if job.state == "scheduled" => format!("next {}", relative(at)),
        _ => format!("**{}**", plain(&job.state, 20)),
    };
    let last = job.last_outcome.map(|o| format!(" · last {} {}", o.icon(), o.name())).unwrap_or_default();
    // A long id must stay whole, because it is what the other commands want.
    let zone = if job.timezone.is_empty() { String::new() } else { format!(" {}", plain(&job.timezone, 30)) };
    format!("• {} · {}{zone} · {when}{last}", code(&job.id, 130), code(&job.trigger, 60))
}

pub(super) fn next(call: Call) -> Result<Plan, Plan> {
    let pipeline = call.pipeline(&call.bot.control.snapshot())?.name;
    Ok(work(Defer::Private, async move |responder| {
        let name = pipeline.clone();
        let fires = call.bot.ask(move |control| async move { control.next(&name, 5).await }).await?;
        let text = if fires.is_empty() {
            format!("{} has no schedule; `/run` runs it.", code(&pipeline, 100))
        } else {
            let parts: Vec<String> = fires.iter().map(fires_of).collect();
            format!("**Next fires of** {}\n{}", code(&pipeline, 100), parts.join("\n"))
        };
        responder.finish(&Message::new(cut(&text, 1990))).await;
        Ok::<(), Failure>(())
    }))
}

fn fires_of(job: &JobFires) -> String {
    let head = format!("{} · {}", code(&job.job_id, 130), code(&job.trigger, 60));
    if job.next.is_empty() {
        return format!("{head} · **{}**", plain(&job.state, 20));
    }
    let fires: Vec<String> =
        job.next.iter().take(5).map(|at| format!("• {} ({})", full(*at), relative(*at))).collect();
    format!("{head}\n{}", fires.join("\n"))
}
