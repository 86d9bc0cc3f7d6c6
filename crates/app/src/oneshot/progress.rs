//! A line on the terminal for each pipeline that is running: stage counts, rate, time.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pipeline_core::{Progress, Stopwatch};

use super::summary::seconds;
use crate::terminal::Terminal;

/// How often a line is drawn anew.
const PERIOD: Duration = Duration::from_millis(100);

/// Shows a run until it is dropped.
pub(super) struct ProgressLine {
    bar: ProgressBar,
    updates: tokio::task::JoinHandle<()>,
}

impl ProgressLine {
    /// Starts the line of a run, where a person looks.
    pub(super) fn start(terminal: &Terminal, pipeline: &str, progress: Arc<Progress>) -> Option<Self> {
        if terminal.progress().is_hidden() {
            return None;
        }
        let bar = terminal.progress().add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {prefix:.bold}  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(pipeline.to_owned());
        let updates = tokio::spawn({
            let bar = bar.clone();
            async move {
                let watch = Stopwatch::start();
                let mut ticks = tokio::time::interval(PERIOD);
                loop {
                    ticks.tick().await;
                    bar.set_message(message(&progress, watch.elapsed()));
                    bar.tick();
                }
            }
        });
        Some(Self { bar, updates })
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.updates.abort();
        self.bar.finish_and_clear();
    }
}

fn message(progress: &Progress, elapsed: Duration) -> String {
    let stages: Vec<(&str, u64)> =
        progress.stages().iter().map(|stage| (&*stage.class, stage.items_out())).collect();
    let counts: Vec<String> = stages
        .iter()
        .map(|(class, count)| format!("{} {count}", class.rsplit('.').next().unwrap_or(class)))
        .collect();
    // The busiest stage tells how fast things move: a parser makes many items of one.
    let most = stages.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let rate = most.saturating_mul(1000) / millis.max(1);
    format!("{}  {rate}/s  {}", counts.join(" → "), seconds(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_stages_there_is_time_alone() {
        assert_eq!(message(&Progress::default(), Duration::from_millis(1500)), "  0/s  1.50s");
    }
}
