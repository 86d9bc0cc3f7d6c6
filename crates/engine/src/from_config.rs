//! A pipeline of a file, as the engine takes it.

use std::sync::Arc;

use pipeline_core::{Registry, Services, config};
use schedule::Schedule;

use crate::pipeline::Pipeline;

impl Pipeline {
    /// The pipeline of a checked file. Its chain is made anew for each attempt, of these classes and services.
    pub fn from_config(
        config: Arc<config::Pipeline>,
        schedule: Option<Schedule>,
        registry: Arc<Registry>,
        services: Services,
    ) -> Self {
        let chain = {
            let config = config.clone();
            move || config.build_chain(&registry, &services).map_err(|error| error.to_string())
        };
        let pipeline = Self {
            description: config.description.clone(),
            enabled: config.enabled,
            after: config.after.clone(),
            overlap: config.overlap,
            max_instances: config.max_instances.get(),
            retry: config.retry,
            timeout: config.timeout,
            limit_group: config.limit_group.clone(),
            stages: config.chain.iter().map(|stage| stage.class.clone()).collect(),
            config: Some(config.clone()),
            ..Self::new(config.name.as_str(), chain)
        };
        match schedule {
            Some(schedule) => pipeline.scheduled(schedule),
            None => pipeline,
        }
    }
}
