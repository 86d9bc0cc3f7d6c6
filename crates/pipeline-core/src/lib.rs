//! The ground of every pipeline: what flows through a chain, what a stage is, how a chain runs.
//!
//! A pipeline is a chain of [`Transform`]s over one asynchronous stream of [`Item`]s. This crate knows no
//! concrete transform, no schedule, no database and no network; the crates around it bring those.
//!
//! ```
//! use pipeline_core::{Chain, Emitter, Fetcher, ParsedItem, RunContext, RunIdentity, RunOptions, StageContext, StageError};
//! use pipeline_core::{Record, RunOutcome};
//!
//! struct Numbers;
//!
//! impl Fetcher for Numbers {
//!     async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
//!         for n in 1..=3 {
//!             let content: Record = [("n", n)].into_iter().collect();
//!             out.emit(ParsedItem { topic: "numbers".into(), content, discovered_at: ctx.now() }).await;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let identity = RunIdentity {
//!     run_id: "1".into(),
//!     pipeline: "numbers".into(),
//!     job_id: "numbers".into(),
//!     scheduled_for: chrono::DateTime::UNIX_EPOCH,
//!     attempt: 1,
//! };
//! let chain = Chain::new().stage("demo.Numbers", pipeline_core::fetcher(Numbers));
//! let report = chain.run(RunContext::new(RunOptions::new(identity)), None).await;
//! assert_eq!(report.outcome, RunOutcome::Succeeded);
//! assert_eq!(report.stages[0].items_out, 3);
//! # }
//! ```

mod chain;
mod clock;
pub mod config;
mod context;
pub mod dead_letter;
pub mod duration;
mod error;
mod item;
mod redact;
mod registry;
mod state;
mod stream;
pub mod suggest;
pub mod tape;
mod transform;
mod value;

pub use chain::{Chain, OnError, RunOutcome, RunReport, Stage, StageReport};
pub use clock::{Clock, SimClock, Stopwatch, SystemClock};
pub use compact_str::CompactString;
pub use context::{
    CommitPhase, Fence, LogLine, LogSink, Participant, Progress, RunContext, RunIdentity, RunOptions,
    Services, StageContext, StageProgress,
};
pub use duration::HumanDuration;
pub use error::{RunError, StageError};
pub use item::{Event, EventLevel, Item, ParsedItem, Payload, RawItem, SpooledFile, Topic};
pub use redact::{REDACTED, Redactor};
pub use registry::{BuildContext, BuildErrors, Definition, Entry, KwargsProblem, Registry};
pub use state::{NoState, StageState, StateScope, StateStore, StateWrite};
pub use stream::{BATCH, Batch, Emitter, ItemStream, Room};
pub use transform::{
    Fetcher, ItemTransform, Parser, ParserOutput, Sink, Transform, fetcher, items, parser, sink,
};
pub use value::{Record, Shape, ShapeCache, Value};
