//! Follows a run that was started from Discord: its message shows where it is, and in the end what came of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use twilight_model::channel::message::component::ButtonStyle;

use super::context::Bot;
use super::control::{RunOutcome, RunPhase, RunProgress, RunStage, StartedRun};
use super::custom_id::{Button, ROOM, Reference};
use super::responder::Responder;
use crate::message::{Message, button, embed};
use crate::text::{code, cut, line, plain, relative, took};

const GREEN: u32 = 0x2E_CC_71;
const RED: u32 = 0xE7_4C_3C;
const GREY: u32 = 0x95_A5_A6;

/// How long after the earliest next edit one that failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Shows a run until it is over, the scheduler loses sight of it, or the bot ends.
pub(crate) async fn follow(
    bot: &Arc<Bot>,
    responder: Responder,
    pipeline: &str,
    started: StartedRun,
    who: String,
) {
    let run = Shown { pipeline: pipeline.to_owned(), id: started.run_id, who };
    let mut progress = started.progress;
    let mut shown = None;
    loop {
        let now = progress.borrow_and_update().clone();
        if let RunPhase::Finished(outcome) = now.phase {
            return responder.finish_anywhere(&run.finished(outcome, &now)).await;
        }
        let message = run.active(&now);
        let mut again = false;
        if shown.as_ref() != Some(&message) {
            again = responder.edit(&message).await;
            shown = (!again).then_some(message);
        }
        let earliest = Instant::now() + bot.config.timing.progress;
        tokio::select! {
            changed = wait(&mut progress, earliest) => if changed.is_err() {
                return responder.finish_anywhere(&run.lost()).await;
            },
            () = tokio::time::sleep_until(earliest + RETRY), if again => {}
            () = bot.stopping.cancelled() => {
                // The last word of a run that ended together with the bot is worth more than "interrupted".
                let now = progress.borrow().clone();
                let message = match now.phase {
                    RunPhase::Finished(outcome) => run.finished(outcome, &now),
                    _ => run.interrupted(),
                };
                return responder.finish_anywhere(&message).await;
            }
        }
    }
}

/// Waits for a change that may be shown: not before `earliest`, except for the end.
async fn wait(
    progress: &mut watch::Receiver<RunProgress>,
    earliest: Instant,
) -> Result<(), watch::error::RecvError> {
    progress.changed().await?;
    let over = |p: &RunProgress| matches!(p.phase, RunPhase::Finished(_));
    // Until then only the end is of interest; where it does not come, whatever is newest is shown.
    match tokio::time::timeout_at(earliest, progress.wait_for(over)).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

struct Shown {
    pipeline: String,
    id: String,
    who: String,
}

impl Shown {
    fn name(&self) -> String {
        code(&self.pipeline, 100)
    }

    fn run(&self) -> String {
        code(&self.id, 64)
    }

    fn active(&self, progress: &RunProgress) -> Message {
        let state = match (progress.phase, progress.started_at) {
            (RunPhase::Running, Some(at)) => format!("started {}", relative(at)),
            (RunPhase::Running, None) => "started".into(),
            _ if progress.attempt > 0 => "waits for its next attempt".into(),
            _ => "is queued".into(),
        };
        let attempt =
            if progress.attempt > 1 { format!(" · attempt {}", progress.attempt) } else { String::new() };
        let text = format!("▶️ {} · run {} {state} by {}{attempt}", self.name(), self.run(), self.who);
        let cancel = Button::Cancel { run: Reference::new(&self.id, ROOM) }.to_string();
        let mut message =
            Message::new(text).with_buttons(vec![button(ButtonStyle::Danger, "Cancel", cancel, false)]);
        if let Some(stages) = stages(&progress.stages) {
            message = message.with_embed(embed(GREY, Some(stages)));
        }
        message
    }

    fn finished(&self, outcome: RunOutcome, progress: &RunProgress) -> Message {
        let time = progress.duration.map(|d| format!(" in {}", took(d))).unwrap_or_default();
        let note = progress.note.as_deref().map(|n| format!(" · {}", plain(n, 200))).unwrap_or_default();
        let attempt =
            if progress.attempt > 1 { format!(" · attempt {}", progress.attempt) } else { String::new() };
        let mut text = format!(
            "{} {} **{}**{time}{note}{attempt} · run {} by {}",
            outcome.icon(),
            self.name(),
            outcome.name().replace('_', " "),
            self.run(),
            self.who
        );
        if let Some(error) = &progress.error {
            let error = error.replace("```", "'''");
            text.push_str(&format!("\n```\n{}\n```", cut(error.trim(), 1000)));
        }
        let color = match outcome {
            RunOutcome::Succeeded => GREEN,
            RunOutcome::Failed | RunOutcome::TimedOut | RunOutcome::Abandoned => RED,
            RunOutcome::Cancelled | RunOutcome::Skipped | RunOutcome::Missed => GREY,
        };
        match stages(&progress.stages) {
            Some(stages) => Message::new(text).with_embed(embed(color, Some(stages))),
            None => Message::new(text),
        }
    }

    fn lost(&self) -> Message {
        Message::new(format!(
            "❔ {} · run {}: its end was not seen from here; `/history` shows it.",
            self.name(),
            self.run()
        ))
    }

    fn interrupted(&self) -> Message {
        let text = format!(
            "⏸️ {} · run {} was interrupted by a shutdown of the scheduler; it goes on when one is back.",
            self.name(),
            self.run()
        );
        Message::new(text)
    }
}

fn stages(stages: &[RunStage]) -> Option<String> {
    if stages.is_empty() {
        return None;
    }
    let shown = stages.iter().take(25).enumerate().map(|(i, stage)| {
        let errors =
            if stage.errors > 0 { format!(" · **{} failed**", stage.errors) } else { String::new() };
        format!(
            "{}. {} {} → {}{errors}",
            i + 1,
            code(&line(&stage.class), 60),
            stage.items_in,
            stage.items_out
        )
    });
    let text = shown.collect::<Vec<_>>().join("\n");
    Some(cut(&text, 4000).into_owned())
}
