//! A scheduler that does what a test wants, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use discord::bot::{
    ActiveRun, ControlError, CronPreview, JobFires, JobInfo, PipelineInfo, Requester, RunInfo, RunOutcome,
    RunPhase, RunProgress, Scheduled, SchedulerControl, Snapshot, StartedRun,
};
use tokio::sync::watch;

/// How it behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// Every question takes this long.
    Slow(Duration),
    /// Every question fails, with a secret in its words.
    Broken,
    /// Every question panics, from memory or not.
    Panicking,
    /// It says that a pipeline runs already only when it is asked to run it.
    Busy,
}

pub(crate) struct FakeScheduler {
    state: Mutex<State>,
}

struct State {
    snapshot: Snapshot,
    mood: Mood,
    calls: Vec<String>,
    runs: HashMap<String, watch::Sender<RunProgress>>,
    history: Vec<RunInfo>,
    next_run: u32,
}

pub(crate) fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(2_000_000_000 + seconds, 0).unwrap()
}

impl FakeScheduler {
    pub(crate) fn new(pipelines: &[&str]) -> Arc<Self> {
        let pipelines = pipelines
            .iter()
            .map(|name| PipelineInfo {
                name: (*name).into(),
                enabled: true,
                stages: vec!["http.HttpFetcher".into(), "html.HtmlParser".into()],
                exclusive: true,
                ..PipelineInfo::default()
            })
            .collect();
        let snapshot = Snapshot { pipelines, ..Snapshot::default() };
        let state = State {
            snapshot,
            mood: Mood::Fine,
            calls: Vec::new(),
            runs: HashMap::new(),
            history: Vec::new(),
            next_run: 0,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub(crate) fn add_jobs(&self, ids: impl IntoIterator<Item = String>) {
        let mut state = self.state.lock().unwrap();
        for id in ids {
            state.snapshot.jobs.push(JobInfo {
                pipeline: "fi".into(),
                trigger: "0 * * * *".into(),
                timezone: "Europe/Stockholm".into(),
                next_fire_at: Some(instant(3600)),
                state: "scheduled".into(),
                last_outcome: Some(RunOutcome::Succeeded),
                id,
                from_file: false,
            });
        }
    }

    pub(crate) fn add_history(&self, count: usize) {
        let mut state = self.state.lock().unwrap();
        for i in 0..count {
            state.history.push(RunInfo {
                id: format!("old-{i}"),
                pipeline: "fi".into(),
                reason: "schedule".into(),
                scheduled_for: instant(0),
                outcome: Some(RunOutcome::Failed),
                duration: Some(Duration::from_secs(3)),
                error: Some("line one\nline *two*".into()),
                count: 1,
            });
        }
    }

    pub(crate) fn mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub(crate) fn edit(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.state.lock().unwrap().snapshot);
    }

    /// What it was asked to change, and by whom.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn job_ids(&self) -> Vec<String> {
        self.state.lock().unwrap().snapshot.jobs.iter().map(|j| j.id.clone()).collect()
    }

    /// Changes how a run goes on; a finished one is no longer active.
    pub(crate) fn progress(&self, run: &str, change: impl FnOnce(&mut RunProgress)) {
        let mut state = self.state.lock().unwrap();
        let sender = state.runs.get(run).unwrap();
        sender.send_modify(change);
        let over = matches!(sender.borrow().phase, RunPhase::Finished(_));
        if over {
            state.snapshot.active.retain(|r| r.id != run);
        }
    }

    pub(crate) fn finish(&self, run: &str, outcome: RunOutcome, error: Option<&str>) {
        self.progress(run, |p| {
            p.phase = RunPhase::Finished(outcome);
            p.duration = Some(Duration::from_millis(1500));
            p.error = error.map(str::to_owned);
        });
    }

    async fn mind(&self) -> Result<(), ControlError> {
        let mood = self.state.lock().unwrap().mood;
        match mood {
            Mood::Slow(time) => tokio::time::sleep(time).await,
            Mood::Broken => return Err(ControlError::internal("postgres://user:hunter2@db is away")),
            Mood::Panicking => panic!("the scheduler panics"),
            Mood::Fine | Mood::Busy => {}
        }
        Ok(())
    }

    fn note(&self, what: &str, by: &Requester) {
        self.state.lock().unwrap().calls.push(format!("{what} by {by}"));
    }
}

