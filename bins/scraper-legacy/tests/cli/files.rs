//! What is said of files and arguments, before anything runs.

use crate::{ENDLESS, FAILS, ITEMS, legacy, program};

#[test]
fn usage_errors_exit_with_2() {
    for arguments in [
        ["--bogus"].as_slice(),
        &["--concurrency", "0"],
        &["--concurrency", "many"],
        &["--summary", "xml"],
        &["--log-format", "xml"],
        &["--log-level", "loud"],
        &["--list", "--check"],
    ] {
        let finished = legacy(&format!("pipelines: {{a: {{chain: [{ITEMS}]}}}}")).run(arguments).expect(2);
        assert!(finished.stderr.contains("error: "), "{arguments:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "", "{arguments:?}");
    }
}

#[test]
fn help_and_version_exit_with_0() {
    assert!(
        program()
            .run(&["--help"])
            .expect(0)
            .stdout
            .contains("Usage: scraper-legacy [OPTIONS] [CONFIG] [PIPELINE]...")
    );
    assert!(program().run(&["--version"]).expect(0).stdout.starts_with("scraper-legacy "));
}

#[test]
fn a_file_that_cannot_be_read_exits_with_2() {
    let finished = program().run(&[]).expect(2);
    assert_eq!(finished.stderr, "pipelines.yml: cannot be read: No such file or directory (os error 2)\n");
    let finished = program().run(&["nope/p.yml"]).expect(2);
    assert!(finished.stderr.starts_with("nope/p.yml: cannot be read: "), "{}", finished.stderr);
    let finished = program().file("d/x", "").run(&["d"]).expect(2);
    assert_eq!(finished.stderr, "d: cannot be read: it is a folder\n");
    let finished = program().file("p.yml", b"a: \xff\n").run(&["p.yml"]).expect(2);
    assert_eq!(finished.stderr, "p.yml:1:4: the file is not UTF-8 from here on: save it as UTF-8\n");
}

#[test]
fn all_problems_are_said_at_once_and_nothing_runs() {
    let program = legacy(&format!(
        "pipelines:\n  good:\n    chain: [{ITEMS}, {{class: exec.CommandTransform, kwargs: {{command: [touch, ran]}}}}]\n  \
         bad:\n    schedule: {{cron: \"61 * * * *\", timezone: Mars/Base}}\n    chain:\n      - class: items.ItemFetcher\n        \
         kwargs: {{}}\n      - class: items.ItemsFetcher\n        kwargs: {{topic: t, itms: []}}\n"
    ));
    let finished = program.run(&[]).expect(2);
    let starts = [
        "pipelines.yml:5:22: pipelines.bad.schedule.cron: ",
        "pipelines.yml:5:46: pipelines.bad.schedule.timezone: ",
        "pipelines.yml:7:16: pipelines.bad.chain[0].class: unknown class `items.ItemFetcher`, did you mean `items.ItemsFetcher`?",
        "pipelines.yml:10:17: pipelines.bad.chain[1].kwargs: `items` is missing",
        "pipelines.yml:10:28: pipelines.bad.chain[1].kwargs.itms: unknown key `itms`, did you mean `items`?",
    ];
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{}", finished.stderr);
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(finished.stdout, "");
    assert_eq!(program.files(), ["pipelines.yml"]);
}

#[test]
fn unknown_pipelines_exit_with_2() {
    let program = legacy(&format!("pipelines: {{books: {{chain: [{ITEMS}]}}}}"));
    let finished = program.run(&["pipelines.yml", "boks", "books"]).expect(2);
    assert_eq!(finished.stderr, "error: pipelines.yml: there is no pipeline `boks`, did you mean `books`?\n");
    let finished = program.run(&["pipelines.yml", "zzz"]).expect(2);
    assert_eq!(finished.stderr, "error: pipelines.yml: there is no pipeline `zzz` (there are `books`)\n");
}

#[test]
fn list_shows_names_schedules_and_stages() {
    let program = legacy(&format!(
        "defaults: {{timezone: America/New_York}}\npipelines:\n  one: {{schedule: {{cron: '*/30 9-17 * * 1-5'}}, chain: [{ITEMS}, {{class: exec.CommandTransform, kwargs: {{command: [cat]}}}}]}}\n  \
         two: {{schedule: {{interval: {{hours: 6}}, timezone: UTC}}, enabled: false, chain: [{FAILS}]}}\n  \
         three: {{after: [one], chain: [{ENDLESS}]}}\n  four: {{chain: [{ITEMS}]}}\n"
    ));
    let expected = "\
        one    cron: */30 9-17 * * 1-5 (America/New_York)  items.ItemsFetcher → exec.CommandTransform\n\
        two    interval: 6h (UTC), disabled                exec.CommandFetcher\n\
        three  after: one                                  exec.CommandFetcher\n\
        four   no schedule                                 items.ItemsFetcher\n";
    assert_eq!(program.run(&["--list"]).expect(0).stdout, expected);
    let finished = program.run(&["--list", "pipelines.yml", "four"]).expect(0);
    assert_eq!(finished.stdout, "four  no schedule  items.ItemsFetcher\n");
    assert_eq!(program.files(), ["pipelines.yml"]);
}

#[test]
fn check_says_that_all_is_right_or_what_is_suspect() {
    let program = legacy(&format!(
        "pipelines:\n  a: {{timeout: none, schedule: {{cron: '*/7 * * * *'}}, chain: [{FAILS}]}}\n  b: {{chain: [{ITEMS}]}}\n"
    ));
    let finished = program.run(&["--check"]).expect(0);
    assert_eq!(finished.stdout, "pipelines.yml: 2 pipelines, all right\n");
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", finished.stderr);
    assert_eq!(
        lines[0],
        "warning: pipelines.yml:2:16: pipelines.a.timeout: without a timeout a run that hangs is never ended"
    );
    assert!(lines[1].starts_with("warning: pipelines.yml:2:39: pipelines.a.schedule.cron: "), "{}", lines[1]);
    assert_eq!(program.files(), ["pipelines.yml"]);
}
