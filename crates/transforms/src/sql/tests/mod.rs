//! Whole runs over databases.

mod files;
mod sqlite;
mod state;
