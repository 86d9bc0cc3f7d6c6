//! The disk of a SQLite store fills up, and room is made again.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use test_support::process::{Finished, Program, Running};

use crate::marks::{check, marks, noting, starts};
use crate::world::{file, free_port, get, until};

/// How the disk fills up.
enum Disk {
    /// Files may not grow any more: every user can do that to a process of theirs.
    Limit,
    /// A small file system of its own, where the test may mount one.
    Small(PathBuf),
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Small(place) = self {
            // The folder cannot be removed otherwise.
            drop(Command::new("umount").arg(place).status());
        }
    }
}

impl Disk {
    /// Mounts a small file system there; nothing where that is not allowed.
    fn mounted(place: &Path) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "none"]).arg(place).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self::Small(place.to_owned()))
    }

    fn fill(&self, program: &Program, running: &Running) {
        match self {
            Self::Limit => {
                // As large as it is now, and no larger.
                let size = std::fs::metadata(program.folder().join("small/jobs.db-wal")).unwrap().len();
                program.write("limit", (size / 512).to_string());
                limit(running, Some(size));
            }
            Self::Small(place) => {
                use std::io::Write;
                let mut filler = std::fs::File::create(place.join("filler")).unwrap();
                while filler.write_all(&[0; 512]).is_ok() {}
            }
        }
    }

    fn make_room(&self, program: &Program, running: &Running) {
        match self {
            Self::Limit => {
                std::fs::remove_file(program.folder().join("limit")).unwrap();
                limit(running, None);
            }
            Self::Small(place) => std::fs::remove_file(place.join("filler")).unwrap(),
        }
    }
}

fn limit(running: &Running, bytes: Option<u64>) {
    let id = Pid::from_raw(i32::try_from(running.id()).unwrap());
    prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// The scheduler in a shell that lets it notice that a file cannot grow, in place of being killed for it, and that
/// limits what is started while there is no room.
fn scheduler() -> Program {
    let wrapper = format!(
        "trap \"\" XFSZ\ntest -e limit && ulimit -S -f $(cat limit)\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_scraper-scheduler")
    );
    Program::new("/bin/sh").file("scheduler.sh", wrapper).variable("SCHEDULER_TIMEZONE", "UTC")
}

fn run(program: &Program, arguments: &[&str]) -> Finished {
    program.run(&[&["scheduler.sh"], arguments].concat())
}

fn fills_up(disk: impl FnOnce(&Program) -> Option<Disk>) {
    let port = free_port();
    let often = "interval: 1s, misfire: {catch_up: all, max: 1000}";
    let program = scheduler()
        .variable("SCHEDULER_DB_URL", "sqlite://small/jobs.db")
        .variable("SCHEDULER_HTTP_ADDR", format!("127.0.0.1:{port}"))
        .file(
            "pipelines.yml",
            file(&[
                noting("often", often, "sleep 0.1", "    overlap: queue\n"),
                noting("long", "manual: true", "sleep 6", ""),
            ]),
        );
    std::fs::create_dir_all(program.folder().join("small")).unwrap();
    let Some(disk) = disk(&program) else { return };
    let mut running = program.start(&["scheduler.sh"]);
    running.wait_for("is ready");
    let long = run(&program, &["jobs", "run", "long"]).expect(0).stdout.trim().to_owned();
    until("the long run starts", || (starts(&program, "long").len() == 1).then_some(()));
    until("the job fires", || (starts(&program, "pipeline_often").len() >= 2).then_some(()));

    disk.fill(&program, &running);
    until("it is not ready", || get(port, "/readyz").filter(|(status, _)| *status == 503));
    for command in [
        &["jobs", "add", "often", "--interval", "1h", "--id", "more"][..],
        &["jobs", "run", "often"],
        &["jobs", "pause", "pipeline_often"],
    ] {
        let said = run(&program, command).expect(3).stderr;
        assert!(said.contains("job store") && !said.contains("panicked"), "{said}");
        if matches!(disk, Disk::Small(_)) {
            assert!(said.contains("full"), "{said}");
        }
    }
    // Whoever only looks still can.
    let listed = run(&program, &["jobs", "list", "--json"]).expect(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let ended = |job: &str| marks(&program).iter().any(|mark| !mark.start && mark.fire.0 == job);
    until("the long run has ended", || ended("long").then_some(()));
    assert_eq!(get(port, "/readyz").unwrap(), (503, "the job store cannot be reached\n".to_owned()));
    assert_eq!(get(port, "/healthz").unwrap().0, 200);

    disk.make_room(&program, &running);
    until("it is ready again", || get(port, "/readyz").filter(|(status, _)| *status == 200));
    let before = starts(&program, "pipeline_often").len();
    until("it goes on", || (starts(&program, "pipeline_often").len() >= before + 5).then_some(()));
    run(&program, &["jobs", "add", "often", "--interval", "1h", "--id", "more"]).expect(0);
    let shown = run(&program, &["runs", "show", &long, "--json"]).expect(0).json();
    assert_eq!((&shown["outcome"], &shown["attempt"]), (&"succeeded".into(), &1.into()), "{shown}");
    running.signal("TERM");
    let log = running.finish().expect(0).stderr;
    for part in ["nothing new starts until it is back", "the job store is back after"] {
        assert_eq!(log.matches(part).count(), 1, "{part}: {log}");
    }
    let listed = run(&program, &["runs", "list", "--limit", "0", "--json"]).expect(0).json();
    check(&program, listed.as_array().unwrap(), &["pipeline_often"], true);
}

#[test]
fn files_that_may_not_grow() {
    fills_up(|_| Some(Disk::Limit));
}

#[test]
fn a_file_system_without_room() {
    fills_up(|program| {
        let disk = Disk::mounted(&program.folder().join("small"));
        if disk.is_none() {
            println!("skipped: no file system can be mounted here");
        }
        disk
    });
}
