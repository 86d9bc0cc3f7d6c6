//! The database goes away: what is said, what can be repeated, what is found again. A proxy stands between the store
//! and the server, and does what networks do.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobstore::{
    AttemptEnd, AttemptKey, DueJob, End, Ended, Expect, FirePlan, FirePlanner, JobEdit, JobEdited, JobId,
    JobPut, JobSource, JobState, JobStore, NextFire, OpenOptions, Outcome, Owner, PlannedRun, Reason,
    RunFilter, RunPolicy, RunState, StoreError, StoreUrl, Turn,
};
use test_support::postgres::PostgresDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What the proxy does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// It passes everything on.
    Fair = 0,
    /// It accepts no connection and cuts those which are there.
    Down = 1,
    /// It cuts a connection when its server answers to a COMMIT: the answer is lost.
    LoseCommits = 2,
    /// It takes what the client says and passes nothing on: so a frozen server behaves.
    Silent = 3,
}

struct Proxy {
    address: String,
    weather: Arc<AtomicU8>,
    changed: Arc<tokio::sync::watch::Sender<u8>>,
}

impl Proxy {
    async fn start(server: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let weather = Arc::new(AtomicU8::new(Weather::Fair as u8));
        let changed = Arc::new(tokio::sync::watch::Sender::new(Weather::Fair as u8));
        let (for_task, of_task) = (weather.clone(), changed.clone());
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                if for_task.load(Ordering::SeqCst) == Weather::Down as u8 {
                    continue;
                }
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, for_task.clone(), of_task.subscribe()));
            }
        });
        Proxy { address, weather, changed }
    }

    fn turns(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::SeqCst);
        self.changed.send_replace(weather as u8);
    }
}

/// Passes bytes on, until the weather says otherwise.
async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    weather: Arc<AtomicU8>,
    mut changed: tokio::sync::watch::Receiver<u8>,
) {
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let mut committing = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                if weather.load(Ordering::SeqCst) == Weather::Silent as u8 {
                    continue;
                }
                committing = up[..read].windows(6).any(|window| window == b"COMMIT");
                if server.write_all(&up[..read]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                if committing && weather.load(Ordering::SeqCst) == Weather::LoseCommits as u8 {
                    return;
                }
                if client.write_all(&down[..read]).await.is_err() {
                    return;
                }
            }
            _ = changed.changed() => {
                if weather.load(Ordering::SeqCst) == Weather::Down as u8 {
                    return;
                }
            }
        }
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

/// Fires every minute, on time.
struct EveryMinute;

impl FirePlanner for EveryMinute {
    fn plan(&self, job: &DueJob, now: DateTime<Utc>) -> FirePlan {
        let next = job.next_fire_at + TimeDelta::minutes(1);
        let run = PlannedRun {
            scheduled_for: job.next_fire_at,
            reason: Reason::Schedule,
            available_at: now,
            deadline_at: None,
            policy: RunPolicy::default(),
        };
        FirePlan { runs: vec![run], missed: None, next: NextFire::At { next_fire_at: next, due_at: next } }
    }
}

fn put(id: &str) -> JobEdit {
    JobEdit::Put(Box::new(JobPut {
        id: JobId::from(id),
        pipeline: id.to_owned(),
        source: JobSource::Config,
        state: JobState::Scheduled,
        paused: None,
        trigger: String::new(),
        timezone: "UTC".to_owned(),
        spec: String::new(),
        next_fire_at: Some(at(60)),
        due_at: Some(at(60)),
        error: None,
        requested_by: None,
        expect: Expect::Anything,
    }))
}

fn turn(seconds: i64, slots: usize, ends: Vec<AttemptEnd>) -> Arc<Turn> {
    Arc::new(Turn {
        now: at(seconds),
        owner: Owner::from("me"),
        pipelines: Arc::new(["a".to_owned(), "b".to_owned()].into_iter().collect::<HashSet<_>>()),
        ends,
        free_slots: slots,
        fire_limit: 100,
        lease: Duration::from_secs(3600),
        sweep: true,
    })
}

fn succeeded(key: AttemptKey) -> AttemptEnd {
    AttemptEnd {
        key,
        at: at(61),
        end: End::Finish(Outcome::Succeeded),
        error: None,
        note: None,
        stages: None,
        messages: Vec::new(),
    }
}

struct Scene {
    proxy: Proxy,
    store: Arc<dyn JobStore>,
    database: PostgresDatabase,
}

