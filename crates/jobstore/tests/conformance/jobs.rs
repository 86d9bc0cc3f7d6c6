//! Edits of jobs and what is read back.

use jobstore::{Expect, JobEdit, JobEdited, JobFilter, JobId, JobPut, JobSource, JobState, JobStore};

use crate::harness::*;

async fn ids(store: &dyn JobStore, filter: JobFilter) -> Vec<String> {
    store.jobs(filter).await.unwrap().into_iter().map(|job| job.id.into_string()).collect()
}

on_every_store! {
    async fn a_job_is_read_as_it_was_written(stage: Stage) {
        let mut written = job("pipeline_ä", "ä b", 60, "{\"deep\": [1, 2]}");
        written.requested_by = Some("someone".to_owned());
        written.source = JobSource::Runtime;
        assert_eq!(put(&*stage, vec![written.clone()]).await, [JobEdited::Done(1)]);
        let read = the_job(&*stage, "pipeline_ä").await;
        assert_eq!(read.namespace, "default");
        assert_eq!(read.pipeline, written.pipeline);
        assert_eq!(read.source, JobSource::Runtime);
        assert_eq!(read.state, JobState::Scheduled);
        assert_eq!((read.trigger, read.timezone, read.spec), (written.trigger, written.timezone, written.spec));
        assert_eq!((read.next_fire_at, read.due_at), (Some(at(60)), Some(at(60))));
        assert_eq!((read.created_at, read.updated_at), (at(0), at(0)));
        assert_eq!(read.requested_by.as_deref(), Some("someone"));
        assert!(!read.paused);
        assert_eq!(stage.job(&JobId::from("pipeline_x")).await.unwrap(), None);
    }

    async fn edits_say_what_must_hold(stage: Stage) {
        let with = |expect| JobPut { expect, ..job("a", "a", 60, "") };
        assert_eq!(put(&*stage, vec![with(Expect::Version(1))]).await, [JobEdited::NotFound]);
        assert_eq!(put(&*stage, vec![with(Expect::Absent)]).await, [JobEdited::Done(1)]);
        assert_eq!(put(&*stage, vec![with(Expect::Absent)]).await, [JobEdited::Conflict(1)]);
        assert_eq!(put(&*stage, vec![with(Expect::Version(1))]).await, [JobEdited::Done(2)]);
        assert_eq!(put(&*stage, vec![with(Expect::Version(1))]).await, [JobEdited::Conflict(2)]);
        assert_eq!(put(&*stage, vec![with(Expect::Anything)]).await, [JobEdited::Done(3)]);
        let delete = |expect| vec![JobEdit::Delete { id: JobId::from("a"), expect }];
        assert_eq!(stage.edit_jobs(delete(Expect::Version(2)), at(1)).await.unwrap(), [JobEdited::Conflict(3)]);
        assert_eq!(stage.edit_jobs(delete(Expect::Version(3)), at(1)).await.unwrap(), [JobEdited::Done(0)]);
        assert_eq!(stage.edit_jobs(delete(Expect::Anything), at(1)).await.unwrap(), [JobEdited::NotFound]);
    }

    async fn a_batch_is_made_in_its_order(stage: Stage) {
        let new = |id: &str| JobPut { expect: Expect::Absent, ..job(id, "a", 60, "") };
        let mut edits: Vec<JobEdit> =
            (0..1200).map(|n| JobEdit::Put(Box::new(new(&format!("job {n:04}"))))).collect();
        edits.insert(3, JobEdit::Put(Box::new(new("job 0001"))));
        edits.insert(4, JobEdit::Delete { id: JobId::from("job 0002"), expect: Expect::Anything });
        let results = stage.edit_jobs(edits, at(0)).await.unwrap();
        assert_eq!(results.len(), 1202);
        assert_eq!(results[..5], [JobEdited::Done(1), JobEdited::Done(1), JobEdited::Done(1), JobEdited::Conflict(1), JobEdited::Done(0)]);
        assert!(results[5..].iter().all(|result| *result == JobEdited::Done(1)));
        let all = ids(&*stage, JobFilter::default()).await;
        assert_eq!(all.len(), 1199);
        let page = ids(&*stage, JobFilter {
            after: Some(("default".to_owned(), JobId::from("job 0001"))),
            limit: 2,
            ..JobFilter::default()
        }).await;
        assert_eq!(page, ["job 0003", "job 0004"]);
    }

    async fn a_pause_survives_everything_but_its_end(stage: Stage) {
        put(&*stage, vec![job("a", "a", 60, "")]).await;
        let pause = JobEdit::Pause { id: JobId::from("a"), requested_by: Some("p".to_owned()) };
        assert_eq!(stage.edit_jobs(vec![pause], at(1)).await.unwrap(), [JobEdited::Done(2)]);
        let paused = the_job(&*stage, "a").await;
        assert_eq!((paused.paused, paused.state, paused.shown_state()), (true, JobState::Scheduled, JobState::Paused));
        assert_eq!((paused.next_fire_at, paused.due_at), (Some(at(60)), None));
        assert_eq!(go(&*stage, 100, 5).await.fired, [], "a paused job does not fire");
        put(&*stage, vec![job("a", "a", 90, "changed")]).await;
        let edited = the_job(&*stage, "a").await;
        assert_eq!((edited.paused, edited.due_at, edited.spec.as_str()), (true, None, "changed"));
        let disable = |state, due: Option<i64>| JobEdit::SetState {
            id: JobId::from("a"), state, error: Some("why".to_owned()), requested_by: None,
            due_at: due.map(at), expect: Expect::Anything,
        };
        stage.edit_jobs(vec![disable(JobState::Disabled, None), disable(JobState::Scheduled, Some(90))], at(2)).await.unwrap();
        let back = the_job(&*stage, "a").await;
        assert_eq!((back.paused, back.state, back.due_at), (true, JobState::Scheduled, None));
        let resume = |version| JobEdit::Resume {
            id: JobId::from("a"), requested_by: None, next_fire_at: Some(at(120)), due_at: Some(at(121)), version,
        };
        assert_eq!(stage.edit_jobs(vec![resume(1)], at(3)).await.unwrap(), [JobEdited::Conflict(back.version)]);
        assert_eq!(stage.edit_jobs(vec![resume(back.version)], at(3)).await.unwrap(), [JobEdited::Done(back.version + 1)]);
        let resumed = the_job(&*stage, "a").await;
        assert_eq!((resumed.paused, resumed.shown_state()), (false, JobState::Scheduled));
        assert_eq!((resumed.next_fire_at, resumed.due_at, resumed.error), (Some(at(120)), Some(at(121)), None));
        assert_eq!(go(&*stage, 121, 5).await.fired.len(), 1);
    }

    async fn only_scheduled_jobs_fire(stage: Stage) {
        for state in [JobState::Disabled, JobState::Removed, JobState::Finished, JobState::Orphaned, JobState::Invalid] {
            put(&*stage, vec![JobPut { state, ..job("a", "a", 60, "") }]).await;
            let stored = the_job(&*stage, "a").await;
            assert_eq!((stored.state, stored.due_at, stored.next_fire_at), (state, None, Some(at(60))));
            let result = go(&*stage, 100, 5).await;
            assert_eq!((result.fired, result.next_wake), (vec![], None), "{state}");
        }
        put(&*stage, vec![JobPut { state: JobState::Paused, ..job("a", "a", 60, "") }]).await;
        let stored = the_job(&*stage, "a").await;
        assert_eq!((stored.state, stored.paused, stored.due_at), (JobState::Scheduled, true, None));
    }

    async fn a_removed_job_comes_back(stage: Stage) {
        put(&*stage, vec![JobPut { state: JobState::Removed, ..job("a", "a", 60, "") }]).await;
        let resume = JobEdit::Resume {
            id: JobId::from("a"), requested_by: Some("r".to_owned()), next_fire_at: Some(at(120)), due_at: Some(at(120)), version: 1,
        };
        assert_eq!(stage.edit_jobs(vec![resume], at(3)).await.unwrap(), [JobEdited::Done(2)]);
        let back = the_job(&*stage, "a").await;
        assert_eq!((back.state, back.due_at, back.requested_by.as_deref()), (JobState::Scheduled, Some(at(120)), Some("r")));
    }

    async fn lists_are_filtered(stage: Stage) {
        let runtime = JobPut { source: JobSource::Runtime, ..job("c", "b", 60, "") };
        put(&*stage, vec![job("b", "a", 60, ""), job("a", "a", 60, ""), runtime]).await;
        assert_eq!(ids(&*stage, JobFilter::default()).await, ["a", "b", "c"]);
        assert_eq!(ids(&*stage, JobFilter { pipeline: Some("a".to_owned()), ..JobFilter::default() }).await, ["a", "b"]);
        assert_eq!(ids(&*stage, JobFilter { source: Some(JobSource::Runtime), ..JobFilter::default() }).await, ["c"]);
        assert_eq!(ids(&*stage, JobFilter { limit: 1, ..JobFilter::default() }).await, ["a"]);
    }

    async fn what_cannot_be_read_stops_only_itself(stage: Stage) {
        let bad = JobPut { trigger: "bad".to_owned(), ..job("bad", "a", 60, "") };
        let backwards = JobPut { trigger: "backwards".to_owned(), ..job("backwards", "a", 60, "") };
        let leave = JobPut { trigger: "leave".to_owned(), ..job("leave", "a", 60, "") };
        put(&*stage, vec![bad, backwards, leave, job("good", "b", 60, ""), job("ends", "c", 60, "end=100")]).await;
        let result = go(&*stage, 60, 5).await;
        assert_eq!(started(&result), ["b@60", "c@60"]);
        assert_eq!(result.finished_jobs, [JobId::from("ends")]);
        let reasons: Vec<&str> = result.invalid_jobs.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(reasons[0], "it is bad");
        assert!(reasons[1].contains("is not after"), "{reasons:?}");
        let stored = the_job(&*stage, "bad").await;
        assert_eq!((stored.state, stored.error.as_deref(), stored.due_at), (JobState::Invalid, Some("it is bad"), None));
        assert_eq!(stored.next_fire_at, Some(at(60)));
        assert_eq!(the_job(&*stage, "ends").await.state, JobState::Finished);
        assert_eq!(the_job(&*stage, "leave").await.version, 1);
        assert_eq!(go(&*stage, 61, 5).await.next_wake, Some(at(120)), "what is left alone wakes nobody");
    }

    async fn apscheduler_is_only_looked_at(stage: Stage) {
        assert_eq!(stage.foreign_jobs().await.unwrap(), None);
        assert_eq!(ids(&*stage, JobFilter::default()).await, [] as [&str; 0]);
        if let Some(database) = &stage.database {
            database.execute("CREATE TABLE apscheduler_jobs (id TEXT PRIMARY KEY, next_run_time FLOAT, job_state BYTEA)").await;
            database.execute("INSERT INTO apscheduler_jobs SELECT 'job ' || n, 1.5, '\\x00' FROM generate_series(100, 249) n").await;
            let foreign = stage.foreign_jobs().await.unwrap().unwrap();
            assert_eq!((foreign.table, foreign.count, foreign.ids.len()), ("apscheduler_jobs", 150, 100));
            assert_eq!(foreign.ids[0], "job 100");
        }
    }
}

on_shared_stores! {
    async fn namespaces_do_not_see_one_another(stage: Stage) {
        let other = stage.another("other").await;
        put(&*stage, vec![job("a", "a", 60, "")]).await;
        put(&*other, vec![job("a", "a", 60, ""), job("b", "b", 60, "")]).await;
        assert_eq!(ids(&*stage, JobFilter::default()).await, ["a"]);
        let all = JobFilter { all_namespaces: true, ..JobFilter::default() };
        assert_eq!(ids(&*stage, all).await, ["a", "a", "b"]);
        let counts = [stage.jobs_by_pipeline(JobSource::Config).await.unwrap(), other.jobs_by_pipeline(JobSource::Config).await.unwrap()];
        assert_eq!(counts, [vec![("a".to_owned(), 1)], vec![("a".to_owned(), 1), ("b".to_owned(), 1)]]);
        assert_eq!(other.jobs_by_pipeline(JobSource::Runtime).await.unwrap(), []);
        assert_eq!(started(&go(&*stage, 60, 5).await), ["a@60"]);
        assert_eq!(started(&go(&*other, 60, 5).await), ["a@60", "b@60"], "the other namespace's run is in nobody's way");
    }
}
