//! Whatever order schedulers fire, claim, end, die and rescue in: every fire has one row, none is missing, no run has
//! two live attempts, and every run gets its outcome in the end.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobstore::{
    AttemptEnd, AttemptKey, AttemptOutcome, Beat, ClaimedRun, DueJob, End, Ended, Expect, FirePlan,
    FirePlanner, JobEdit, JobId, JobPut, JobSource, JobState, JobStore, MissedFires, NextFire, OnCrash,
    OpenOptions, Outcome, Overlap, Owner, PipelineSet, PlannedRun, Reason, RequestedRun, RescuedAs,
    RunFilter, RunId, RunPolicy, RunRequest, RunState, StoreUrl, Turn, TurnResult,
};
use proptest::prelude::*;
use test_support::postgres::PostgresDatabase;

const SCHEDULERS: usize = 3;
const PIPELINES: [&str; 4] = ["skip", "queue", "replace", "allow"];
const LEASE: Duration = Duration::from_secs(20);
/// A fire every so many seconds.
const EVERY: i64 = 7;

#[derive(Clone, Debug)]
enum Step {
    /// Time passes, and a scheduler takes its turn.
    Turn { scheduler: usize, seconds: i64, slots: usize },
    /// It takes its turn, and the answer is lost: it reads back what it holds.
    LostTurn { scheduler: usize, slots: usize },
    /// One of its attempts ends.
    End { scheduler: usize, which: usize, how: usize },
    /// It renews its leases.
    Beat { scheduler: usize },
    /// It dies, and another process begins in its place.
    Kill { scheduler: usize },
    /// Somebody asks for a run.
    Request { pipeline: usize },
    /// Somebody cancels one of the unfinished runs.
    Cancel { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let scheduler = 0..SCHEDULERS;
    prop_oneof![
        8 => (scheduler.clone(), 0..9_i64, 0..4_usize).prop_map(|(scheduler, seconds, slots)| Step::Turn { scheduler, seconds, slots }),
        1 => (scheduler.clone(), 0..4_usize).prop_map(|(scheduler, slots)| Step::LostTurn { scheduler, slots }),
        6 => (scheduler.clone(), 0..8_usize, 0..5_usize).prop_map(|(scheduler, which, how)| Step::End { scheduler, which, how }),
        3 => scheduler.clone().prop_map(|scheduler| Step::Beat { scheduler }),
        1 => scheduler.prop_map(|scheduler| Step::Kill { scheduler }),
        1 => (0..PIPELINES.len()).prop_map(|pipeline| Step::Request { pipeline }),
        1 => (0..8_usize).prop_map(|which| Step::Cancel { which }),
    ]
}

fn policy(pipeline: &str) -> RunPolicy {
    RunPolicy {
        overlap: match pipeline {
            "skip" => Overlap::Skip,
            "queue" => Overlap::Queue,
            "replace" => Overlap::Replace,
            _ => Overlap::Allow(2),
        },
        limit_group: None,
        max_attempts: 3,
        on_crash: if pipeline == "allow" { OnCrash::Abandon } else { OnCrash::Rerun },
    }
}

/// The latest two late fires are made up for, the others are missed.
struct Planner;

impl FirePlanner for Planner {
    fn plan(&self, job: &DueJob, now: DateTime<Utc>) -> FirePlan {
        let mut due = Vec::new();
        let mut next = job.next_fire_at;
        while next <= now {
            due.push(next);
            next += TimeDelta::seconds(EVERY);
        }
        let dropped = due.len().saturating_sub(2);
        let missed = (dropped > 0).then(|| MissedFires {
            count: dropped as u64,
            first: due[0],
            last: due[dropped - 1],
            error: None,
        });
        let runs = due[dropped..]
            .iter()
            .map(|at| PlannedRun {
                scheduled_for: *at,
                reason: if now - *at > TimeDelta::seconds(1) { Reason::CatchUp } else { Reason::Schedule },
                available_at: now,
                deadline_at: None,
                policy: policy(&job.pipeline),
            })
            .collect();
        FirePlan { runs, missed, next: NextFire::At { next_fire_at: next, due_at: next } }
    }
}

/// What a scheduler believes to hold.
#[derive(Clone, Debug)]
struct Scheduler {
    owner: Owner,
    held: Vec<(ClaimedRun, DateTime<Utc>)>,
    lives: usize,
}

struct World {
    store: Arc<dyn JobStore>,
    /// Whether leases are judged by the time of this test.
    simulated: bool,
    now: DateTime<Utc>,
    schedulers: Vec<Scheduler>,
    dead: Vec<Owner>,
    /// How many attempts of each run have been started.
    attempts: HashMap<RunId, i32>,
    asked: BTreeSet<RunId>,
}

fn begin() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

impl World {
    async fn new(store: Arc<dyn JobStore>, simulated: bool) -> World {
        let edits = PIPELINES
            .iter()
            .map(|pipeline| {
                JobEdit::Put(Box::new(JobPut {
                    id: JobId::new(format!("pipeline_{pipeline}")),
                    pipeline: (*pipeline).to_owned(),
                    source: JobSource::Config,
                    state: JobState::Scheduled,
                    paused: None,
                    trigger: String::new(),
                    timezone: "UTC".to_owned(),
                    spec: String::new(),
                    next_fire_at: Some(begin()),
                    due_at: Some(begin()),
                    error: None,
                    requested_by: None,
                    expect: Expect::Absent,
                }))
            })
            .collect();
        store.edit_jobs(edits, begin()).await.unwrap();
        let schedulers = (0..SCHEDULERS)
            .map(|n| Scheduler { owner: Owner::new(format!("{n} life 0")), held: Vec::new(), lives: 1 })
            .collect();
        World {
            store,
            simulated,
            now: begin(),
            schedulers,
            dead: Vec::new(),
            attempts: HashMap::new(),
            asked: BTreeSet::new(),
        }
    }

