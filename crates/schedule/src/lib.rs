//! When things happen: cron expressions, intervals and single instants in any time zone.
//!
//! Everything here is a pure function of its arguments. Nothing reads the clock, the environment
//! or a file: whoever needs "now" hands it in. Instants are [`chrono::DateTime<Utc>`]; durations
//! are [`std::time::Duration`].
//!
//! - [`Cron`] is a checked five-field expression that keeps its text exactly as written.
//! - [`Zone`] is an IANA time zone; [`DstOverride`] says what happens when clocks change.
//! - [`Schedule`] joins a [`Trigger`] with a zone, bounds and jitter and answers "when next?",
//!   "how many were missed?" and "in plain English?".
//! - [`ScheduleSpec`] is the `schedule:` block of a configuration file; building it reports every
//!   problem at once.
//! - [`plan_fires`] decides what to do with fires that are due, however late they are seen.
//!
//! ```
//! use chrono::{DateTime, Utc};
//! use schedule::{Cron, Schedule, Zone};
//!
//! let zone: Zone = "Europe/Stockholm".parse()?;
//! let schedule = Schedule::cron(Cron::parse("30 2 * * *")?, zone);
//! let after: DateTime<Utc> = "2026-03-28T12:00:00Z".parse()?;
//! // 02:30 does not exist on that night: the fire comes at the first instant after the gap.
//! assert_eq!(schedule.next_after(after), Some("2026-03-29T01:00:00Z".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod civil;
mod cron;
mod dst;
pub mod duration;
mod error;
mod explain;
mod fires;
pub mod instant;
mod interval;
mod jitter;
mod misfire;
mod missed;
mod plan;
mod schedule;
mod spans;
mod spec;
mod stored;
mod suggest;
mod trigger;
mod warnings;
mod zone;

pub use cron::{Cron, CronError, CronField, Reading};
pub use dst::{Dst, DstOverride, Gap, Overlap};
pub use duration::DurationError;
pub use error::ScheduleError;
pub use explain::{Explanation, Fire, explain};
pub use instant::InstantError;
pub use misfire::{CatchUp, MisfirePolicy};
pub use missed::Missed;
pub use plan::{FirePlan, MissedRow, NextFire, PlannedFire, plan_fires};
pub use schedule::{Fires, Schedule};
pub use spec::{ScheduleSpec, SpecProblem};
pub use stored::StoredSchedule;
pub use trigger::Trigger;
pub use warnings::{Warning, WarningKind};
pub use zone::{Zone, ZoneError};
