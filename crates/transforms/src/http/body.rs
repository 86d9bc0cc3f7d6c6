//! The body of an answer: in memory while it is small, else in a file of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use pipeline_core::{Payload, SpooledFile};
use reqwest::Response;
use tokio::io::AsyncWriteExt;

/// Bodies up to this size stay in memory, where they are not too many.
pub(crate) const IN_MEMORY: usize = 1 << 20;

/// What all bodies that wait to be read may take in memory, about.
const ALL_IN_MEMORY: usize = 256 << 20;

/// Bodies up to this size stay in memory, however many they are.
const ALWAYS_IN_MEMORY: usize = 16 << 10;

/// A file that is older than this was left by a process that was killed.
const FORGOTTEN: Duration = Duration::from_secs(24 * 60 * 60);

const PREFIX: &str = "body-";

/// The decoded body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In a file that goes with it, of this length.
    Spooled(SpooledFile, u64),
}

impl Body {
    /// The number of bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Spooled(_, length) => *length,
        }
    }

    /// As the payload of an item.
    pub(crate) fn into_payload(self) -> Payload {
        match self {
            Self::Bytes(bytes) => Payload::Bytes(bytes),
            Self::Spooled(file, _) => Payload::Spooled(file),
        }
    }
}

/// Why a body could not be had.
#[derive(Debug)]
pub(super) enum BodyError {
    TooLarge,
    Network(reqwest::Error),
    Spool(PathBuf, io::Error),
}

/// Where the large bodies of a run go.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
    in_memory: usize,
}

impl Spool {
    /// In this state folder, which need not exist yet.
    pub(crate) fn in_state_dir(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("spool"), in_memory: IN_MEMORY }
    }

    /// The same for so many bodies that may wait at a time: the more, the smaller those in memory.
    pub(crate) fn for_waiting(self, bodies: usize) -> Self {
        let in_memory = (ALL_IN_MEMORY / bodies.max(1)).clamp(ALWAYS_IN_MEMORY, IN_MEMORY);
        Self { in_memory, ..self }
    }

    /// Reads a body of at most `max` decoded bytes.
    pub(super) async fn read(
        &self,
        response: &mut Response,
        max: u64,
        now: DateTime<Utc>,
    ) -> Result<Body, BodyError> {
        let announced = response.content_length();
        if announced.is_some_and(|length| length > max) {
            return Err(BodyError::TooLarge);
        }
        let mut writer = BodyWriter::new(self, announced.unwrap_or(0), now);
        while let Some(chunk) = response.chunk().await.map_err(BodyError::Network)? {
            if writer.length + chunk.len() as u64 > max {
                return Err(BodyError::TooLarge);
            }
            writer.write(&chunk).await.map_err(|error| BodyError::Spool(self.folder.clone(), error))?;
        }
        writer.finish().await.map_err(|error| BodyError::Spool(self.folder.clone(), error))
    }

    /// A new file in the folder.
    fn create(&self, now: DateTime<Utc>) -> io::Result<(std::fs::File, tempfile::TempPath)> {
        std::fs::create_dir_all(&self.folder)?;
        self.sweep(now);
        Ok(tempfile::Builder::new().prefix(PREFIX).tempfile_in(&self.folder)?.into_parts())
    }

    /// Removes what killed processes left behind. What cannot be removed is in nobody's way.
    fn sweep(&self, now: DateTime<Utc>) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            let changed = entry.metadata().and_then(|meta| meta.modified()).map(DateTime::<Utc>::from);
            let age = changed.ok().and_then(|changed| (now - changed).to_std().ok()).unwrap_or_default();
            if ours && age > FORGOTTEN {
                std::fs::remove_file(entry.path()).ok();
            }
        }
    }
}

/// Collects a body part by part.
pub(crate) struct BodyWriter<'a> {
    spool: &'a Spool,
    now: DateTime<Utc>,
    memory: Vec<u8>,
    file: Option<(tokio::fs::File, tempfile::TempPath)>,
    length: u64,
}

