//! The commands that answer a question, as child processes.

use test_support::process::Program;

const FILE: &str = "\
defaults: {timezone: Europe/Stockholm}
pipelines:
  books:
    schedule: {cron: '30 9 * * 1-5'}
    chain:
      - class: items.ItemsFetcher
        kwargs: {topic: shop.book, items: [{title: Emma}]}
      - class: file.JsonlSink
        kwargs: {path: books.jsonl}
  stocks:
    schedule: {interval: {hours: 6}}
    chain:
      - class: items.ItemsFetcher
        kwargs: {topic: stock, items: [{price: 1}]}
  once:
    chain:
      - class: items.ItemsFetcher
        kwargs: {topic: x, items: [{}]}
";

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_scraper-scheduler")).file("pipelines.yml", FILE)
}

#[test]
fn validate_tells_every_problem_with_its_place() {
    let valid = program().run(&["validate"]).expect(0);
    assert_eq!(valid.stdout, "pipelines.yml: 3 pipelines, 2 with a schedule, all right\n");
    let broken =
        FILE.replace("30 9 * * 1-5", "61 9 * * 1-5").replace("items.ItemsFetcher", "items.ItemFetcher");
    let program = program().file("pipelines.yml", broken);
    let invalid = program.run(&["validate"]).expect(2);
    let lines: Vec<&str> = invalid.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{}", invalid.stderr);
    assert!(lines.iter().all(|line| line.starts_with("pipelines.yml:")), "{}", invalid.stderr);
    assert!(invalid.stderr.contains("minute") && invalid.stderr.contains("61"), "{}", invalid.stderr);
    assert!(invalid.stderr.contains("items.ItemsFetcher"), "it suggests the right class: {}", invalid.stderr);
    let absent = program.run(&["--config", "nowhere.yml", "validate"]).expect(2);
    assert!(absent.stderr.contains("nowhere.yml"), "{}", absent.stderr);
}

