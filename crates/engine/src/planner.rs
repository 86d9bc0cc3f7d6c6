//! What a due job fires: the store asks within its transaction, the answer is a pure function.

use chrono::{DateTime, TimeDelta, Utc};
use jobstore::{DueJob, FirePlan, FirePlanner, MissedFires, NextFire, PlannedRun, Reason};
use schedule::plan_fires;

use crate::pipeline::{Pipeline, Pipelines};
use crate::spec::{self, Next};

/// Plans the fires of due jobs by what is stored of them and by the settings of their pipelines.
pub(crate) struct Planner(pub(crate) Pipelines);

impl FirePlanner for Planner {
    fn plan(&self, job: &DueJob, now: DateTime<Utc>) -> FirePlan {
        match self.0.get(&job.pipeline) {
            Some(pipeline) => plan(pipeline, job, now),
            None => FirePlan { runs: Vec::new(), missed: None, next: NextFire::Leave },
        }
    }
}

fn plan(pipeline: &Pipeline, job: &DueJob, now: DateTime<Utc>) -> FirePlan {
    let schedule = match spec::read(&job.spec) {
        Ok(schedule) => schedule,
        Err(error) => return FirePlan { runs: Vec::new(), missed: None, next: NextFire::Invalid(error) },
    };
    if !pipeline.enabled {
        let next = Next::after(&schedule, job.id.as_str(), now);
        return FirePlan { runs: Vec::new(), missed: None, next: next_fire(next) };
    }
    let policy = &pipeline.misfire;
    let plan = plan_fires(policy, &schedule, job.id.as_str(), job.next_fire_at, now);
    let grace = policy.effective_grace().and_then(|grace| TimeDelta::from_std(grace).ok());
    let settings = pipeline.run_policy();
    let runs = plan.run.iter().map(|fire| PlannedRun {
        scheduled_for: fire.nominal,
        reason: if fire.catch_up { Reason::CatchUp } else { Reason::Schedule },
        available_at: fire.due_at,
        deadline_at: grace.and_then(|grace| fire.due_at.checked_add_signed(grace)),
        policy: settings.clone(),
    });
    FirePlan {
        runs: runs.collect(),
        missed: plan.missed.map(|missed| MissedFires {
            count: missed.count,
            first: missed.first,
            last: missed.last,
            error: Some(why_missed(pipeline)),
        }),
        next: match plan.next {
            Some(next) => NextFire::At { next_fire_at: next.nominal, due_at: next.due_at },
            None => NextFire::Finished,
        },
    }
}

fn next_fire(next: Next) -> NextFire {
    match (next.fire_at, next.due_at) {
        (Some(next_fire_at), Some(due_at)) => NextFire::At { next_fire_at, due_at },
        _ => NextFire::Finished,
    }
}

