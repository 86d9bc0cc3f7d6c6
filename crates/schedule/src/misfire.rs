//! What to do about fires that are seen late.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Which of the missed fires run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// One run for the newest missed fire.
    #[default]
    Latest,
    /// The newest [`MisfirePolicy::max`] missed fires, oldest first.
    All,
    /// None, except those within [`MisfirePolicy::grace`].
    Skip,
}

/// What to do about fires that are seen late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MisfirePolicy {
    /// Which of the missed fires run.
    pub catch_up: CatchUp,
    /// How late a fire may start. `None`: late is better than never, except with
    /// [`CatchUp::Skip`], where it is a second.
    pub grace: Option<Duration>,
    /// The most fires that one catch-up runs.
    pub max: u32,
}

impl Default for MisfirePolicy {
    fn default() -> Self {
        Self { catch_up: CatchUp::Latest, grace: None, max: Self::DEFAULT_MAX }
    }
}

impl MisfirePolicy {
    /// A fire that is seen later than this is a misfire.
    pub const TOLERANCE: Duration = Duration::from_secs(1);
    /// The most fires that one catch-up runs, unless said otherwise.
    pub const DEFAULT_MAX: u32 = 100;
    /// The largest [`MisfirePolicy::max`]: catching up takes memory in proportion to it.
    pub const LARGEST_MAX: u32 = 10_000;

    /// How late a fire may start; `None` is without limit.
    pub fn effective_grace(&self) -> Option<Duration> {
        match self.catch_up {
            CatchUp::Skip => Some(self.grace.unwrap_or(Self::TOLERANCE)),
            CatchUp::Latest | CatchUp::All => self.grace,
        }
    }

    /// Whether a fire that was due at `due_at` (its nominal instant and its jitter) would start
    /// too late at `now`, and so has to end as `missed`. It is asked when the fire is seen and
    /// again when it would start, because it may have waited in between.
    pub fn too_late(&self, due_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.effective_grace()
            .and_then(|grace| TimeDelta::from_std(grace).ok())
            .is_some_and(|grace| now.signed_duration_since(due_at) > grace)
    }
}
