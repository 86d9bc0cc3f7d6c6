//! Whole runs over databases.

mod files;
mod kill;
mod model;
mod postgres;
mod query;
mod sqlite;
mod state;
