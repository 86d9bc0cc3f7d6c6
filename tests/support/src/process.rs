//! Our programs as child processes: in a folder of their own, with an environment of their own, never for ever.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A program that takes longer than this has hung.
const LIMIT: Duration = Duration::from_secs(60);

/// A program to be started in a fresh folder, which is removed with it.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Program {
    /// The program at this path: `env!("CARGO_BIN_EXE_…")`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        Self { path: path.into(), folder, variables: Vec::new() }
    }

    /// Writes a file into the folder.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(name, content);
        self
    }

    /// Sets a variable. Nothing is inherited but `PATH`.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder is made");
        std::fs::write(path, content).expect("the file is written");
    }

    /// The text of a file in the folder.
    pub fn read(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All files in the folder and below, sorted.
    pub fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).expect("the folder is read") {
                let path = entry.expect("the folder is read").path();
                if path.is_dir() {
                    walk(&path, root, found);
                }
                found.push(path.strip_prefix(root).unwrap_or(&path).display().to_string());
            }
        }
        let mut found = Vec::new();
        walk(self.folder(), self.folder(), &mut found);
        found.sort();
        found
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).finish()
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(&self.path);
        command.args(arguments).current_dir(self.folder()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        let (say, heard) = mpsc::channel();
        let stdout = follow(child.stdout.take().expect("it is piped"), None);
        let stderr = follow(child.stderr.take().expect("it is piped"), Some(say));
        Running { child, stdout: Some(stdout), stderr: Some(stderr), heard, said: String::new() }
    }
}

/// Reads to the end, and says each line as it comes.
fn follow(mut pipe: impl Read + Send + 'static, say: Option<mpsc::Sender<String>>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut all, mut told, mut buffer) = (Vec::new(), 0, [0; 8192]);
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
            if let (Some(say), Some(end)) = (&say, all.iter().rposition(|byte| *byte == b'\n'))
                && end >= told
            {
                // Nobody may be waiting for lines.
                drop(say.send(String::from_utf8_lossy(&all[told..=end]).into_owned()));
                told = end + 1;
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    })
}

/// A program that runs; killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    heard: mpsc::Receiver<String>,
    said: String,
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    /// The exit code, or 128 and the signal that killed it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its standard error holds this text.
    pub fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            match self.heard.recv_timeout(LIMIT) {
                Ok(lines) => self.said.push_str(&lines),
                Err(error) => panic!("it did not say `{text}` ({error}), but:\n{}", self.said),
            }
        }
    }

    /// Sends it a signal by its name: `INT`, `TERM`, `KILL`, `STOP`, `HUP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "SIG{name} cannot be sent");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finished {
        let id = self.id();
        let (ended, end) = mpsc::channel::<()>();
        // Kills it at the limit, so that the wait below has an end.
        let guard = std::thread::spawn(move || {
            if end.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                drop(Command::new("kill").args(["-KILL", &id.to_string()]).status());
                return true;
            }
            false
        });
        let status = self.child.wait().expect("a child can be waited for");
        drop(ended);
        let hung = guard.join().unwrap_or(false);
        let text = |pipe: &mut Option<JoinHandle<String>>| {
            pipe.take().and_then(|pipe| pipe.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (text(&mut self.stdout), text(&mut self.stderr));
        assert!(!hung, "it hung\nstdout:\n{stdout}\nstderr:\n{stderr}");
        Finished { code: code(status), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

impl Finished {
    /// Itself, where it ended with this code; else a panic that shows what it said.
    pub fn expect(self, code: i32) -> Self {
        let Self { code: found, stdout, stderr } = &self;
        assert_eq!(*found, code, "exit code\nstdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }

    /// Its standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }
}