fn why_missed(pipeline: &Pipeline) -> String {
    let policy = &pipeline.misfire;
    let catch_up = match policy.catch_up {
        schedule::CatchUp::Latest => "latest".to_owned(),
        schedule::CatchUp::All => format!("all, max: {}", policy.max),
        schedule::CatchUp::Skip => "skip".to_owned(),
    };
    match policy.effective_grace() {
        Some(grace) => format!(
            "seen too late (misfire: {{catch_up: {catch_up}, grace: {}}})",
            schedule::duration::format(grace)
        ),
        None => format!("seen too late (misfire: {{catch_up: {catch_up}}})"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jobstore::JobSource;
    use pipeline_core::Chain;
    use schedule::{CatchUp, Cron, MisfirePolicy, Schedule, Zone};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hourly(misfire: MisfirePolicy) -> Pipeline {
        let schedule = Schedule::cron(Cron::parse("0 * * * *").unwrap(), Zone::UTC).with_misfire(misfire);
        Pipeline::new("books", || Ok(Chain::new())).scheduled(schedule)
    }

    fn due(pipeline: &Pipeline, next_fire_at: &str) -> DueJob {
        DueJob {
            id: pipeline.job_id(),
            pipeline: pipeline.name.to_string(),
            source: JobSource::Config,
            trigger: String::new(),
            timezone: "UTC".into(),
            spec: spec::write(pipeline.schedule.as_ref().unwrap()),
            next_fire_at: at(next_fire_at),
            due_at: at(next_fire_at),
            version: 1,
        }
    }

    /// One line: `run` or `catch_up` with the hour of each run and its deadline, `missed` with the count, the next.
    fn check(misfire: MisfirePolicy, due_hour: &str, now: &str, expected: &str) {
        let pipeline = hourly(misfire);
        let plan = plan(&pipeline, &due(&pipeline, due_hour), at(now));
        let mut parts: Vec<String> = Vec::new();
        if let Some(missed) = &plan.missed {
            parts.push(format!(
                "missed {} {}-{}",
                missed.count,
                missed.first.format("%H"),
                missed.last.format("%H")
            ));
        }
        for run in &plan.runs {
            let deadline =
                run.deadline_at.map(|at| format!(" until {}", at.format("%H:%M:%S"))).unwrap_or_default();
            parts.push(format!("{} {}{deadline}", run.reason, run.scheduled_for.format("%H")));
        }
        match plan.next {
            NextFire::At { next_fire_at, .. } => parts.push(format!("next {}", next_fire_at.format("%H"))),
            other => parts.push(format!("{other:?}")),
        }
        assert_eq!(parts.join(", "), expected, "{misfire:?}, due {due_hour}, now {now}");
    }

    #[test]
    fn fires_follow_the_misfire_policy() {
        let latest = MisfirePolicy::default();
        let within = |hours: u64| MisfirePolicy { grace: Some(Duration::from_secs(hours * 3_600)), ..latest };
        let all = |max| MisfirePolicy { catch_up: CatchUp::All, max, ..latest };
        let skip = MisfirePolicy { catch_up: CatchUp::Skip, ..latest };
        let nine = "2026-01-01T09:00:00Z";
        check(latest, nine, "2026-01-01T09:00:00Z", "schedule 09, next 10");
        check(latest, nine, "2026-01-01T09:00:00.900Z", "schedule 09, next 10");
        check(latest, nine, "2026-01-01T09:30:00Z", "catch_up 09, next 10");
        check(latest, nine, "2026-01-01T12:30:00Z", "missed 3 09-11, catch_up 12, next 13");
        check(within(2), nine, "2026-01-01T09:30:00Z", "catch_up 09 until 11:00:00, next 10");
        check(all(2), nine, "2026-01-01T12:30:00Z", "missed 2 09-10, catch_up 11, catch_up 12, next 13");
        check(all(100), nine, "2026-01-01T11:30:00Z", "catch_up 09, catch_up 10, catch_up 11, next 12");
        check(skip, nine, "2026-01-01T12:30:00Z", "missed 4 09-12, next 13");
        check(skip, nine, "2026-01-01T09:00:00.500Z", "schedule 09 until 09:00:01, next 10");
    }

    #[test]
    fn a_job_of_a_pipeline_that_is_not_enabled_goes_on_without_firing() {
        let pipeline = Pipeline { enabled: false, ..hourly(MisfirePolicy::default()) };
        let plan = plan(&pipeline, &due(&pipeline, "2026-01-01T09:00:00Z"), at("2026-01-01T12:30:00Z"));
        assert!(plan.runs.is_empty() && plan.missed.is_none());
        assert_eq!(
            plan.next,
            NextFire::At { next_fire_at: at("2026-01-01T13:00:00Z"), due_at: at("2026-01-01T13:00:00Z") }
        );
    }

    #[test]
    fn jobs_that_cannot_be_read_stop_and_unknown_pipelines_are_left_to_others() {
        let pipeline = hourly(MisfirePolicy::default());
        let now = at("2026-01-01T12:30:00Z");
        let broken = DueJob { spec: "{}".into(), ..due(&pipeline, "2026-01-01T09:00:00Z") };
        assert!(matches!(plan(&pipeline, &broken, now).next, NextFire::Invalid(_)));
        let planner = Planner(Pipelines::new([]).unwrap());
        assert_eq!(planner.plan(&broken, now).next, NextFire::Leave);
    }
}
