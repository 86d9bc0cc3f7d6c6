//! Loading a file with all classes and schedules known.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use pipeline_core::config::{ConfigError, Loader, Pipeline, PipelinesFile, ScheduleBlock, ScheduleCheck};
use pipeline_core::{BuildErrors, KwargsProblem, Registry};
use schedule::{Schedule, ScheduleSpec, SpecProblem, WarningKind, Zone};

use crate::environment::Environment;
use crate::setup::Setup;

/// The zone where nobody names one.
const DEFAULT_ZONE: &str = "Europe/Stockholm";

/// A registry with every class of this project.
pub fn registry() -> Registry {
    let mut registry = transforms::registry();
    crate::discord::register(&mut registry);
    registry
}

/// The zone of `SCHEDULER_TIMEZONE`, else Europe/Stockholm.
///
/// # Errors
/// Where the variable names no zone.
pub fn default_zone(environment: &Environment) -> Result<Zone, String> {
    let name = environment.setting("SCHEDULER_TIMEZONE").unwrap_or(DEFAULT_ZONE);
    name.parse().map_err(|error: schedule::ZoneError| format!("SCHEDULER_TIMEZONE: {error}"))
}

/// Reads and checks a file. Its variables come from the environment; its secrets go to the redactor.
///
/// # Errors
/// All that is wrong with it.
pub fn load(path: &Path, setup: &Setup, zone: Zone) -> Result<PipelinesFile, ConfigError> {
    load_with(path, setup, zone, &BTreeMap::new())
}

/// [`load`], with variables that win over the environment's.
///
/// # Errors
/// All that is wrong with it.
pub fn load_with(
    path: &Path,
    setup: &Setup,
    zone: Zone,
    variables: &BTreeMap<String, String>,
) -> Result<PipelinesFile, ConfigError> {
    let variables =
        |name: &str| variables.get(name).cloned().or_else(|| setup.environment.get(name).map(str::to_owned));
    let schedules = ScheduleChecker { zone, now: setup.clock.now() };
    let mut file = Loader::new(&setup.registry)
        .variables(&variables)
        .schedules(&schedules)
        .redactor(setup.redactor.clone())
        .services(setup.services.clone())
        .read(path)?;
    crate::lint::add_warnings(&mut file);
    Ok(file)
}

/// The schedule of a checked pipeline, where it has one.
///
/// # Errors
/// Where the block is wrong, which the check of the file excludes.
pub fn schedule_of(pipeline: &Pipeline, zone: Zone) -> Result<Option<Schedule>, BuildErrors> {
    match &pipeline.schedule {
        Some(block) => build(block, zone).map(Some),
        None => Ok(None),
    }
}

fn build(block: &ScheduleBlock, zone: Zone) -> Result<Schedule, BuildErrors> {
    let spec: ScheduleSpec = block.decode()?;
    spec.build(&zone).map_err(problems)
}

fn problems(problems: Vec<SpecProblem>) -> BuildErrors {
    let problem = |problem: SpecProblem| {
        let message = match problem.hint {
            Some(hint) => format!("{}; {hint}", problem.message),
            None => problem.message,
        };
        KwargsProblem::new(problem.path, message)
    };
    BuildErrors(problems.into_iter().map(problem).collect())
}

/// The JSON Schema of a file with these classes.
pub fn schema(registry: &Registry) -> serde_json::Value {
    pipeline_core::config::schema(registry, &schemars::schema_for!(ScheduleSpec))
}

/// Checks `schedule` blocks by the rules of the `schedule` crate.
#[derive(Debug, Clone, Copy)]
pub struct ScheduleChecker {
    /// The zone where neither the block nor the defaults name one.
    pub zone: Zone,
    /// The present, for warnings.
    pub now: DateTime<Utc>,
}

impl ScheduleCheck for ScheduleChecker {
    fn check(&self, block: &ScheduleBlock) -> Result<(), BuildErrors> {
        build(block, self.zone).map(|_| ())
    }

    fn check_defaults(&self, defaults: &ScheduleBlock) -> Result<(), BuildErrors> {
        let mut spec: ScheduleSpec = defaults.decode()?;
        // Defaults have no trigger of their own.
        spec.manual = true;
        spec.build(&self.zone).map(|_| ()).map_err(problems)
    }

    fn suspect(&self, block: &ScheduleBlock) -> Vec<KwargsProblem> {
        let Ok(schedule) = build(block, self.zone) else { return Vec::new() };
        let warnings = schedule.warnings(self.now).into_iter();
        // Changes of the clocks concern nearly every job: `explain` tells them to who asks.
        let told = |kind: WarningKind| {
            matches!(kind, WarningKind::UnevenStep | WarningKind::DayFields | WarningKind::NoEffect)
        };
        let warnings = warnings.filter(|warning| told(warning.kind));
        warnings.map(|warning| KwargsProblem::new(schedule.trigger().kind(), warning.message)).collect()
    }
}