    fn turn_of(&self, scheduler: usize, slots: usize, ends: Vec<AttemptEnd>) -> Arc<Turn> {
        Arc::new(Turn {
            now: self.now,
            owner: self.schedulers[scheduler].owner.clone(),
            pipelines: Arc::new(PIPELINES.iter().map(|p| (*p).to_owned()).collect::<PipelineSet>()),
            ends,
            free_slots: slots,
            fire_limit: 3,
            lease: if self.simulated { LEASE } else { Duration::from_secs(3600) },
            sweep: true,
        })
    }

    async fn take_turn(&mut self, scheduler: usize, slots: usize, ends: Vec<AttemptEnd>) -> TurnResult {
        let result = self.store.turn(self.turn_of(scheduler, slots, ends), Arc::new(Planner)).await.unwrap();
        for rescued in &result.rescued {
            self.note_rescued(rescued.id, &rescued.owner);
        }
        assert!(result.started.len() <= slots, "no more than there is room for");
        for run in result.started.clone() {
            self.note_started(scheduler, run);
        }
        result
    }

    /// Whoever held it had either died or let its lease end.
    fn note_rescued(&mut self, run: RunId, owner: &Owner) {
        let now = self.now;
        for scheduler in &mut self.schedulers {
            scheduler.held.retain(|(held, until)| {
                let is_it = held.id == run && scheduler.owner == *owner;
                assert!(!is_it || *until < now, "{run} was taken from its live holder {owner}");
                !is_it
            });
        }
    }

