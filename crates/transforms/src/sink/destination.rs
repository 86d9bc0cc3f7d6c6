//! A file that is written beside its place and takes that place when the run has succeeded.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pipeline_core::{StageContext, StageError};
use tempfile::TempPath;

use crate::keep::{MadeFolders, blocking, make_folder_of};

/// A file beside the destination that is older than this and held by nobody was left by a killed run.
const STALE: Duration = Duration::from_secs(3600);

/// Where the rows of a run are to go.
#[derive(Debug)]
pub(super) struct Destination {
    /// As the file of pipelines names it.
    shown: PathBuf,
    /// Behind symbolic links, which stay what they are.
    real: PathBuf,
    mode: Mode,
    /// The file beside it, until it is renamed; none where the destination is no regular file.
    beside: Option<TempPath>,
    folders: MadeFolders,
}

/// What becomes of what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Replace,
    Append,
    /// A device or a pipe: it is written to, never replaced.
    Stream,
}

/// The files that the sinks of a run replace.
#[derive(Default)]
struct Replaced(Mutex<HashSet<PathBuf>>);

impl Destination {
    /// Makes the folder and the file beside, so that what is wrong with the place shows before the work.
    /// Returns the file to write to.
    pub(super) async fn open(
        path: &Path,
        append: bool,
        ctx: &StageContext,
    ) -> Result<(Self, File), StageError> {
        let shown = path.to_owned();
        let (destination, file) = blocking(move || Self::open_blocking(&shown, append))
            .await
            .map_err(|error| error.at(place(path)))?;
        if destination.mode == Mode::Replace {
            let replaced = ctx.resource(Replaced::default);
            let mut replaced = replaced.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !replaced.insert(destination.real.clone()) {
                return Err(StageError::fatal("two sinks of this chain replace the same file")
                    .at(place(path))
                    .hint("give them different paths, or `append: true`"));
            }
        }
        Ok((destination, file))
    }

    fn open_blocking(shown: &Path, append: bool) -> Result<(Self, File), StageError> {
        if shown.file_name().is_none() || shown.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(StageError::fatal("the path names a folder").hint("add the name of a file"));
        }
        let folders = make_folder_of(shown)?;
        let real = real_path(shown).map_err(|error| failed("finding it", error))?;
        let mode = match std::fs::metadata(&real) {
            Ok(found) if found.is_dir() => {
                return Err(StageError::fatal("it is a folder").hint("add the name of a file"));
            }
            Ok(found) if !found.is_file() => Mode::Stream,
            _ if append => Mode::Append,
            _ => Mode::Replace,
        };
        if mode == Mode::Stream {
            let file = tempfile::tempfile().map_err(|error| failed("putting rows aside", error))?;
            return Ok((Self { shown: shown.to_owned(), real, mode, beside: None, folders }, file));
        }
        if real.exists() {
            // A rename would replace a write-protected file; it is protected for a reason.
            let opened = OpenOptions::new().append(true).open(&real);
            opened.map_err(|error| failed("opening it for writing", error).hint(WRITABLE))?;
        }
        let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = real.parent().unwrap_or(Path::new("."));
        let beside = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".tmp")
            .permissions(permissions(&real))
            .tempfile_in(folder)
            .map_err(|error| failed("making a file beside it", error).hint(WRITABLE))?;
        let (file, beside) = beside.into_parts();
        // The lock tells that the file belongs to a living program.
        file.try_lock().ok();
        remove_stale(folder, &name, &file);
        Ok((Self { shown: shown.to_owned(), real, mode, beside: Some(beside), folders }, file))
    }

    pub(super) fn place(&self) -> String {
        place(&self.shown)
    }

    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Turns an append into a replacement: the new file holds the old rows already.
    pub(super) fn replace_whole(&mut self) {
        self.mode = Mode::Replace;
    }

    /// Puts what was written to `file` in its place. May block.
    pub(super) fn publish(&mut self, mut file: File) -> Result<(), StageError> {
        match self.mode {
            Mode::Replace => {
                let Some(beside) = self.beside.take() else {
                    return Err(StageError::fatal("the file beside it is gone"));
                };
                beside.persist(&self.real).map_err(|error| failed("renaming the new file", error.error))?;
                sync_folder(&self.real);
            }
            Mode::Append => {
                let new = !self.real.exists();
                append(&self.real, &mut file).map_err(|error| failed("appending", error))?;
                if new {
                    sync_folder(&self.real);
                }
            }
            Mode::Stream => {
                let opened = OpenOptions::new().write(true).open(&self.real);
                let mut stream = opened.map_err(|error| failed("opening it for writing", error))?;
                let copied =
                    file.seek(SeekFrom::Start(0)).and_then(|_| std::io::copy(&mut file, &mut stream));
                copied.map_err(|error| failed("writing", error))?;
            }
        }
        std::mem::take(&mut self.folders).keep();
        Ok(())
    }
}

