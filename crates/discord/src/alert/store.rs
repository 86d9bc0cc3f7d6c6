//! Where alerts are kept over a restart.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;

/// Keeps what is known of failing pipelines: a few texts, by their keys.
#[async_trait]
pub trait AlertStore: Send + Sync + 'static {
    /// Everything that was saved.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn load(&self) -> io::Result<BTreeMap<String, String>>;

    /// Saves all of it, in place of what was.
    ///
    /// # Errors
    /// Where it cannot be written.
    async fn save(&self, all: BTreeMap<String, String>) -> io::Result<()>;
}

/// A JSON file, replaced as a whole whenever it changes.
#[derive(Debug)]
pub struct FileAlertStore {
    path: PathBuf,
}

impl FileAlertStore {
    /// A store in this file, whose folder is made where it is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
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

    async fn save(&self, all: BTreeMap<String, String>) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(&all).map_err(io::Error::other)?;
        if let Some(folder) = self.path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        tokio::fs::write(&beside, json).await?;
        tokio::fs::rename(&beside, &self.path).await
    }
}
