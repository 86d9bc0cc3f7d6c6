//! Checked pipelines to chains that run.

use super::after;
use super::model::{Pipeline, PipelinesFile};
use super::problem::{ConfigError, Problem};
use crate::chain::Chain;
use crate::context::Services;
use crate::registry::{BuildContext, Registry};

impl Pipeline {
    /// Makes the chain for one run.
    ///
    /// # Errors
    /// Where a stage cannot be made, which the check of the file excludes for the same registry.
    pub fn build_chain(&self, registry: &Registry, services: &Services) -> Result<Chain, ConfigError> {
        let mut chain = Chain::new();
        let mut problems = Vec::new();
        for (stage, number) in self.chain.iter().zip(1..) {
            let mut problem = |at, path: String, message: String| {
                problems.push(Problem { file: self.file.to_string(), at: Some(at), path, message });
            };
            let Some(entry) = registry.get(&stage.class) else {
                problem(stage.at, stage.path.clone(), format!("unknown class `{}`", stage.class));
                continue;
            };
            let ctx = BuildContext { pipeline: self.name.clone(), stage: number, services: services.clone() };
            match entry.build_node(&stage.kwargs, &ctx) {
                Ok(transform) => chain = chain.stage_with(stage.class.as_str(), transform, stage.on_error),
                Err(errors) => {
                    for error in errors.0 {
                        let separator = if error.path.is_empty() { "" } else { "." };
                        let path = format!("{}.kwargs{separator}{}", stage.path, error.path);
                        problem(error.at.unwrap_or(stage.at), path, error.message);
                    }
                }
            }
        }
        if problems.is_empty() { Ok(chain) } else { Err(ConfigError { problems }) }
    }
}

impl PipelinesFile {
    /// The pipelines in an order in which each comes behind those that it waits for.
    pub fn in_order(&self) -> Vec<&Pipeline> {
        after::in_order(&self.pipelines)
    }
}
