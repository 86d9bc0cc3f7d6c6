//! Claims and ends of attempts: who may start what, and whose word counts.

use jobstore::{
    AttemptOutcome, CancelRequested, End, Ended, MessageFilter, NewMessage, Outcome, Owner, RequestedRun,
    RunId, RunState, Turn,
};

use crate::harness::*;

on_every_store! {
    async fn an_end_is_written_once_and_repeated_without_harm(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        let run = go(&*stage, 60, 1).await.started.remove(0);
        let mut done = succeeded(&run, 65);
        done.note = Some("unchanged".to_owned());
        done.stages = Some("[]".to_owned());
        assert_eq!(end(&*stage, 66, vec![done.clone()]).await.ends, [Ended::Written]);
        assert_eq!(end(&*stage, 67, vec![done.clone()]).await.ends, [Ended::Written], "the answer may have been lost");
        let read = record(&*stage, run.id).await;
        assert_eq!((read.state, read.outcome, read.finished_at), (RunState::Finished, Some(Outcome::Succeeded), Some(at(65))));
        assert_eq!((read.note.as_deref(), read.stages.as_deref(), read.lease_until), (Some("unchanged"), Some("[]"), None));
        let mut other = done.clone();
        other.key.owner = Owner::from("other");
        let mut later = done;
        later.key.attempt = 2;
        assert_eq!(end(&*stage, 68, vec![other, later]).await.ends, [Ended::Refused, Ended::Refused]);
    }

    async fn many_ends_keep_their_order(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, ""), job("2", "b", 60, ""), job("3", "c", 60, "")]).await;
        let runs = go(&*stage, 60, 3).await.started;
        let mut ends: Vec<_> = runs.iter().rev().map(|run| succeeded(run, 61)).collect();
        ends[1].key.owner = Owner::from("nobody");
        let results = end(&*stage, 62, ends).await.ends;
        assert_eq!(results, [Ended::Written, Ended::Refused, Ended::Written]);
        assert_eq!(shown(&*stage).await, ["a@60 finished/succeeded", "b@60 running", "c@60 finished/succeeded"]);
    }

    async fn a_retry_waits_without_a_slot(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "attempts=3")]).await;
        let run = go(&*stage, 60, 1).await.started.remove(0);
        let mut failed = ended(key(&run, "me"), 61, End::Retry { outcome: AttemptOutcome::Failed, available_at: at(91) });
        failed.error = Some("no route".to_owned());
        let result = run_turn(&*stage, Turn { ends: vec![failed.clone()], ..a_turn("me", 61, 1) }).await;
        assert_eq!((result.started.len(), result.next_wake), (0, Some(at(91))));
        let waiting = record(&*stage, run.id).await;
        assert_eq!((waiting.state, waiting.attempt, waiting.error.as_deref()), (RunState::Queued, 1, Some("no route")));
        assert_eq!(end(&*stage, 62, vec![failed.clone()]).await.ends, [Ended::Written], "repeated");
        let second = go(&*stage, 91, 1).await.started.remove(0);
        assert_eq!((second.id, second.attempt, second.scheduled_for), (run.id, 2, at(60)));
        assert_eq!(end(&*stage, 92, vec![failed]).await.ends, [Ended::Refused], "the first attempt is over");
        end(&*stage, 95, vec![succeeded(&second, 95)]).await;
        let attempts = stage.attempts(&[run.id]).await.unwrap();
        let shown: Vec<_> = attempts.iter().map(|a| (a.attempt, a.outcome, a.started_at, a.finished_at)).collect();
        assert_eq!(shown, [
            (1, Some(AttemptOutcome::Failed), at(60), Some(at(61))),
            (2, Some(AttemptOutcome::Succeeded), at(91), Some(at(95))),
        ]);
        assert_eq!((attempts[0].error.as_deref(), attempts[1].error.as_deref()), (Some("no route"), None));
        let read = record(&*stage, run.id).await;
        assert_eq!((read.started_at, read.attempt_started_at), (Some(at(60)), Some(at(91))));
    }

    async fn an_interrupted_run_is_queued_for_the_next_process(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        let run = go(&*stage, 60, 1).await.started.remove(0);
        let cut = ended(key(&run, "me"), 61, End::Interrupt);
        assert_eq!(end(&*stage, 61, vec![cut]).await.ends, [Ended::Written]);
        let again = run_turn(&*stage, a_turn("next", 61, 1)).await.started.remove(0);
        assert_eq!((again.id, again.attempt, again.interruptions), (run.id, 2, 1));
        let attempts = stage.attempts(&[run.id]).await.unwrap();
        assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Interrupted));
        assert_eq!((attempts[1].outcome, attempts[1].finished_at), (None, None));
    }

    async fn requested_runs_go_first_and_are_asked_for_once(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, ""), job("2", "b", 60, "")]).await;
        go(&*stage, 60, 0).await;
        let asked = request("c", 65, "");
        let queued = stage.request_run(asked.clone(), at(65)).await.unwrap();
        assert_eq!(queued, RequestedRun::Queued { id: asked.id, scheduled_for: at(65), replaced: vec![] });
        assert_eq!(stage.request_run(asked.clone(), at(66)).await.unwrap(), queued, "the answer may have been lost");
        assert_eq!(started(&go(&*stage, 66, 1).await), ["c@65"]);
        let read = record(&*stage, asked.id).await;
        assert_eq!((read.requested_by.as_deref(), read.reason), (Some("someone"), jobstore::Reason::Manual));
    }

    async fn two_requests_at_one_instant_are_two_runs(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        let mut asked = request("a", 65, "overlap=allow:9");
        asked.job_id = Some(jobstore::JobId::from("1"));
        let first = stage.request_run(asked.clone(), at(60)).await.unwrap();
        asked.id = RunId::generate(at(65));
        let second = stage.request_run(asked, at(60)).await.unwrap();
        let when = |requested| match requested {
            RequestedRun::Queued { scheduled_for, .. } => scheduled_for,
            other => panic!("{other:?}"),
        };
        assert_eq!(when(first), at(60));
        assert_eq!(when(second), at(60) + chrono::TimeDelta::microseconds(1));
    }

    async fn a_waiting_run_is_cancelled_at_once(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        let run = go(&*stage, 60, 0).await.fired.remove(0).run;
        assert_eq!(stage.request_cancel(run, Some("p".to_owned()), at(61)).await.unwrap(), CancelRequested::Cancelled);
        assert_eq!(stage.request_cancel(run, None, at(62)).await.unwrap(), CancelRequested::AlreadyFinished(Outcome::Cancelled));
        assert_eq!(started(&go(&*stage, 63, 1).await), [] as [&str; 0]);
        let read = record(&*stage, run).await;
        assert_eq!((read.outcome, read.cancel_requested_by.as_deref(), read.finished_at), (Some(Outcome::Cancelled), Some("p"), Some(at(61))));
        assert_eq!(stage.request_cancel(RunId::generate(at(0)), None, at(0)).await.unwrap(), CancelRequested::NotFound);
    }

    async fn the_holder_of_a_run_is_told_to_stop_it(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "attempts=5")]).await;
        let run = go(&*stage, 60, 1).await.started.remove(0);
        assert_eq!(go(&*stage, 61, 1).await.cancels, []);
        assert_eq!(stage.request_cancel(run.id, Some("p".to_owned()), at(62)).await.unwrap(), CancelRequested::Requested);
        assert_eq!(stage.request_cancel(run.id, Some("q".to_owned()), at(63)).await.unwrap(), CancelRequested::Requested);
        let told = go(&*stage, 64, 1).await.cancels;
        assert_eq!(told.iter().map(|c| (c.id, c.attempt, c.requested_by.as_deref())).collect::<Vec<_>>(), [(run.id, 1, Some("p"))]);
        assert_eq!(run_turn(&*stage, a_turn("other", 64, 1)).await.cancels, []);
        let retry = End::Retry { outcome: AttemptOutcome::Failed, available_at: at(90) };
        assert_eq!(end(&*stage, 65, vec![ended(key(&run, "me"), 65, retry)]).await.ends, [Ended::Written]);
        assert_eq!(shown(&*stage).await, ["a@60 finished/cancelled"], "what shall stop is not tried again");
        assert_eq!(go(&*stage, 90, 1).await.cancels, []);
    }

    async fn messages_leave_with_the_end_that_counts(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        let run = go(&*stage, 60, 1).await.started.remove(0);
        let mut failed = ended(key(&run, "me"), 61, End::Finish(Outcome::Failed));
        failed.messages = vec![NewMessage {
            pipeline: "a".to_owned(), stage: "on_failure".to_owned(), run: Some(run.id), target: "channel:1".to_owned(),
            kind: "failure".to_owned(), payload: "{}".to_owned(),
        }];
        let mut stale = failed.clone();
        stale.key.owner = Owner::from("other");
        end(&*stage, 62, vec![stale]).await;
        assert_eq!(stage.messages(MessageFilter::default()).await.unwrap(), []);
        end(&*stage, 62, vec![failed.clone()]).await;
        end(&*stage, 63, vec![failed]).await;
        assert_eq!(stage.messages(MessageFilter::default()).await.unwrap().len(), 1);
    }

    async fn what_is_held_can_be_read_back(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "group=g:4 attempts=2"), job("2", "b", 60, "")]).await;
        let started = go(&*stage, 60, 5).await.started;
        let held = stage.held_runs(&Owner::from("me"), at(61)).await.unwrap();
        assert_eq!(held.len(), 2);
        for (held, run) in held.iter().zip(&started) {
            assert_eq!((held.id, held.attempt, &held.policy, held.started_at), (run.id, run.attempt, &run.policy, run.started_at));
            assert!(held.lease <= run.lease && held.lease.as_secs() > 3500, "{:?}", held.lease);
        }
        assert_eq!(stage.held_runs(&Owner::from("other"), at(61)).await.unwrap(), []);
    }

    async fn queues_are_counted(stage: Stage) {
        put(&*stage, ["a", "b", "c", "d"].map(|p| job(p, p, 60, "attempts=2")).to_vec()).await;
        let started = go(&*stage, 60, 2).await.started;
        let retry = End::Retry { outcome: AttemptOutcome::Failed, available_at: at(900) };
        end(&*stage, 61, vec![ended(key(&started[0], "me"), 61, retry)]).await;
        let counts = stage.counts(at(62)).await.unwrap();
        assert_eq!((counts.ready, counts.waiting, counts.running), (2, 1, 1));
    }
}
