//! What each pipeline did, for people and for programs.

use chrono::{DateTime, Utc};
use pipeline_core::{RunOutcome, RunReport, StageReport};
use serde::Serialize;

use super::table::align;

/// How to say what each pipeline did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SummaryFormat {
    /// A line a pipeline
    #[default]
    Text,
    /// An array of objects
    Json,
    /// Nothing
    None,
}

/// How a pipeline ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All went through.
    Succeeded,
    /// A stage failed, in every attempt.
    Failed,
    /// The last attempt took longer than its timeout.
    TimedOut,
    /// It was cancelled.
    Cancelled,
    /// It did not run, because a pipeline that it waits for has not succeeded.
    Skipped,
}

impl From<RunOutcome> for Outcome {
    fn from(outcome: RunOutcome) -> Self {
        match outcome {
            RunOutcome::Succeeded => Self::Succeeded,
            RunOutcome::Failed => Self::Failed,
            RunOutcome::TimedOut => Self::TimedOut,
            RunOutcome::Cancelled => Self::Cancelled,
        }
    }
}

impl Outcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Succeeded => "\u{1b}[32m",
            Self::Failed | Self::TimedOut => "\u{1b}[31m",
            Self::Cancelled | Self::Skipped => "\u{1b}[33m",
        }
    }
}

/// What a pipeline did.
#[derive(Debug, Clone, Serialize)]
pub struct PipelineSummary {
    /// Its name.
    pub pipeline: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Something to know: `unchanged`, `3 items skipped`, `attempt 2 of 3`.
    pub note: Option<String>,
    /// When its first attempt started; absent where it did not run.
    pub started_at: Option<DateTime<Utc>>,
    /// From there to its end, with the waits between attempts.
    pub duration_ms: u64,
    /// The stages of its last attempt.
    pub stages: Vec<StageReport>,
    /// Why it did not succeed.
    pub error: Option<String>,
}

impl PipelineSummary {
    /// Of a pipeline that did not run.
    pub(super) fn not_run(pipeline: &str, outcome: Outcome, note: impl Into<String>) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            outcome,
            note: Some(note.into()),
            started_at: None,
            duration_ms: 0,
            stages: Vec::new(),
            error: None,
        }
    }

    /// Of a pipeline whose last attempt ended like this.
    pub(super) fn of(report: RunReport) -> Self {
        Self {
            pipeline: report.pipeline,
            outcome: report.outcome.into(),
            note: report.note,
            started_at: Some(report.started_at),
            duration_ms: report.duration_ms,
            stages: report.stages,
            error: report.error,
        }
    }
}

/// The lines to print.
pub(super) fn render(summaries: &[PipelineSummary], format: SummaryFormat, colour: bool) -> Vec<String> {
    match format {
        SummaryFormat::None => Vec::new(),
        SummaryFormat::Json => serde_json::to_string_pretty(summaries).into_iter().collect(),
        SummaryFormat::Text => {
            let rows: Vec<[String; 4]> = summaries.iter().map(row).collect();
            let mut lines = align(&rows);
            if colour {
                for (line, summary) in lines.iter_mut().zip(summaries) {
                    let word = summary.outcome.as_str();
                    *line = line.replacen(
                        &format!("  {word}"),
                        &format!("  {}{word}\u{1b}[0m", summary.outcome.colour()),
                        1,
                    );
                }
            }
            lines
        }
    }
}

fn row(summary: &PipelineSummary) -> [String; 4] {
    let stage = |stage: &StageReport| {
        let errors = match stage.errors {
            0 => String::new(),
            1 => " (1 error)".to_owned(),
            count => format!(" ({count} errors)"),
        };
        format!("{} {}→{}{errors}", stage.class, stage.items_in, stage.items_out)
    };
    let mut rest = summary.stages.iter().map(stage).collect::<Vec<_>>().join(", ");
    for remark in [&summary.note, &summary.error].into_iter().flatten() {
        let separator = if rest.is_empty() { "" } else { "  " };
        let remark = without_name(remark, &summary.pipeline);
        rest.push_str(&format!("{separator}{}", remark.replace('\n', " ")));
    }
    [summary.pipeline.clone(), summary.outcome.as_str().to_owned(), seconds(summary.duration_ms), rest]
}

/// An error without the name of its pipeline, where that stands beside it.
pub(super) fn without_name<'a>(error: &'a str, pipeline: &str) -> &'a str {
    let own = format!("pipeline `{pipeline}`");
    match error.strip_prefix(&own) {
        Some(rest) => rest.trim_start_matches([',', ':']).trim_start(),
        None => error,
    }
}

/// `0.31s`, `2m05s`, `1h02m`.
pub(super) fn seconds(millis: u64) -> String {
    let whole = millis / 1000;
    match whole {
        0..60 => format!("{whole}.{:02}s", millis % 1000 / 10),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<PipelineSummary> {
        let stage = |class: &str, items_in, items_out, errors| StageReport {
            class: class.to_owned(),
            items_in,
            items_out,
            errors,
            busy_ms: 1,
        };
        vec![
            PipelineSummary {
                pipeline: "books".to_owned(),
                outcome: Outcome::Succeeded,
                note: Some("1 item skipped".to_owned()),
                started_at: Some(DateTime::UNIX_EPOCH),
                duration_ms: 312,
                stages: vec![stage("file.FileFetcher", 0, 3, 0), stage("html.HtmlParser", 3, 59, 1)],
                error: None,
            },
            PipelineSummary {
                pipeline: "a".to_owned(),
                outcome: Outcome::Failed,
                note: None,
                started_at: Some(DateTime::UNIX_EPOCH),
                duration_ms: 125_000,
                stages: vec![stage("x.Y", 0, 0, 0)],
                error: Some("pipeline `a`, stage 1 (x.Y): broken\ntwice".to_owned()),
            },
            PipelineSummary::not_run("later", Outcome::Skipped, "`a` has failed"),
        ]
    }

    #[test]
    fn a_line_a_pipeline() {
        assert_eq!(
            render(&example(), SummaryFormat::Text, false),
            [
                "books  succeeded  0.31s  file.FileFetcher 0→3, html.HtmlParser 3→59 (1 error)  1 item skipped",
                "a      failed     2m05s  x.Y 0→0  stage 1 (x.Y): broken twice",
                "later  skipped    0.00s  `a` has failed",
            ]
        );
        assert_eq!(
            render(&example()[2..], SummaryFormat::Text, true),
            ["later  \u{1b}[33mskipped\u{1b}[0m  0.00s  `a` has failed"]
        );
        assert!(render(&example(), SummaryFormat::None, false).is_empty());
    }

    #[test]
    fn an_object_a_pipeline() {
        let lines = render(&example()[..1], SummaryFormat::Json, false);
        let json: serde_json::Value = serde_json::from_str(&lines.concat()).unwrap();
        let expected = serde_json::json!([{
            "pipeline": "books",
            "outcome": "succeeded",
            "note": "1 item skipped",
            "started_at": "1970-01-01T00:00:00Z",
            "duration_ms": 312,
            "stages": [
                {"class": "file.FileFetcher", "items_in": 0, "items_out": 3, "errors": 0, "busy_ms": 1},
                {"class": "html.HtmlParser", "items_in": 3, "items_out": 59, "errors": 1, "busy_ms": 1},
            ],
            "error": null,
        }]);
        assert_eq!(json, expected);
    }
}
