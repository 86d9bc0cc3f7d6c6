//! The entries of failing pipelines as all processes share them: read, changed, and written back one by one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::book::{Entry, Key};
use super::store::AlertStore;
use crate::lock::lock;

/// What becomes of an entry.
pub(super) enum Change {
    /// It stays as it is.
    Nothing,
    /// It becomes this.
    Put(Box<Entry>),
    /// It goes.
    Remove,
}

/// The shared entries, and how they were seen last.
pub(super) struct Ledger {
    store: Arc<dyn AlertStore>,
    seen: Mutex<BTreeMap<Key, Seen>>,
}

/// An entry as it is kept: its text is what another process may have changed. One that cannot be read is as good as none.
#[derive(Clone)]
struct Seen {
    text: String,
    entry: Option<Entry>,
}

impl Ledger {
    pub(super) fn new(store: Arc<dyn AlertStore>) -> Self {
        Self { store, seen: Mutex::default() }
    }

    /// All entries as they were seen last.
    pub(super) fn entries(&self) -> Vec<(Key, Entry)> {
        let seen = lock(&self.seen);
        seen.iter().filter_map(|(key, seen)| Some((key.clone(), seen.entry.clone()?))).collect()
    }

    /// Looks at all entries.
    pub(super) async fn look(&self) -> io::Result<()> {
        let mut all = BTreeMap::new();
        for (key, text) in self.store.load().await? {
            let Some(read) = key
                .split_once(' ')
                .and_then(|(channel, pipeline)| Some((channel.parse().ok()?, pipeline.to_owned())))
            else {
                tracing::warn!(key, "what is known of a failing pipeline cannot be read");
                continue;
            };
            let entry = serde_json::from_str(&text).ok();
            if entry.is_none() {
                tracing::warn!(key, "what is known of a failing pipeline cannot be read");
            }
            all.insert(read, Seen { text, entry });
        }
        *lock(&self.seen) = all;
        Ok(())
    }

    /// Changes an entry, however often others change it meanwhile. What it is now, where it was changed.
    pub(super) async fn change(
        &self,
        key: &Key,
        change: impl Fn(Option<&Entry>) -> Change,
    ) -> io::Result<Option<Entry>> {
        let name = format!("{} {}", key.0, key.1);
        loop {
            let old = lock(&self.seen).get(key).cloned();
            let new = match change(old.as_ref().and_then(|seen| seen.entry.as_ref())) {
                Change::Nothing => return Ok(None),
                Change::Put(entry) => {
                    let text = serde_json::to_string(&entry).map_err(io::Error::other)?;
                    Some(Seen { text, entry: Some(*entry) })
                }
                Change::Remove => None,
            };
            let text = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.text.clone());
            let (old, text) = (text(&old), text(&new));
            if self.store.replace(&name, old.as_deref(), text.as_deref()).await? {
                let entry = new.as_ref().and_then(|seen| seen.entry.clone());
                let mut seen = lock(&self.seen);
                match new {
                    Some(new) => drop(seen.insert(key.clone(), new)),
                    None => drop(seen.remove(key)),
                }
                return Ok(entry);
            }
            self.look().await?;
        }
    }
}