#[test]
fn next_shows_fires_of_a_trigger_and_of_the_file() {
    let program = program();
    let one = program.run(&[
        "next",
        "--cron",
        "0 9 * * 1-5",
        "--from",
        "2026-01-02T09:00",
        "--count",
        "2",
        "--json",
    ]);
    let expected = serde_json::json!(["2026-01-05T09:00:00+01:00", "2026-01-06T09:00:00+01:00"]);
    assert_eq!(one.expect(0).json(), expected);
    let interval = program.run(&[
        "next",
        "--interval",
        "90m",
        "--timezone",
        "UTC",
        "--from",
        "2026-01-01",
        "--count",
        "2",
    ]);
    assert_eq!(interval.expect(0).stdout, "2026-01-01T01:30:00+00:00\n2026-01-01T03:00:00+00:00\n");
    let named = program.run(&["next", "books", "--from", "2026-06-01", "--count", "1", "--json"]).expect(0);
    assert_eq!(named.json(), serde_json::json!(["2026-06-01T09:30:00+02:00"]));
    let all = program.run(&["next", "--from", "2026-06-01", "--count", "1", "--json"]).expect(0);
    let expected =
        serde_json::json!({"books": ["2026-06-01T09:30:00+02:00"], "stocks": ["2026-06-01T06:00:00+02:00"]});
    assert_eq!(all.json(), expected);
    let unscheduled = program.run(&["next", "once"]).expect(0);
    assert!(unscheduled.stderr.contains("runs once at each start"), "{}", unscheduled.stderr);
    for (arguments, part) in [
        (vec!["next", "boks"], "did you mean 'books'?"),
        (vec!["next", "--cron", "0 25 * * *"], "hour"),
        (vec!["next", "--cron", "0 9 * * *", "--timezone", "Europe/Stokholm"], "Europe/Stockholm"),
        (vec!["next", "--interval", "soon"], "--interval"),
        (vec!["next", "--from", "yesterday"], "--from"),
    ] {
        let refused = program.run(&arguments).expect(2);
        assert!(refused.stderr.contains(part), "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!(program.files(), ["pipelines.yml"], "asking makes no store");
}

#[test]
fn explain_speaks_english_and_warns() {
    let program = program();
    let shown = program.run(&["explain", "30 2 * * 0"]).expect(0);
    for part in ["02:30", "Sunday", "Europe/Stockholm", "Next fires:", "Warning:"] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    let json = program.run(&["explain", "*/7 * * * *", "--json"]).expect(0).json();
    assert_eq!(json["fires"].as_array().unwrap().len(), 5);
    assert_eq!(json["warnings"][0]["kind"], "uneven_step");
    let refused = program.run(&["explain", "0 0 31 2 *"]).expect(2);
    assert!(refused.stderr.contains("never"), "{}", refused.stderr);
}

#[test]
fn simulate_lives_through_a_month_in_a_moment() {
    let program = program();
    let arguments = ["simulate", "--from", "2026-03-01", "--to", "2026-04-01", "--json"];
    let json = program.run(&arguments).expect(0).json();
    assert_eq!(json["jobs"][0]["job"], "pipeline_books");
    assert_eq!(json["jobs"][0]["fires"], 22);
    assert_eq!(json["fires"], 22 + 31 * 4 - 1);
    assert!(!json["busiest_minutes"].as_array().unwrap().is_empty());
    program.run(&["simulate", "--from", "2026-04-01", "--to", "2026-03-01"]).expect(2);
}

#[test]
fn transforms_schema_and_completions_need_no_settings() {
    let program =
        Program::new(env!("CARGO_BIN_EXE_scraper-scheduler")).variable("SCHEDULER_TIMEZONE", "nowhere");
    let list = program.run(&["transforms"]).expect(0);
    assert!(list.stdout.contains("items.ItemsFetcher"), "{}", list.stdout);
    let one = program.run(&["transforms", "items.ItemsFetcher"]).expect(0);
    assert!(one.stdout.contains("topic") && one.stdout.contains("required"), "{}", one.stdout);
    assert!(one.stdout.contains("Example:"), "{}", one.stdout);
    let unknown = program.run(&["transforms", "items.ItemFetcher"]).expect(2);
    assert!(unknown.stderr.contains("did you mean 'items.ItemsFetcher'?"), "{}", unknown.stderr);
    let schema = program.run(&["schema"]).expect(0).json();
    assert!(schema["$schema"].as_str().is_some_and(|schema| schema.contains("json-schema.org")), "{schema}");
    let completions = program.run(&["completions", "bash"]).expect(0);
    assert!(completions.stdout.contains("scraper-scheduler"), "{}", completions.stdout);
}

#[test]
fn what_is_wrong_has_its_exit_code() {
    let cases: [(&str, &str, &[&str], i32, &str); 9] = [
        ("SCHEDULER_MODE", "shceduler", &[], 2, "SCHEDULER_MODE"),
        ("SCHEDULER_TIMEZONE", "Mars", &[], 2, "SCHEDULER_TIMEZONE"),
        ("SCHEDULER_MAX_CONCURRENT_RUNS", "0", &[], 2, "SCHEDULER_MAX_CONCURRENT_RUNS"),
        ("SCHEDULER_LEASE", "10ms", &[], 2, "SCHEDULER_LEASE"),
        ("SCHEDULER_KEEP_RUNS", "ever", &[], 2, "SCHEDULER_KEEP_RUNS"),
        ("SCHEDULER_HTTP_ADDR", "somewhere", &[], 2, "SCHEDULER_HTTP_ADDR"),
        ("SCHEDULER_DB_URL", "mysql://host/db", &["jobs", "list"], 2, "mysql"),
        ("SCHEDULER_DB_URL", "postgres://user:hunter2@127.0.0.1:9/db", &["jobs", "list"], 3, "127.0.0.1:9"),
        ("SCHEDULER_DB_URL", "sqlite:////proc/nowhere/jobs.db", &["run"], 3, "/proc/nowhere"),
    ];
    for (name, value, arguments, code, part) in cases {
        let program = program().variable(name, value);
        let ended = program.run(arguments).expect(code);
        assert!(ended.stderr.contains(part), "{name}={value}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
    let program = program().file("not.db", "this is no database, whatever its name may say ".repeat(100));
    let corrupt = program.run(&["--database-url", "sqlite://not.db", "run"]).expect(3);
    assert!(corrupt.stderr.contains("not.db"), "{}", corrupt.stderr);
    program.run(&["jobs", "frobnicate"]).expect(2);
    let missing = program.run(&["jobs", "list"]).expect(3);
    assert!(missing.stderr.contains("there is no job store"), "{}", missing.stderr);
}

#[test]
fn legacy_mode_runs_everything_once() {
    let program = program().variable("SCHEDULER_MODE", "disabled");
    program.run(&[]).expect(0);
    assert_eq!(program.read("books.jsonl"), "{\"title\":\"Emma\"}\n");
    assert!(!program.files().iter().any(|file| file.contains("scheduler_jobs")), "no store is made");
    let failing = program.file("pipelines.yml", FILE.replace("path: books.jsonl", "path: /proc/books.jsonl"));
    failing.run(&[]).expect(1);
}

#[test]
fn jobs_are_worked_on_without_a_scheduler() {
    let program = program();
    let added = program
        .run(&["jobs", "add", "books", "--cron", "0 12 * * *", "--timezone", "UTC", "--json"])
        .expect(0);
    let job = added.json();
    assert_eq!(job["id"], "pipeline_books_manual");
    assert_eq!(job["pipeline"], "books");
    assert_eq!(job["timezone"], "UTC");
    assert_eq!(job["source"], "runtime");
    assert_eq!(job["state"], "scheduled");
    assert_eq!(job["paused"], false);
    assert!(job["trigger"].as_str().unwrap().contains("0 12 * * *"));
    assert!(job["next_fire_at"].as_str().unwrap().ends_with("T12:00:00+00:00"));
    program.run(&["jobs", "pause", "pipeline_books_manual"]).expect(0);
    let list = program.run(&["jobs", "list", "--json"]).expect(0).json();
    assert_eq!((&list[0]["state"], &list[0]["paused"]), (&"paused".into(), &true.into()));
    program.run(&["jobs", "resume", "pipeline_books_manual"]).expect(0);
    let run = program.run(&["jobs", "run", "books"]).expect(0);
    assert!(run.stderr.contains("stays queued"), "{}", run.stderr);
    let id = run.stdout.trim();
    let again = program.run(&["jobs", "run", "books"]).expect(1);
    assert!(again.stderr.contains("already running"), "{}", again.stderr);
    let runs = program.run(&["runs", "list", "--json"]).expect(0).json();
    assert_eq!(runs[0]["id"], id);
    assert_eq!((&runs[0]["state"], &runs[0]["reason"]), (&"queued".into(), &"manual".into()));
    program.run(&["runs", "cancel", id]).expect(0);
    let shown = program.run(&["runs", "show", id, "--json"]).expect(0).json();
    assert_eq!(shown["outcome"], "cancelled");
    assert_eq!(shown["log"], serde_json::json!([]));
    program.run(&["jobs", "remove", "pipeline_books_manual"]).expect(0);
    assert_eq!(program.run(&["jobs", "list", "--json"]).expect(0).json(), serde_json::json!([]));
    for (arguments, code, part) in [
        (vec!["jobs", "add", "boks", "--interval", "1h"], 2, "did you mean 'books'?"),
        (vec!["jobs", "add", "books", "--cron", "0 9 * *"], 2, "5"),
        (vec!["jobs", "add", "books", "--at", "2001-01-01"], 2, "past"),
        (vec!["jobs", "add", "books", "--interval", "1h", "--id", "pipeline_books"], 2, "job of the file"),
        (vec!["jobs", "add", "books"], 2, "--cron"),
        (vec!["jobs", "pause", "nothing"], 1, "no job 'nothing'"),
        (vec!["jobs", "run", "nothing"], 1, "nothing"),
        (vec!["runs", "show", "nothing"], 2, "UUID"),
        (vec!["runs", "show", "01890a5d-ac96-774b-bcce-b302099a8057"], 1, "no run"),
        (vec!["runs", "list", "--outcome", "fine"], 2, "succeeded"),
        (vec!["health"], 1, "no scheduler is running"),
    ] {
        let refused = program.run(&arguments).expect(code);
        assert!(refused.stderr.contains(part), "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!(program.run(&["outbox", "list", "--json"]).expect(0).json(), serde_json::json!([]));
}

#[test]
fn a_job_that_is_added_lives_in_the_zone_of_its_pipeline_unless_another_is_asked_for() {
    let file = FILE.replace("cron: '30 9 * * 1-5'", "cron: '30 9 * * 1-5', timezone: Asia/Tokyo");
    let program = program().file("pipelines.yml", file);
    // (pipeline, further arguments, zone)
    let cases: [(&str, &[&str], &str); 4] = [
        ("books", &[], "Asia/Tokyo"),
        ("stocks", &[], "Europe/Stockholm"),
        ("once", &[], "Europe/Stockholm"),
        ("books", &["--timezone", "America/New_York"], "America/New_York"),
    ];
    for (pipeline, more, zone) in cases {
        let add = ["jobs", "add", pipeline, "--cron", "0 6 * * *", "--json"];
        let added = program.run(&[&add, more].concat()).expect(0).json();
        assert_eq!(added["timezone"], zone, "{pipeline} {more:?}");
    }
}

#[test]
fn nothing_is_changed_in_a_store_that_ends_with_the_command() {
    let program = program().variable("SCHEDULER_DB_URL", "sqlite::memory:");
    for command in [&["jobs", "add", "books", "--interval", "1h"][..], &["jobs", "run", "books"]] {
        let refused = program.run(command).expect(2);
        assert!(refused.stderr.contains("sqlite::memory:"), "{}", refused.stderr);
    }
}
