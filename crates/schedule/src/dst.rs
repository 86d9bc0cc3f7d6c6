//! What a fire does when the clocks change.

use serde::{Deserialize, Serialize};

/// What happens to nominal times that a spring change leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// All nominal times inside the gap give one fire, at the first instant after it.
    RunAfter,
    /// They give no fire.
    Skip,
}

/// What happens to nominal times that occur twice in autumn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Only the first occurrence fires.
    First,
    /// Only the second occurrence fires.
    Second,
    /// Both fire.
    Both,
}

/// The full rule for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Dst {
    /// The rule for times that do not exist.
    pub gap: Gap,
    /// The rule for times that occur twice.
    pub overlap: Overlap,
}

impl Dst {
    /// The rule of jobs whose minute or hour begins with `*`: real minutes, as the wall shows them.
    pub const WILDCARD: Dst = Dst { gap: Gap::Skip, overlap: Overlap::Both };
    /// The rule of all other cron jobs: never lost, never twice.
    pub const FIXED: Dst = Dst { gap: Gap::RunAfter, overlap: Overlap::First };
}

/// What a job sets itself; what it leaves out is decided by the kind of its expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DstOverride {
    /// Replaces the rule for times that do not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Replaces the rule for times that occur twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
}

impl DstOverride {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.gap.is_none() && self.overlap.is_none()
    }

    /// The rule that holds for a job whose kind would give `by_kind`.
    pub fn resolve(&self, by_kind: Dst) -> Dst {
        Dst { gap: self.gap.unwrap_or(by_kind.gap), overlap: self.overlap.unwrap_or(by_kind.overlap) }
    }
}
