//! `file.FileFetcher`: files of the machine, whole or by a pattern.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use pipeline_core::{
    BuildContext, BuildErrors, Definition, Emitter, Fetcher, Payload, RawItem, Record, StageContext,
    StageError, Transform, Value, fetcher,
};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use schemars::JsonSchema;
use serde::Deserialize;

/// What `file.FileFetcher` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileFetcherKwargs {
    /// The file, or a pattern: `*` and `?` stay within a folder, `**` goes through folders, `[a-c]` is one
    /// of these characters. Files come in the order of their paths. A relative path starts at the working
    /// directory. A pattern without a match is an error, as a missing file is; so are folders, devices,
    /// sockets, and pipes that nobody writes to.
    path: String,
    /// What the items say they come from (default: the path of each file).
    source: Option<String>,
}

/// Emits each file as a payload that is read as it comes.
pub(crate) struct FileFetcher {
    pattern: String,
    source: Option<String>,
}

impl Definition for FileFetcher {
    const CLASS: &'static str = "file.FileFetcher";
    const SUMMARY: &'static str = "Reads a file, or all files that match a pattern.";
    const EXAMPLE: &'static str = "\
class: file.FileFetcher
kwargs: {path: data/*.csv}
";

    type Kwargs = FileFetcherKwargs;

    fn build(kwargs: Self::Kwargs, _: &BuildContext) -> Result<Box<dyn Transform>, BuildErrors> {
        if kwargs.path.is_empty() {
            return Err(BuildErrors::at("path", "a path must not be empty"));
        }
        // A name such as `prices[1].csv` is taken literally where it exists, so a bad pattern is only
        // an error of the file where it cannot be a name either.
        if let Err(error) = glob::Pattern::new(&kwargs.path)
            && !kwargs.path.contains('[')
        {
            let message = format!("`{}` is not a pattern: {}", kwargs.path, error.msg);
            return Err(BuildErrors::at("path", message));
        }
        Ok(fetcher(Self { pattern: kwargs.path, source: kwargs.source }))
    }
}

impl Fetcher for FileFetcher {
    async fn fetch(&mut self, ctx: &StageContext, out: &mut Emitter) -> Result<(), StageError> {
        let pattern = self.pattern.clone();
        let found = blocking(move || find(&pattern)).await??;
        for path in found {
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    out.error(error).await;
                    continue;
                }
            };
            let opened = path.clone();
            match blocking(move || open(&opened)).await? {
                Ok((payload, facts)) => {
                    let shown = path.display().to_string();
                    out.emit(RawItem {
                        source: self.source.clone().unwrap_or_else(|| shown.clone()),
                        payload,
                        fetched_at: ctx.now(),
                        metadata: metadata(&path, shown, facts),
                    })
                    .await;
                }
                Err(error) => out.error(error.with_item(self.blank(&path, ctx))).await,
            }
        }
        Ok(())
    }
}

impl FileFetcher {
    /// The item that a file would have been, for the dead letters.
    fn blank(&self, path: &Path, ctx: &StageContext) -> RawItem {
        let shown = path.display().to_string();
        RawItem {
            source: self.source.clone().unwrap_or_else(|| shown.clone()),
            payload: Payload::from(""),
            fetched_at: ctx.now(),
            metadata: metadata(path, shown, None),
        }
    }
}

/// Runs what may block on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result),
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => Err(StageError::fatal("the runtime is shutting down")),
    }
}

/// The files, by path. What cannot be looked into is an error in its place.
fn find(pattern: &str) -> Result<Vec<Result<PathBuf, StageError>>, StageError> {
    let literal = PathBuf::from(pattern);
    let is_pattern = pattern.contains(['*', '?', '[']);
    if !is_pattern || literal.exists() {
        return Ok(vec![Ok(literal)]);
    }
    let paths = glob::glob(pattern)
        .map_err(|error| StageError::fatal(format!("`{pattern}` is not a pattern: {}", error.msg)))?;
    let mut found = Vec::new();
    for path in paths {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => found.push(Ok(path)),
            Err(error) => {
                let place = error.path().display().to_string();
                let message = "the folder cannot be looked into";
                found.push(Err(StageError::item(message).at(place).caused_by(std::io::Error::from(error))));
            }
        }
    }
    if found.is_empty() {
        let hint = "relative paths start at the working directory";
        return Err(StageError::item("no file matches").at(pattern).hint(hint));
    }
    // The crate sorts within a folder only.
    found.sort_by(|a, b| a.as_ref().ok().cmp(&b.as_ref().ok()));
    Ok(found)
}

/// What is known about a file: its size and when it was changed.
type Facts = Option<(u64, Option<chrono::DateTime<chrono::Utc>>)>;

fn open(path: &Path) -> Result<(Payload, Facts), StageError> {
    let place = || path.display().to_string();
    let unreadable = |error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let refused = StageError::item("the file cannot be read").at(place()).caused_by(error);
        if missing { refused.hint("relative paths start at the working directory") } else { refused }
    };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    let kind = meta.file_type();
    if kind.is_dir() {
        let hint = format!("`{}` takes the files in it", path.join("*").display());
        return Err(StageError::item("it is a folder, not a file").at(place()).hint(hint));
    }
    // To open or read one of these could wait for ever, or never end.
    let other = if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else if kind.is_fifo() {
        return match open_pipe(path).map_err(unreadable)? {
            Some(payload) => Ok((payload, None)),
            None => {
                let hint = "start the program that writes to it first";
                Err(StageError::item("it is a pipe, and nobody writes to it").at(place()).hint(hint))
            }
        };
    } else {
        File::open(path).map_err(unreadable)?;
        let facts = Some((meta.len(), meta.modified().ok().map(Into::into)));
        return Ok((Payload::File(path.to_owned()), facts));
    };
    let hint = "`exec.CommandFetcher` takes what a program gives";
    Err(StageError::item(format!("it is {other}, not a file")).at(place()).hint(hint))
}

/// Opens a pipe, which can be read only once; `None` where nobody writes to it.
fn open_pipe(path: &Path) -> std::io::Result<Option<Payload>> {
    let mut pipe = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    // Without a writer a pipe has ended; with one there is something to read, or to wait for.
    let mut first = [0; 1];
    let read = match pipe.read(&mut first) {
        Ok(0) => return Ok(None),
        Ok(read) => read,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    fcntl_setfl(&pipe, fcntl_getfl(&pipe)? - OFlags::NONBLOCK)?;
    Ok(Some(Payload::Reader(Box::new(std::io::Cursor::new(first).take(read as u64).chain(pipe)))))
}

fn metadata(path: &Path, shown: String, facts: Facts) -> Record {
    let mut record: Record = [("path", Value::from(shown))].into_iter().collect();
    if let Some(name) = path.file_name() {
        record.insert("name", name.to_string_lossy().into_owned());
    }
    if let Some((size, modified)) = facts {
        record.insert("size", size);
        if let Some(modified) = modified {
            record.insert("modified", modified.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use pipeline_core::{Chain, OnError, RunContext};
    use serde_json::json;

    use super::*;
    use crate::fetch::testing::{Done, build, build_error, options_in, run, run_chain};

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in
            [("b.csv", "b"), ("a.csv", "a"), ("sub/c.csv", "c"), ("x.txt", "x"), ("odd[1].csv", "odd")]
        {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    async fn fetch(folder: &Path, pattern: &str) -> Done {
        let path = folder.join(pattern).display().to_string();
        run("file.FileFetcher", json!({"path": path})).await
    }

    #[tokio::test]
    async fn files_come_by_path() {
        let folder = folder();
        let cases: [(&str, &[&str]); 6] = [
            ("a.csv", &["a"]),
            ("*.csv", &["a", "b", "odd"]),
            ("**/*.csv", &["a", "b", "odd", "c"]),
            ("odd[1].csv", &["odd"]),
            ("[ab].csv", &["a", "b"]),
            ("s?b/*", &["c"]),
        ];
        for (pattern, expected) in cases {
            let done = fetch(folder.path(), pattern).await;
            done.succeeded();
            assert_eq!(done.texts(), expected, "{pattern}");
        }
    }

    #[tokio::test]
    async fn an_item_says_where_it_comes_from() {
        let folder = folder();
        let path = folder.path().join("a.csv").display().to_string();
        let done = run("file.FileFetcher", json!({"path": path})).await;
        let raw = done.raw().next().unwrap();
        assert_eq!(raw.source, path);
        assert_eq!(raw.metadata.get_str("name"), Some("a.csv"));
        assert_eq!(raw.metadata.get("size"), Some(&Value::Int(1)));
        let named = run("file.FileFetcher", json!({"path": path, "source": "positions"})).await;
        assert_eq!(named.raw().next().unwrap().source, "positions");
    }

    #[tokio::test]
    async fn what_is_not_there_is_an_error() {
        let folder = folder();
        let cases = [
            ("none.csv", "the file cannot be read: No such file"),
            ("*.xml", "no file matches"),
            ("sub", "it is a folder, not a file"),
            ("sub/[", "is not a pattern"),
        ];
        for (pattern, expected) in cases {
            let done = fetch(folder.path(), pattern).await;
            assert!(done.error().contains(expected), "{pattern}: {}", done.error());
            assert!(done.error().contains(&folder.path().join(pattern).display().to_string()));
        }
    }

    #[tokio::test]
    async fn a_missing_file_obeys_on_error() {
        let folder = folder();
        let kwargs = json!({"path": folder.path().join("none.csv")});
        let chain = Chain::new().stage_with("f", build("file.FileFetcher", kwargs), OnError::DeadLetter);
        let done = run_chain(chain, RunContext::new(options_in(folder.path()))).await;
        done.succeeded();
        let letters = std::fs::read_to_string(folder.path().join("dead_letters/test.jsonl")).unwrap();
        assert!(letters.contains("none.csv"), "{letters}");
    }

    #[tokio::test]
    async fn what_is_no_file_is_an_error_at_once() {
        let folder = folder();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let cases = [
            (pipe.clone(), "it is a pipe, and nobody writes to it"),
            (folder.path().join("socket"), "it is a socket, not a file"),
            (PathBuf::from("/dev/zero"), "it is a device, not a file"),
            (PathBuf::from("/dev/tty"), "it is a device, not a file"),
        ];
        for (path, expected) in cases {
            let done = run("file.FileFetcher", json!({"path": path})).await;
            assert!(done.error().contains(expected), "{}", done.error());
            assert!(done.error().contains(&path.display().to_string()), "{}", done.error());
        }
        // The others of a pattern are read.
        let kwargs = json!({"path": folder.path().join("*")});
        let chain = Chain::new().stage_with("f", build("file.FileFetcher", kwargs), OnError::Skip);
        let done = run_chain(chain, RunContext::new(options_in(folder.path()))).await;
        done.succeeded();
        assert_eq!(done.report.stages[0].errors, 2);
        assert_eq!(done.texts(), ["a", "b", "odd", "x"]);
    }

    #[tokio::test]
    async fn a_pipe_that_somebody_writes_to_is_read() {
        let folder = folder();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        for text in ["", "abc"] {
            // An end that is open for both can be opened without waiting for the other.
            let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
            std::io::Write::write_all(&mut pipe, text.as_bytes()).unwrap();
            let fetched = run("file.FileFetcher", json!({"path": path})).await;
            std::io::Write::write_all(&mut pipe, b"def").unwrap();
            drop(pipe);
            fetched.succeeded();
            assert_eq!(fetched.texts(), [format!("{text}def")]);
        }
    }

    #[test]
    fn an_empty_path_is_refused() {
        assert!(build_error("file.FileFetcher", json!({"path": ""})).contains("must not be empty"));
        assert!(build_error("file.FileFetcher", json!({"path": "a/***/b"})).contains("is not a pattern"));
    }
}
