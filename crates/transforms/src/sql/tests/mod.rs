//! Whole runs over databases.

mod files;
mod postgres;
mod query;
mod sqlite;
mod state;
