//! Log lines for people: when, how grave, which pipeline and stage, what; the rest behind it.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// `2026-11-24T17:56:39.673176Z  INFO books, 2 html.HtmlParser: 3 pages read  run=01a2…`.
pub(super) struct TextLines;

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let level = *event.metadata().level();
        let (dim, colour, bold, end) = match to.has_ansi_escapes() {
            true => ("\u{1b}[2m", colour(level), "\u{1b}[1m", "\u{1b}[0m"),
            false => ("", "", "", ""),
        };
        write!(to, "{dim}")?;
        SystemTime.format_time(&mut to)?;
        write!(to, "{end} {colour}{level:>5}{end} ")?;
        match (parts.pipeline.as_str(), parts.stage.as_str()) {
            ("", "") => {}
            (pipeline, "") => write!(to, "{bold}{pipeline}{end}: ")?,
            ("", stage) => write!(to, "{stage}: ")?,
            (pipeline, stage) => write!(to, "{bold}{pipeline}{end}, {stage}: ")?,
        }
        to.write_str(&parts.message)?;
        if !parts.rest.is_empty() {
            write!(to, " {dim}{}{end}", parts.rest)?;
        }
        writeln!(to)
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[34m",
    }
}

/// The fields of an event.
#[derive(Default)]
struct Parts {
    pipeline: String,
    stage: String,
    message: String,
    rest: String,
}

impl Parts {
    fn put(&mut self, name: &str, value: String) {
        match name {
            "message" => self.message = value,
            "pipeline" => self.pipeline = value,
            "stage" => self.stage = value,
            // Where a line of the `log` crate came from says nothing to who reads it here.
            name if name.starts_with("log.") => {}
            _ => self.rest.push_str(&format!(" {name}={value}")),
        }
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}
