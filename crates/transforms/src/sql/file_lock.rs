//! Runs of one program that write the same database take turns.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Mutex as Turn;

/// Who writes the file next is decided here and not by SQLite, whose waiting is blind, unfair and ends
/// after a time, while a run may have much to write.
static TURNS: Mutex<Option<HashMap<PathBuf, Weak<Turn<()>>>>> = Mutex::new(None);

/// The turns of a file.
pub(crate) fn of(real: &Path) -> Arc<Turn<()>> {
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    let turns = turns.get_or_insert_with(HashMap::new);
    turns.retain(|_, turn| turn.strong_count() > 0);
    if let Some(turn) = turns.get(real).and_then(Weak::upgrade) {
        return turn;
    }
    let turn = Arc::new(Turn::new(()));
    turns.insert(real.to_owned(), Arc::downgrade(&turn));
    turn
}