const WRITABLE: &str = "the file and its folder must be writable for the user that runs this";

fn place(path: &Path) -> String {
    format!("file {}", path.display())
}

pub(super) fn failed(doing: &str, error: std::io::Error) -> StageError {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let said = StageError::fatal(format!("{doing} failed")).caused_by(error);
    if full { said.hint("free space on its disk") } else { said }
}

/// The path behind symbolic links, which may lead to a file that is not there yet.
fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many as the system itself follows.
    for _ in 0..40 {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return std::path::absolute(path),
        }
    }
    Err(std::io::Error::other("too many symbolic links"))
}

/// The permissions that the new file gets: those of the old one, else what any new file would get.
fn permissions(path: &Path) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(path) {
        Ok(found) => std::fs::Permissions::from_mode(found.permissions().mode() & 0o777),
        // The system takes the user's mask off.
        Err(_) => std::fs::Permissions::from_mode(0o666),
    }
}

/// Makes sure that the new name survives a loss of power. Not every file system can.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(folder)
    {
        folder.sync_all().ok();
    }
}

/// Appends all of `rows` or nothing.
fn append(path: &Path, rows: &mut File) -> std::io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    // Other runs that append wait here, so that no rows are mixed and none are cut off below.
    file.lock()?;
    let length = file.seek(SeekFrom::End(0))?;
    let appended = (|| {
        if length > 0 {
            // A line that somebody left without its end must not swallow ours.
            file.seek(SeekFrom::Start(length - 1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        rows.seek(SeekFrom::Start(0))?;
        std::io::copy(rows, &mut file)?;
        file.sync_all()
    })();
    if appended.is_err() {
        // What could be written before the disk was full goes again.
        file.set_len(length)?;
    }
    appended
}

/// Removes what killed runs left beside the destination.
fn remove_stale(folder: &Path, name: &str, ours: &File) {
    let Ok(now) = ours.metadata().and_then(|found| found.modified()) else { return };
    let prefix = format!(".{name}.");
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let is_ours = file_name.to_str().is_some_and(|found| {
            found.starts_with(&prefix) && found.ends_with(".tmp") && found.len() == prefix.len() + 6 + 4
        });
        let modified = || entry.metadata().and_then(|found| found.modified());
        let is_old = || modified().is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > STALE));
        if is_ours && is_old() && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            // Where it cannot be removed it does no harm.
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appending_is_whole_and_mends_a_line_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let rows = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        append(&path, &mut rows("1\n")).unwrap();
        append(&path, &mut rows("2\n3")).unwrap();
        append(&path, &mut rows("4\n")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n3\n4\n");
    }

    #[test]
    fn only_old_files_of_dead_programs_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, age: u64| {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_modified(modified - Duration::from_secs(age)).unwrap();
            (path, file)
        };
        let ours = make(".x.jsonl.AAAAAA.tmp", 0);
        let old = make(".x.jsonl.BBBBBB.tmp", 4000);
        let held = make(".x.jsonl.CCCCCC.tmp", 4000);
        held.1.lock().unwrap();
        let young = make(".x.jsonl.DDDDDD.tmp", 100);
        let other = make(".x.jsonl.old.tmp", 4000);
        drop(old.1);
        remove_stale(folder.path(), "x.jsonl", &ours.1);
        let kept = [&ours.0, &old.0, &held.0, &young.0, &other.0].map(|path| path.exists());
        assert_eq!(kept, [true, false, true, true, true]);
    }
}
