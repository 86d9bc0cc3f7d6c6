//! A trigger with everything that decides when it fires.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::civil::LAST_SECOND;
use crate::cron::Cron;
use crate::dst::{Dst, DstOverride};
use crate::error::ScheduleError;
use crate::fires::ZonedCron;
use crate::interval::Grid;
use crate::misfire::MisfirePolicy;
use crate::spans::Spans;
use crate::trigger::Trigger;
use crate::zone::Zone;

/// When a job fires: a trigger, a zone, bounds, jitter, and what to do about misfires.
///
/// All instants that it speaks of are *nominal*: jitter delays the start of a run, never the
/// instant by which a fire is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    trigger: Trigger,
    zone: Zone,
    dst: DstOverride,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    anchor: Option<DateTime<Utc>>,
    jitter: Duration,
    misfire: MisfirePolicy,
}

impl Schedule {
    /// A schedule without bounds, jitter or overrides.
    pub fn new(trigger: Trigger, zone: Zone) -> Self {
        Self {
            trigger,
            zone,
            dst: DstOverride::default(),
            start: None,
            end: None,
            anchor: None,
            jitter: Duration::ZERO,
            misfire: MisfirePolicy::default(),
        }
    }

    /// A schedule of a cron expression in a zone.
    pub fn cron(cron: Cron, zone: Zone) -> Self {
        Self::new(Trigger::Cron(cron), zone)
    }

    /// A schedule of equal distances. Give it an anchor with [`Schedule::with_anchor`].
    ///
    /// # Errors
    /// The period is below a second.
    pub fn interval(period: Duration, zone: Zone) -> Result<Self, ScheduleError> {
        Ok(Self::new(Trigger::interval(period)?, zone))
    }

    /// A schedule that fires once.
    pub fn at(instant: DateTime<Utc>, zone: Zone) -> Self {
        Self::new(Trigger::At(instant), zone)
    }

    /// A schedule that never fires by itself.
    pub fn manual(zone: Zone) -> Self {
        Self::new(Trigger::Manual, zone)
    }

    /// Replaces the rule for clock changes where it is set.
    #[must_use]
    pub fn with_dst(mut self, dst: DstOverride) -> Self {
        self.dst = dst;
        self
    }

