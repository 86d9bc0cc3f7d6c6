//! The decisions, as pure functions of what was read: whether a run may be recorded, whether it may start, and what
//! becomes of one whose holder is gone.

pub(crate) mod board;
pub(crate) mod crash;
