//! SQLite's companions of the store's file (`-wal`, `-shm`) go with the last process that has it open.

use test_support::process::Program;

use crate::marks::{noting, starts};
use crate::world::{program, until};

fn companions(program: &Program) -> Vec<String> {
    let files = program.files().into_iter();
    files
        .filter(|file| file.ends_with("-wal") || file.ends_with("-shm") || file.ends_with("-journal"))
        .collect()
}

#[test]
fn nobody_leaves_them_behind() {
    let program = program(&[noting("often", "interval: 1s", "true", "")]);
    let mut one = program.start(&[]);
    one.wait_for("is ready");
    let mut other = program.start(&[]);
    other.wait_for("is ready");
    until("it has fired", || (starts(&program, "pipeline_often").len() >= 2).then_some(()));
    one.signal("TERM");
    one.finish().expect(0);
    assert!(!companions(&program).is_empty(), "the other one still has the file open");
    program.run(&["jobs", "list"]).expect(0);
    let seen = starts(&program, "pipeline_often").len();
    until("the other one goes on", || (starts(&program, "pipeline_often").len() > seen).then_some(()));
    other.signal("TERM");
    other.finish().expect(0);
    assert_eq!(companions(&program), [] as [&str; 0], "after the last stop");

    for command in [
        &["jobs", "list"][..],
        &["jobs", "show", "pipeline_often"],
        &["jobs", "pause", "pipeline_often"],
        &["jobs", "add", "often", "--interval", "1h", "--id", "more"],
        &["jobs", "run", "often"],
        &["runs", "list"],
        &["next", "often"],
        &["outbox", "list"],
        &["outbox", "purge", "--all"],
        &["simulate", "--from", "2026-01-01", "--to", "2026-01-02"],
    ] {
        program.run(command).expect(0);
        assert_eq!(companions(&program), [] as [&str; 0], "after {command:?}");
    }
    program.run(&["health"]).expect(1);
    program.run(&["jobs", "show", "nobody"]).expect(1);
    assert_eq!(companions(&program), [] as [&str; 0], "after commands that failed");
}
