//! What to do now about a job whose next fire may be due: a pure decision.

use chrono::{DateTime, TimeDelta, Utc};

use crate::misfire::{CatchUp, MisfirePolicy};
use crate::schedule::Schedule;

/// A fire that becomes a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedFire {
    /// The instant by which the fire is known.
    pub nominal: DateTime<Utc>,
    /// When it was to start: `nominal` and the jitter. Lateness counts from here.
    pub due_at: DateTime<Utc>,
    /// It is a misfire that the policy runs nevertheless.
    pub catch_up: bool,
}

/// Fires that one catch-up drops: they share one row with outcome `missed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissedRow {
    /// How many there are.
    pub count: u64,
    /// The oldest nominal instant.
    pub first: DateTime<Utc>,
    /// The newest nominal instant.
    pub last: DateTime<Utc>,
}

/// The fire to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextFire {
    /// The instant by which the fire is known.
    pub nominal: DateTime<Utc>,
    /// When it starts: `nominal` and the jitter.
    pub due_at: DateTime<Utc>,
}

/// What to do now. Every nominal instant from the one that was due up to, but without, `next` is
/// in exactly one of `missed` and `run`, and all of `missed` is older than all of `run`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirePlan {
    /// The fires to drop, as one row.
    pub missed: Option<MissedRow>,
    /// The fires to run, oldest first.
    pub run: Vec<PlannedFire>,
    /// What to wait for; `None` when the schedule has ended.
    pub next: Option<NextFire>,
}

/// Decides what happens to the fires of a job that are due.
///
/// `due` is the nominal instant that the store holds as the job's next fire. It counts as a fire
/// whatever the schedule says by now, so that no change of rules or of zone data loses or repeats
/// one. `job_id` is needed for the jitter.
///
/// A fire that is seen more than [`MisfirePolicy::TOLERANCE`] after it was to start is a misfire;
/// the policy says which of them run. All others run. Memory is bounded by [`MisfirePolicy::max`],
/// whatever the length of the downtime.
pub fn plan_fires(
    policy: &MisfirePolicy,
    schedule: &Schedule,
    job_id: &str,
    due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> FirePlan {
    let line = Timeline { schedule, job_id, due };
    let Some(newest) = line.newest_started(now) else {
        return FirePlan { next: Some(line.next_fire(due)), ..FirePlan::default() };
    };
    let next = schedule.next_after(newest).map(|nominal| line.next_fire(nominal));
    let on_time = line.first_due_since(now, MisfirePolicy::TOLERANCE, newest);
    let in_grace = match policy.effective_grace() {
        Some(grace) => line.first_due_since(now, grace, newest),
        None => Some(due),
    };
    let max = u64::from(policy.max.clamp(1, MisfirePolicy::LARGEST_MAX));
    // The oldest fire to run. Whatever the policy, it and all newer ones run.
    let chosen = match policy.catch_up {
        CatchUp::Skip => Some(line.nth_newest(newest, max)),
        CatchUp::Latest => line.newest_before(on_time, newest).or(on_time),
        CatchUp::All => {
            line.newest_before(on_time, newest).map(|late| line.nth_newest(late, max)).or(on_time)
        }
    };
    let run_from = chosen.zip(in_grace).map(|(chosen, in_grace)| chosen.max(in_grace));
    let tolerance = TimeDelta::from_std(MisfirePolicy::TOLERANCE).unwrap_or_default();
    let run = run_from.map_or_else(Vec::new, |from| {
        std::iter::once(from)
            .chain(schedule.fires(from))
            .take_while(|nominal| *nominal <= newest)
            .map(|nominal| {
                let due_at = schedule.due_at(job_id, nominal);
                let late = now.signed_duration_since(due_at) > tolerance;
                PlannedFire { nominal, due_at, catch_up: late && policy.catch_up != CatchUp::Skip }
            })
            .collect()
    });
    let missed = match run_from {
        None => Some(line.row(newest)),
        Some(from) => line.newest_before(Some(from), newest).map(|last| line.row(last)),
    };
    FirePlan { missed, run, next }
}

/// The fires of a job from the due one on.
struct Timeline<'a> {
    schedule: &'a Schedule,
    job_id: &'a str,
    due: DateTime<Utc>,
}

impl Timeline<'_> {
    fn next_fire(&self, nominal: DateTime<Utc>) -> NextFire {
        NextFire { nominal, due_at: self.schedule.due_at(self.job_id, nominal) }
    }

    /// The newest fire whose start has come. Only the newest nominal one can still be waiting for
    /// its jitter, because a delay ends before the next nominal instant.
    fn newest_started(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let newest = self.schedule.missed(self.due, now)?.newest;
        if self.schedule.due_at(self.job_id, newest) <= now {
            return Some(newest);
        }
        self.newest_before(Some(newest), newest)
    }

    /// The oldest fire that was to start at most `span` before `now`, if any up to `newest` was.
    fn first_due_since(
        &self,
        now: DateTime<Utc>,
        span: std::time::Duration,
        newest: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let cutoff = TimeDelta::from_std(span).ok().and_then(|span| now.checked_sub_signed(span));
        let Some(cutoff) = cutoff.filter(|cutoff| *cutoff > self.due) else {
            return Some(self.due);
        };
        // The newest nominal instant at or before the cutoff may start at or after it.
        let before = self.schedule.missed(self.due, cutoff)?.newest;
        if self.schedule.due_at(self.job_id, before) >= cutoff {
            return Some(before);
        }
        self.schedule.next_after(before).filter(|nominal| *nominal <= newest)
    }

    /// The newest fire before `limit`, or `newest` without a limit.
    fn newest_before(&self, limit: Option<DateTime<Utc>>, newest: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match limit {
            None => Some(newest),
            Some(limit) => {
                let just_before = limit.checked_sub_signed(TimeDelta::nanoseconds(1))?;
                self.schedule.missed(self.due, just_before).map(|missed| missed.newest)
            }
        }
    }

    /// The `n`-th newest fire up to `newest`, or the due one if there are fewer.
    fn nth_newest(&self, newest: DateTime<Utc>, n: u64) -> DateTime<Utc> {
        self.schedule.nth_newest(self.due, newest, n).unwrap_or(self.due)
    }

    /// The row of all fires up to `last`.
    fn row(&self, last: DateTime<Utc>) -> MissedRow {
        MissedRow { count: self.schedule.count(self.due, last) + 1, first: self.due, last }
    }
}
