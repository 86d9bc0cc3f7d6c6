//! A world of its own for each test: a clock, a store, pipelines that do as told, and a list of what happened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use engine::{
    Deps, Engine, EngineError, EngineEvent, EventKind, Events, Handle, Observed, Pipeline, Pipelines,
    RunEnvironment, Settings, Shutdown, Stopped,
};
use jobstore::{JobStore, OpenOptions, RunFilter, RunRecord, StoreUrl};
use pipeline_core::{Chain, Clock, Emitter, Fetcher, SimClock, StageContext, StageError, fetcher};
use schedule::{Cron, Schedule, Zone};
use tokio::task::JoinHandle;

/// An instant: `2026-03-28 12:00` in UTC.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    schedule::instant::parse(text, Zone::UTC).unwrap()
}

/// A cron schedule in a zone.
pub(crate) fn cron(expression: &str, zone: &str) -> Schedule {
    Schedule::cron(Cron::parse(expression).unwrap(), zone.parse().unwrap())
}

/// An interval.
pub(crate) fn every(period: &str) -> Schedule {
    Schedule::interval(schedule::duration::parse(period).unwrap(), Zone::UTC).unwrap()
}

/// What the pipelines of a world do.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// How long each run takes, by pipeline.
    takes: Arc<Mutex<HashMap<String, Duration>>>,
    /// How many more attempts fail, by pipeline.
    fails: Arc<Mutex<HashMap<String, u32>>>,
    /// All starts: (pipeline, nominal instant, attempt, when).
    starts: Arc<Mutex<Vec<Start>>>,
}

/// A chain that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) pipeline: String,
    pub(crate) job: String,
    pub(crate) scheduled_for: DateTime<Utc>,
    pub(crate) attempt: u32,
    pub(crate) at: DateTime<Utc>,
}

impl Script {
    pub(crate) fn takes(&self, pipeline: &str, time: &str) {
        let time = schedule::duration::parse(time).unwrap();
        self.takes.lock().unwrap().insert(pipeline.to_owned(), time);
    }

    pub(crate) fn fails(&self, pipeline: &str, times: u32) {
        self.fails.lock().unwrap().insert(pipeline.to_owned(), times);
    }

    pub(crate) fn starts(&self) -> Vec<Start> {
        self.starts.lock().unwrap().clone()
    }

    /// A pipeline that does what the script says.
    pub(crate) fn pipeline(&self, name: &str) -> Pipeline {
        let script = self.clone();
        Pipeline::new(
            name,
            move || Ok(Chain::new().stage("test.Scripted", fetcher(Scripted(script.clone())))),
        )
    }
}

struct Scripted(Script);

impl Fetcher for Scripted {
    async fn fetch(&mut self, ctx: &StageContext, _: &mut Emitter) -> Result<(), StageError> {
        let identity = ctx.identity();
        self.0.starts.lock().unwrap().push(Start {
            pipeline: identity.pipeline.clone(),
            job: identity.job_id.clone(),
            scheduled_for: identity.scheduled_for,
            attempt: identity.attempt,
            at: ctx.now(),
        });
        let takes = self.0.takes.lock().unwrap().get(&identity.pipeline).copied();
        if let Some(takes) = takes {
            ctx.sleep(takes).await;
        }
        let fails = {
            let mut fails = self.0.fails.lock().unwrap();
            fails.get_mut(&identity.pipeline).is_some_and(|left| {
                let fails = *left > 0;
                *left = left.saturating_sub(1);
                fails
            })
        };
        if fails { Err(StageError::fatal("told to fail")) } else { Ok(()) }
    }
}

/// A clock, a store and what happened.
pub(crate) struct World {
    pub(crate) clock: SimClock,
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) script: Script,
    pub(crate) settings: Settings,
    pub(crate) environment: RunEnvironment,
    lines: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// A world that begins at this instant, with a store in memory.
    pub(crate) async fn new(start: &str) -> Self {
        let clock = SimClock::new(at(start));
        let options = OpenOptions::new("default", clock.now());
        let store = jobstore::open(&StoreUrl::memory(), options).await.unwrap();
        let settings = Settings {
            keep_age: None,
            keep_runs: None,
            // What happens beside the runs would only slow a simulated year down.
            lease: Duration::from_secs(3_600),
            longest_silence: Duration::from_secs(3_600),
            ..Settings::default()
        };
        let (script, environment) = (Script::default(), RunEnvironment::default());
        Self { clock, store, script, settings, environment, lines: Arc::default() }
    }

    /// A pipeline that does what the world's script says.
    pub(crate) fn pipeline(&self, name: &str) -> Pipeline {
        self.script.pipeline(name)
    }

    /// Starts an engine, as a process would, and waits until it is ready.
    pub(crate) async fn start(&self, pipelines: impl IntoIterator<Item = Pipeline>) -> Process {
        let deps = Deps {
            clock: Arc::new(self.clock.clone()),
            settings: self.settings.clone(),
            environment: self.environment.clone(),
            ..Deps::new(self.store.clone(), Pipelines::new(pipelines).unwrap())
        };
        let engine = Engine::new(deps);
        let handle = engine.handle();
        let mut ready = handle.subscribe();
        let watcher = tokio::spawn(write_down(handle.subscribe(), self.lines.clone()));
        let shutdown = Shutdown::default();
        let engine = tokio::spawn(engine.run(shutdown.clone()));
        loop {
            match ready.next().await.expect("the engine is ready before it is gone") {
                Observed::Event(event) if matches!(event.kind, EventKind::Started { .. }) => break,
                _ => {}
            }
        }
        Process { handle, shutdown, engine, watcher }
    }

    /// Lets time pass until this instant.
    pub(crate) async fn until(&self, instant: &str) {
        self.clock.sleep_until(at(instant)).await;
        self.settle().await;
    }

    /// Lets what happens now come to its end.
    pub(crate) async fn settle(&self) {
        self.clock.sleep_until(self.clock.now() + TimeDelta::milliseconds(5)).await;
    }

    /// Lets so much time pass.
    pub(crate) async fn clock_on(&self, time: &str) {
        let time = TimeDelta::from_std(schedule::duration::parse(time).unwrap()).unwrap();
        self.clock.sleep_until(self.clock.now() + time).await;
    }

    /// The present, to the second.
    pub(crate) fn clock_text(&self) -> String {
        self.clock.now().format("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// The one run that there is.
    pub(crate) async fn only_run(&self) -> RunRecord {
        let runs = self.store.runs(RunFilter::default()).await.unwrap();
        let [run] = &runs[..] else { panic!("{} runs", runs.len()) };
        run.clone()
    }

    /// What happened since the last call.
    pub(crate) fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }

    /// What happened since the last call, as far as it has one of these names.
    pub(crate) fn lines_of(&self, names: &[&str]) -> Vec<String> {
        let named = |line: &String| names.iter().any(|name| line.split(' ').nth(2) == Some(name));
        self.lines().into_iter().filter(named).collect()
    }
}