impl<'a> BodyWriter<'a> {
    /// A writer for a body of about this length.
    pub(crate) fn new(spool: &'a Spool, length: u64, now: DateTime<Utc>) -> Self {
        let room = usize::try_from(length).unwrap_or(spool.in_memory).min(spool.in_memory);
        Self { spool, now, memory: Vec::with_capacity(room), file: None, length: 0 }
    }

    /// Adds a part.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) async fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.length += part.len() as u64;
        if self.file.is_none() {
            if self.memory.len() + part.len() <= self.spool.in_memory {
                self.memory.extend_from_slice(part);
                return Ok(());
            }
            let (spool, now) = (self.spool.clone(), self.now);
            let made = tokio::task::spawn_blocking(move || spool.create(now)).await;
            let (file, path) = made.map_err(io::Error::other)??;
            let mut file = tokio::fs::File::from_std(file);
            file.write_all(&std::mem::take(&mut self.memory)).await?;
            self.file = Some((file, path));
        }
        match &mut self.file {
            Some((file, _)) => file.write_all(part).await,
            None => Ok(()),
        }
    }

    /// The whole.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(crate) async fn finish(self) -> io::Result<Body> {
        match self.file {
            None => Ok(Body::Bytes(self.memory.into())),
            Some((mut file, path)) => {
                file.flush().await?;
                let path = path.keep().map_err(|error| error.error)?;
                Ok(Body::Spooled(SpooledFile::new(path), self.length))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn write(spool: &Spool, size: usize, now: DateTime<Utc>) -> Body {
        let mut writer = BodyWriter::new(spool, 0, now);
        let part = [7_u8; 1000];
        let mut left = size;
        while left > 0 {
            let length = left.min(part.len());
            writer.write(&part[..length]).await.unwrap();
            left -= length;
        }
        writer.finish().await.unwrap()
    }

    #[tokio::test]
    async fn large_bodies_go_to_files_that_go_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::in_state_dir(&folder.path().join("new"));
        for (size, spooled) in [(0, false), (IN_MEMORY, false), (IN_MEMORY + 1, true), (3_000_000, true)] {
            let body = write(&spool, size, DateTime::UNIX_EPOCH).await;
            assert_eq!(matches!(body, Body::Spooled(..)), spooled, "{size}");
            assert_eq!(body.len(), size as u64);
            assert_eq!(body.into_payload().into_bytes(u64::MAX).unwrap(), vec![7; size]);
        }
        for (bodies, size) in [(4, IN_MEMORY), (1024, 256 << 10), (1_000_000, ALWAYS_IN_MEMORY)] {
            let spool = spool.clone().for_waiting(bodies);
            for (size, spooled) in [(size, false), (size + 1, true)] {
                let body = write(&spool, size, DateTime::UNIX_EPOCH).await;
                assert_eq!(matches!(body, Body::Spooled(..)), spooled, "{bodies} bodies of {size}");
            }
        }
        assert_eq!(std::fs::read_dir(&spool.folder).unwrap().count(), 0);
        let mut writer = BodyWriter::new(&spool, 0, DateTime::UNIX_EPOCH);
        writer.write(&vec![1; IN_MEMORY + 1]).await.unwrap();
        assert_eq!(std::fs::read_dir(&spool.folder).unwrap().count(), 1);
        drop(writer);
        assert_eq!(std::fs::read_dir(&spool.folder).unwrap().count(), 0, "half a body must not stay");
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::in_state_dir(folder.path());
        std::fs::create_dir_all(&spool.folder).unwrap();
        for name in ["body-old", "other"] {
            std::fs::write(spool.folder.join(name), "x").unwrap();
        }
        let changed = std::fs::metadata(spool.folder.join("body-old")).unwrap().modified().unwrap();
        let changed = DateTime::<Utc>::from(changed);
        drop(write(&spool, IN_MEMORY + 1, changed + chrono::TimeDelta::hours(23)).await);
        assert!(spool.folder.join("body-old").exists());
        drop(write(&spool, IN_MEMORY + 1, changed + chrono::TimeDelta::hours(25)).await);
        assert!(!spool.folder.join("body-old").exists());
        assert!(spool.folder.join("other").exists());
    }
}
