//! What can go wrong with the engine, and with what people ask of it.

use jobstore::{JobId, Outcome, RunId, StoreError};

/// The engine cannot start, or cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The job store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other schedulers changed the same jobs again and again while the file was being reconciled with the store.
    #[error(
        "the jobs of the file could not be reconciled with the store: other schedulers changed {0} of them at the same time, again and again"
    )]
    Contended(usize),
    /// Two pipelines have the same name.
    #[error("there are two pipelines named '{0}': names are unique")]
    DuplicatePipeline(String),
}

/// Why something that a person asked for was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No pipeline has this name.
    #[error("there is no pipeline named '{name}'{}", did_you_mean(.suggestion))]
    UnknownPipeline {
        /// The name that was asked for.
        name: String,
        /// The nearest known one.
        suggestion: Option<String>,
    },
    /// No job has this id.
    #[error("there is no job '{id}'{}", did_you_mean(.suggestion))]
    UnknownJob {
        /// The id that was asked for.
        id: String,
        /// The nearest known one.
        suggestion: Option<String>,
    },
    /// Neither a job nor a pipeline is called so.
    #[error("there is neither a job nor a pipeline named '{name}'{}", did_you_mean(.suggestion))]
    UnknownTarget {
        /// The name that was asked for.
        name: String,
        /// The nearest known one.
        suggestion: Option<String>,
    },
    /// No run has this id.
    #[error("there is no run '{0}'")]
    UnknownRun(String),
    /// The id belongs to a job of the file.
    #[error(
        "'{0}' is the id of a job of the file: choose another id with --id, or change the pipeline's schedule in the file"
    )]
    ConfigJob(JobId),
    /// An id that nothing can have.
    #[error("'{0}' cannot be the id of a job: an id has 1 to 120 characters, and no control characters")]
    InvalidJobId(String),
    /// The trigger cannot be used.
    #[error("{0}")]
    Schedule(String),
    /// The pipeline's `overlap` forbids a run now.
    #[error("pipeline '{pipeline}' is already running{}", in_the_way(.runs))]
    AlreadyRunning {
        /// The pipeline.
        pipeline: String,
        /// The runs in the way.
        runs: Vec<RunId>,
    },
    /// The run is over.
    #[error("run {id} is over already: {outcome}")]
    AlreadyFinished {
        /// The run.
        id: RunId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The job cannot fire: its pipeline is not enabled, it has no further fire, what is stored of it is unreadable.
    #[error("job '{id}' cannot be resumed: {why}")]
    CannotResume {
        /// The job.
        id: JobId,
        /// Why.
        why: String,
    },
    /// Others changed the job at the same time, again and again.
    #[error("job '{0}' is being changed by others at the same time: try again")]
    Contended(JobId),
    /// A newer set of pipelines has come before this one was used.
    #[error("these pipelines were not used: newer ones have come in the meantime")]
    Superseded,
    /// The scheduler is shutting down, or has stopped.
    #[error("the scheduler is shutting down")]
    Stopping,
    /// The job store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A new set of pipelines was refused; nothing has changed.
    #[error(transparent)]
    Reload(#[from] EngineError),
}

impl ControlError {
    /// Whether the request itself was wrong (an unknown name, a bad trigger), rather than the state of things.
    pub fn is_request(&self) -> bool {
        matches!(
            self,
            Self::UnknownPipeline { .. }
                | Self::UnknownJob { .. }
                | Self::UnknownTarget { .. }
                | Self::UnknownRun(_)
                | Self::ConfigJob(_)
                | Self::InvalidJobId(_)
                | Self::Schedule(_)
        )
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|name| format!(": did you mean '{name}'?")).unwrap_or_default()
}

fn in_the_way(runs: &[RunId]) -> String {
    match runs {
        [] => String::new(),
        [run] => format!(" (run {run})"),
        [run, rest @ ..] => format!(" (run {run} and {} more)", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_was_asked_for_and_what_is_near() {
        let run: RunId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let cases: [(ControlError, &str); 6] = [
            (
                ControlError::UnknownPipeline { name: "boks".into(), suggestion: Some("books".into()) },
                "there is no pipeline named 'boks': did you mean 'books'?",
            ),
            (
                ControlError::UnknownJob { id: "pipeline_x".into(), suggestion: None },
                "there is no job 'pipeline_x'",
            ),
            (
                ControlError::AlreadyRunning { pipeline: "books".into(), runs: vec![] },
                "pipeline 'books' is already running",
            ),
            (
                ControlError::AlreadyRunning { pipeline: "books".into(), runs: vec![run] },
                "pipeline 'books' is already running (run 01890a5d-ac96-774b-bcce-b302099a8057)",
            ),
            (
                ControlError::AlreadyRunning { pipeline: "books".into(), runs: vec![run, run, run] },
                "pipeline 'books' is already running (run 01890a5d-ac96-774b-bcce-b302099a8057 and 2 more)",
            ),
            (
                ControlError::AlreadyFinished { id: run, outcome: Outcome::Failed },
                "run 01890a5d-ac96-774b-bcce-b302099a8057 is over already: failed",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
