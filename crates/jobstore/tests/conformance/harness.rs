//! Stores to test, a planner whose decisions are written in the job, and short ways to say what tests say often.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobstore::{
    AttemptEnd, AttemptKey, ClaimedRun, DueJob, End, Expect, FirePlan, FirePlanner, JobEdit, JobEdited,
    JobId, JobPut, JobRecord, JobSource, JobState, JobStore, LimitGroup, MissedFires, NextFire, OpenOptions,
    Outcome, Overlap, Owner, PipelineSet, PlannedRun, Reason, RunFilter, RunId, RunPolicy, RunRecord,
    RunRequest, StoreUrl, Turn, TurnResult,
};
use test_support::postgres::PostgresDatabase;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    File,
    Postgres,
}

/// A store of its own, with what has to outlive it.
pub(crate) struct Stage {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) url: StoreUrl,
    pub(crate) backend: Backend,
    _directory: Option<tempfile::TempDir>,
    pub(crate) database: Option<PostgresDatabase>,
}

impl std::ops::Deref for Stage {
    type Target = dyn JobStore;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

/// Half past nothing in particular: a fixed instant, plus some seconds.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub(crate) fn options(namespace: &str) -> OpenOptions {
    OpenOptions { poll: Some(Duration::from_millis(20)), ..OpenOptions::new(namespace, at(0)) }
}

impl Stage {
    /// A new store; none where the backend has no server to be tested on.
    pub(crate) async fn new(backend: Backend) -> Option<Stage> {
        let (mut directory, mut database) = (None, None);
        let url = match backend {
            Backend::Memory => StoreUrl::memory(),
            Backend::File => {
                let made = tempfile::tempdir().unwrap();
                let url = StoreUrl::file(made.path().join("jobs.db"));
                directory = Some(made);
                url
            }
            Backend::Postgres => {
                let made = PostgresDatabase::create().await?;
                let url = StoreUrl::parse(&made.url()).unwrap();
                database = Some(made);
                url
            }
        };
        let store = jobstore::open(&url, options("default")).await.unwrap();
        Some(Stage { store, url, backend, _directory: directory, database })
    }

    /// Another store on the same database, as another process would have it.
    pub(crate) async fn another(&self, namespace: &str) -> Arc<dyn JobStore> {
        assert_ne!(self.backend, Backend::Memory, "a database in memory cannot be shared");
        jobstore::open(&self.url, options(namespace)).await.unwrap()
    }
}

/// Runs a test on every store.
macro_rules! on_every_store {
    ($(async fn $name:ident($stage:ident: Stage) $body:block)+) => {
        $(mod $name {
            use super::*;
            async fn body($stage: $crate::harness::Stage) $body
            $crate::harness::on_every_store!(@test memory Memory);
            $crate::harness::on_every_store!(@test file File);
            $crate::harness::on_every_store!(@test postgres Postgres);
        })+
    };
    (@test $test:ident $backend:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            if let Some(stage) = $crate::harness::Stage::new($crate::harness::Backend::$backend).await {
                body(stage).await;
            }
        }
    };
}

/// The same for stores that several processes can share.
macro_rules! on_shared_stores {
    ($(async fn $name:ident($stage:ident: Stage) $body:block)+) => {
        $(mod $name {
            use super::*;
            async fn body($stage: $crate::harness::Stage) $body
            $crate::harness::on_every_store!(@test file File);
            $crate::harness::on_every_store!(@test postgres Postgres);
        })+
    };
}

pub(crate) use {on_every_store, on_shared_stores};

/// What a job of these tests says of itself, in its spec: words such as `overlap=queue`.
pub(crate) fn word<'a>(job: &'a str, name: &str) -> Option<&'a str> {
    job.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

