//! Logs: to stderr, as text or JSON lines, without secrets.

mod text;

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::terminal::Terminal;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line, for programs.
    Json,
}

/// The options about logs that both programs have.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogArgs {
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", global = true)]
    pub log_format: LogFormat,

    /// What is logged: error, warn, info, debug, trace, off, or directives as in RUST_LOG [default: info]
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
}

/// Libraries whose own lines are rarely of interest; a bare level leaves them at `info`.
const CHATTY: [&str; 9] = [
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "rustls",
    "tokio_postgres",
    "html5ever",
    "selectors",
    "tokio_websockets",
];

/// Starts logging.
///
/// # Errors
/// Where the level, or `RUST_LOG`, says nothing that is understood.
pub fn init(args: &LogArgs, rust_log: Option<&str>, terminal: &Terminal) -> Result<(), String> {
    let (source, directives) = match (&args.log_level, rust_log) {
        (Some(level), _) => ("--log-level", level.as_str()),
        (None, Some(directives)) => ("RUST_LOG", directives),
        (None, None) => ("the default", "info"),
    };
    let filter = filter(directives).map_err(|why| {
        format!(
            "{source}: `{directives}` is no log level: {why} (write error, warn, info, debug, trace or off)"
        )
    })?;
    let writer = Lines { terminal: terminal.clone() };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(args.log_format == LogFormat::Text && Terminal::stderr_has_colour());
    let started = match args.log_format {
        LogFormat::Text => builder.event_format(text::TextLines).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    // A program that starts logging twice, as tests do, keeps the first way.
    drop(started);
    Ok(())
}

fn filter(directives: &str) -> Result<EnvFilter, String> {
    let directives = directives.trim();
    let level = directives.to_ascii_lowercase();
    match level.as_str() {
        "error" | "warn" | "info" | "off" => EnvFilter::try_new(level),
        "debug" | "trace" => {
            let quiet = CHATTY.map(|name| format!(",{name}=info")).concat();
            EnvFilter::try_new(format!("{level}{quiet}"))
        }
        // A single word that is no level would be taken for the name of a module.
        word if word.chars().all(char::is_alphanumeric) => return Err("unknown level".to_owned()),
        _ => EnvFilter::try_new(directives),
    }
    .map_err(|error| error.to_string())
}

/// Writes whole lines, redacted, between the progress lines.
struct Lines {
    terminal: Terminal,
}

struct Line<'a> {
    bytes: Vec<u8>,
    terminal: &'a Terminal,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { bytes: Vec::with_capacity(256), terminal: &self.terminal }
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            let text = String::from_utf8_lossy(&self.bytes);
            self.terminal.say_bytes(self.terminal.redactor().redact(&text).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives() {
        for right in ["info", "DEBUG", "off", "warn,engine=debug", "engine=trace", " error "] {
            assert!(filter(right).is_ok(), "{right}");
        }
        for wrong in ["loud", "verbose", "engine=loud"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
