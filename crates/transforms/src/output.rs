//! Where lines for a person go. Libraries do not print: the composing program hands in the place.

use std::io;
use std::sync::Arc;

use pipeline_core::{StageContext, StageError};

/// Takes lines, such as the standard output does.
pub trait Output: Send + Sync {
    /// Writes one line; the text has no line break at its end but may have some within.
    ///
    /// # Errors
    /// Where it cannot be written: nobody reads any more.
    fn line(&self, text: &str) -> io::Result<()>;
}

/// The service that `console.ConsoleSink` and the sinks of a dry run write to:
/// `options.services.insert(Console::new(stdout))`. Without it the lines go to the run's log.
#[derive(Clone)]
pub struct Console(Arc<dyn Output>);

impl Console {
    /// A service over an output.
    pub fn new(output: impl Output + 'static) -> Self {
        Self(Arc::new(output))
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

/// Writes a line for the person who started the run.
pub(crate) fn line(ctx: &StageContext, text: &str) -> Result<(), StageError> {
    // What a page, a cookie or a file held may be a secret of the configuration.
    let text = ctx.redactor().redact(text);
    match ctx.service::<Console>() {
        Some(console) => console.0.line(&text).map_err(|error| {
            StageError::fatal("the output cannot be written").hint("does anybody read it?").caused_by(error)
        }),
        None => {
            ctx.info(text.into_owned());
            Ok(())
        }
    }
}
