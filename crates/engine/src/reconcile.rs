//! How the jobs of a file become the jobs of the store: a pure decision.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use jobstore::{Expect, JobEdit, JobId, JobPut, JobRecord, JobSource, JobState};
use schedule::Schedule;

use crate::event::EventKind;
use crate::pipeline::{Pipeline, Pipelines};
use crate::spec::{self, Next};

/// One change to make.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) edit: JobEdit,
    /// What to tell once it is made; nothing where only a detail changes.
    pub(crate) event: Option<EventKind>,
}

/// What is to be done so that the store's jobs are those of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// The jobs that stay as they are.
    pub(crate) kept: Vec<EventKind>,
}

/// The file's jobs, by id.
pub(crate) fn file_jobs(pipelines: &Pipelines) -> BTreeMap<JobId, FileJob<'_>> {
    pipelines
        .iter()
        .filter_map(|pipeline| {
            let schedule = pipeline.schedule.as_ref()?;
            Some((pipeline.job_id(), FileJob { pipeline, schedule }))
        })
        .collect()
}

/// A pipeline of the file that has a schedule.
#[derive(Clone, Copy)]
pub(crate) struct FileJob<'a> {
    pipeline: &'a Pipeline,
    schedule: &'a Schedule,
}

/// Decides what becomes of each job of the file and of each job that the file had before.
///
/// `stored` holds the jobs of the namespace that came from a file, and whatever else has the id of a job of the file.
pub(crate) fn plan(file: &BTreeMap<JobId, FileJob<'_>>, stored: &[JobRecord], now: DateTime<Utc>) -> Plan {
    let mut plan = Plan::default();
    let known: BTreeMap<&JobId, &JobRecord> = stored.iter().map(|record| (&record.id, record)).collect();
    for (id, job) in file {
        match known.get(id) {
            None => plan.register(id, *job, None, now),
            Some(record) => plan.update(id, *job, record, now),
        }
    }
    for record in stored {
        if record.source == JobSource::Config && !file.contains_key(&record.id) {
            plan.steps.push(Step {
                edit: JobEdit::Delete { id: record.id.clone(), expect: Expect::Version(record.version) },
                event: Some(EventKind::JobRemoved { job: record.id.clone(), by: None }),
            });
        }
    }
    plan
}

impl Plan {
    /// A job that is new, or has another schedule than before: it starts afresh, but a pause stays.
    fn register(&mut self, id: &JobId, job: FileJob<'_>, record: Option<&JobRecord>, now: DateTime<Utc>) {
        let schedule = spec::anchored(job.schedule, now);
        let enabled = job.pipeline.enabled;
        let next = if enabled { Next::after(&schedule, id.as_str(), now) } else { Next::NONE };
        let state = if enabled { next.state(&schedule) } else { JobState::Disabled };
        let event = if enabled {
            EventKind::JobRegistered {
                job: id.clone(),
                trigger: schedule.trigger().to_string(),
                timezone: schedule.zone().name().to_owned(),
                next_fire_at: next.fire_at,
                changed: record.is_some(),
            }
        } else {
            EventKind::JobDisabled { job: id.clone() }
        };
        let put = put(id, job, &schedule, state, next, record);
        self.steps.push(Step { edit: JobEdit::Put(Box::new(put)), event: Some(event) });
    }

    /// A job that is stored already.
    fn update(&mut self, id: &JobId, job: FileJob<'_>, record: &JobRecord, now: DateTime<Utc>) {
        // A job of that id that was added at run time gives way to the file.
        if record.source != JobSource::Config || record.pipeline != *job.pipeline.name {
            return self.register(id, job, Some(record), now);
        }
        let stored = match spec::read(&record.spec) {
            Ok(stored) if stored.same_fires(job.schedule) => stored,
            _ => return self.register(id, job, Some(record), now),
        };
        let schedule = match stored.anchor() {
            Some(anchor) => job.schedule.clone().with_anchor(anchor),
            None => spec::anchored(job.schedule, now),
        };
        let (state, next) = match (record.state, job.pipeline.enabled) {
            // What a person removed stays removed until its schedule changes.
            (JobState::Removed, _) | (JobState::Disabled, false) | (JobState::Finished, true) => {
                (record.state, Next { fire_at: record.next_fire_at, due_at: record.due_at })
            }
            (_, false) => (JobState::Disabled, Next::NONE),
            (JobState::Scheduled | JobState::Paused, true) => match record.next_fire_at {
                Some(fire_at) => (JobState::Scheduled, Next::at(&schedule, id.as_str(), fire_at)),
                None => (JobState::Scheduled, Next::NONE),
            },
            (JobState::Disabled | JobState::Orphaned | JobState::Invalid, true) => {
                let next = Next::after(&schedule, id.as_str(), now);
                (next.state(&schedule), next)
            }
        };
        let event = match (record.state, state) {
            (before, after) if before == after => None,
            (_, JobState::Disabled) => Some(EventKind::JobDisabled { job: id.clone() }),
            _ => Some(EventKind::JobResumed { job: id.clone(), next_fire_at: next.fire_at, by: None }),
        };
        let put = put(id, job, &schedule, state, next, Some(record));
        if same(&put, record) {
            let state = record.shown_state();
            self.kept.push(EventKind::JobKept { job: id.clone(), next_fire_at: record.next_fire_at, state });
        } else {
            self.steps.push(Step { edit: JobEdit::Put(Box::new(put)), event });
        }
    }
}

