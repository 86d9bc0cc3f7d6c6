//! A pipeline as the engine needs it: a name, when and how it runs, and how its chain is made.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jobstore::{JobId, PipelineSet, RunPolicy};
use pipeline_core::Chain;
use pipeline_core::config::{self, LimitGroup, OnCrash, Overlap, RetryPolicy, TimeoutPolicy};
use schedule::{MisfirePolicy, Schedule};

use crate::error::EngineError;

/// How long an attempt may take where the file says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// Makes the chain of a run. Called for each attempt, on the attempt's own task.
///
/// # Errors
/// Why it cannot be made: the attempt fails with this text.
pub type BuildChain = dyn Fn() -> Result<Chain, String> + Send + Sync;

/// A pipeline: what runs, when, and how.
#[derive(Clone)]
pub struct Pipeline {
    /// Its name, unique among the pipelines of an engine.
    pub name: Arc<str>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it fires at all. One that is not enabled can still be run by hand.
    pub enabled: bool,
    /// When it fires. A pipeline without schedule and without `after` runs once at each start of the engine.
    pub schedule: Option<Schedule>,
    /// It runs when all of these have succeeded since it ran last.
    pub after: Vec<String>,
    /// What to do about late fires of jobs that were added at run time; jobs of the file have it in their schedule.
    pub misfire: MisfirePolicy,
    /// What becomes of a fire while a run of the pipeline is queued or running.
    pub overlap: Overlap,
    /// Runs at a time under [`Overlap::Allow`].
    pub max_instances: u32,
    /// When and how often a failed run is tried again.
    pub retry: RetryPolicy,
    /// How long an attempt may take; a day where the file says nothing.
    pub timeout: TimeoutPolicy,
    /// Shares a limit with other pipelines.
    pub limit_group: Option<LimitGroup>,
    /// The classes of its stages, for lists.
    pub stages: Vec<String>,
    /// What the file says of it, where it comes from one.
    pub config: Option<Arc<config::Pipeline>>,
    /// Makes its chain.
    pub chain: Arc<BuildChain>,
}

