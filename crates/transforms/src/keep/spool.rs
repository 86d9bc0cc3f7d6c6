//! Rows put aside in a file without a name, so that memory stays flat and nothing is left behind.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};

use pipeline_core::StageError;
use tokio::task::JoinHandle;

use super::blocking;

/// So many bytes are collected before they are written.
const BUFFER: usize = 256 << 10;

/// A file that grows while the run goes on. Writing happens on another thread, one buffer behind.
#[derive(Debug)]
pub(crate) struct Spool {
    /// What it is for, to be said in errors.
    name: String,
    buffer: Vec<u8>,
    file: Option<File>,
    writing: Option<JoinHandle<(std::io::Result<File>, Vec<u8>)>>,
}

impl Spool {
    /// A spool in the folder for temporary files; the file goes when it is closed, or its program ends.
    pub(crate) fn anonymous(name: impl Into<String>) -> Result<Self, StageError> {
        let name = name.into();
        let file = tempfile::tempfile().map_err(|error| failed(&name, error))?;
        Ok(Self::over(name, file))
    }

    /// A spool over a file that is already open.
    pub(crate) fn over(name: impl Into<String>, file: File) -> Self {
        Self { name: name.into(), buffer: Vec::with_capacity(BUFFER + 4096), file: Some(file), writing: None }
    }

    /// Where to append. Call [`Spool::make_room`] after each row.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the buffer where it is full, waiting only for the buffer before it.
    pub(crate) async fn make_room(&mut self) -> Result<(), StageError> {
        if self.buffer.len() < BUFFER { Ok(()) } else { self.write_out().await }
    }

    async fn write_out(&mut self) -> Result<(), StageError> {
        self.settle().await?;
        let Some(mut file) = self.file.take() else {
            return Err(StageError::fatal(format!("{} is no longer open", self.name)));
        };
        let spare = Vec::with_capacity(BUFFER + 4096);
        let mut buffer = std::mem::replace(&mut self.buffer, spare);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let result = file.write_all(&buffer).map(|()| file);
            buffer.clear();
            (result, buffer)
        }));
        Ok(())
    }

    /// Waits for the buffer that is being written.
    async fn settle(&mut self) -> Result<(), StageError> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let written = writing.await;
        self.writing = None;
        match written {
            Ok((Ok(file), spare)) => {
                self.file = Some(file);
                if self.buffer.is_empty() && self.buffer.capacity() < spare.capacity() {
                    self.buffer = spare;
                }
                Ok(())
            }
            Ok((Err(error), _)) => Err(failed(&self.name, error)),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(StageError::fatal("the runtime is shutting down")),
        }
    }

    /// Writes what is left and hands the file over, its position at the end.
    pub(crate) async fn into_file(mut self) -> Result<File, StageError> {
        self.settle().await?;
        if !self.buffer.is_empty() {
            self.write_out().await?;
            self.settle().await?;
        }
        self.file.take().ok_or_else(|| StageError::fatal(format!("{} is no longer open", self.name)))
    }

    /// Writes what is left and reads from the start.
    pub(crate) async fn into_reader(self) -> Result<SpoolReader, StageError> {
        let name = self.name.clone();
        let mut file = self.into_file().await?;
        blocking(move || {
            file.seek(SeekFrom::Start(0)).map_err(|error| failed(&name, error))?;
            Ok(SpoolReader { name, file: BufReader::with_capacity(BUFFER, file), frame: Vec::new() })
        })
        .await
    }
}

fn failed(name: &str, error: std::io::Error) -> StageError {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let folder = std::env::temp_dir();
    let hint = if full {
        format!("free space there, or set TMPDIR to a folder with more than {} has", folder.display())
    } else {
        format!("temporary files go to {} unless TMPDIR says otherwise", folder.display())
    };
    StageError::fatal(format!("{name} cannot be put aside")).hint(hint).caused_by(error)
}

/// Begins a frame in `buffer`: a row with its length before it. Returns what [`end_frame`] needs.
pub(crate) fn begin_frame(buffer: &mut Vec<u8>) -> usize {
    buffer.extend_from_slice(&[0; 4]);
    buffer.len()
}

/// Ends a frame that began at `start`.
pub(crate) fn end_frame(buffer: &mut [u8], start: usize) -> Result<(), StageError> {
    let length = u32::try_from(buffer.len() - start)
        .map_err(|_| StageError::item("the record is larger than 4 GiB"))?;
    buffer[start - 4..start].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Reads the frames of a spool one by one.
#[derive(Debug)]
pub(crate) struct SpoolReader {
    name: String,
    file: BufReader<File>,
    frame: Vec<u8>,
}

impl SpoolReader {
    /// The next frame; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, StageError> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(failed(&self.name, error)),
        }
        self.frame.resize(u32::from_le_bytes(length) as usize, 0);
        self.file.read_exact(&mut self.frame).map_err(|error| failed(&self.name, error))?;
        Ok(Some(&self.frame))
    }

    /// Goes back to the first frame.
    pub(crate) fn rewind(&mut self) -> Result<(), StageError> {
        self.file.seek(SeekFrom::Start(0)).map_err(|error| failed(&self.name, error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back_in_order_across_many_buffers() {
        let mut spool = Spool::anonymous("rows").unwrap();
        for n in 0..10_000u32 {
            let buffer = spool.buffer();
            let start = begin_frame(buffer);
            buffer.extend_from_slice(&n.to_le_bytes());
            buffer.resize(buffer.len() + (n % 200) as usize, 7);
            end_frame(buffer, start).unwrap();
            spool.make_room().await.unwrap();
        }
        let mut reader = spool.into_reader().await.unwrap();
        for round in 0..2 {
            for n in 0..10_000u32 {
                let frame = reader.next_frame().unwrap().unwrap();
                assert_eq!(frame[..4], n.to_le_bytes(), "round {round}");
                assert_eq!(frame.len(), 4 + (n % 200) as usize);
            }
            assert!(reader.next_frame().unwrap().is_none());
            reader.rewind().unwrap();
        }
    }
}
