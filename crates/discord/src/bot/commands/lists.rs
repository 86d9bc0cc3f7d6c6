//! `/pipelines` and `/history`.

use super::{Call, Defer, Failure, Plan, find_pipeline, work};
use crate::bot::control::{PipelineInfo, RunInfo};
use crate::bot::custom_id::{List, ROOM, Reference};
use crate::bot::paging;
use crate::message::Message;
use crate::text::{code, plain, relative, took};

/// Runs that the history shows, on all its pages.
const RUNS: usize = 100;

/// `/pipelines`, from memory.
pub(super) fn pipelines(call: &Call, page: usize, update: bool) -> Plan {
    let snapshot = call.bot.control.snapshot();
    let message = if snapshot.pipelines.is_empty() {
        Message::new("There are no pipelines.")
    } else {
        let lines: Vec<String> = snapshot.pipelines.iter().map(pipeline_line).collect();
        let heading = format!("**{} pipeline{}**", lines.len(), if lines.len() == 1 { "" } else { "s" });
        paging::page(&heading, &lines, page, call.by.user_id, &List::Pipelines)
    };
    Plan::Respond(message.response(if update { 7 } else { 4 }))
}

fn pipeline_line(pipeline: &PipelineInfo) -> String {
    let mut line = format!("• {}", code(&pipeline.name, 100));
    if !pipeline.enabled {
        line.push_str(" (disabled)");
    }
    if let Some(description) = pipeline.description.as_deref().filter(|d| !d.trim().is_empty()) {
        line.push_str(" · ");
        line.push_str(&plain(description, 100));
    }
    let stages =
        pipeline.stages.iter().map(|class| class.rsplit('.').next().unwrap_or(class)).collect::<Vec<_>>();
    line.push_str(" · ");
    line.push_str(&plain(&stages.join(" → "), 200));
    line.push_str(" · ");
    if pipeline.schedules.is_empty() {
        line.push_str("no schedule");
    } else {
        line.push_str(&plain(&pipeline.schedules.join("; "), 150));
    }
    line
}

pub(super) fn history(call: Call) -> Result<Plan, Plan> {
    let pipeline = match call.option("pipeline_name") {
        None => None,
        Some(text) => {
            let found = find_pipeline(&call.bot.control.snapshot(), &Reference::parse(text))?;
            Some(found.name)
        }
    };
    Ok(show(call, pipeline, 0, Defer::Private))
}

pub(super) fn history_page(call: Call, pipeline: Option<Reference>, page: usize) -> Plan {
    let snapshot = call.bot.control.snapshot();
    let pipeline = match pipeline.map(|p| find_pipeline(&snapshot, &p)) {
        None => None,
        Some(Ok(found)) => Some(found.name),
        Some(Err(refusal)) => return refusal,
    };
    show(call, pipeline, page, Defer::Update)
}

fn show(call: Call, pipeline: Option<String>, page: usize, defer: Defer) -> Plan {
    work(defer, async move |responder| {
        let wanted = pipeline.clone();
        let runs = call
            .bot
            .ask(move |control| async move { control.history(wanted.as_deref(), RUNS).await })
            .await?;
        let of = pipeline.as_deref().map(|name| format!(" of {}", code(name, 100))).unwrap_or_default();
        let message = if runs.is_empty() {
            Message::new(format!("There are no runs{of} yet."))
        } else {
            let lines: Vec<String> = runs.iter().map(run_line).collect();
            let list = List::History(pipeline.as_deref().map(|name| Reference::new(name, ROOM)));
            paging::page(&format!("**Newest runs**{of}"), &lines, page, call.by.user_id, &list)
        };
        responder.finish(&message).await;
        Ok::<(), Failure>(())
    })
}

fn run_line(run: &RunInfo) -> String {
    let outcome = match run.outcome {
        Some(outcome) => format!("{} {}", outcome.icon(), outcome.name()),
        None => "▶️ active".into(),
    };
    let count = if run.count > 1 { format!(" ×{}", run.count) } else { String::new() };
    let time = run.duration.map(|d| format!(" in {}", took(d))).unwrap_or_default();
    let error = run.error.as_deref().map(|e| format!(" · {}", plain(e, 120))).unwrap_or_default();
    let when = relative(run.scheduled_for);
    format!(
        "{outcome}{count} · {} · {when} · {}{time} · {}{error}",
        code(&run.pipeline, 100),
        run.reason,
        code(&run.id, 64)
    )
}