impl Pipeline {
    /// A pipeline that runs once at each start, with the default policies.
    pub fn new(
        name: impl Into<Arc<str>>,
        chain: impl Fn() -> Result<Chain, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            description: None,
            enabled: true,
            schedule: None,
            after: Vec::new(),
            misfire: MisfirePolicy::default(),
            overlap: Overlap::default(),
            max_instances: 3,
            retry: RetryPolicy::default(),
            timeout: TimeoutPolicy::default(),
            limit_group: None,
            stages: Vec::new(),
            config: None,
            chain: Arc::new(chain),
        }
    }

    /// Sets when it fires, and takes over how that schedule treats late fires.
    #[must_use]
    pub fn scheduled(mut self, schedule: Schedule) -> Self {
        self.misfire = *schedule.misfire();
        self.schedule = Some(schedule);
        self
    }

    /// Sets its `overlap`.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Sets when it is tried again.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long an attempt may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = TimeoutPolicy::After(timeout);
        self
    }

    /// The id of its job in the file.
    pub fn job_id(&self) -> JobId {
        config_job_id(&self.name)
    }

    /// Whether it runs once at each start.
    pub fn runs_at_start(&self) -> bool {
        self.enabled && self.schedule.is_none() && self.after.is_empty()
    }

    /// How long an attempt may take.
    pub fn effective_timeout(&self) -> Option<Duration> {
        self.timeout.or(Some(DEFAULT_TIMEOUT))
    }

    /// What the store itself has to obey.
    pub(crate) fn run_policy(&self) -> RunPolicy {
        RunPolicy {
            overlap: match self.overlap {
                Overlap::Skip => jobstore::Overlap::Skip,
                Overlap::Queue => jobstore::Overlap::Queue,
                Overlap::Replace => jobstore::Overlap::Replace,
                Overlap::Allow => jobstore::Overlap::Allow(self.max_instances),
            },
            limit_group: self
                .limit_group
                .as_ref()
                .map(|group| jobstore::LimitGroup { name: group.name.as_str().into(), max: group.max.get() }),
            max_attempts: self.retry.max_attempts.get(),
            on_crash: match self.retry.on_crash {
                OnCrash::Rerun => jobstore::OnCrash::Rerun,
                OnCrash::Abandon => jobstore::OnCrash::Abandon,
            },
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The id of the job that the file's pipeline of this name has.
pub fn config_job_id(pipeline: &str) -> JobId {
    JobId::new(format!("pipeline_{pipeline}"))
}

/// The id that a job added at run time gets unless one is given.
pub fn runtime_job_id(pipeline: &str) -> JobId {
    JobId::new(format!("pipeline_{pipeline}_manual"))
}

/// The pipelines of an engine at one time: replaced as a whole by a reload.
#[derive(Debug, Clone, Default)]
pub struct Pipelines {
    by_name: Arc<BTreeMap<Arc<str>, Arc<Pipeline>>>,
    names: Arc<PipelineSet>,
    /// For each name the enabled pipelines that wait for it: asked at the end of every run.
    followers: Arc<HashMap<String, Vec<Arc<Pipeline>>>>,
}

impl Pipelines {
    /// These pipelines.
    ///
    /// # Errors
    /// Where two have the same name.
    pub fn new(pipelines: impl IntoIterator<Item = Pipeline>) -> Result<Self, EngineError> {
        let mut by_name = BTreeMap::new();
        for pipeline in pipelines {
            if let Some(other) = by_name.insert(pipeline.name.clone(), Arc::new(pipeline)) {
                return Err(EngineError::DuplicatePipeline(other.name.to_string()));
            }
        }
        let names = by_name.keys().map(|name| name.to_string()).collect();
        let mut followers: HashMap<String, Vec<Arc<Pipeline>>> = HashMap::new();
        for pipeline in by_name.values().filter(|pipeline| pipeline.enabled) {
            let mut awaited: Vec<&String> = pipeline.after.iter().collect();
            awaited.sort_unstable();
            awaited.dedup();
            for name in awaited {
                followers.entry(name.clone()).or_default().push(pipeline.clone());
            }
        }
        Ok(Self { by_name: Arc::new(by_name), names: Arc::new(names), followers: Arc::new(followers) })
    }

    /// The pipeline of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Pipeline>> {
        self.by_name.get(name)
    }

    /// All pipelines, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The known name that looks most like this one, where one does.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        pipeline_core::suggest::nearest(name, self.by_name.keys().map(AsRef::as_ref))
    }

    /// The names, as the store asks for them.
    pub(crate) fn names(&self) -> &Arc<PipelineSet> {
        &self.names
    }

    /// The enabled pipelines that wait for this one, by name.
    pub(crate) fn after(&self, name: &str) -> &[Arc<Pipeline>] {
        self.followers.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Result<Chain, String> {
        Ok(Chain::new())
    }

    #[test]
    fn names_are_unique_and_found() {
        let two = Pipelines::new([Pipeline::new("books", empty), Pipeline::new("stocks", empty)]).unwrap();
        assert_eq!(two.len(), 2);
        assert!(two.get("books").is_some());
        assert_eq!(two.suggest("stock"), Some("stocks"));
        assert!(two.names().contains("books"));
        let twice = Pipelines::new([Pipeline::new("books", empty), Pipeline::new("books", empty)]);
        assert_eq!(twice.unwrap_err().to_string(), "there are two pipelines named 'books': names are unique");
    }

    #[test]
    fn only_enabled_pipelines_without_schedule_and_after_run_at_start() {
        let plain = Pipeline::new("a", empty);
        assert!(plain.runs_at_start());
        assert!(!Pipeline { enabled: false, ..plain.clone() }.runs_at_start());
        assert!(!Pipeline { after: vec!["b".into()], ..plain.clone() }.runs_at_start());
        assert!(!plain.scheduled(Schedule::manual(schedule::Zone::UTC)).runs_at_start());
    }

    #[test]
    fn the_timeout_is_a_day_unless_said_otherwise() {
        let plain = Pipeline::new("a", empty);
        assert_eq!(plain.effective_timeout(), Some(Duration::from_secs(86_400)));
        assert_eq!(Pipeline { timeout: TimeoutPolicy::Never, ..plain.clone() }.effective_timeout(), None);
        assert_eq!(plain.timeout(Duration::from_secs(5)).effective_timeout(), Some(Duration::from_secs(5)));
    }
}