    fn note_started(&mut self, scheduler: usize, run: ClaimedRun) {
        for other in &self.schedulers {
            assert!(other.held.iter().all(|(held, _)| held.id != run.id), "two live attempts of {}", run.id);
        }
        let attempts = self.attempts.entry(run.id).or_default();
        assert_eq!(run.attempt, *attempts + 1, "attempts of {} are numbered one after the other", run.id);
        *attempts = run.attempt;
        let until = self.now + LEASE;
        self.schedulers[scheduler].held.push((run, until));
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Turn { scheduler, seconds, slots } => {
                self.now += TimeDelta::seconds(*seconds);
                self.take_turn(*scheduler, *slots, Vec::new()).await;
            }
            Step::LostTurn { scheduler, slots } => {
                let lost = self
                    .store
                    .turn(self.turn_of(*scheduler, *slots, Vec::new()), Arc::new(Planner))
                    .await
                    .unwrap();
                for rescued in lost.rescued {
                    self.note_rescued(rescued.id, &rescued.owner);
                }
                let owner = self.schedulers[*scheduler].owner.clone();
                let held = self.store.held_runs(&owner, self.now).await.unwrap();
                let known: BTreeSet<RunId> =
                    self.schedulers[*scheduler].held.iter().map(|(run, _)| run.id).collect();
                let held_ids: BTreeSet<RunId> = held.iter().map(|run| run.id).collect();
                assert!(known.is_subset(&held_ids), "what it holds is still there");
                for run in held.into_iter().filter(|run| !known.contains(&run.id)) {
                    self.note_started(*scheduler, run);
                }
            }
            Step::End { scheduler, which, how } => {
                let held = &self.schedulers[*scheduler].held;
                if held.is_empty() {
                    return;
                }
                let (run, _) = held[which % held.len()].clone();
                self.end(*scheduler, &run, *how).await;
            }
            Step::Beat { scheduler } => {
                let Scheduler { owner, held, .. } = self.schedulers[*scheduler].clone();
                let beat = Beat {
                    owner,
                    now: self.now,
                    lease: if self.simulated { LEASE } else { Duration::from_secs(3600) },
                    attempts: held.iter().map(|(run, _)| (run.id, run.attempt)).collect(),
                    loop_late: Duration::ZERO,
                };
                let result = self.store.heartbeat(beat).await.unwrap();
                assert_eq!(result.lost, [], "nothing was taken from it unnoticed");
                let until = self.now + LEASE;
                self.schedulers[*scheduler].held.iter_mut().for_each(|(_, lease)| *lease = until);
            }
            Step::Kill { scheduler } => {
                let killed = &mut self.schedulers[*scheduler];
                let next = Owner::new(format!("{scheduler} life {}", killed.lives));
                killed.lives += 1;
                let dead = std::mem::replace(&mut killed.owner, next);
                let held = std::mem::take(&mut killed.held);
                // Its successor on the same machine knows that it is dead; without a clock to wait by, always.
                if !self.simulated || killed.lives.is_multiple_of(2) {
                    let rescued = self.store.rescue_process(&dead, self.now).await.unwrap();
                    let rescued: BTreeSet<RunId> = rescued.iter().map(|run| run.id).collect();
                    assert_eq!(rescued, held.iter().map(|(run, _)| run.id).collect());
                }
                self.dead.push(dead);
            }
            Step::Request { pipeline } => {
                let asked = RunRequest {
                    id: RunId::generate(self.now),
                    pipeline: PIPELINES[*pipeline].to_owned(),
                    job_id: None,
                    reason: Reason::Manual,
                    available_at: self.now,
                    policy: policy(PIPELINES[*pipeline]),
                    requested_by: None,
                };
                if let RequestedRun::Queued { id, .. } =
                    self.store.request_run(asked, self.now).await.unwrap()
                {
                    self.asked.insert(id);
                }
            }
            Step::Cancel { which } => {
                let unfinished =
                    RunFilter { states: vec![RunState::Queued, RunState::Running], ..RunFilter::default() };
                let runs = self.store.runs(unfinished).await.unwrap();
                if !runs.is_empty() {
                    self.store.request_cancel(runs[which % runs.len()].id, None, self.now).await.unwrap();
                }
            }
        }
    }

    async fn end(&mut self, scheduler: usize, run: &ClaimedRun, how: usize) {
        let how = match how {
            0 | 1 => End::Finish(Outcome::Succeeded),
            2 => End::Finish(Outcome::Failed),
            3 => End::Interrupt,
            _ => {
                End::Retry { outcome: AttemptOutcome::Failed, available_at: self.now + TimeDelta::seconds(3) }
            }
        };
        let owner = self.schedulers[scheduler].owner.clone();
        let key = AttemptKey { run: run.id, attempt: run.attempt, owner };
        let write = |key: AttemptKey| AttemptEnd {
            key,
            at: self.now,
            end: how,
            error: None,
            note: None,
            stages: None,
            messages: Vec::new(),
        };
        let mut ends = vec![write(key)];
        // The dead say the same, and nobody listens.
        ends.extend(
            self.dead
                .iter()
                .map(|dead| write(AttemptKey { run: run.id, attempt: run.attempt, owner: dead.clone() })),
        );
        self.schedulers[scheduler].held.retain(|(held, _)| held.id != run.id);
        for (index, end) in ends.into_iter().enumerate() {
            let result = self.take_turn(scheduler, 0, vec![end]).await;
            assert_eq!(result.ends, [if index == 0 { Ended::Written } else { Ended::Refused }]);
        }
    }