#[async_trait]
impl SchedulerControl for FakeScheduler {
    fn snapshot(&self) -> Arc<Snapshot> {
        let state = self.state.lock().unwrap();
        if state.mood == Mood::Panicking {
            drop(state);
            panic!("the snapshot panics");
        }
        let mut snapshot = state.snapshot.clone();
        if state.mood == Mood::Busy {
            snapshot.active.clear();
        }
        Arc::new(snapshot)
    }

    fn check_cron(&self, _: &str, cron: &str) -> Result<CronPreview, String> {
        let fields = cron.split_whitespace().count();
        if fields != 5 || cron.contains("60") {
            return Err(format!("`{cron}` has {fields} fields, not 5 good ones"));
        }
        Ok(CronPreview { english: "every hour".into(), ..CronPreview::default() })
    }

    async fn run(&self, pipeline: &str, by: &Requester) -> Result<StartedRun, ControlError> {
        self.mind().await?;
        let mut state = self.state.lock().unwrap();
        if state.snapshot.active.iter().any(|r| r.pipeline == pipeline) {
            return Err(ControlError::Refused(format!("{pipeline} is already running")));
        }
        state.next_run += 1;
        let id = format!("run-{}", state.next_run);
        state.calls.push(format!("run {pipeline} by {by}"));
        state.snapshot.active.push(ActiveRun {
            id: id.clone(),
            pipeline: pipeline.into(),
            since: instant(0),
        });
        let progress = RunProgress {
            phase: RunPhase::Running,
            attempt: 1,
            started_at: Some(instant(0)),
            ..Default::default()
        };
        let (sender, receiver) = watch::channel(progress);
        state.runs.insert(id.clone(), sender);
        Ok(StartedRun { run_id: id, progress: receiver })
    }

    async fn schedule(&self, pipeline: &str, cron: &str, by: &Requester) -> Result<Scheduled, ControlError> {
        self.mind().await?;
        self.note(&format!("schedule {pipeline} {cron}"), by);
        let job_id = format!("pipeline_{pipeline}_manual");
        let replaced = self.job_ids().contains(&job_id);
        if !replaced {
            self.add_jobs([job_id.clone()]);
        }
        Ok(Scheduled {
            job_id,
            replaced,
            english: "every hour, at minute 0".into(),
            timezone: "Europe/Stockholm".into(),
            next: (0..3).map(|i| instant(i * 3600)).collect(),
            warnings: vec!["it meets a gap".into()],
        })
    }

    async fn remove(&self, job_id: &str, by: &Requester) -> Result<(), ControlError> {
        self.mind().await?;
        let mut state = self.state.lock().unwrap();
        let before = state.snapshot.jobs.len();
        state.snapshot.jobs.retain(|j| j.id != job_id);
        if state.snapshot.jobs.len() == before {
            return Err(ControlError::NotFound("no such job".into()));
        }
        state.calls.push(format!("remove {job_id} by {by}"));
        Ok(())
    }

    async fn pause(&self, job_id: &str, by: &Requester) -> Result<(), ControlError> {
        self.mind().await?;
        self.note(&format!("pause {job_id}"), by);
        Ok(())
    }

    async fn resume(&self, job_id: &str, by: &Requester) -> Result<Option<DateTime<Utc>>, ControlError> {
        self.mind().await?;
        self.note(&format!("resume {job_id}"), by);
        Ok(Some(instant(60)))
    }

    async fn cancel(&self, run_id: &str, by: &Requester) -> Result<(), ControlError> {
        self.mind().await?;
        if !self.state.lock().unwrap().snapshot.active.iter().any(|r| r.id == run_id) {
            return Err(ControlError::NotFound(format!("there is no active run {run_id}")));
        }
        self.note(&format!("cancel {run_id}"), by);
        self.finish(run_id, RunOutcome::Cancelled, None);
        Ok(())
    }

    async fn jobs(&self) -> Result<Vec<JobInfo>, ControlError> {
        self.mind().await?;
        Ok(self.state.lock().unwrap().snapshot.jobs.clone())
    }

    async fn history(&self, _: Option<&str>, limit: usize) -> Result<Vec<RunInfo>, ControlError> {
        self.mind().await?;
        Ok(self.state.lock().unwrap().history.iter().take(limit).cloned().collect())
    }

    async fn next(&self, pipeline: &str, count: usize) -> Result<Vec<JobFires>, ControlError> {
        self.mind().await?;
        let next = (0..count).map(|i| instant(0) + TimeDelta::hours(i64::try_from(i).unwrap())).collect();
        Ok(vec![JobFires {
            job_id: format!("pipeline_{pipeline}"),
            trigger: "0 * * * *".into(),
            next,
            state: "scheduled".into(),
        }])
    }
}