pub(crate) fn policy_of(spec: &str) -> RunPolicy {
    let overlap = match word(spec, "overlap") {
        None | Some("skip") => Overlap::Skip,
        Some("queue") => Overlap::Queue,
        Some("replace") => Overlap::Replace,
        Some(allow) => Overlap::Allow(allow.strip_prefix("allow:").unwrap().parse().unwrap()),
    };
    let limit_group = word(spec, "group").map(|group| {
        let (name, max) = group.split_once(':').unwrap();
        LimitGroup { name: name.into(), max: max.parse().unwrap() }
    });
    RunPolicy {
        overlap,
        limit_group,
        max_attempts: word(spec, "attempts").map_or(1, |n| n.parse().unwrap()),
        on_crash: word(spec, "crash").map_or(jobstore::OnCrash::Rerun, |word| word.parse().unwrap()),
    }
}

/// Fires every `every=` seconds (60), once for a fire that is at most `late=` seconds late (1), and then as `catch=`
/// says: `latest`, `all` or `skip`. `end=` fires and it is finished, `bad` cannot be read.
pub(crate) struct WrittenPlan;

impl FirePlanner for WrittenPlan {
    fn plan(&self, job: &DueJob, now: DateTime<Utc>) -> FirePlan {
        let spec = &job.spec;
        let nothing = |next| FirePlan { runs: Vec::new(), missed: None, next };
        match job.trigger.as_str() {
            "bad" => return nothing(NextFire::Invalid("it is bad".to_owned())),
            "leave" => return nothing(NextFire::Leave),
            "backwards" => {
                let next_fire_at = job.next_fire_at;
                return nothing(NextFire::At { next_fire_at, due_at: next_fire_at });
            }
            _ => {}
        }
        let number = |name: &str, default: i64| word(spec, name).map_or(default, |n| n.parse().unwrap());
        let every = number("every", 60);
        let mut fires: Vec<DateTime<Utc>> = Vec::new();
        let mut next = job.next_fire_at;
        while next <= now {
            fires.push(next);
            next += TimeDelta::seconds(every);
        }
        let run = |at: &DateTime<Utc>, reason| PlannedRun {
            scheduled_for: *at,
            reason,
            available_at: now.max(*at),
            deadline_at: word(spec, "grace").map(|s| *at + TimeDelta::seconds(s.parse().unwrap())),
            policy: policy_of(spec),
        };
        let is_late = |at: &DateTime<Utc>| now - *at > TimeDelta::seconds(number("late", 1));
        let late: Vec<DateTime<Utc>> = fires.iter().copied().filter(is_late).collect();
        let on_time = fires.iter().filter(|at| !is_late(at));
        let caught = match word(spec, "catch") {
            Some("all") => late.clone(),
            Some("skip") => Vec::new(),
            _ => late.last().copied().into_iter().collect(),
        };
        let dropped: Vec<DateTime<Utc>> = late.iter().copied().filter(|at| !caught.contains(at)).collect();
        let missed = dropped.first().zip(dropped.last()).map(|(first, last)| MissedFires {
            count: dropped.len() as u64,
            first: *first,
            last: *last,
            error: None,
        });
        let runs = caught
            .iter()
            .map(|at| run(at, Reason::CatchUp))
            .chain(on_time.map(|at| run(at, Reason::Schedule)))
            .collect();
        let next = if word(spec, "end").is_some_and(|end| next > at(end.parse().unwrap())) {
            NextFire::Finished
        } else {
            NextFire::At { next_fire_at: next, due_at: next + TimeDelta::seconds(number("jitter", 0)) }
        };
        FirePlan { runs, missed, next }
    }
}

/// A job that fires for the first time at `first` seconds.
pub(crate) fn job(id: &str, pipeline: &str, first: i64, spec: &str) -> JobPut {
    JobPut {
        id: JobId::from(id),
        pipeline: pipeline.to_owned(),
        source: JobSource::Config,
        state: JobState::Scheduled,
        paused: None,
        trigger: "written".to_owned(),
        timezone: "Europe/Stockholm".to_owned(),
        spec: spec.to_owned(),
        next_fire_at: Some(at(first)),
        due_at: Some(at(first)),
        error: None,
        requested_by: None,
        expect: Expect::Anything,
    }
}

