//! What is written where a person may look: data to stdout, talk to stderr, without tearing the progress lines.

use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use pipeline_core::Redactor;

/// Standard output and error of the program; cheap to clone.
#[derive(Debug, Clone)]
pub struct Terminal {
    progress: MultiProgress,
    redactor: Redactor,
}

impl Terminal {
    /// A terminal that hides what the redactor knows. Progress lines are off.
    pub fn new(redactor: Redactor) -> Self {
        Self { progress: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), redactor }
    }

    /// Whether a person looks at stderr.
    pub fn is_interactive() -> bool {
        io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Whether stdout takes colours.
    pub fn stdout_has_colour() -> bool {
        io::stdout().is_terminal() && no_colour_is_unset()
    }

    /// Whether stderr takes colours.
    pub fn stderr_has_colour() -> bool {
        Self::is_interactive() && no_colour_is_unset()
    }

    /// Shows progress lines from now on, where a person looks.
    pub fn show_progress(&self) {
        if Self::is_interactive() {
            self.progress.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
    }

    /// The progress lines.
    pub fn progress(&self) -> &MultiProgress {
        &self.progress
    }

    /// What must not be shown.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Writes a line of data.
    ///
    /// # Errors
    /// Where nobody reads it.
    pub fn print(&self, text: &str) -> io::Result<()> {
        let text = self.redactor.redact(text);
        self.progress.suspend(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes())?;
            stdout.write_all(b"\n")?;
            stdout.flush()
        })
    }

    /// Writes a line of talk.
    pub fn say(&self, text: &str) {
        self.say_bytes(format!("{}\n", self.redactor.redact(text)).as_bytes());
    }

    /// Writes finished text to stderr. Where that is closed there is no place left to say so.
    pub(crate) fn say_bytes(&self, bytes: &[u8]) {
        self.progress.suspend(|| drop(io::stderr().lock().write_all(bytes)));
    }
}

fn no_colour_is_unset() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `console.ConsoleSink` and the sinks of a dry run write to stdout.
impl transforms::Output for Terminal {
    fn line(&self, text: &str) -> io::Result<()> {
        self.print(text)
    }
}
