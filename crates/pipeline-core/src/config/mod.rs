//! `pipelines.yml`: reading it, checking all of it, and the checked pipelines.
//!
//! [`Loader`] reads a file. What comes out is checked: every class is known, every stage can be built, every
//! name refers to something. Where something is wrong, [`ConfigError`] lists all of it, each problem with its
//! line, column and path.

mod after;
mod build;
mod canonical;
mod check;
mod decode;
mod document;
mod inherit;
mod loader;
mod merge;
mod model;
mod node;
mod original;
mod path;
mod pipeline;
mod policy;
mod problem;
mod schema;
mod secrets;
mod stages;
mod substitute;
mod url;
mod yaml;

pub use decode::{decode, decode_known};
pub use document::document;
pub use loader::{AnySchedule, Loader, MAX_BYTES, ScheduleCheck};
pub use model::{Pipeline, PipelinesFile, ScheduleBlock, StageSpec};
pub use node::{Entry as NodeEntry, Kind, Node, Position, Text};
pub use policy::{LimitGroup, OnCrash, OnFailure, Overlap, RetryPolicy, TimeoutPolicy};
pub use problem::{ConfigError, Problem};
pub use schema::schema;
