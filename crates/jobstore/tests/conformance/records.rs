//! What is kept of runs: lists, logs, and how long.

use jobstore::{
    Expect, JobEdit, JobFilter, JobId, JobStore, LogCursor, LogLine, Outcome, Retention, RunFilter, RunId,
    RunState,
};

use crate::harness::*;

fn line(run: RunId, attempt: i32, seq: i64, text: &str) -> LogLine {
    LogLine {
        run,
        attempt,
        seq,
        at: at(seq),
        level: "info".to_owned(),
        stage: Some("s".to_owned()),
        text: text.to_owned(),
    }
}

/// Fires job `id` of pipeline a so many times, and ends each run.
async fn history(store: &dyn JobStore, id: &str, times: i64) {
    put(store, vec![job(id, "a", 60, "")]).await;
    for n in 1..=times {
        let run = go(store, n * 60, 1).await.started.remove(0);
        end(store, n * 60 + 1, vec![succeeded(&run, n * 60 + 1)]).await;
    }
}

async fn list(store: &dyn JobStore, filter: RunFilter) -> Vec<String> {
    store.runs(filter).await.unwrap().iter().map(show).collect()
}

on_every_store! {
    async fn runs_are_listed_newest_first(stage: Stage) {
        history(&*stage, "1", 3).await;
        let removal = JobEdit::Delete { id: JobId::from("1"), expect: Expect::Anything };
        stage.edit_jobs(vec![removal], at(200)).await.unwrap();
        put(&*stage, vec![job("2", "b", 300, "")]).await;
        let running = go(&*stage, 300, 1).await.started.remove(0);
        let all = list(&*stage, RunFilter::default()).await;
        assert_eq!(all[0], "b@300 running");
        assert_eq!(all[1..], ["a@180 finished/succeeded", "a@120 finished/succeeded", "a@60 finished/succeeded"]);
        let of = |filter| list(&*stage, filter);
        assert_eq!(of(RunFilter { pipeline: Some("b".to_owned()), ..RunFilter::default() }).await, ["b@300 running"]);
        assert_eq!(of(RunFilter { job: Some(JobId::from("2")), ..RunFilter::default() }).await, ["b@300 running"]);
        assert_eq!(of(RunFilter { states: vec![RunState::Running], ..RunFilter::default() }).await, ["b@300 running"]);
        assert_eq!(of(RunFilter { outcomes: vec![Outcome::Succeeded], limit: 1, ..RunFilter::default() }).await, ["a@180 finished/succeeded"]);
        assert_eq!(of(RunFilter { since: Some(at(300)), states: vec![RunState::Running], ..RunFilter::default() }).await, ["b@300 running"]);
        assert_eq!(of(RunFilter { since: Some(at(301)), ..RunFilter::default() }).await, [] as [&str; 0]);
        assert_eq!(of(RunFilter { before: Some(running.id), outcomes: vec![Outcome::Succeeded], limit: 2, ..RunFilter::default() }).await, ["a@180 finished/succeeded", "a@120 finished/succeeded"]);
    }

    async fn jobs_know_their_last_run(stage: Stage) {
        history(&*stage, "1", 2).await;
        let runs = stage.job_runs(&[JobId::from("1"), JobId::from("2")]).await.unwrap();
        assert_eq!(runs[0].last_finished.as_ref().unwrap().scheduled_for, at(120));
        assert_eq!((runs[1].job.as_str(), &runs[1].last_finished), ("2", &None));
    }

    async fn logs_are_kept_with_their_run(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        let run = go(&*stage, 60, 1).await.started[0].id;
        let gone = RunId::generate(at(0));
        let lines = vec![line(run, 1, 1, "one"), line(run, 1, 2, "two\nlines ü"), line(gone, 1, 1, "nobody's"), line(run, 2, 1, "again")];
        stage.append_logs(lines.clone()).await.unwrap();
        stage.append_logs(lines.clone()).await.unwrap();
        let all = stage.logs(run, LogCursor::default(), 0).await.unwrap();
        assert_eq!(all, [lines[0].clone(), lines[1].clone(), lines[3].clone()]);
        let next = stage.logs(run, LogCursor { attempt: 1, seq: 1 }, 1).await.unwrap();
        assert_eq!(next, [lines[1].clone()]);
        assert_eq!(stage.logs(gone, LogCursor::default(), 0).await.unwrap(), []);
    }

    async fn many_lines_fit_into_a_call(stage: Stage) {
        put(&*stage, vec![job("1", "a", 60, "")]).await;
        let run = go(&*stage, 60, 1).await.started[0].id;
        stage.append_logs((1..=3000).map(|n| line(run, 1, n, "text")).collect()).await.unwrap();
        assert_eq!(stage.logs(run, LogCursor::default(), 0).await.unwrap().len(), 3000);
    }

    async fn old_runs_go_by_age(stage: Stage) {
        history(&*stage, "1", 5).await;
        let log = stage.runs(RunFilter::default()).await.unwrap().iter().map(|run| line(run.id, 1, 1, "x")).collect();
        stage.append_logs(log).await.unwrap();
        go(&*stage, 360, 1).await;
        let retention = Retention { created_before: Some(at(240)), keep_per_job: None, limit: 2 };
        let first = stage.prune(retention).await.unwrap();
        assert_eq!((first.deleted, first.done), (2, false));
        let second = stage.prune(retention).await.unwrap();
        assert_eq!((second.deleted, second.done), (1, true));
        assert_eq!(shown(&*stage).await, ["a@240 finished/succeeded", "a@300 finished/succeeded", "a@360 running"]);
        let everything = Retention { created_before: Some(at(99_999)), keep_per_job: Some(0), limit: 100 };
        stage.prune(everything).await.unwrap();
        assert_eq!(shown(&*stage).await, ["a@360 running"], "a run without outcome stays");
        assert_eq!(stage.jobs(JobFilter::default()).await.unwrap().len(), 1);
    }

    async fn a_number_of_runs_of_each_job_stays(stage: Stage) {
        history(&*stage, "1", 4).await;
        // Ten skipped ones do not push out the real ones.
        go(&*stage, 300, 1).await;
        for n in 6..16 {
            go(&*stage, n * 60, 0).await;
        }
        history_without_job(&stage, 4).await;
        let retention = Retention { created_before: None, keep_per_job: Some(3), limit: 4 };
        let mut deleted = 0;
        for _ in 0..20 {
            let pruned = stage.prune(retention).await.unwrap();
            deleted += pruned.deleted;
            if pruned.done {
                break;
            }
        }
        assert_eq!(deleted, 1 + 7 + 1);
        let left = shown(&*stage).await;
        assert_eq!(left[..4], ["a@120 finished/succeeded", "a@180 finished/succeeded", "a@240 finished/succeeded", "a@300 running"]);
        assert_eq!(left[4..7], ["a@780 finished/skipped", "a@840 finished/skipped", "a@900 finished/skipped"]);
        assert_eq!(left[7..], ["e@2000 finished/cancelled"; 3].iter().enumerate().map(|(n, _)| format!("e@{} finished/cancelled", 2001 + n)).collect::<Vec<_>>()[..]);
        assert!(stage.prune(retention).await.unwrap().done);
    }
}

async fn history_without_job(stage: &Stage, times: i64) {
    for n in 0..times {
        let asked = request("e", 2000 + n, "");
        stage.request_run(asked.clone(), at(2000 + n)).await.unwrap();
        stage.request_cancel(asked.id, None, at(2000 + n)).await.unwrap();
    }
}
