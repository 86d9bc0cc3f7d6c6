//! `runs show`

use engine::{Control, Pipelines};
use jobstore::{LogCursor, LogLine, MessageFilter, MessageRecord};
use pipeline_core::StageReport;
use serde::Serialize;

use super::run_id;
use super::view::{LogJson, RunJson};
use crate::commands::outbox::MessageJson;
use crate::failure::Failure;
use crate::output::{self, utc};
use crate::settings::Settings;
use crate::store;

/// Lines of the log that are read at a time.
const PAGE: usize = 1_000;

/// Which run to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run's id
    #[arg(value_name = "RUN")]
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    run: RunJson,
    messages: Vec<MessageJson>,
    log: Vec<LogJson>,
}

pub(crate) async fn run(args: &Args, settings: &Settings) -> Result<(), Failure> {
    let id = run_id(&args.id)?;
    let store = store::query(settings).await?;
    let control = Control::new(store, settings.clock().clone(), Pipelines::default());
    let view = control.run(id).await?;
    let filter = MessageFilter { all_namespaces: true, run: Some(id), ..MessageFilter::default() };
    let messages = control.store().messages(filter).await?;
    if args.json {
        let mut log = Vec::new();
        let mut after = LogCursor::default();
        loop {
            let lines = control.logs(id, after, PAGE).await?;
            let Some(last) = lines.last() else { break };
            after = LogCursor { attempt: last.attempt, seq: last.seq };
            log.extend(lines.iter().map(LogJson::new));
        }
        let messages = messages.iter().map(MessageJson::new).collect();
        return output::json(&Shown { run: RunJson::new(&view), messages, log });
    }
    for (name, value) in facts(&view) {
        output::line(format!("{name:<13} {value}").trim_end())?;
    }
    for attempt in &view.attempts {
        let outcome = attempt.outcome.map_or("running", jobstore::AttemptOutcome::as_str);
        let until = attempt.finished_at.map(|at| format!(" to {}", utc(at))).unwrap_or_default();
        let error = attempt.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        output::line(format!(
            "attempt {:<5} {outcome}, {}{until}{error}",
            attempt.attempt,
            utc(attempt.started_at)
        ))?;
    }
    for line in stage_lines(view.record.stages.as_deref()) {
        output::line(line)?;
    }
    for message in &messages {
        output::line(message_line(message))?;
    }
    let mut after = LogCursor::default();
    loop {
        let lines = control.logs(id, after, PAGE).await?;
        let Some(last) = lines.last() else { return Ok(()) };
        if after == LogCursor::default() {
            output::line("log:")?;
        }
        after = LogCursor { attempt: last.attempt, seq: last.seq };
        for line in &lines {
            output::line(log_line(line))?;
        }
    }
}

fn facts(view: &engine::RunView) -> Vec<(&'static str, String)> {
    let run = &view.record;
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("pipeline", run.pipeline.clone()),
        ("reason", run.reason.to_string()),
        ("scheduled for", utc(run.scheduled_for)),
        ("state", run.state.to_string()),
    ];
    let optional = [
        ("job", run.job_id.as_ref().map(ToString::to_string)),
        ("requested by", run.requested_by.clone()),
        ("outcome", run.outcome.map(|outcome| outcome.to_string())),
        ("started", run.started_at.map(utc)),
        ("finished", run.finished_at.map(utc)),
        ("fires", run.count.filter(|count| *count > 1).map(|count| count.to_string())),
        ("first", run.first.map(utc)),
        ("last", run.last.map(utc)),
        ("cancelled by", run.cancel_requested_by.clone()),
        ("error", run.error.clone()),
        ("note", run.note.clone()),
    ];
    facts.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    facts
}

fn stage_lines(stages: Option<&str>) -> Vec<String> {
    let stages: Vec<StageReport> =
        stages.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let line = |(stage, number): (&StageReport, usize)| {
        let errors = if stage.errors > 0 { format!(", {} failed", stage.errors) } else { String::new() };
        format!(
            "stage {number:<7} {}: {} in, {} out{errors}, busy {} ms",
            stage.class, stage.items_in, stage.items_out, stage.busy_ms
        )
    };
    stages.iter().zip(1..).map(line).collect()
}

fn message_line(message: &MessageRecord) -> String {
    let error = message.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("message {:<5} {} from stage {}{error}", message.id.to_string(), message.state, message.stage)
}

fn log_line(line: &LogLine) -> String {
    let stage = line.stage.as_ref().map(|stage| format!(" [{stage}]")).unwrap_or_default();
    format!("{} {:<7}{stage} {}", utc(line.at), line.level, line.text)
}
