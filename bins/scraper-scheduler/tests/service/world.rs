//! What the tests share.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::process::Program;

/// Whatever is waited for takes no longer than this.
const LIMIT: Duration = Duration::from_secs(40);

/// A pipeline whose one stage is a shell command.
pub(crate) fn shell(name: &str, schedule: &str, command: &str, more: &str) -> String {
    let schedule =
        if schedule.is_empty() { String::new() } else { format!("    schedule: {{{schedule}}}\n") };
    format!(
        "  {name}:\n{schedule}{more}    chain:\n      - class: exec.CommandFetcher\n        kwargs:\n          command: [sh, -c, '{command}']\n"
    )
}

/// The program in a folder with these pipelines.
pub(crate) fn program(pipelines: &[String]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_scraper-scheduler"))
        .variable("SCHEDULER_TIMEZONE", "UTC")
        .file("pipelines.yml", file(pipelines))
}

/// A file of these pipelines.
pub(crate) fn file(pipelines: &[String]) -> String {
    format!("pipelines:\n{}", pipelines.concat())
}

/// What a command prints as JSON.
pub(crate) fn json(program: &Program, arguments: &[&str]) -> Value {
    program.run(&[arguments, &["--json"]].concat()).expect(0).json()
}

/// All runs, oldest first.
pub(crate) fn runs(program: &Program) -> Vec<Value> {
    let mut runs = json(program, &["runs", "list", "--limit", "0"]).as_array().unwrap().clone();
    runs.reverse();
    runs
}

/// Asks again and again until there is an answer.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test waits for another process by the real clock")]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "it took too long until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The lines of a file of the folder; none while it is not there.
pub(crate) fn lines(program: &Program, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(program.folder().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Whether a process lives.
pub(crate) fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat[stat.rfind(')').unwrap()..].starts_with(") Z")
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks by HTTP on loopback: the status and the body; nothing where nobody answers.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