    /// Nobody dies any more: everything comes to its end.
    async fn settle(&mut self) {
        for scheduler in 0..SCHEDULERS {
            while let Some((run, _)) = self.schedulers[scheduler].held.first().cloned() {
                self.end(scheduler, &run, 0).await;
            }
        }
        // What the dead left becomes free, and everything that waits runs.
        self.now += TimeDelta::from_std(LEASE).unwrap() + TimeDelta::seconds(4);
        for _ in 0..400 {
            let result = self.take_turn(0, 5, Vec::new()).await;
            for rescued in &result.rescued {
                assert!(!matches!(rescued.what, RescuedAs::Finished(Outcome::Succeeded)));
            }
            for run in &result.started {
                self.end(0, run, 0).await;
            }
            if result.started.is_empty() && !result.more {
                return;
            }
        }
        panic!("it never comes to an end");
    }

    /// One row for each fire, none missing; one outcome for each run.
    async fn check(&self) {
        let runs = self.store.runs(RunFilter::default()).await.unwrap();
        let unfinished: Vec<_> = runs.iter().filter(|run| run.outcome.is_none()).collect();
        assert!(unfinished.is_empty(), "{unfinished:?}");
        let mut fires: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for run in &runs {
            let Some(job) = &run.job_id else { continue };
            let of_job = fires.entry(job.to_string()).or_default();
            let seconds = |at: DateTime<Utc>| (at - begin()).num_seconds();
            let (first, last) = (run.first.map_or(run.scheduled_for, |first| first), run.scheduled_for);
            let mut covered = 0;
            for fire in (seconds(first)..=seconds(last)).step_by(usize::try_from(EVERY).unwrap()) {
                assert!(of_job.insert(fire), "{job} at {fire} has two rows");
                covered += 1;
            }
            assert_eq!(covered, run.count.unwrap_or(1), "{run:?}");
        }
        for pipeline in PIPELINES {
            let id = format!("pipeline_{pipeline}");
            let job = self.store.job(&JobId::new(id.clone())).await.unwrap().unwrap();
            let next = (job.next_fire_at.unwrap() - begin()).num_seconds();
            let expected: BTreeSet<i64> = (0..next).step_by(usize::try_from(EVERY).unwrap()).collect();
            assert_eq!(fires.remove(&id).unwrap_or_default(), expected, "{id} has every fire once");
        }
        let recorded: BTreeSet<RunId> =
            runs.iter().filter(|run| run.job_id.is_none()).map(|run| run.id).collect();
        assert_eq!(recorded, self.asked);
        let ids: Vec<RunId> = self.attempts.keys().copied().collect();
        let mut counted: HashMap<RunId, i32> = HashMap::new();
        for attempt in self.store.attempts(&ids).await.unwrap() {
            let number = counted.entry(attempt.run).or_default();
            *number += 1;
            assert_eq!(attempt.attempt, *number);
            assert!(attempt.outcome.is_some() && attempt.finished_at.is_some(), "{attempt:?}");
        }
        assert_eq!(counted, self.attempts, "every attempt is on record");
    }
}

async fn play(store: Arc<dyn JobStore>, simulated: bool, steps: &[Step]) {
    let mut world = World::new(store, simulated).await;
    for step in steps {
        world.step(step).await;
    }
    world.settle().await;
    world.check().await;
    world.store.close().await;
}

fn run(cases: u32, steps: usize, body: impl Fn(Vec<Step>)) {
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() });
    runner
        .run(&proptest::collection::vec(step(), 1..steps), |steps| {
            body(steps);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn options() -> OpenOptions {
    OpenOptions { poll: None, ..OpenOptions::new("default", begin()) }
}

#[test]
fn in_memory() {
    let runtime = runtime();
    run(48, 100, |steps| {
        runtime.block_on(async {
            let store = jobstore::open(&StoreUrl::memory(), options()).await.unwrap();
            play(store, true, &steps).await;
        });
    });
}

#[test]
fn in_a_file() {
    let runtime = runtime();
    run(5, 60, |steps| {
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let url = StoreUrl::file(directory.path().join("jobs.db"));
            play(jobstore::open(&url, options()).await.unwrap(), true, &steps).await;
        });
    });
}

#[test]
fn on_a_server() {
    let runtime = runtime();
    if runtime.block_on(PostgresDatabase::create()).is_none() {
        return;
    }
    run(8, 60, |steps| {
        runtime.block_on(async {
            let Some(database) = PostgresDatabase::create().await else { return };
            let url = StoreUrl::parse(&database.url()).unwrap();
            play(jobstore::open(&url, options()).await.unwrap(), false, &steps).await;
        });
    });
}
