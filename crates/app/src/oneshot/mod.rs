//! All pipelines once: side by side, in the order of `after`, with their retries and timeouts.

mod attempts;
mod order;
mod progress;
mod select;
mod summary;
mod table;
mod tellers;

pub use order::OneShot;
pub use select::{list_row, select};
pub use summary::{Outcome, PipelineSummary, SummaryFormat};
pub use table::align;
