//! The words of alerts.

use super::book::{AlertKind, Entry, Recovery};
use crate::message::{Message, embed};
use crate::text::{code, cut, relative};

const RED: u32 = 0xE7_4C_3C;
const GREEN: u32 = 0x2E_CC_71;

/// A failure, with its counter.
pub(crate) fn failure(pipeline: &str, entry: &Entry) -> Message {
    let name = code(pipeline, 100);
    let what = match entry.kind {
        AlertKind::TimedOut => format!("⏱️ {name} **timed out**"),
        AlertKind::Abandoned => format!("💀 {name} **was abandoned**: its process died"),
        AlertKind::Missed(_) if entry.count == 1 => format!("⏭️ {name} **missed a fire**"),
        AlertKind::Missed(_) => format!("⏭️ {name} **missed {} fires**", entry.count),
        AlertKind::Failed | AlertKind::Succeeded => format!("❌ {name} **failed**"),
    };
    let counter = match entry.count {
        1 => format!(" {}", relative(entry.last_at)),
        count => format!(" · ×{count}, last {}, first {}", relative(entry.last_at), relative(entry.first_at)),
    };
    let message = Message::new(format!("{what}{counter} · run {}", code(&entry.run_id, 64)));
    match &entry.error {
        None => message,
        Some(error) => {
            let error = error.replace("```", "'''");
            message.with_embed(embed(RED, Some(format!("```\n{}\n```", cut(error.trim(), 1500)))))
        }
    }
}

/// The end of it.
pub(crate) fn recovery(pipeline: &str, entry: &Entry, recovery: &Recovery) -> Message {
    let times = if entry.total == 1 { "once".to_owned() } else { format!("{} times", entry.total) };
    let text = format!(
        "✅ {} **works again** {}, after it failed {times} since {}",
        code(pipeline, 100),
        relative(recovery.at),
        relative(entry.since)
    );
    let mut message = Message::new(text);
    message.embeds.push(embed(GREEN, Some(format!("run {}", code(&recovery.run_id, 64)))));
    message
}