    /// No nominal instant is before `start` or after `end`.
    #[must_use]
    pub fn with_bounds(mut self, start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Self {
        self.start = start;
        self.end = end;
        self
    }

    /// Where an interval counts from, to the second: its first fire is one period later. The
    /// scheduler keeps the anchor with the job, so that restarts do not move the fires. Other
    /// triggers ignore it.
    #[must_use]
    pub fn with_anchor(mut self, anchor: DateTime<Utc>) -> Self {
        self.anchor = DateTime::from_timestamp(anchor.timestamp(), 0);
        self
    }

    /// Delays starts by up to `jitter`.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// What to do about fires that are seen late.
    #[must_use]
    pub fn with_misfire(mut self, misfire: MisfirePolicy) -> Self {
        self.misfire = misfire;
        self
    }

    /// What makes it fire.
    pub fn trigger(&self) -> &Trigger {
        &self.trigger
    }

    /// The zone whose wall clock it follows.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// What the job itself says about clock changes.
    pub fn dst_override(&self) -> DstOverride {
        self.dst
    }

    /// The rule for clock changes that holds. Intervals follow real time, as wildcards do.
    pub fn dst(&self) -> Dst {
        let by_kind = match &self.trigger {
            Trigger::Cron(cron) => cron.default_dst(),
            _ => Dst::WILDCARD,
        };
        self.dst.resolve(by_kind)
    }

    /// The earliest nominal instant (inclusive).
    pub fn start(&self) -> Option<DateTime<Utc>> {
        self.start
    }

    /// The latest nominal instant (inclusive).
    pub fn end(&self) -> Option<DateTime<Utc>> {
        self.end
    }

    /// Where an interval counts from, if it was said.
    pub fn anchor(&self) -> Option<DateTime<Utc>> {
        self.anchor
    }

    /// The largest delay of a start.
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    /// What to do about fires that are seen late.
    pub fn misfire(&self) -> &MisfirePolicy {
        &self.misfire
    }

    /// The first nominal instant after `after` (exclusive); `None` if there is none up to the end
    /// of the year 9999. Successive answers strictly increase.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let fire = match &self.trigger {
            Trigger::Cron(cron) => {
                let after = self.clamp_to_start(after.timestamp());
                let fire = self.zoned(cron, after).next_after(after)?;
                DateTime::from_timestamp(fire, 0)?
            }
            Trigger::Interval { period } => {
                let grid = self.grid(*period);
                grid.next_after(after)?
            }
            Trigger::At(at) => {
                Some(*at).filter(|at| *at > after && self.start.is_none_or(|start| *at >= start))?
            }
            Trigger::Manual => return None,
        };
        (self.end.is_none_or(|end| fire <= end) && fire <= last_instant()).then_some(fire)
    }

    /// The nominal instants after `after` (exclusive), in order.
    pub fn fires(&self, after: DateTime<Utc>) -> Fires<'_> {
        Fires { schedule: self, after: Some(after) }
    }

    /// How many nominal instants there are after `after` (exclusive) and up to `until`
    /// (inclusive). It takes time in proportion to the months in between at most, and no memory.
    pub fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let until = self.end.map_or(until, |end| end.min(until)).min(last_instant());
        if after >= until {
            return 0;
        }
        match &self.trigger {
            Trigger::Cron(cron) => {
                let after = self.clamp_to_start(after.timestamp());
                self.zoned(cron, after).count(after, until.timestamp())
            }
            Trigger::Interval { period } => self.grid(*period).count(after, until),
            Trigger::At(_) => u64::from(self.next_after(after).is_some_and(|at| at <= until)),
            Trigger::Manual => 0,
        }
    }

    /// Whether both have the same trigger, zone, rule for clock changes and bounds: whether a job
    /// whose definition went from one to the other keeps its next fire. Jitter, misfire policy and
    /// anchor do not count, nor does the spelling of a cron expression.
    pub fn same_fires(&self, other: &Schedule) -> bool {
        let same_trigger = match (&self.trigger, &other.trigger) {
            (Trigger::Cron(a), Trigger::Cron(b)) => a.same_fires(b),
            (a, b) => a == b,
        };
        same_trigger
            && self.zone == other.zone
            && self.dst == other.dst
            && self.start == other.start
            && self.end == other.end
    }

    /// The second before which cron fires do not count, at or after `after`.
    fn clamp_to_start(&self, after: i64) -> i64 {
        match self.start {
            // The last second before the first whole second of the bound.
            Some(start) => after.max(start.timestamp() - i64::from(start.timestamp_subsec_nanos() == 0)),
            None => after,
        }
    }

    /// For whoever looks forward from `after`.
    fn zoned<'a>(&self, cron: &'a Cron, after: i64) -> ZonedCron<'a> {
        ZonedCron { matcher: cron.matcher(), spans: Spans::of(self.zone, after), dst: self.dst() }
    }

    /// With `start`, the first fire is there; else it is one period after the anchor. Without an
    /// anchor the grid goes through 1970-01-01T00:00Z, so that the answer never depends on when
    /// it is asked for.
    fn grid(&self, period: Duration) -> Grid {
        match (self.start, self.anchor) {
            (Some(start), _) => Grid::new(start, period, 0),
            (None, Some(anchor)) => Grid::new(anchor, period, 1),
            (None, None) => Grid::new(DateTime::UNIX_EPOCH, period, i64::MIN),
        }
    }
}

/// The last instant at which anything fires.
fn last_instant() -> DateTime<Utc> {
    DateTime::from_timestamp(LAST_SECOND, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The nominal instants of a schedule, in order. Nothing is allocated.
#[derive(Debug, Clone)]
pub struct Fires<'a> {
    schedule: &'a Schedule,
    after: Option<DateTime<Utc>>,
}

impl Iterator for Fires<'_> {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<Self::Item> {
        self.after = self.schedule.next_after(self.after?);
        self.after
    }
}

impl std::iter::FusedIterator for Fires<'_> {}
