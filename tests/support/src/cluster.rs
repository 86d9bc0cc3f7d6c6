//! A PostgreSQL server of a test's own, which the test stops and starts as it likes.

use std::fmt::Write as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::postgres::server_or_skip;

/// Ports that the system gives to no connection by itself: none is taken while the server is away.
const PORTS: std::ops::Range<u32> = 20_000..30_000;

/// Ports that were tried.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A server with an empty database, stopped and deleted with this value.
#[derive(Debug)]
pub struct PostgresCluster {
    programs: PathBuf,
    folder: tempfile::TempDir,
    /// The user and group that it runs as, where that is not the test's own.
    owner: Option<(u32, u32)>,
    port: u32,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Its connections are told, its files left in order.
    Fast,
    /// As if it had crashed: its connections break, and the next start recovers.
    Immediate,
}

impl PostgresCluster {
    /// Makes a server, if tests with PostgreSQL are wanted and its programs are installed. Otherwise a test has to pass
    /// after it has said that it is skipped, unless `REQUIRE_POSTGRES=1` wants it to fail.
    ///
    /// # Panics
    /// Where it is required and absent, or does not start.
    pub fn start() -> Option<Self> {
        server_or_skip(|| std::env::var("TEST_POSTGRES_URL").ok(), "TEST_POSTGRES_URL names no server")?;
        let programs = server_or_skip(programs, "the server's programs (initdb, pg_ctl) are not installed")?;
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let owner = other_user();
        if let Some((user, group)) = owner {
            chown(folder.path(), Some(user), Some(group)).expect("the folder is given to the server's user");
        }
        let mut cluster = Self { programs, folder, owner, port: 0 };
        let data = cluster.data();
        let options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
        done(cluster.command("initdb").args(["--pgdata", &data]).args(options));
        for _ in 0..20 {
            let candidate = std::process::id() * 7 + COUNT.fetch_add(1, Ordering::Relaxed) * 997;
            cluster.port = PORTS.start + candidate % (PORTS.end - PORTS.start);
            if cluster.try_start().status.success() {
                return Some(cluster);
            }
        }
        panic!("the server does not start:\n{}", cluster.log());
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Stops it, and returns when it has stopped.
    ///
    /// # Panics
    /// Where it does not stop.
    pub fn stop(&self, how: Shutdown) {
        let mode = match how {
            Shutdown::Fast => "fast",
            Shutdown::Immediate => "immediate",
        };
        done(self.control().args(["stop", "-w", "-m", mode]));
    }

    /// Starts it again, and returns when it takes connections.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start_again(&self) {
        let started = self.try_start();
        assert!(started.status.success(), "the server does not start again:\n{}", self.log());
    }

    /// Sends a signal to the server and all that serve its connections: `STOP` freezes them, `CONT` lets them go on.
    pub fn signal(&self, name: &str) {
        let file = Path::new(&self.data()).join("postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let Some(postmaster) = text.lines().next() else { return };
        let send = |process: &str| drop(Command::new("kill").args([&format!("-{name}"), process]).output());
        // The postmaster first, so that it starts no others meanwhile.
        send(postmaster);
        children(postmaster).iter().for_each(|child| send(child));
    }

    fn try_start(&self) -> Output {
        let mut options = format!("-p {} -k {}", self.port, self.folder.path().display());
        for setting in
            ["listen_addresses=127.0.0.1", "max_connections=50", "fsync=off", "full_page_writes=off"]
        {
            write!(options, " -c {setting}").expect("a text can be written to");
        }
        let log = self.folder.path().join("log").display().to_string();
        let mut control = self.control();
        control.args(["start", "-w", "-t", "60", "-l", &log, "-o", &options]);
        control.output().unwrap_or_else(|error| panic!("{control:?}: {error}"))
    }

    fn control(&self) -> Command {
        let mut command = self.command("pg_ctl");
        command.args(["--pgdata", &self.data()]);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        // It may be frozen, or have been stopped.
        self.signal("CONT");
        drop(self.control().args(["stop", "-m", "immediate"]).output());
    }
}

/// The folder of the server's programs: Debian's, the newest version first, or one of the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    let version = |folder: &PathBuf| -> Option<u32> { folder.parent()?.file_name()?.to_str()?.parse().ok() };
    folders.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    folders.push(PathBuf::from("/usr/local/pgsql/bin"));
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.into_iter().find(|folder| ["initdb", "pg_ctl"].iter().all(|name| folder.join(name).exists()))
}

/// The user and group for programs that refuse to run as root, where this is root: the server's own, or nobody.
///
/// # Panics
/// Where there is neither.
pub fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let user = ["postgres", "nobody"].into_iter().find_map(|name| id(&["-u", name]).zip(id(&["-g", name])));
    Some(user.expect("there is a user `postgres` or `nobody`"))
}

/// The processes whose parent is this one.
fn children(parent: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|process| process.file_name().into_string().ok());
    let is_child = |name: &String| {
        let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        // After the name in parentheses: the state, then the parent.
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)) == Some(parent)
    };
    names.filter(is_child).collect()
}

fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}
