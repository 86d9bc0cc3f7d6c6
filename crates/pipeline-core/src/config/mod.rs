//! `pipelines.yml`: reading it, checking all of it, and the checked pipelines.
//!
//! [`Loader`] reads a file. What comes out is checked: every class is known, every stage can be built, every
//! name refers to something. Where something is wrong, [`ConfigError`] lists all of it, each problem with its
//! line, column and path.

mod model;
mod node;
mod path;
mod policy;
mod problem;

pub use model::{Pipeline, PipelinesFile, ScheduleBlock, StageSpec};
pub use node::{Entry as NodeEntry, Kind, Node, Position, Text};
pub use policy::{LimitGroup, OnCrash, OnFailure, Overlap, RetryPolicy, TimeoutPolicy};
pub use problem::{ConfigError, Problem};
