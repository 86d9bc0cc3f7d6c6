//! Leases, heartbeats, and what becomes of the runs of processes that are gone.

use std::time::Duration;

use jobstore::{
    AttemptOutcome, Beat, CancelRequested, ClaimedRun, End, Ended, Outcome, Owner, ProcessIdentity,
    ProcessInfo, RescuedAs, RunState, Turn,
};

use crate::harness::*;

/// A run of pipeline a whose holder `dead` has a lease that has ended.
async fn orphan(stage: &Stage, spec: &str) -> ClaimedRun {
    put(&**stage, vec![job("1", "a", 60, spec)]).await;
    let claim = Turn { lease: Duration::ZERO, ..a_turn("dead", 60, 1) };
    run_turn(&**stage, claim).await.started.remove(0)
}

on_every_store! {
    async fn a_run_whose_lease_has_ended_runs_again(stage: Stage) {
        let run = orphan(&stage, "").await;
        let asleep = run_turn(&*stage, Turn { sweep: false, ..a_turn("me", 62, 0) }).await;
        assert_eq!(asleep.rescued, [], "nobody sweeps after an outage");
        let result = go(&*stage, 62, 1).await;
        assert_eq!(result.rescued.len(), 1);
        let rescued = &result.rescued[0];
        assert_eq!((rescued.id, rescued.attempt, rescued.owner.as_str(), rescued.what), (run.id, 1, "dead", RescuedAs::Queued));
        assert_eq!((result.started[0].id, result.started[0].attempt), (run.id, 2), "at once, in the same turn");
        let late = succeeded(&run, 63);
        let late = jobstore::AttemptEnd { key: key(&run, "dead"), ..late };
        assert_eq!(end(&*stage, 63, vec![late]).await.ends, [Ended::Refused], "the dead one's word counts no more");
        end(&*stage, 64, vec![succeeded(&result.started[0], 64)]).await;
        assert_eq!(shown(&*stage).await, ["a@60 finished/succeeded #2"]);
        let attempts = stage.attempts(&[run.id]).await.unwrap();
        assert_eq!(attempts.iter().map(|a| a.outcome.unwrap()).collect::<Vec<_>>(), [AttemptOutcome::Crashed, AttemptOutcome::Succeeded]);
        assert_eq!(attempts[0].owner.as_ref().unwrap().as_str(), "dead");
    }

    async fn the_dead_one_is_refused_while_the_run_waits(stage: Stage) {
        let run = orphan(&stage, "").await;
        go(&*stage, 62, 0).await;
        for kind in [End::Finish(Outcome::Succeeded), End::Interrupt] {
            assert_eq!(end(&*stage, 63, vec![ended(key(&run, "dead"), 63, kind)]).await.ends, [Ended::Refused]);
        }
        assert_eq!(record(&*stage, run.id).await.state, RunState::Queued);
    }

    async fn a_second_crash_ends_it(stage: Stage) {
        let run = orphan(&stage, "").await;
        run_turn(&*stage, Turn { lease: Duration::ZERO, ..a_turn("dead too", 62, 1) }).await;
        let result = go(&*stage, 64, 1).await;
        assert_eq!(result.rescued[0].what, RescuedAs::Finished(Outcome::Abandoned));
        let read = record(&*stage, run.id).await;
        assert_eq!((read.outcome, read.finished_at), (Some(Outcome::Abandoned), Some(at(64))));
        assert!(read.error.unwrap().contains("lease"));
        assert_eq!(stage.attempts(&[run.id]).await.unwrap().len(), 2);
    }

    async fn at_most_once(stage: Stage) {
        let run = orphan(&stage, "crash=abandon attempts=5").await;
        assert_eq!(go(&*stage, 62, 1).await.rescued[0].what, RescuedAs::Finished(Outcome::Abandoned));
        let attempts = stage.attempts(&[run.id]).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].outcome), (1, Some(AttemptOutcome::Crashed)));
    }

    async fn a_run_to_be_cancelled_is_not_run_again(stage: Stage) {
        let run = orphan(&stage, "").await;
        assert_eq!(stage.request_cancel(run.id, None, at(61)).await.unwrap(), CancelRequested::Requested);
        assert_eq!(go(&*stage, 62, 1).await.rescued[0].what, RescuedAs::Finished(Outcome::Cancelled));
    }

    async fn a_live_lease_is_left_alone(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        run_turn(&*stage, a_turn("other", 60, 1)).await;
        let result = go(&*stage, 100, 1).await;
        assert_eq!(result.rescued, []);
        let wake = result.next_wake.unwrap();
        assert!(wake > at(100) && wake <= at(120), "the next fire comes before the lease ends");
        let own = run_turn(&*stage, Turn { now: at(9000), ..a_turn("other", 9000, 0) }).await;
        assert_eq!(own.rescued, [], "nobody rescues from itself");
    }

    async fn a_heartbeat_renews_and_tells_what_is_lost(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, ""), job("2", "b", 60, "")]).await;
        let claim = Turn { lease: Duration::ZERO, ..a_turn("me", 60, 2) };
        let runs = run_turn(&*stage, claim).await.started;
        let beat = |runs: &[ClaimedRun]| Beat {
            owner: Owner::from("me"), now: at(61), lease: Duration::from_secs(3600),
            attempts: runs.iter().map(|run| (run.id, run.attempt)).collect(), loop_late: Duration::ZERO,
        };
        assert_eq!(stage.heartbeat(beat(&runs[..1])).await.unwrap().lost, []);
        let other = run_turn(&*stage, a_turn("other", 62, 1)).await;
        assert_eq!(other.rescued.iter().map(|run| run.id).collect::<Vec<_>>(), [runs[1].id], "only the one that was not renewed");
        let result = stage.heartbeat(beat(&runs)).await.unwrap();
        assert_eq!(result.lost, [key(&runs[1], "me")]);
        stage.request_cancel(runs[0].id, Some("p".to_owned()), at(63)).await.unwrap();
        let result = stage.heartbeat(beat(&runs[..1])).await.unwrap();
        assert_eq!(result.cancels.iter().map(|cancel| cancel.id).collect::<Vec<_>>(), [runs[0].id]);
    }

    async fn processes_are_known(stage: Stage) {
        let info = |owner: &str| ProcessInfo {
            owner: Owner::from(owner),
            identity: ProcessIdentity {
                host: "h".to_owned(), boot_id: "b".to_owned(), pid_namespace: "n".to_owned(), pid: 42, start_time: "12345".to_owned(),
            },
            version: "1.2.3".to_owned(),
            pipelines: vec!["a".to_owned(), "ü".to_owned()],
        };
        stage.register_process(info("me"), at(0)).await.unwrap();
        let changed = ProcessInfo { pipelines: vec!["c".to_owned()], ..info("me") };
        stage.register_process(changed.clone(), at(1)).await.unwrap();
        let beat = Beat { owner: Owner::from("me"), now: at(5), lease: Duration::ZERO, attempts: vec![], loop_late: Duration::from_millis(7) };
        stage.heartbeat(beat).await.unwrap();
        let known = stage.processes(at(6)).await.unwrap();
        assert_eq!(known.len(), 1);
        assert_eq!((&known[0].info, known[0].loop_late), (&changed, Duration::from_millis(7)));
        assert!(known[0].silent_for <= Duration::from_secs(1), "{:?}", known[0].silent_for);
        stage.forget_process(&Owner::from("me")).await.unwrap();
        assert_eq!(stage.processes(at(6)).await.unwrap(), []);
    }

    async fn a_dead_predecessor_is_taken_over_at_once(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, ""), job("2", "b", 60, "crash=abandon")]).await;
        run_turn(&*stage, a_turn("dead", 60, 2)).await;
        let rescued = stage.rescue_process(&Owner::from("dead"), at(61)).await.unwrap();
        assert_eq!(rescued.iter().map(|run| run.what).collect::<Vec<_>>(), [RescuedAs::Queued, RescuedAs::Finished(Outcome::Abandoned)]);
        assert_eq!(started(&go(&*stage, 61, 2).await), ["a@60"]);
        assert_eq!(stage.rescue_process(&Owner::from("dead"), at(62)).await.unwrap(), []);
        assert_eq!(stage.held_runs(&Owner::from("me"), at(62)).await.unwrap().len(), 1);
    }
}
