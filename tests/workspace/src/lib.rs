//! Checks of the workspace itself; see `tests/`.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Compares a file that is made from the program with what it would be now, or, with `UPDATE_DOCS=1`, writes it.
///
/// # Panics
/// Where they differ; with the first line that does.
pub fn check_generated(path: &str, content: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, content).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let found = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    if found != content {
        let same = found.lines().zip(content.lines()).take_while(|(found, now)| found == now).count();
        let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
        panic!(
            "{path}:{} is not what the program says; `UPDATE_DOCS=1 cargo test -p workspace-tests` writes it anew\n\
             file:    {}\nprogram: {}",
            same + 1,
            line(&found),
            line(content)
        );
    }
}
