//! Fires: one record each, whatever happens to them.

use std::sync::Arc;

use jobstore::{Fired, FiredAs, JobPut, JobState, Outcome, Reason, RunFilter, Turn};

use crate::harness::*;

fn what(fired: &[Fired]) -> Vec<&'static str> {
    fired
        .iter()
        .map(|fired| match fired.what {
            FiredAs::Run { .. } => "run",
            FiredAs::Skipped { .. } => "skipped",
            FiredAs::Missed(_) => "missed",
            FiredAs::Duplicate => "duplicate",
        })
        .collect()
}

on_every_store! {
    async fn a_due_job_fires_once_and_moves_on(stage: Stage) {
        put(&*stage, vec![job("pipeline_a", "a", 60, "jitter=7")]).await;
        let early = go(&*stage, 59, 5).await;
        assert_eq!((early.fired.len(), early.next_wake, early.more), (0, Some(at(60)), false));
        let result = go(&*stage, 60, 5).await;
        assert_eq!(what(&result.fired), ["run"]);
        assert_eq!(result.next_wake, Some(at(127)), "the next fire, with its jitter");
        let run = &result.started[0];
        assert_eq!((run.pipeline.as_str(), run.scheduled_for, run.reason, run.attempt), ("a", at(60), Reason::Schedule, 1));
        assert_eq!(run.job_id.as_ref().unwrap().as_str(), "pipeline_a");
        assert_eq!(run.id, result.fired[0].run);
        let stored = the_job(&*stage, "pipeline_a").await;
        assert_eq!((stored.next_fire_at, stored.due_at, stored.version), (Some(at(120)), Some(at(127)), 2));
        assert_eq!(go(&*stage, 60, 5).await.fired, []);
        assert_eq!(go(&*stage, 126, 5).await.fired, [], "due is the nominal instant and its jitter");
        assert_eq!(shown(&*stage).await, ["a@60 running"]);
        let read = record(&*stage, run.id).await;
        assert_eq!((read.started_at, read.attempt, read.owner.unwrap().as_str()), (Some(at(60)), 1, "me"));
    }

    async fn a_fire_without_a_slot_is_recorded_at_once(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, ""), job("2", "b", 60, ""), job("3", "c", 60, "")]).await;
        let first = go(&*stage, 60, 1).await;
        assert_eq!((what(&first.fired).len(), first.started.len()), (3, 1));
        assert_eq!(shown(&*stage).await, ["a@60 running", "b@60 queued", "c@60 queued"]);
        assert_eq!(started(&go(&*stage, 61, 0).await), [] as [&str; 0]);
        assert_eq!(started(&go(&*stage, 61, 1).await), ["b@60"]);
        let end = Turn { ends: vec![succeeded(&first.started[0], 62)], ..a_turn("me", 62, 1) };
        assert_eq!(started(&run_turn(&*stage, end).await), ["c@60"], "the slot of an end is used in the same turn");
    }

    async fn pipelines_that_are_not_known_here_wait_for_others(stage: Stage) {
        put(&*stage, vec![job("1", "unknown", 10, ""), job("2", "a", 60, "")]).await;
        let result = go(&*stage, 30, 5).await;
        assert_eq!((result.fired.len(), result.next_wake), (0, Some(at(60))));
        let elsewhere = Turn {
            pipelines: Arc::new(["unknown".to_owned()].into()),
            ..a_turn("other", 30, 0)
        };
        assert_eq!(run_turn(&*stage, elsewhere.clone()).await.fired.len(), 1);
        assert_eq!(started(&go(&*stage, 31, 5).await), [] as [&str; 0], "its runs are not claimed either");
        assert_eq!(started(&run_turn(&*stage, Turn { free_slots: 5, ..elsewhere }).await), ["unknown@-30"].map(|_| "unknown@10"));
    }

    async fn a_turn_fires_no_more_than_its_limit(stage: Stage) {
        put(&*stage, (0..25).map(|n| job(&format!("job {n:02}"), "a", 60 + n, "overlap=allow:99 late=999")).collect()).await;
        let limited = |seconds| Turn { fire_limit: 10, ..a_turn("me", seconds, 99) };
        let counts = [run_turn(&*stage, limited(85)).await, run_turn(&*stage, limited(85)).await, run_turn(&*stage, limited(85)).await];
        assert_eq!(counts.each_ref().map(|r| (r.fired.len(), r.more)), [(10, true), (10, true), (5, false)]);
        assert_eq!(counts[0].fired[0].scheduled_for, at(60), "the longest due comes first");
        let none = Turn { fire_limit: 0, ..a_turn("me", 999, 0) };
        assert_eq!(run_turn(&*stage, none).await.fired, []);
    }

    async fn dropped_fires_share_one_row(stage: Stage) {
        put(&*stage, vec![job("pipeline_a", "a", 60, "")]).await;
        let result = go(&*stage, 60 * 60 + 30, 5).await;
        assert_eq!(what(&result.fired), ["missed", "run"]);
        assert_eq!(started(&result), ["a@3600"]);
        let missed = record(&*stage, result.fired[0].run).await;
        assert_eq!((missed.outcome, missed.count), (Some(Outcome::Missed), Some(59)));
        assert_eq!((missed.first, missed.last, missed.scheduled_for), (Some(at(60)), Some(at(3540)), at(3540)));
        assert_eq!(the_job(&*stage, "pipeline_a").await.next_fire_at, Some(at(3660)));
    }

    async fn an_instant_that_was_fired_is_not_fired_again(stage: Stage) {
        put(&*stage, vec![job("pipeline_a", "a", 60, "")]).await;
        go(&*stage, 60, 5).await;
        put(&*stage, vec![job("pipeline_a", "a", 60, "")]).await;
        let again = go(&*stage, 61, 5).await;
        assert_eq!((what(&again.fired), again.started.len()), (vec!["duplicate"], 0));
        assert_eq!(stage.runs(RunFilter::default()).await.unwrap().len(), 1);
        assert_eq!(the_job(&*stage, "pipeline_a").await.next_fire_at, Some(at(120)));
    }

    async fn a_finished_trigger_fires_its_last(stage: Stage) {
        put(&*stage, vec![job("once", "a", 60, "end=60")]).await;
        let result = go(&*stage, 60, 5).await;
        assert_eq!((started(&result), result.finished_jobs.len()), (vec!["a@60".to_owned()], 1));
        let stored = the_job(&*stage, "once").await;
        assert_eq!((stored.state, stored.next_fire_at, stored.due_at), (JobState::Finished, None, None));
    }

    async fn nothing_is_due_in_an_empty_store(stage: Stage) {
        let result = go(&*stage, 60, 5).await;
        assert_eq!(result, jobstore::TurnResult::default());
    }

    async fn the_grace_ends_a_wait(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "grace=30"), job("2", "b", 60, "grace=300")]).await;
        let result = go(&*stage, 60, 0).await;
        assert_eq!(result.next_wake, Some(at(90) + chrono::TimeDelta::microseconds(1)));
        assert_eq!(go(&*stage, 90, 0).await.missed, [], "at its end it is still in time");
        let late = go(&*stage, 91, 5).await;
        assert_eq!(late.missed.iter().map(|run| run.pipeline.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(started(&late), ["b@60"]);
        let missed = record(&*stage, late.missed[0].id).await;
        assert_eq!((missed.outcome, missed.count, missed.first), (Some(Outcome::Missed), Some(1), Some(at(60))));
        assert!(missed.error.unwrap().contains("had not started by"));
        assert_eq!(shown(&*stage).await, ["a@60 finished/missed", "b@60 running"]);
    }

    async fn the_grace_holds_only_until_the_first_start(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "grace=30")]).await;
        let first = go(&*stage, 60, 1).await;
        let retry = jobstore::End::Retry { outcome: jobstore::AttemptOutcome::Failed, available_at: at(200) };
        end(&*stage, 61, vec![ended(key(&first.started[0], "me"), 61, retry)]).await;
        let result = go(&*stage, 200, 1).await;
        assert_eq!((result.missed.len(), result.started.len()), (0, 1));
    }

    async fn a_job_of_another_pipeline_can_take_over_an_id(stage: Stage) {
        put(&*stage, vec![job("x", "a", 60, "")]).await;
        go(&*stage, 60, 5).await;
        put(&*stage, vec![JobPut { pipeline: "b".to_owned(), ..job("x", "b", 90, "") }]).await;
        assert_eq!(started(&go(&*stage, 90, 5).await), ["b@90"]);
    }
}
