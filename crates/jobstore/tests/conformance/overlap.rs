//! Overlap rules, catch-up and limits, as the rows show them.

use jobstore::{AttemptOutcome, End, Outcome, RequestedRun, RunRequest, Turn};

use crate::harness::*;

/// Ends the running run of a pipeline.
async fn finish(stage: &Stage, seconds: i64, pipeline: &str) -> jobstore::TurnResult {
    let held = stage.held_runs(&jobstore::Owner::from("me"), at(seconds)).await.unwrap();
    let run = held.iter().find(|run| run.pipeline == pipeline).unwrap();
    run_turn(&**stage, Turn { ends: vec![succeeded(run, seconds)], ..a_turn("me", seconds, 5) }).await
}

on_every_store! {
    async fn skip(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, ""), job("2", "a", 90, "")]).await;
        let running = go(&*stage, 60, 5).await.started.remove(0);
        let skipped = go(&*stage, 90, 5).await;
        assert!(matches!(&skipped.fired[0].what, jobstore::FiredAs::Skipped { by } if *by == [running.id]));
        let row = record(&*stage, skipped.fired[0].run).await;
        assert_eq!((row.outcome, row.finished_at, row.started_at), (Some(Outcome::Skipped), Some(at(90)), None));
        assert!(row.note.unwrap().contains(&running.id.to_string()));
        finish(&stage, 100, "a").await;
        assert_eq!(started(&go(&*stage, 120, 5).await), ["a@120"]);
    }

    async fn two_fires_of_a_pipeline_in_one_turn_overlap_too(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, ""), job("2", "a", 60, ""), job("3", "b", 60, "overlap=replace"), job("4", "b", 60, "overlap=replace")]).await;
        let result = go(&*stage, 60, 5).await;
        assert_eq!(started(&result), ["a@60", "b@60"]);
        assert_eq!(shown(&*stage).await, ["a@60 running", "a@60 finished/skipped", "b@60 finished/cancelled", "b@60 running"]);
    }

    async fn queue(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "overlap=queue every=10")]).await;
        assert_eq!(started(&go(&*stage, 60, 5).await), ["a@60"]);
        assert_eq!(started(&go(&*stage, 70, 5).await), [] as [&str; 0]);
        go(&*stage, 80, 5).await;
        assert_eq!(shown(&*stage).await, ["a@60 running", "a@70 queued", "a@80 finished/skipped"]);
        assert_eq!(started(&finish(&stage, 85, "a").await), ["a@70"]);
        assert_eq!(started(&finish(&stage, 86, "a").await), [] as [&str; 0]);
    }

    async fn a_retry_counts_as_running(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "overlap=queue every=10 attempts=2")]).await;
        let run = go(&*stage, 60, 5).await.started.remove(0);
        let retry = End::Retry { outcome: AttemptOutcome::Failed, available_at: at(75) };
        end(&*stage, 61, vec![ended(key(&run, "me"), 61, retry)]).await;
        assert_eq!(started(&go(&*stage, 70, 5).await), [] as [&str; 0], "it waits behind the one that waits for its retry");
        assert_eq!(started(&go(&*stage, 75, 5).await), ["a@60"]);
        assert_eq!(started(&finish(&stage, 76, "a").await), ["a@70"]);
    }

    async fn replace(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "overlap=replace every=10")]).await;
        let first = go(&*stage, 60, 5).await.started.remove(0);
        let second = go(&*stage, 70, 5).await;
        assert_eq!(second.started, []);
        assert_eq!(second.cancels.len(), 1, "the same turn tells the holder");
        assert!(matches!(&second.fired[0].what, jobstore::FiredAs::Run { replaced } if *replaced == [first.id]));
        assert_eq!(second.cancels[0].requested_by, Some(format!("replaced by {}", second.fired[0].run)));
        let third = go(&*stage, 80, 5).await;
        assert!(matches!(&third.fired[0].what, jobstore::FiredAs::Run { replaced } if *replaced == [second.fired[0].run]));
        let stopped = ended(key(&first, "me"), 81, End::Finish(Outcome::Cancelled));
        let result = run_turn(&*stage, Turn { ends: vec![stopped], ..a_turn("me", 81, 5) }).await;
        assert_eq!(started(&result), ["a@80"]);
        assert_eq!(shown(&*stage).await, ["a@60 finished/cancelled", "a@70 finished/cancelled", "a@80 running"]);
    }

    async fn allow(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "overlap=allow:2 every=10")]).await;
        for seconds in [60, 70, 80] {
            go(&*stage, seconds, 5).await;
        }
        assert_eq!(shown(&*stage).await, ["a@60 running", "a@70 running", "a@80 finished/skipped"]);
    }

    async fn requests_are_refused_or_admitted_by_the_same_rules(stage: Stage) {
        let ask = |spec: &str| request("a", 65, spec);
        let first = ask("");
        assert!(matches!(stage.request_run(first.clone(), at(65)).await.unwrap(), RequestedRun::Queued { .. }));
        let refused = RequestedRun::AlreadyRunning { runs: vec![first.id] };
        assert_eq!(stage.request_run(ask(""), at(66)).await.unwrap(), refused, "a queued run counts");
        go(&*stage, 66, 5).await;
        assert_eq!(stage.request_run(ask(""), at(67)).await.unwrap(), refused);
        let startup = RunRequest { reason: jobstore::Reason::Startup, ..ask("") };
        assert_eq!(stage.request_run(startup, at(67)).await.unwrap(), refused);
        assert!(matches!(stage.request_run(ask("overlap=queue"), at(68)).await.unwrap(), RequestedRun::Queued { .. }));
        assert!(matches!(stage.request_run(ask("overlap=queue"), at(69)).await.unwrap(), RequestedRun::AlreadyRunning { runs } if runs.len() == 2));
        let replacing = stage.request_run(ask("overlap=replace"), at(70)).await.unwrap();
        assert!(matches!(replacing, RequestedRun::Queued { replaced, .. } if replaced.len() == 2 && replaced[0] == first.id));
        put(&*stage, vec![job("1", "a", 71, "")]).await;
        go(&*stage, 71, 0).await;
        assert_eq!(shown(&*stage).await.last().unwrap(), "a@71 finished/skipped", "fires see requested runs");
    }

    async fn runs_that_catch_up_follow_one_another(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "catch=all every=10 overlap=allow:3"), job("2", "b", 60, "catch=all every=10")]).await;
        let first = go(&*stage, 85, 9).await;
        assert_eq!(first.fired.len(), 6, "none is skipped");
        assert_eq!(started(&first), ["a@60", "b@60"]);
        assert_eq!(started(&finish(&stage, 86, "b").await), ["b@70"]);
        assert_eq!(started(&finish(&stage, 87, "b").await), ["b@80"]);
        assert_eq!(started(&finish(&stage, 88, "a").await), ["a@70"]);
        assert_eq!(started(&go(&*stage, 90, 9).await), ["a@90"], "a fire on time runs beside them where that is allowed");
        assert_eq!(shown(&*stage).await.last().unwrap(), "b@90 finished/skipped");
        assert_eq!(started(&finish(&stage, 91, "b").await), [] as [&str; 0]);
    }

    async fn a_limit_group_is_counted_over_pipelines(stage: Stage) {
        put(&*stage, ["a", "b", "c", "d"].map(|p| job(p, p, 60, "group=site:2")).to_vec()).await;
        assert_eq!(started(&go(&*stage, 60, 9).await), ["a@60", "b@60"]);
        assert_eq!(started(&go(&*stage, 61, 9).await), [] as [&str; 0]);
        assert_eq!(started(&run_turn(&*stage, a_turn("other", 61, 9)).await), [] as [&str; 0], "over all schedulers");
        assert_eq!(started(&finish(&stage, 62, "a").await), ["c@60"]);
        put(&*stage, vec![job("e", "e", 63, "")]).await;
        assert_eq!(started(&go(&*stage, 63, 9).await), ["e@63"], "others do not wait for the group");
    }

    async fn many_blocked_runs_do_not_hide_one_that_can_start(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "catch=all every=1 late=0")]).await;
        put(&*stage, vec![job("2", "b", 900, "")]).await;
        assert_eq!(started(&go(&*stage, 850, 1).await), ["a@60"]);
        assert_eq!(stage.counts(at(850)).await.unwrap().ready, 789);
        assert_eq!(started(&go(&*stage, 900, 1).await), ["b@900"]);
    }
}
