//! Several schedulers on one database.

use std::collections::HashMap;
use std::sync::Arc;

use jobstore::{RunFilter, RunState, Turn};

use crate::harness::*;

on_shared_stores! {
    async fn each_fire_is_started_once(stage: Stage) {
        let jobs = (0..40).map(|n| job(&format!("job {n:02}"), "a", 60, "every=1 late=999 overlap=allow:100000")).collect();
        put(&*stage, jobs).await;
        let mut schedulers = Vec::new();
        for n in 0..4 {
            let store = stage.another("default").await;
            let owner = format!("scheduler {n}");
            schedulers.push(tokio::spawn(async move {
                let mut started = Vec::new();
                for seconds in 60..90 {
                    let turn = Turn { sweep: false, ..a_turn(&owner, seconds, 7) };
                    // A slot is free again as soon as its run has been noted: what counts is who started what.
                    let result = store.turn(Arc::new(turn), Arc::new(WrittenPlan)).await.unwrap();
                    started.extend(result.started.into_iter().map(|run| (run.id, run.attempt)));
                }
                started
            }));
        }
        let mut starts: HashMap<jobstore::RunId, Vec<i32>> = HashMap::new();
        for scheduler in schedulers {
            for (run, attempt) in scheduler.await.unwrap() {
                starts.entry(run).or_default().push(attempt);
            }
        }
        assert!(starts.values().all(|attempts| *attempts == [1]), "{starts:?}");
        go(&*stage, 89, 0).await;
        let runs = stage.runs(RunFilter::default()).await.unwrap();
        assert_eq!(runs.len(), 40 * 30, "no fire is lost or doubled");
        let running = runs.iter().filter(|run| run.state == RunState::Running).count();
        assert_eq!(running, starts.len(), "what is running is what somebody was told to start");
    }

    async fn overlap_and_limits_hold_over_all(stage: Stage) {
        put(&*stage, vec![
            job("1", "a", 60, "every=1 late=999"), job("2", "a", 60, "every=1 late=999"),
            job("3", "b", 60, "every=1 late=999 group=g:1 overlap=allow:9"), job("4", "c", 60, "every=1 late=999 group=g:1 overlap=allow:9"),
        ]).await;
        let mut schedulers = Vec::new();
        for n in 0..4 {
            let store = stage.another("default").await;
            let owner = format!("scheduler {n}");
            schedulers.push(tokio::spawn(async move {
                for seconds in 60..80 {
                    let asked = request("a", seconds, "");
                    store.request_run(asked, at(seconds)).await.unwrap();
                    let turn = Turn { sweep: false, ..a_turn(&owner, seconds, 9) };
                    store.turn(Arc::new(turn), Arc::new(WrittenPlan)).await.unwrap();
                }
            }));
        }
        for scheduler in schedulers {
            scheduler.await.unwrap();
        }
        let active = |pipelines: &'static [&'static str], state| {
            let stage = &stage;
            async move {
                let all = stage.runs(RunFilter { states: vec![state], ..RunFilter::default() }).await.unwrap();
                all.iter().filter(|run| pipelines.contains(&run.pipeline.as_str())).count()
            }
        };
        let of_a = active(&["a"], RunState::Running).await + active(&["a"], RunState::Queued).await;
        assert_eq!(of_a, 1, "one run of a pipeline that does not overlap, whoever asked for it");
        assert_eq!(active(&["b", "c"], RunState::Running).await, 1, "one run of the group");
    }

    async fn batches_of_jobs_can_cross(stage: Stage) {
        let mut writers = Vec::new();
        for n in 0..4_i64 {
            let store = stage.another("default").await;
            writers.push(tokio::spawn(async move {
                let mut ids: Vec<i64> = (0..50).collect();
                ids.rotate_left(usize::try_from(n * 13).unwrap());
                for _ in 0..3 {
                    put(&*store, ids.iter().map(|id| job(&format!("job {id}"), "a", 60, "")).collect()).await;
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(stage.jobs(jobstore::JobFilter::default()).await.unwrap().len(), 50);
    }
}