pub(crate) async fn put(store: &dyn JobStore, puts: Vec<JobPut>) -> Vec<JobEdited> {
    store.edit_jobs(puts.into_iter().map(|put| JobEdit::Put(Box::new(put))).collect(), at(0)).await.unwrap()
}

pub(crate) async fn the_job(store: &dyn JobStore, id: &str) -> JobRecord {
    store.job(&JobId::from(id)).await.unwrap().unwrap()
}

/// The pipelines that tests use.
pub(crate) fn pipelines() -> Arc<PipelineSet> {
    Arc::new(["a", "b", "c", "d", "e"].into_iter().map(str::to_owned).collect::<HashSet<String>>())
}

pub(crate) fn a_turn(owner: &str, seconds: i64, free_slots: usize) -> Turn {
    Turn {
        now: at(seconds),
        owner: Owner::from(owner),
        pipelines: pipelines(),
        ends: Vec::new(),
        free_slots,
        fire_limit: 1000,
        lease: Duration::from_secs(3600),
        sweep: true,
    }
}

pub(crate) async fn run_turn(store: &dyn JobStore, turn: Turn) -> TurnResult {
    store.turn(Arc::new(turn), Arc::new(WrittenPlan)).await.unwrap()
}

/// A turn of owner `me` at these seconds, with so many free slots.
pub(crate) async fn go(store: &dyn JobStore, seconds: i64, free_slots: usize) -> TurnResult {
    run_turn(store, a_turn("me", seconds, free_slots)).await
}

/// A turn that ends an attempt.
pub(crate) async fn end(store: &dyn JobStore, seconds: i64, ends: Vec<AttemptEnd>) -> TurnResult {
    run_turn(store, Turn { ends, ..a_turn("me", seconds, 0) }).await
}

pub(crate) fn key(run: &ClaimedRun, owner: &str) -> AttemptKey {
    AttemptKey { run: run.id, attempt: run.attempt, owner: Owner::from(owner) }
}

pub(crate) fn ended(key: AttemptKey, seconds: i64, end: End) -> AttemptEnd {
    AttemptEnd { key, at: at(seconds), end, error: None, note: None, stages: None, messages: Vec::new() }
}

pub(crate) fn succeeded(run: &ClaimedRun, seconds: i64) -> AttemptEnd {
    ended(key(run, "me"), seconds, End::Finish(Outcome::Succeeded))
}

pub(crate) async fn record(store: &dyn JobStore, id: RunId) -> RunRecord {
    store.run(id).await.unwrap().unwrap()
}

/// All runs, oldest first, as `a@60 finished/skipped`.
pub(crate) async fn shown(store: &dyn JobStore) -> Vec<String> {
    let mut all = store.runs(RunFilter::default()).await.unwrap();
    all.reverse();
    all.iter().map(show).collect()
}

pub(crate) fn show(run: &RunRecord) -> String {
    let seconds = (run.scheduled_for - at(0)).num_seconds();
    let outcome = run.outcome.map_or_else(String::new, |outcome| format!("/{outcome}"));
    let attempt = if run.attempt > 1 { format!(" #{}", run.attempt) } else { String::new() };
    format!("{}@{seconds} {}{outcome}{attempt}", run.pipeline, run.state)
}

/// The runs that a turn started, as `a@60`.
pub(crate) fn started(result: &TurnResult) -> Vec<String> {
    result
        .started
        .iter()
        .map(|run| format!("{}@{}", run.pipeline, (run.scheduled_for - at(0)).num_seconds()))
        .collect()
}

pub(crate) fn request(pipeline: &str, seconds: i64, spec: &str) -> RunRequest {
    RunRequest {
        id: RunId::generate(at(seconds)),
        pipeline: pipeline.to_owned(),
        job_id: None,
        reason: Reason::Manual,
        available_at: at(seconds),
        policy: policy_of(spec),
        requested_by: Some("someone".to_owned()),
    }
}
