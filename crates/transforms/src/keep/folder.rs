//! The folder in which a file is to be made.

use std::path::{Path, PathBuf};

use pipeline_core::StageError;

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes sure that the folder of a file is there or can be made, without making it.
///
/// # Errors
/// Where a file stands in its way, or the nearest folder above cannot be written.
pub(crate) fn check_folder_of(path: &Path) -> Result<(), StageError> {
    let mut place = folder(path);
    loop {
        match std::fs::metadata(place) {
            Ok(found) if !found.is_dir() => {
                return Err(StageError::fatal(format!("{} is not a folder", place.display()))
                    .hint("choose another path, or move that file away"));
            }
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => match place.parent() {
                Some(above) if above.as_os_str().is_empty() => place = Path::new("."),
                Some(above) => place = above,
                None => return Err(unusable(place, error)),
            },
            Err(error) => return Err(unusable(place, error)),
        }
    }
    // Only the system knows whether a folder can be written: permissions, read-only mounts, quotas.
    match tempfile::tempfile_in(place) {
        Ok(_) => Ok(()),
        Err(error) => Err(unusable(place, error)),
    }
}

/// Makes the folder of a file, with those above it.
///
/// # Errors
/// Where it cannot be made.
pub(crate) fn make_folder_of(path: &Path) -> Result<MadeFolders, StageError> {
    let place = folder(path);
    let missing = place.ancestors().take_while(|place| !place.as_os_str().is_empty() && !place.exists());
    let made = MadeFolders(missing.map(Path::to_owned).collect());
    std::fs::create_dir_all(place).map_err(|error| unusable(place, error))?;
    Ok(made)
}

/// Folders that were made for a file; those that are still empty go again, unless they are kept.
#[derive(Debug, Default)]
pub(crate) struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    /// Leaves the folders where they are.
    pub(crate) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for folder in &self.0 {
            // The system refuses to remove a folder that holds something by now.
            std::fs::remove_dir(folder).ok();
        }
    }
}

fn unusable(place: &Path, error: std::io::Error) -> StageError {
    StageError::fatal(format!("the folder {} cannot be used", place.display()))
        .hint("it must exist or be possible to make, and be writable for the user that runs this")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_checked_without_being_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/c.db");
        check_folder_of(&file).unwrap();
        assert!(!folder.path().join("a").exists());
        drop(make_folder_of(&file).unwrap());
        assert!(!folder.path().join("a").exists());
        make_folder_of(&file).unwrap().keep();
        assert!(folder.path().join("a/b").is_dir());
        std::fs::write(folder.path().join("x"), "").unwrap();
        let error = check_folder_of(&folder.path().join("x/y.db")).unwrap_err().to_string();
        assert!(error.contains("cannot be used") || error.contains("is not a folder"), "{error}");
        assert!(make_folder_of(&folder.path().join("x/y.db")).is_err());
    }
}