impl Scene {
    async fn new() -> Option<Scene> {
        let database = PostgresDatabase::create().await?;
        let proxy = Proxy::start(database.address()).await;
        let url = StoreUrl::parse(&database.url_through(&proxy.address)).unwrap();
        let options = OpenOptions { poll: None, connections: 2, ..OpenOptions::new("default", at(0)) };
        let store = jobstore::open(&url, options).await.unwrap();
        Some(Scene { proxy, store, database })
    }

    async fn try_turn(&self, turn: Arc<Turn>) -> Result<jobstore::TurnResult, StoreError> {
        self.store.turn(turn, Arc::new(EveryMinute)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_found_again() {
    let Some(scene) = Scene::new().await else { return };
    let results = scene.store.edit_jobs(vec![put("a"), put("b")], at(0)).await.unwrap();
    assert_eq!(results, [JobEdited::Done(1); 2]);
    scene.proxy.turns(Weather::LoseCommits);
    let lost = scene.try_turn(turn(60, 1, Vec::new())).await.unwrap_err();
    assert!(lost.is_transient() && matches!(lost, StoreError::Unreachable(_)), "{lost:?}");
    scene.proxy.turns(Weather::Fair);
    let again = scene.try_turn(turn(60, 0, Vec::new())).await.unwrap();
    assert_eq!(again.fired, [], "it had happened");
    let held = scene.store.held_runs(&Owner::from("me"), at(60)).await.unwrap();
    assert_eq!((held.len(), held[0].attempt), (1, 1));
    // The end of it gets lost as well: it is repeated until somebody hears the answer.
    let key = AttemptKey { run: held[0].id, attempt: 1, owner: Owner::from("me") };
    let end = turn(61, 1, vec![succeeded(key)]);
    scene.proxy.turns(Weather::LoseCommits);
    assert!(scene.try_turn(end.clone()).await.unwrap_err().is_transient());
    scene.proxy.turns(Weather::Fair);
    let repeated = scene.try_turn(end).await.unwrap();
    assert_eq!(repeated.ends, [Ended::Written]);
    let runs = scene.store.runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 2);
    let running = runs.iter().filter(|run| run.state == RunState::Running).count();
    assert_eq!(running, 1, "the slot that became free was used, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_comes_back() {
    let Some(scene) = Scene::new().await else { return };
    scene.store.edit_jobs(vec![put("a"), put("b")], at(0)).await.unwrap();
    scene.proxy.turns(Weather::Down);
    for _ in 0..3 {
        let away = scene.try_turn(turn(60, 2, Vec::new())).await.unwrap_err();
        assert!(away.is_transient(), "{away:?}");
    }
    scene.proxy.turns(Weather::Fair);
    let result = scene.try_turn(turn(60, 2, Vec::new())).await.unwrap();
    assert_eq!(result.started.len(), 2, "no fire is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_cut_while_idle_are_not_noticed() {
    let Some(scene) = Scene::new().await else { return };
    scene.store.edit_jobs(vec![put("a")], at(0)).await.unwrap();
    scene
        .database
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'scraper-scheduler' AND datname = current_database()")
        .await;
    let result = scene.try_turn(turn(60, 2, Vec::new())).await.unwrap();
    assert_eq!(result.started.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_is_given_up_leaves_nothing_behind() {
    let Some(scene) = Scene::new().await else { return };
    scene.store.edit_jobs(vec![put("a"), put("b")], at(0)).await.unwrap();
    // Dropped at its first wait, again and again: a connection with half a transaction must not be used again.
    for _ in 0..20 {
        let nap = std::pin::pin!(tokio::task::yield_now());
        let begun = std::pin::pin!(scene.try_turn(turn(60, 2, Vec::new())));
        futures_util::future::select(begun, nap).await;
    }
    let result = scene.try_turn(turn(60, 2, Vec::new())).await.unwrap();
    let held = scene.store.held_runs(&Owner::from("me"), at(60)).await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(result.started.len() <= 2);
    assert_eq!(scene.store.runs(RunFilter::default()).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_given_up() {
    let Some(scene) = Scene::new().await else { return };
    scene.store.edit_jobs(vec![put("a"), put("b")], at(0)).await.unwrap();
    // On a connection that is there already: nothing else would ever tell.
    scene.proxy.turns(Weather::Silent);
    let within = Duration::from_secs(40);
    let silent = tokio::time::timeout(within, scene.try_turn(turn(60, 2, Vec::new()))).await.unwrap();
    let silent = silent.unwrap_err();
    assert!(silent.to_string().contains("does not answer"), "{silent:?}");
    scene.proxy.turns(Weather::Fair);
    let result = scene.try_turn(turn(60, 2, Vec::new())).await.unwrap();
    assert_eq!(result.started.len(), 2, "no fire is lost");
}
