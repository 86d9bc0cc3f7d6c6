//! Counters and histograms of what the engine does, as plain numbers: whoever serves them gives them a form.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jobstore::{Outcome, Reason};
use tokio::time::Instant;

use crate::event::EventKind;

/// So many pipelines have numbers of their own; further ones share those of [`OTHERS`].
const PIPELINES: usize = 1_000;
/// The name under which further pipelines are counted together.
pub const OTHERS: &str = "_others";
/// So many stages of a pipeline have numbers of their own.
const STAGES: usize = 50;

/// Upper bounds, in seconds, of the buckets of lateness.
pub const LATENESS_BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0];
/// Upper bounds, in seconds, of the buckets of durations.
pub const DURATION_BUCKETS: [f64; 12] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0];

/// A histogram with fixed buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// How many values were in each bucket (not summed up); one more for those above the last bound.
    pub counts: [u64; 13],
    /// The sum of all values.
    pub sum: f64,
}

impl Histogram {
    fn observe(&mut self, bounds: &[f64; 12], value: f64) {
        let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Numbers of one stage of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageNumbers {
    /// Items that it took.
    pub items_in: u64,
    /// Items that it gave.
    pub items_out: u64,
    /// Items that failed in it.
    pub errors: u64,
}

/// Numbers of one pipeline since the start of the process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PipelineNumbers {
    /// Fires recorded as runs.
    pub fires: u64,
    /// Runs by outcome; skipped rows and missed fires are counted by the fire.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Attempts that were followed by another one.
    pub retries: u64,
    /// Attempts in progress.
    pub running: u64,
    /// How late the first attempts of fires on time started, in seconds.
    pub lateness: Histogram,
    /// How long the last attempts of runs took, in seconds.
    pub duration: Histogram,
    /// When a run last succeeded.
    pub last_success: Option<DateTime<Utc>>,
    /// Its stages: number and class.
    pub stages: BTreeMap<String, StageNumbers>,
}

/// All numbers at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    /// Those of each pipeline.
    pub pipelines: BTreeMap<Arc<str>, PipelineNumbers>,
    /// Turns of the loop.
    pub turns: u64,
    /// How long turns took, in seconds.
    pub turn_duration: Histogram,
    /// Runs whose holder was gone, found by this process.
    pub rescued: u64,
    /// Attempts whose run another scheduler had taken over.
    pub leases_lost: u64,
    /// How often the store went away.
    pub outages: u64,
    /// How many attempts may run at a time.
    pub slots: u64,
    /// How many attempts run.
    pub slots_used: u64,
    /// Seconds since the leases were last renewed.
    pub lease_age: Option<f64>,
}

/// Gathers the numbers. One mutex, held for moments by the loop and by whoever reads.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    numbers: Mutex<Numbers>,
    renewed: Mutex<Option<Instant>>,
}

impl Metrics {
    pub(crate) fn read(&self) -> Numbers {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbers = self.lock().clone();
        numbers.lease_age = renewed.map(|renewed| renewed.elapsed().as_secs_f64());
        numbers
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn turn(&self, took: Duration) {
        let mut numbers = self.lock();
        numbers.turns += 1;
        numbers.turn_duration.observe(&DURATION_BUCKETS, took.as_secs_f64());
    }

    pub(crate) fn lease_renewed(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn gauges(&self, slots: usize, used: usize) {
        let mut numbers = self.lock();
        numbers.slots = slots as u64;
        numbers.slots_used = used as u64;
    }

    pub(crate) fn count(&self, kind: &EventKind, at: DateTime<Utc>) {
        let mut numbers = self.lock();
        match kind {
            EventKind::StoreLost { .. } => numbers.outages += 1,
            EventKind::Rescued { .. } => numbers.rescued += 1,
            EventKind::LeaseLost { .. } | EventKind::Refused { .. } => numbers.leases_lost += 1,
            _ => {}
        }
        let Some(run) = kind.run() else { return };
        let pipeline = pipeline(&mut numbers, &run.pipeline);
        match kind {
            EventKind::Fired { .. } => pipeline.fires += 1,
            EventKind::Skipped { .. } => pipeline.add(Outcome::Skipped, 1),
            EventKind::Missed { count, .. } => pipeline.add(Outcome::Missed, *count),
            EventKind::AttemptStarted { lateness, attempt, .. } => {
                pipeline.running += 1;
                // What catches up or is tried again is late on purpose.
                if run.reason == Reason::Schedule && *attempt == 1 {
                    pipeline.lateness.observe(&LATENESS_BUCKETS, lateness.as_secs_f64());
                }
            }
            EventKind::Retrying { .. } => pipeline.retries += 1,
            EventKind::Finished { outcome, duration, stages, .. } => {
                pipeline.add(*outcome, 1);
                pipeline.duration.observe(&DURATION_BUCKETS, duration.as_secs_f64());
                if *outcome == Outcome::Succeeded {
                    pipeline.last_success = Some(at);
                }
                for (stage, number) in stages.iter().take(STAGES).zip(1..) {
                    let counts = pipeline.stages.entry(format!("{number} {}", stage.class)).or_default();
                    counts.items_in += stage.items_in;
                    counts.items_out += stage.items_out;
                    counts.errors += stage.errors;
                }
            }
            _ => {}
        }
    }

    /// An attempt of this pipeline no longer runs.
    pub(crate) fn attempt_over(&self, name: &Arc<str>) {
        let mut numbers = self.lock();
        let pipeline = pipeline(&mut numbers, name);
        pipeline.running = pipeline.running.saturating_sub(1);
    }
}

impl PipelineNumbers {
    fn add(&mut self, outcome: Outcome, count: u64) {
        *self.outcomes.entry(outcome.as_str()).or_default() += count;
    }
}

fn pipeline<'a>(numbers: &'a mut Numbers, name: &Arc<str>) -> &'a mut PipelineNumbers {
    let known = numbers.pipelines.contains_key(name) || numbers.pipelines.len() < PIPELINES;
    let name = if known { name.clone() } else { Arc::from(OTHERS) };
    numbers.pipelines.entry(name).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RunRef;

    fn fired(pipeline: &str) -> EventKind {
        let run = RunRef {
            id: jobstore::RunId::generate(DateTime::UNIX_EPOCH),
            pipeline: pipeline.into(),
            job_id: None,
            reason: Reason::Schedule,
            scheduled_for: DateTime::UNIX_EPOCH,
        };
        EventKind::Fired { run, replaced: vec![] }
    }

    #[test]
    fn values_fall_into_their_buckets() {
        let mut histogram = Histogram::default();
        for value in [0.0005, 0.001, 0.002, 1_000.0] {
            histogram.observe(&LATENESS_BUCKETS, value);
        }
        assert_eq!(histogram.counts[..3], [2, 1, 0]);
        assert_eq!(histogram.counts[12], 1);
        assert_eq!(histogram.count(), 4);
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let metrics = Metrics::default();
        for n in 0..2 * PIPELINES {
            metrics.count(&fired(&format!("pipeline {n}")), DateTime::UNIX_EPOCH);
        }
        let numbers = metrics.read();
        assert_eq!(numbers.pipelines.len(), PIPELINES + 1);
        assert_eq!(numbers.pipelines[OTHERS].fires, PIPELINES as u64);
    }
}