/// An engine that runs.
pub(crate) struct Process {
    pub(crate) handle: Handle,
    shutdown: Shutdown,
    engine: JoinHandle<Result<Stopped, EngineError>>,
    watcher: JoinHandle<()>,
}

impl Process {
    /// Stops it as a service manager does.
    pub(crate) async fn stop(self) -> Stopped {
        self.shutdown.drain.cancel();
        let stopped = self.engine.await.unwrap().unwrap();
        drop(self.handle);
        self.watcher.await.unwrap();
        stopped
    }

    /// Asks it to stop and does not wait.
    pub(crate) fn drain(&self) {
        self.shutdown.drain.cancel();
    }

    /// Asks it to stop at once and does not wait.
    pub(crate) fn cut_off(&self) {
        self.shutdown.cut_off.cancel();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(self) -> Stopped {
        self.engine.await.unwrap().unwrap()
    }

    /// Kills it: whatever it was doing is gone, nothing is written.
    pub(crate) async fn kill(self) {
        self.engine.abort();
        assert!(self.engine.await.is_err());
        self.watcher.abort();
    }
}

async fn write_down(mut events: Events, lines: Arc<Mutex<Vec<String>>>) {
    while let Some(observed) = events.next().await {
        match observed {
            Observed::Event(event) => lines.lock().unwrap().push(line(&event)),
            Observed::Lost(count) => lines.lock().unwrap().push(format!("lost {count} events")),
        }
    }
}

/// `2026-03-29 01:00:00 fired books 2026-03-29T01:00` and what else there is to tell.
fn line(event: &EngineEvent) -> String {
    let when = event.at.format("%Y-%m-%d %H:%M:%S");
    let name = event.kind.name();
    let minute = |at: &DateTime<Utc>| at.format("%m-%dT%H:%M:%S").to_string();
    let next = |at: &Option<DateTime<Utc>>| at.as_ref().map_or("never".to_owned(), minute);
    let subject = event.kind.run().map(|run| {
        let job = run.job_id.as_ref().map_or(&*run.pipeline, |id| id.as_str());
        format!("{job} {}", minute(&run.scheduled_for))
    });
    let detail = match &event.kind {
        EventKind::JobRegistered { job, next_fire_at, .. }
        | EventKind::JobKept { job, next_fire_at, .. }
        | EventKind::JobAdded { job, next_fire_at, .. }
        | EventKind::JobResumed { job, next_fire_at, .. } => format!("{job} next {}", next(next_fire_at)),
        EventKind::JobRemoved { job, .. }
        | EventKind::JobDisabled { job }
        | EventKind::JobPaused { job, .. }
        | EventKind::JobFinished { job } => job.to_string(),
        EventKind::Missed { count, first, last, .. } => {
            format!("×{count} {}–{}", minute(first), minute(last))
        }
        EventKind::Fired { run, replaced } => {
            let replaced =
                if replaced.is_empty() { String::new() } else { format!(" replaces {}", replaced.len()) };
            format!("{}{replaced}", run.reason)
        }
        EventKind::Requested { run, .. } => run.reason.to_string(),
        EventKind::AttemptStarted { attempt, lateness, .. } => {
            format!("#{attempt} late {}s", lateness.as_secs())
        }
        EventKind::Retrying { attempt, outcome, at, .. } => {
            format!("#{attempt} {outcome} next {}", minute(at))
        }
        EventKind::Finished { attempt, outcome, .. } => format!("#{attempt} {outcome}"),
        EventKind::Interrupted { attempt, .. } => format!("#{attempt}"),
        EventKind::Rescued { pipeline, attempt, outcome, .. } => {
            format!("{pipeline} #{attempt} {}", outcome.map_or("queued", jobstore::Outcome::as_str))
        }
        _ => String::new(),
    };
    let parts = [subject.unwrap_or_default(), detail];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{when} {name} {}", parts.join(" ")).trim_end().to_owned()
}

/// Compares lists of lines, and shows both where they differ.
#[track_caller]
pub(crate) fn same(found: &[String], expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found.join("\n"), expected.join("\n"));
}
