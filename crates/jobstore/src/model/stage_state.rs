//! What stages keep between runs: keys and values in bytes, written when the run has succeeded and never before.

/// Whose state: a pipeline's stage, in the store's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StageScope {
    /// The pipeline.
    pub pipeline: String,
    /// The caller's name for the stage, or for a part of its state.
    pub stage: String,
}

/// One write, kept aside until the attempt commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    /// The key.
    pub key: Vec<u8>,
    /// What to do with it.
    pub op: StateOp,
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateOp {
    /// Sets the value.
    Put(Vec<u8>),
    /// Removes the key.
    Delete,
    /// Leaves the value and marks the key as seen by this attempt.
    Touch,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}
