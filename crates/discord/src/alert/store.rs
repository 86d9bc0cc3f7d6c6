//! Where alerts are kept over a restart, and shared between schedulers.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;

use crate::lock::lock;

/// Keeps what is known of failing pipelines: a few texts, by their keys. Several processes may share them.
#[async_trait]
pub trait AlertStore: Send + Sync + 'static {
    /// Everything that is kept.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn load(&self) -> io::Result<BTreeMap<String, String>>;

    /// Puts one text in the place of another, and says whether it is there now: it is not where somebody else has
    /// changed it meanwhile. `None` is the absence of a text. Can be repeated where it failed.
    ///
    /// # Errors
    /// Where it cannot be written.
    async fn replace(&self, key: &str, old: Option<&str>, new: Option<&str>) -> io::Result<bool>;
}

/// Puts a text in the place of another; whether it is there now, and whether that has changed anything.
fn exchange(
    all: &mut BTreeMap<String, String>,
    key: &str,
    old: Option<&str>,
    new: Option<&str>,
) -> (bool, bool) {
    let found = all.get(key).map(String::as_str);
    if found == new {
        return (true, false);
    }
    if found != old {
        return (false, false);
    }
    match new {
        Some(new) => drop(all.insert(key.to_owned(), new.to_owned())),
        None => drop(all.remove(key)),
    }
    (true, true)
}

/// Keeps them for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryAlertStore(Mutex<BTreeMap<String, String>>);

#[async_trait]
impl AlertStore for MemoryAlertStore {
    async fn load(&self) -> io::Result<BTreeMap<String, String>> {
        Ok(lock(&self.0).clone())
    }

    async fn replace(&self, key: &str, old: Option<&str>, new: Option<&str>) -> io::Result<bool> {
        Ok(exchange(&mut lock(&self.0), key, old, new).0)
    }
}

/// A JSON file, replaced as a whole whenever it changes: for one process at a time.
#[derive(Debug)]
pub struct FileAlertStore {
    path: PathBuf,
    writing: tokio::sync::Mutex<()>,
}

impl FileAlertStore {
    /// A store in this file, whose folder is made where it is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writing: tokio::sync::Mutex::default() }
    }
}

#[async_trait]
impl AlertStore for FileAlertStore {
    async fn load(&self) -> io::Result<BTreeMap<String, String>> {
        match tokio::fs::read(&self.path).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    async fn replace(&self, key: &str, old: Option<&str>, new: Option<&str>) -> io::Result<bool> {
        let _alone = self.writing.lock().await;
        let mut all = self.load().await?;
        let (is_there, changed) = exchange(&mut all, key, old, new);
        if !changed {
            return Ok(is_there);
        }
        let json = serde_json::to_vec_pretty(&all).map_err(io::Error::other)?;
        if let Some(folder) = self.path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        tokio::fs::write(&beside, json).await?;
        tokio::fs::rename(&beside, &self.path).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(store: impl AlertStore) {
        // (old, new, whether the new one is there, what is kept then)
        let cases = [
            (Some("x"), Some("a"), false, None),
            (None, Some("a"), true, Some("a")),
            (None, Some("a"), true, Some("a")),
            (None, Some("b"), false, Some("a")),
            (Some("a"), Some("b"), true, Some("b")),
            (Some("a"), None, false, Some("b")),
            (Some("b"), None, true, None),
            (Some("b"), None, true, None),
        ];
        for (old, new, is_there, kept) in cases {
            assert_eq!(store.replace("k", old, new).await.unwrap(), is_there, "{old:?} {new:?}");
            let all = store.load().await.unwrap();
            assert_eq!(all.get("k").map(String::as_str), kept, "{old:?} {new:?}");
        }
    }

    #[tokio::test]
    async fn a_text_is_replaced_only_where_it_is_what_was_seen() {
        check(MemoryAlertStore::default()).await;
        let folder = tempfile::tempdir().unwrap();
        check(FileAlertStore::new(folder.path().join("state/alerts.json"))).await;
    }
}
