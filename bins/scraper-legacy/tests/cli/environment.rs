//! Variables: of the process, of `.env`, and secrets among them.

use crate::{ITEMS, legacy, program};

const ECHO: &str = "pipelines:\n  a:\n    chain:\n      - class: exec.CommandFetcher\n        kwargs: {command: [sh, -c, 'echo ${WHO:-nobody} $FROM_FILE > out']}\n";

#[test]
fn real_variables_win_over_the_file_and_commands_see_both() {
    let program = legacy(ECHO).file(".env", "WHO=file\nFROM_FILE=seen\n");
    program.run(&[]).expect(0);
    assert_eq!(program.read("out"), "file seen\n");
    let program = legacy(ECHO).file(".env", "WHO=file\nFROM_FILE=seen\n").variable("WHO", "real");
    program.run(&[]).expect(0);
    assert_eq!(program.read("out"), "real seen\n");
    let program = legacy(ECHO);
    program.run(&[]).expect(0);
    assert_eq!(program.read("out"), "nobody\n");
}

#[test]
fn settings_come_from_options_then_variables_then_the_file() {
    let remembers = "pipelines:\n  a:\n    chain:\n      - class: items.ItemsFetcher\n        kwargs: {topic: t, items: [{n: 1}]}\n      - {class: diff.DiffParser, kwargs: {key: [n]}}\n";
    let fresh = || {
        program()
            .file("other.yml", remembers)
            .file(".env", "PIPELINES_CONFIG=other.yml\nSCRAPER_STATE_DIR=from-file\n")
    };
    let program = fresh();
    program.run(&[]).expect(0);
    assert!(program.files().contains(&"from-file/a.db".to_owned()), "{:?}", program.files());
    let program = fresh().variable("SCRAPER_STATE_DIR", "from-variable");
    program.run(&[]).expect(0);
    assert!(program.files().contains(&"from-variable/a.db".to_owned()), "{:?}", program.files());
    let program = fresh().variable("SCRAPER_STATE_DIR", "from-variable");
    program.run(&["--state-dir", "from-option"]).expect(0);
    assert!(program.files().contains(&"from-option/a.db".to_owned()), "{:?}", program.files());
}

#[test]
fn a_bad_environment_exits_with_2() {
    let file = format!("pipelines: {{a: {{chain: [{ITEMS}]}}}}");
    let finished = legacy(&file).file(".env", "A=1\nthe password is hunter2\n").run(&[]).expect(2);
    assert_eq!(finished.stderr, "error: .env:2: this is no `NAME=value`\n");
    let finished = legacy(&file).variable("SCHEDULER_TIMEZONE", "Mars/Base").run(&[]).expect(2);
    assert!(finished.stderr.starts_with("error: SCHEDULER_TIMEZONE: "), "{}", finished.stderr);
    let finished = legacy("pipelines: {a: {chain: [{class: '${NONE}'}]}}").run(&[]).expect(2);
    assert!(finished.stderr.contains("the variable `NONE` is not set"), "{}", finished.stderr);
}

#[test]
fn secrets_do_not_get_out() {
    let program = legacy(
        "pipelines:\n  a:\n    chain:\n      - class: exec.CommandFetcher\n        kwargs: {command: [sh, -c, 'echo says ${SHOP_TOKEN} >&2; exit 1']}\n",
    )
    .variable("SHOP_TOKEN", "t0p-secret");
    for arguments in [["--summary", "json"], ["--log-format", "json"], ["--log-level", "trace"]] {
        let finished = program.run(&arguments).expect(1);
        assert!(
            !finished.stdout.contains("t0p-secret") && !finished.stderr.contains("t0p-secret"),
            "{finished:?}"
        );
        assert!(finished.stderr.contains("says [redacted]"), "{}", finished.stderr);
    }
}
