//! Rows put aside in a file without a name, so that memory stays flat and nothing is left behind.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};

use pipeline_core::StageError;
use tokio::task::JoinHandle;

use super::blocking;

/// So many bytes are collected before they are written.
const BUFFER: usize = 256 << 10;

/// What an error says of the file.
#[derive(Debug, Clone)]
struct Place {
    name: String,
    /// Whether it lies in the folder for temporary files.
    temporary: bool,
}

/// A file that grows while the run goes on. Writing happens on another thread, one buffer behind.
#[derive(Debug)]
pub(crate) struct Spool {
    place: Place,
    buffer: Vec<u8>,
    file: Option<File>,
    writing: Option<JoinHandle<(std::io::Result<File>, Vec<u8>)>>,
}

impl Spool {
    /// A spool in the folder for temporary files; the file goes when it is closed, or its program ends.
    pub(crate) fn anonymous(name: impl Into<String>) -> Result<Self, StageError> {
        let place = Place { name: name.into(), temporary: true };
        let file = tempfile::tempfile().map_err(|error| failed(&place, error))?;
        Ok(Self::new(place, file))
    }

    /// A spool over a file that is already open, beside the one that it will become.
    pub(crate) fn over(name: impl Into<String>, file: File) -> Self {
        Self::new(Place { name: name.into(), temporary: false }, file)
    }

    fn new(place: Place, file: File) -> Self {
        Self { place, buffer: Vec::with_capacity(BUFFER + 4096), file: Some(file), writing: None }
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
            return Err(closed(&self.place));
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
            Ok((Err(error), _)) => Err(failed(&self.place, error)),
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
        self.file.take().ok_or_else(|| closed(&self.place))
    }

    /// Writes what is left and reads from the start.
    pub(crate) async fn into_reader(self) -> Result<SpoolReader, StageError> {
        let place = self.place.clone();
        let file = self.into_file().await?;
        blocking(move || SpoolReader::over(place, file, BUFFER)).await
    }
}

/// A spool for threads that may block.
#[derive(Debug)]
pub(crate) struct SpoolWriter {
    place: Place,
    buffer: Vec<u8>,
    file: File,
}

impl SpoolWriter {
    /// A spool in the folder for temporary files; the file goes when it is closed, or its program ends.
    pub(crate) fn anonymous(name: impl Into<String>) -> Result<Self, StageError> {
        let place = Place { name: name.into(), temporary: true };
        let file = tempfile::tempfile().map_err(|error| failed(&place, error))?;
        Ok(Self { place, buffer: Vec::new(), file })
    }

    /// Where to append. Call [`SpoolWriter::make_room`] after each row.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes the buffer where it is full.
    pub(crate) fn make_room(&mut self) -> Result<(), StageError> {
        if self.buffer.len() < BUFFER { Ok(()) } else { self.write_out() }
    }

    /// Writes the buffer, and lets go of its memory.
    pub(crate) fn write_out(&mut self) -> Result<(), StageError> {
        let written = self.file.write_all(&self.buffer);
        self.buffer = Vec::new();
        written.map_err(|error| failed(&self.place, error))
    }

    /// Reads from the start, so many bytes at a time.
    pub(crate) fn into_reader(mut self, buffer: usize) -> Result<SpoolReader, StageError> {
        self.write_out()?;
        SpoolReader::over(self.place, self.file, buffer)
    }
}

fn closed(place: &Place) -> StageError {
    StageError::fatal(format!("{} cannot be written: the file is no longer open", place.name))
}

fn failed(place: &Place, error: std::io::Error) -> StageError {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let said = StageError::fatal(format!("{} cannot be written", place.name)).caused_by(error);
    match (place.temporary, full) {
        (true, true) => said.hint(format!(
            "free space in {}, or set TMPDIR to a larger folder",
            std::env::temp_dir().display()
        )),
        (true, false) => said.hint(format!("{} is where it is put aside", std::env::temp_dir().display())),
        (false, true) => said.hint("free space on its disk"),
        (false, false) => said,
    }
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
    place: Place,
    file: BufReader<File>,
    length: u64,
    frame: Vec<u8>,
}

impl SpoolReader {
    fn over(place: Place, mut file: File, buffer: usize) -> Result<Self, StageError> {
        let length = file.seek(SeekFrom::End(0)).and_then(|length| file.rewind().map(|()| length));
        let length = length.map_err(|error| failed(&place, error))?;
        Ok(Self { place, file: BufReader::with_capacity(buffer, file), length, frame: Vec::new() })
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// The frame that was read last.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The next frame; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, StageError> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(failed(&self.place, error)),
        }
        self.frame.resize(u32::from_le_bytes(length) as usize, 0);
        self.file.read_exact(&mut self.frame).map_err(|error| failed(&self.place, error))?;
        Ok(Some(&self.frame))
    }

    /// Goes back to the first frame.
    pub(crate) fn rewind(&mut self) -> Result<(), StageError> {
        self.file.seek(SeekFrom::Start(0)).map_err(|error| failed(&self.place, error))?;
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
