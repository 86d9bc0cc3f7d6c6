//! The two databases.
//!
//! What is said once for both is in `shared/`: each of its files is compiled twice, as a module of [`sqlite`] and as
//! one of [`postgres`], against that backend's `Conn`, `Db` and `RunQueryDsl`. So every query is checked by Diesel for
//! each database, and nothing is generic. What has to differ is in the `io` module of each.

mod ends_model;
mod new_run;
mod plan;
pub(crate) mod postgres;
mod prune;
mod rows;
pub(crate) mod sqlite;
