//! Reloading: when SIGHUP asks for it, and when the file changes.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Handle, Pipelines};
use tokio::sync::Notify;

use crate::failure::Failure;
use crate::pipelines;
use crate::settings::Settings;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What tells one content of a file from another without reading it. A file that was renamed into place has another
/// inode, also where its times and its length are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    inode: u64,
    device: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Fingerprint {
        inode: metadata.ino(),
        device: metadata.dev(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Watches the file until it is dropped.
pub(crate) async fn watch(settings: Settings, handle: Handle, asked: Arc<Notify>) {
    let mut loaded = fingerprint(&settings.config);
    let mut seen = loaded;
    loop {
        let by_signal = tokio::select! {
            () = asked.notified() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let now = fingerprint(&settings.config);
        // A file that has just changed may be half written: it must look the same twice.
        let settled = now.is_some() && now == seen;
        seen = now;
        if by_signal || (settled && now != loaded) {
            loaded = now;
            let why = if by_signal { "SIGHUP" } else { "the file has changed" };
            reload(&settings, &handle, why).await;
        }
    }
}

async fn reload(settings: &Settings, handle: &Handle, why: &str) {
    tracing::info!("{why}: reloading {}", settings.config.display());
    let result = match load(settings.clone()).await {
        Ok(pipelines) => handle.reload(pipelines).await.map_err(|error| error.to_string()),
        Err(problem) => Err(problem),
    };
    if let Err(problem) = result {
        tracing::error!("{} was not reloaded, all stays as it is: {problem}", settings.config.display());
    }
}

/// Reads and checks the file beside the loop: compiling selectors and programs takes its time.
async fn load(settings: Settings) -> Result<Pipelines, String> {
    let loading = tokio::task::spawn_blocking(move || match pipelines::load(&settings) {
        Ok(loaded) => {
            loaded.file.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            Ok(loaded.pipelines)
        }
        Err(failure @ Failure::Silent(_)) => {
            drop(failure);
            Err("it has the problems that are listed above".to_owned())
        }
        Err(failure) => Err(failure.message().unwrap_or_default()),
    });
    match loading.await {
        Ok(result) => result,
        Err(error) => Err(format!("checking it failed: {error}")),
    }
}
