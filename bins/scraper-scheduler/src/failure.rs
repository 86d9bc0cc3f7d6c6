//! What went wrong, and the exit code that says so.

use std::fmt;
use std::process::ExitCode;

use engine::{ControlError, EngineError};
use jobstore::{OpenError, StoreError};

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operation failed: exit code 1.
    Failed(anyhow::Error),
    /// The command line, the environment or the file is wrong: exit code 2.
    Usage(anyhow::Error),
    /// The store cannot be used: exit code 3.
    Store(anyhow::Error),
    /// All has been said already; only the exit code is left.
    Silent(u8),
}

impl Failure {
    /// The operation failed.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(anyhow::anyhow!("{message}"))
    }

    /// The command line, the environment or the file is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(anyhow::anyhow!("{message}"))
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Store(_) => 3,
            Self::Silent(code) => *code,
        }
    }

    /// The exit code, as the process gives it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// What to tell; nothing where all has been said.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Failed(error) | Self::Usage(error) | Self::Store(error) => Some(format!("{error:#}")),
            Self::Silent(_) => None,
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Url { .. } | OpenError::File { .. } => Self::Usage(error.into()),
            _ => Self::Store(error.into()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::DuplicatePipeline(_) => Self::Usage(error.into()),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Store(error) => error.into(),
            ControlError::Reload(error) => error.into(),
            ControlError::UnknownPipeline { .. }
            | ControlError::Schedule(_)
            | ControlError::InvalidJobId(_)
            | ControlError::ConfigJob(_) => Self::Usage(error.into()),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let cases: [(Failure, u8); 6] = [
            (Failure::failed("no"), 1),
            (ControlError::UnknownRun("x".into()).into(), 1),
            (ControlError::Schedule("bad cron".into()).into(), 2),
            (OpenError::Url { url: "x".into(), reason: "y".into() }.into(), 2),
            (StoreError::Full("disk".into()).into(), 3),
            (ControlError::Store(StoreError::Closed).into(), 3),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.code(), code, "{failure:?}");
        }
    }
}
