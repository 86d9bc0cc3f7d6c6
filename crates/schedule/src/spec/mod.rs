//! The `schedule:` block of a configuration file.

mod build;
mod node;
mod read;
mod schema;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::dst::DstOverride;
use crate::misfire::MisfirePolicy;

/// The `schedule:` block of a configuration file, before it is checked as a whole.
///
/// Reading it with serde never fails on what a person wrote: unknown keys, wrong types and
/// unreadable values are kept as problems, and [`ScheduleSpec::build`] reports them together with
/// everything else that is wrong. Numbers and booleans may be written as text, because that is
/// what substituted values are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScheduleSpec {
    /// A cron expression.
    pub cron: Option<String>,
    /// A period.
    pub interval: Option<Duration>,
    /// A date with a time; without an offset it is local time in the job's zone.
    pub at: Option<String>,
    /// No trigger: the job runs when it is started by hand.
    pub manual: bool,
    /// An IANA name.
    pub timezone: Option<String>,
    /// What happens when clocks change.
    pub dst: DstOverride,
    /// The largest delay of a start.
    pub jitter: Option<Duration>,
    /// The earliest nominal instant; without an offset it is local time in the job's zone.
    pub start: Option<String>,
    /// The latest nominal instant; without an offset it is local time in the job's zone.
    pub end: Option<String>,
    /// What to do about fires that are seen late.
    pub misfire: MisfirePolicy,
    /// What was wrong already when it was read; empty for a spec that is made by hand.
    pub problems: Vec<SpecProblem>,
}

/// One thing that is wrong with a `schedule:` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecProblem {
    /// Where, from the block on: `cron`, `interval.hours`, or empty for the block itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl SpecProblem {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "schedule" } else { &self.path };
        write!(f, "{path}: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SpecProblem {}

impl<'de> Deserialize<'de> for ScheduleSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        node::Node::deserialize(deserializer).map(read::read)
    }
}
