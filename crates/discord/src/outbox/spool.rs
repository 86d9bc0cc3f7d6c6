//! Texts on disk that are too many for memory: an unnamed temporary file, gone with the process.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Texts up to this many bytes stay in memory.
const IN_MEMORY: usize = 1024 * 1024;

/// Where a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    at: u64,
    len: usize,
}

/// Texts, one after another.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    end: u64,
    /// Texts that are still wanted; where there are none, the space is used again.
    live: usize,
}

impl Spool {
    /// Keeps a text.
    pub(crate) fn push(&mut self, text: &str) -> io::Result<Place> {
        let place = Place { at: self.end, len: text.len() };
        match &mut self.file {
            None if self.memory.len() + text.len() <= IN_MEMORY => {
                self.memory.extend_from_slice(text.as_bytes())
            }
            None => {
                let mut file = tempfile::tempfile()?;
                file.write_all(&self.memory)?;
                file.write_all(text.as_bytes())?;
                self.memory = Vec::new();
                self.file = Some(file);
            }
            Some(file) => {
                file.seek(SeekFrom::Start(self.end))?;
                file.write_all(text.as_bytes())?;
            }
        }
        self.end += text.len() as u64;
        self.live += 1;
        Ok(place)
    }

    /// Reads a text.
    pub(crate) fn read(&mut self, place: Place) -> io::Result<String> {
        let bytes = match &mut self.file {
            None => {
                let at = usize::try_from(place.at).unwrap_or(usize::MAX);
                self.memory.get(at..at + place.len).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec()
            }
            Some(file) => {
                let mut bytes = vec![0; place.len];
                file.seek(SeekFrom::Start(place.at))?;
                file.read_exact(&mut bytes)?;
                bytes
            }
        };
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// Forgets a text.
    pub(crate) fn forget(&mut self) {
        self.live = self.live.saturating_sub(1);
        if self.live == 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_from_memory_and_from_disk() {
        let mut spool = Spool::default();
        let texts: Vec<String> = (0..300).map(|i| format!("{i}-{}", "é".repeat(i * 30))).collect();
        let places: Vec<Place> = texts.iter().map(|t| spool.push(t).unwrap()).collect();
        assert!(spool.file.is_some() && spool.memory.is_empty());
        for (text, place) in texts.iter().zip(&places).rev() {
            assert_eq!(&spool.read(*place).unwrap(), text);
        }
        for _ in &places {
            spool.forget();
        }
        assert!(spool.file.is_none() && spool.end == 0);
    }
}
