//! Loading the file of pipelines.

use std::sync::Arc;

use engine::Pipelines;
use pipeline_core::Services;
use pipeline_core::config::PipelinesFile;

use crate::failure::Failure;
use crate::settings::Settings;

/// A file that was read and checked.
pub(crate) struct LoadedFile {
    /// What stands in it.
    pub(crate) file: Arc<PipelinesFile>,
    /// Its pipelines, as the engine takes them.
    pub(crate) pipelines: Pipelines,
}

/// Reads and checks the file.
///
/// # Errors
/// All that is wrong with it, a line each.
pub(crate) fn load(settings: &Settings) -> Result<LoadedFile, Failure> {
    load_with(settings, &settings.setup.services)
}

/// Reads and checks the file; its chains are made with these services.
///
/// # Errors
/// All that is wrong with it, a line each.
pub(crate) fn load_with(settings: &Settings, services: &Services) -> Result<LoadedFile, Failure> {
    let file = app::load(&settings.config, &settings.setup, settings.timezone).map_err(|error| {
        error.problems.iter().for_each(|problem| settings.setup.terminal.say(&problem.to_string()));
        Failure::Silent(2)
    })?;
    let registry = Arc::new(settings.setup.registry.clone());
    let mut pipelines = Vec::with_capacity(file.pipelines.len());
    for pipeline in &file.pipelines {
        let schedule = app::schedule_of(pipeline, settings.timezone).map_err(Failure::usage)?;
        let pipeline = Arc::new(pipeline.clone());
        pipelines.push(engine::Pipeline::from_config(pipeline, schedule, registry.clone(), services.clone()));
    }
    Ok(LoadedFile { file: Arc::new(file), pipelines: Pipelines::new(pipelines)? })
}
