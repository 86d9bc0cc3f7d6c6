//! How a program ends.

use std::process::ExitCode;

use crate::signals::Signal;

/// The exit codes of both programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Success,
    /// Something that was asked for failed: a pipeline, an operation.
    Failure,
    /// The command line, the environment or the file is wrong; nothing has run.
    Usage,
    /// The store cannot be used.
    Store,
    /// A signal stopped it.
    Stopped(Signal),
}

impl Exit {
    /// The number: 0, 1, 2, 3, or 128 and the signal's.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Store => 3,
            Self::Stopped(signal) => 128 + signal.number(),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
