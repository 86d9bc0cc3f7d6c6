//! What goes in and out of the store: plain data, without any database type in its public face.

pub(crate) mod ids;
pub(crate) mod job;
pub(crate) mod outbox;
pub(crate) mod process;
pub(crate) mod retention;
pub(crate) mod run;
pub(crate) mod stage_state;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod turn;
