//! Whole runs over databases.

mod files;
mod postgres;
mod sqlite;
mod state;
