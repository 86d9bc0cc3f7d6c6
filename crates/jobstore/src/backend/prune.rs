//! Where the deletion of old runs has got to: a round over all jobs takes several calls.

use crate::model::ids::RunId;

/// The place in the round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// At its beginning.
    #[default]
    Start,
    /// After this job.
    Job(String),
    /// Among the runs without job, after this pipeline.
    Pipeline(String),
}

impl Cursor {
    /// The job after which the round goes on.
    pub(crate) fn job(&self) -> &str {
        match self {
            Cursor::Job(job) => job,
            Cursor::Start | Cursor::Pipeline(_) => "",
        }
    }
}

/// What is to be deleted.
pub(crate) struct Found {
    pub(crate) ids: Vec<RunId>,
    pub(crate) cursor: Cursor,
    pub(crate) done: bool,
}
