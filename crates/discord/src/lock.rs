//! Short locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever a panic elsewhere left: no section under these locks leaves a half-made value.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
