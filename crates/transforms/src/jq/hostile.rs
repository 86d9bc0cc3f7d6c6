//! Programs that would take the process with them, in a process that may not grow.

use std::process::Command;
use std::time::Duration;

use pipeline_core::{RunContext, RunIdentity, RunOptions, Stopwatch, Value};

use super::{Jq, JqVars};

const MEMORY: &str = "MiB of memory";
const DEPTH: &str = "nested deeper than 512 levels";
const STACK: &str = "recurses too deeply";
const DIGITS: &str = "too many digits";
const STEPS: &str = "not come to an end";

/// Programs, and one of what ends them.
const PROGRAMS: [(&str, &[&str]); 42] = [
    (r#""x" * 1000000000000"#, &[MEMORY]),
    (r#""x" * 100000000000000000000000000"#, &[MEMORY]),
    (r#""x" * 1000000 | [., .] | .[0] * 1000000"#, &[MEMORY]),
    ("[range(1000000000000)]", &[MEMORY]),
    ("[limit(1000000000000; repeat(1))]", &[STEPS]),
    (r#"[range(1000000) | "\(.) is a text that is no longer in one piece with its value"]"#, &[MEMORY]),
    (r#"[limit(100000; repeat("x" * 10000))]"#, &[MEMORY]),
    (r#"reduce range(60) as $i ("x"; . + .)"#, &[MEMORY]),
    (r#"reduce range(60) as $i ("x"; "\(.)\(.)")"#, &[MEMORY]),
    (r#"reduce range(60) as $i ("x"; @text + @json)"#, &[MEMORY]),
    (r#"reduce range(60) as $i ("x"; gsub("x"; "xx"))"#, &[MEMORY]),
    (r#"reduce range(60) as $i (["x", "x"]; [join("x"), join("x")])"#, &[MEMORY]),
    ("reduce range(60) as $i ([1]; . + .)", &[MEMORY]),
    ("[1] | until(false; . + .)", &[MEMORY]),
    ("reduce range(60) as $i ([]; [., .])", &[MEMORY]),
    ("reduce range(60) as $i ([]; {a: ., b: .})", &[MEMORY]),
    ("reduce range(60) as $i ([]; [., .]) | tojson | length", &[MEMORY]),
    ("reduce range(60) as $i ([]; [., .]) | tostring | length", &[MEMORY]),
    ("reduce range(60) as $i ([]; [., .]) | . == (reduce range(60) as $i ([]; [., .]))", &[STEPS, MEMORY]),
    ("[reduce range(60) as $i ([]; [., .]), reduce range(60) as $i ([]; [., .])] | sort | length", &[STEPS]),
    ("reduce range(60) as $i ([]; [., .]) | [..] | length", &[STEPS, MEMORY]),
    ("reduce range(60) as $i ([]; [., .]) | flatten | length", &[STEPS, MEMORY]),
    ("reduce range(60) as $i ([]; [., .]) | contains(reduce range(60) as $i ([]; [., .]))", &[STEPS]),
    ("reduce range(60) as $i ([]; [., .]) | [paths] | length", &[STEPS, MEMORY]),
    ("reduce range(60) as $i ({}; {a: ., b: .}) | . * . * . | length", &[STEPS, MEMORY]),
    ("reduce range(60) as $i (1; [., .]) | walk(.)", &[STEPS, MEMORY]),
    ("reduce range(1000000) as $i (0; [.])", &[DEPTH]),
    ("reduce range(1000000) as $i (0; {a: .}) | length", &[DEPTH]),
    ("reduce range(1000000) as $i ({}; .a = .) | length", &[DEPTH, MEMORY]),
    (r#""[" * 1000000 | fromjson"#, &[DEPTH]),
    (r#""9" * 5000000 | tonumber"#, &[DIGITS]),
    ("reduce range(60) as $i (10; . * .)", &[DIGITS]),
    (r#""x" * 50000000 | explode"#, &[MEMORY]),
    (r#""x" * 50000000 / """#, &[MEMORY]),
    (r#""x" * 50000000 | [match("x"; "g")] | length"#, &[MEMORY]),
    (r#""x" * 50000000 | [splits("x")] | length"#, &[MEMORY]),
    ("[range(100)] | [., ., ., ., .] | [combinations] | length", &[MEMORY]),
    (r#"[.[]?, (try ("x" * 1000000000000) catch 1), 2]"#, &[MEMORY]),
    ("def f: [f]; f", &[STACK]),
    ("def f(g): if . > 1000000 then g else . + 1 | f(g | g) end; 0 | f(. + 1)", &[STACK]),
    ("def f(g): . + 1 | if . > 1000000 then 1 else f(g) end; 0 | f(.)", &[STACK]),
    ("def f(g): def h(i): . + 1 | if . > 1000000 then 1 else f(i | i) end; h(g); 0 | f(.)", &[STACK]),
];

/// Few for what ends by its steps, so that the test does not take long.
fn steps(expected: &[&str]) -> u64 {
    if expected.contains(&STEPS) { 300_000 } else { super::STEPS }
}

fn run(program: &str, steps: u64) -> Result<Vec<Value>, String> {
    let identity = RunIdentity {
        run_id: "r".into(),
        pipeline: "p".into(),
        job_id: "p".into(),
        scheduled_for: chrono::DateTime::UNIX_EPOCH,
        attempt: 1,
    };
    let mut vars = JqVars::new(&RunContext::new(RunOptions::new(identity)));
    vars.steps = steps;
    Jq::compile(program)?.run(&Value::Null, &vars)
}

#[test]
fn hostile_programs_end_within_bounds() {
    // This test again, in a process that may not grow far beyond what it is at the start.
    let program = std::env::current_exe().unwrap();
    let started = Stopwatch::start();
    let child = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -v 1000000; exec "$0" --exact jq::hostile::all_of_them --ignored --test-threads 1"#,
        ])
        .arg(program)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{}\n{said}\n{}", child.status, String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("1 passed"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(300), "{:?}", started.elapsed());
}

#[test]
#[ignore = "is run by the test above, in a process of its own"]
fn all_of_them() {
    // As the threads that run programs have.
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let all = thread.spawn(|| {
        for (program, expected) in PROGRAMS {
            let error = run(program, steps(expected)).expect_err(program);
            assert!(expected.iter().any(|expected| error.contains(expected)), "{program}: {error}");
        }
    });
    all.unwrap().join().unwrap();
}

#[test]
fn programs_that_cannot_be_read_are_refused() {
    let deep = "nested deeper than 400 levels";
    let cases = [
        (format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000)), "more than 128 brackets"),
        (format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)), "more than 128 brackets"),
        (format!("1{}", "+1".repeat(30_000)), "more than 8000 words and signs"),
        (format!("1{}", "+1".repeat(3_900)), deep),
        (format!(".{}", "|.".repeat(3_900)), deep),
        (format!("1{}", ",1".repeat(3_900)), deep),
        (format!("{}1", "- ".repeat(3_900)), deep),
        (".a".repeat(600), deep),
        (format!("{}1{}", "if 1 then ".repeat(900), " else 2 end".repeat(900)), deep),
        (format!("{}1", "try ".repeat(3_000)), deep),
        (format!(".{}", "| . ".repeat(30_000)), "longer than 64 KiB"),
    ];
    for (program, expected) in cases {
        let error = Jq::compile(&program).unwrap_err();
        assert!(error.contains(expected), "{}…: {error}", &program[..20]);
    }
    let fields: Vec<String> = (0..200).map(|number| format!("f{number}: .a{number}")).collect();
    assert_eq!(run(&format!("{{{}}} | length", fields.join(", ")), super::STEPS).unwrap(), [Value::Int(200)]);
}

/// What is heavy but honest still ends well.
#[test]
fn honest_programs_are_not_refused() {
    let cases = [
        ("[range(1000000)] | length", "1000000"),
        ("reduce range(300000) as $i (\"\"; . + \"0123456789\") | length", "3000000"),
        ("reduce range(300000) as $i ([]; . + [$i]) | length", "300000"),
        ("[range(300000) | {id: ., name: \"item \\(.)\"}] | map(.id) | add", "44999850000"),
        ("[foreach range(20000) as $i (\"\"; . + \"0123456789\"; length)] | last", "200000"),
        ("reduce range(2000000) as $i ({}; .n = $i) | .n", "1999999"),
        ("reduce range(100000) as $i ({}; .[\"k\\($i)\"] += $i) | length", "100000"),
        ("reduce range(500) as $i (0; [.]) | [..] | length", "501"),
        ("last(range(3000000) as $i | [$i, [$i]])[0]", "2999999"),
        (
            "def walk2(f): if type == \"array\" then map(walk2(f)) | f else f end; reduce range(100) as $i (0; [.]) | walk2(.) | [..] | length",
            "101",
        ),
        ("def times(n; f): if n > 0 then f | times(n - 1; f) else . end; 0 | times(30; . + 1)", "30"),
        ("def until2(c; f): if c then . else f | until2(c; f) end; 0 | until2(. > 300; . + 1)", "301"),
    ];
    for (program, expected) in cases {
        let thread =
            std::thread::Builder::new().stack_size(2 << 20).spawn(move || run(program, super::STEPS));
        let results = thread.unwrap().join().unwrap();
        let results = results.map(|results| results.iter().map(Value::to_json).collect::<Vec<_>>());
        assert_eq!(results, Ok(vec![expected.to_owned()]), "{program}");
    }
}
