//! From a [`ScheduleSpec`] to a [`Schedule`], with every problem at once.

use chrono::{DateTime, TimeDelta, Utc};

use super::{ScheduleSpec, SpecProblem};
use crate::cron::Cron;
use crate::misfire::MisfirePolicy;
use crate::schedule::Schedule;
use crate::trigger::Trigger;
use crate::zone::Zone;

impl ScheduleSpec {
    /// Checks the block and builds its schedule; `default_zone` holds where the block names none.
    ///
    /// # Errors
    /// Every problem of the block, in the order of its keys as the documentation lists them.
    pub fn build(&self, default_zone: &Zone) -> Result<Schedule, Vec<SpecProblem>> {
        let mut problems = self.problems.clone();
        let zone = self.zone(default_zone, &mut problems);
        let trigger = self.trigger(zone, &mut problems);
        let start = instant("start", self.start.as_deref(), zone, &mut problems);
        let end = instant("end", self.end.as_deref(), zone, &mut problems);
        if self.misfire.grace.is_some_and(|grace| grace < MisfirePolicy::TOLERANCE) {
            problems.push(
                SpecProblem::new(
                    "misfire.grace",
                    "it is shorter than a second, within which every fire is on time",
                )
                .hint("write at least `1s`, or leave it out"),
            );
        }
        let Some(trigger) = trigger.filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        let schedule = Schedule::new(trigger, zone)
            .with_dst(self.dst)
            .with_bounds(start, end)
            .with_jitter(self.jitter.unwrap_or_default())
            .with_misfire(self.misfire);
        match never_fires(&schedule) {
            Some(problem) => Err(vec![problem]),
            None => Ok(schedule),
        }
    }

    fn zone(&self, default: &Zone, problems: &mut Vec<SpecProblem>) -> Zone {
        let Some(name) = &self.timezone else { return *default };
        name.parse().unwrap_or_else(|error: crate::zone::ZoneError| {
            problems.push(SpecProblem::new("timezone", error.to_string()));
            *default
        })
    }

    fn trigger(&self, zone: Zone, problems: &mut Vec<SpecProblem>) -> Option<Trigger> {
        let given: Vec<&str> = [
            ("cron", self.cron.is_some()),
            ("interval", self.interval.is_some()),
            ("at", self.at.is_some()),
            ("manual", self.manual),
        ]
        .iter()
        .filter_map(|(key, given)| given.then_some(*key))
        .collect();
        match given.as_slice() {
            [_] => {}
            // A key that was given but not understood has its own problem already.
            [] if self
                .problems
                .iter()
                .any(|p| matches!(p.path.as_str(), "cron" | "interval" | "at" | "manual")) => {}
            [] => problems.push(
                SpecProblem::new("", "no trigger")
                    .hint("write one of `cron`, `interval`, `at` and `manual: true`"),
            ),
            [first, rest @ ..] => problems.extend(rest.iter().map(|key| {
                SpecProblem::new(*key, format!("`{first}` and `{key}` exclude each other"))
                    .hint("keep one of them")
            })),
        }
        let mut trigger = None;
        if let Some(text) = &self.cron {
            match Cron::parse(text) {
                Ok(cron) => trigger = Some(Trigger::Cron(cron)),
                Err(error) => problems.push(SpecProblem {
                    path: "cron".to_owned(),
                    message: error.headline_with_text(),
                    hint: error.suggestion().map(str::to_owned),
                }),
            }
        }
        if let Some(period) = self.interval {
            match Trigger::interval(period) {
                Ok(interval) => trigger = Some(interval),
                Err(error) => problems.push(SpecProblem::new("interval", error.to_string())),
            }
        }
        if let Some(at) = instant("at", self.at.as_deref(), zone, problems) {
            trigger = Some(Trigger::At(at));
        }
        if self.manual {
            trigger = Some(Trigger::Manual);
        }
        trigger
    }
}

fn instant(
    path: &str,
    text: Option<&str>,
    zone: Zone,
    problems: &mut Vec<SpecProblem>,
) -> Option<DateTime<Utc>> {
    match crate::instant::parse(text?, zone) {
        Ok(instant) => Some(instant),
        Err(error) => {
            problems.push(SpecProblem::new(path, error.to_string()));
            None
        }
    }
}

/// Bounds that leave nothing over.
fn never_fires(schedule: &Schedule) -> Option<SpecProblem> {
    if *schedule.trigger() == Trigger::Manual {
        return None;
    }
    let (start, end) = (schedule.start(), schedule.end());
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Some(SpecProblem::new("end", "it is before `start`, so nothing can ever fire"));
    }
    if let Trigger::At(at) = schedule.trigger() {
        let outside = start.is_some_and(|start| *at < start) || end.is_some_and(|end| *at > end);
        return outside
            .then(|| SpecProblem::new("at", "it is outside `start` and `end`, so nothing can ever fire"));
    }
    let just_before = start?.checked_sub_signed(TimeDelta::nanoseconds(1))?;
    match schedule.next_after(just_before) {
        Some(_) => None,
        None => Some(SpecProblem::new("end", "there is no fire between `start` and `end`")),
    }
}
