//! jobstore.