fn put(
    id: &JobId,
    job: FileJob<'_>,
    schedule: &Schedule,
    state: JobState,
    next: Next,
    record: Option<&JobRecord>,
) -> JobPut {
    JobPut {
        id: id.clone(),
        pipeline: job.pipeline.name.to_string(),
        source: JobSource::Config,
        state,
        paused: None,
        trigger: schedule.trigger().to_string(),
        timezone: schedule.zone().name().to_owned(),
        spec: spec::write(schedule),
        next_fire_at: next.fire_at,
        due_at: next.due_at,
        error: None,
        requested_by: record.and_then(|record| record.requested_by.clone()),
        expect: record.map_or(Expect::Absent, |record| Expect::Version(record.version)),
    }
}

fn same(put: &JobPut, record: &JobRecord) -> bool {
    // While a job is paused the store keeps no instant at which it is due.
    let same_due = record.paused || put.due_at == record.due_at;
    put.state == record.state
        && put.trigger == record.trigger
        && put.timezone == record.timezone
        && put.spec == record.spec
        && put.next_fire_at == record.next_fire_at
        && same_due
        && put.error == record.error
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipeline_core::Chain;
    use schedule::{Cron, Zone};

    use super::*;

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn pipeline(schedule: Schedule) -> Pipeline {
        Pipeline::new("books", || Ok(Chain::new())).scheduled(schedule)
    }

    fn cron(text: &str) -> Schedule {
        Schedule::cron(Cron::parse(text).unwrap(), Zone::UTC)
    }

    fn every(hours: u64) -> Schedule {
        Schedule::interval(Duration::from_secs(hours * 3_600), Zone::UTC).unwrap()
    }

    /// What is stored after this pipeline was registered at an instant.
    fn registered(pipeline: &Pipeline, when: &str) -> JobRecord {
        let pipelines = Pipelines::new([pipeline.clone()]).unwrap();
        let plan = plan(&file_jobs(&pipelines), &[], at(when));
        let [Step { edit: JobEdit::Put(put), .. }] = &plan.steps[..] else { panic!("{plan:?}") };
        stored(put)
    }

    fn stored(put: &JobPut) -> JobRecord {
        JobRecord {
            namespace: "default".into(),
            id: put.id.clone(),
            pipeline: put.pipeline.clone(),
            source: put.source,
            state: put.state,
            paused: false,
            trigger: put.trigger.clone(),
            timezone: put.timezone.clone(),
            spec: put.spec.clone(),
            next_fire_at: put.next_fire_at,
            due_at: put.due_at,
            error: None,
            requested_by: None,
            version: 7,
            created_at: at("2026-01-01T00:00:00Z"),
            updated_at: at("2026-01-01T00:00:00Z"),
        }
    }

    /// One line for the plan: what is done to the one job.
    fn line(file: Option<&Pipeline>, records: &[JobRecord]) -> String {
        let pipelines = Pipelines::new(file.cloned()).unwrap();
        let plan = plan(&file_jobs(&pipelines), records, at(NOW));
        let mut parts = Vec::new();
        for step in &plan.steps {
            let event = step.event.as_ref().map_or("quiet", EventKind::name);
            parts.push(match &step.edit {
                JobEdit::Put(put) => {
                    let next =
                        put.next_fire_at.map_or("never".to_owned(), |at| at.format("%dT%H:%M").to_string());
                    format!("put {} {next} {:?} ({event})", put.state, put.expect)
                }
                JobEdit::Delete { expect, .. } => format!("delete {expect:?} ({event})"),
                other => format!("{other:?}"),
            });
        }
        parts.extend(plan.kept.iter().map(|kept| kept.to_string()));
        parts.join("; ")
    }

    #[test]
    fn every_pair_of_file_and_store_has_its_step() {
        let daily = pipeline(cron("0 6 * * *"));
        let off = Pipeline { enabled: false, ..daily.clone() };
        let known = registered(&daily, "2026-01-01T00:00:00Z");
        let overdue = known.next_fire_at;
        assert_eq!(overdue, Some(at("2026-01-01T06:00:00Z")));
        let with = |state: JobState| JobRecord { state, due_at: None, ..known.clone() };
        let paused = JobRecord { paused: true, due_at: None, ..known.clone() };
        let removed =
            JobRecord { state: JobState::Removed, next_fire_at: None, due_at: None, ..known.clone() };
        let disabled =
            JobRecord { state: JobState::Disabled, next_fire_at: None, due_at: None, ..known.clone() };
        let runtime = JobRecord { source: JobSource::Runtime, ..known.clone() };
        let unreadable = JobRecord { spec: "?".into(), ..with(JobState::Invalid) };
        let other_time = pipeline(cron("0 7 * * *"));
        let other_spelling = pipeline(cron("00 06 * * *"));
        let cases: [(&str, Option<&Pipeline>, &[JobRecord], &str); 14] = [
            ("new", Some(&daily), &[], "put scheduled 02T06:00 Absent (registered)"),
            ("new, not enabled", Some(&off), &[], "put disabled never Absent (disabled)"),
            (
                "unchanged: even an overdue fire stays",
                Some(&daily),
                std::slice::from_ref(&known),
                "registered pipeline_books, as before: next fire 2026-01-01T06:00:00Z",
            ),
            (
                "the pause stays",
                Some(&daily),
                std::slice::from_ref(&paused),
                "registered pipeline_books, as before: paused",
            ),
            (
                "another spelling of the same fires is stored, and the fire stays",
                Some(&other_spelling),
                std::slice::from_ref(&known),
                "put scheduled 01T06:00 Version(7) (quiet)",
            ),
            (
                "changed",
                Some(&other_time),
                std::slice::from_ref(&known),
                "put scheduled 02T07:00 Version(7) (registered)",
            ),
            ("gone", None, std::slice::from_ref(&known), "delete Version(7) (removed)"),
            ("gone, but not the file's", None, std::slice::from_ref(&runtime), ""),
            (
                "disabled",
                Some(&off),
                std::slice::from_ref(&known),
                "put disabled never Version(7) (disabled)",
            ),
            (
                "enabled again: from now on",
                Some(&daily),
                std::slice::from_ref(&disabled),
                "put scheduled 02T06:00 Version(7) (resumed)",
            ),
            (
                "removed by a person",
                Some(&daily),
                std::slice::from_ref(&removed),
                "registered pipeline_books, as before: removed",
            ),
            (
                "removed by a person, then changed",
                Some(&other_time),
                std::slice::from_ref(&removed),
                "put scheduled 02T07:00 Version(7) (registered)",
            ),
            (
                "a job added at run time gives way",
                Some(&daily),
                std::slice::from_ref(&runtime),
                "put scheduled 02T06:00 Version(7) (registered)",
            ),
            (
                "unreadable",
                Some(&daily),
                std::slice::from_ref(&unreadable),
                "put scheduled 02T06:00 Version(7) (registered)",
            ),
        ];
        for (name, file, records, expected) in cases {
            assert_eq!(line(file, records), expected, "{name}");
        }
    }

    #[test]
    fn the_anchor_of_an_interval_survives_everything_but_a_change_of_its_trigger() {
        let six = pipeline(every(6));
        let known = registered(&six, "2026-01-01T01:00:00Z");
        assert_eq!(known.next_fire_at, Some(at("2026-01-01T07:00:00Z")));
        // A restart, an edit elsewhere in the file.
        assert_eq!(
            line(Some(&six), std::slice::from_ref(&known)),
            "registered pipeline_books, as before: next fire 2026-01-01T07:00:00Z"
        );
        let jittered = pipeline(every(6).with_jitter(Duration::from_secs(60)));
        assert_eq!(
            line(Some(&jittered), std::slice::from_ref(&known)),
            "put scheduled 01T07:00 Version(7) (quiet)"
        );
        // Back from being disabled: still on the old grid.
        let disabled =
            JobRecord { state: JobState::Disabled, next_fire_at: None, due_at: None, ..known.clone() };
        assert_eq!(line(Some(&six), &[disabled]), "put scheduled 01T13:00 Version(7) (resumed)");
        // Another period: from now.
        assert_eq!(
            line(Some(&pipeline(every(5))), &[known]),
            "put scheduled 01T17:00 Version(7) (registered)"
        );
    }

    #[test]
    fn reconciling_twice_changes_nothing() {
        for schedule in [
            cron("0 6 * * *"),
            every(6),
            Schedule::manual(Zone::UTC),
            cron("0 6 * * *").with_jitter(Duration::from_secs(90)),
        ] {
            let pipeline = pipeline(schedule);
            let record = registered(&pipeline, NOW);
            let plan = plan(&file_jobs(&Pipelines::new([pipeline]).unwrap()), &[record], at(NOW));
            assert!(plan.steps.is_empty(), "{plan:?}");
            assert_eq!(plan.kept.len(), 1);
        }
    }
}
