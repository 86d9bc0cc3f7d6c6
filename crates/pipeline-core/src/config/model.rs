//! The checked content of a file.

use std::num::NonZeroU32;

use super::node::{Node, Position};
use super::policy::{LimitGroup, OnFailure, Overlap, RetryPolicy, TimeoutPolicy};
use super::problem::Problem;
use crate::chain::OnError;

/// A checked file.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelinesFile {
    /// The file, as it was named.
    pub name: String,
    /// The pipelines, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// What is legal but suspect.
    pub warnings: Vec<Problem>,
}

/// A checked pipeline, with what it inherits from `defaults`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The name: 1 to 100 characters without control characters, unique in the file.
    pub name: String,
    /// The file, as it was named.
    pub file: std::sync::Arc<str>,
    /// Where it stands.
    pub at: Position,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it runs at all.
    pub enabled: bool,
    /// When it runs.
    pub schedule: Option<ScheduleBlock>,
    /// What becomes of a fire while a run is queued or running.
    pub overlap: Overlap,
    /// Runs at a time under `overlap: allow`.
    pub max_instances: NonZeroU32,
    /// When and how often a failed run is tried again.
    pub retry: RetryPolicy,
    /// How long an attempt may take.
    pub timeout: TimeoutPolicy,
    /// Shares a limit with other pipelines.
    pub limit_group: Option<LimitGroup>,
    /// Who is told of a failure.
    pub on_failure: OnFailure,
    /// Asked after each success, and with `/fail` behind it after a failure.
    pub heartbeat_url: Option<String>,
    /// Pipelines that must have succeeded first; each is in the file, and there is no cycle.
    pub after: Vec<String>,
    /// Where `after` stands; where the pipeline stands if it has none.
    pub after_at: Position,
    /// The stages, at least one.
    pub chain: Vec<StageSpec>,
    /// What stands under `extra`, for other programs.
    pub extra: Option<Node>,
    /// All of it as one text: JSON with sorted keys, with what is inherited, without secrets.
    pub canonical: String,
}

/// A stage of a pipeline as the file has it. It could be built when the file was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSpec {
    /// The class as the file names it.
    pub class: String,
    /// Where it stands.
    pub at: Position,
    /// What becomes of items that fail.
    pub on_error: OnError,
    /// What stands under `kwargs`; a map, empty where the file has none.
    pub kwargs: Node,
    /// The path of the stage in the file: `pipelines.books.chain[1]`.
    pub path: String,
}

/// When a pipeline runs. What it means is known to the scheduler only: here it is a map that was checked.
///
/// It holds the keys of the pipeline's `schedule`, and those of `defaults` that belong to a schedule
/// (`timezone`, `misfire`, `jitter`, `dst`) where the pipeline has none of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleBlock(pub Node);

impl PipelinesFile {
    /// The pipeline of this name.
    pub fn get(&self, name: &str) -> Option<&Pipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.name == name)
    }

    /// The known name that looks most like this one, where one does.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        crate::suggest::nearest(name, self.pipelines.iter().map(|pipeline| pipeline.name.as_str()))
    }
}

impl ScheduleBlock {
    /// The block as a type of the scheduler's.
    ///
    /// # Errors
    /// All that is wrong, with paths within the block.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::registry::BuildErrors> {
        super::decode::decode(&self.0)
    }
}
