use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use pipeline_core::{Record, RunContext, RunIdentity, RunOptions, SimClock, Value};

use super::{Jq, JqVars};

fn context() -> RunContext {
    let identity = RunIdentity {
        run_id: "r1".into(),
        pipeline: "books".into(),
        job_id: "books".into(),
        scheduled_for: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
        attempt: 1,
    };
    let mut options = RunOptions::new(identity);
    options.clock = Arc::new(SimClock::new(DateTime::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000)));
    RunContext::new(options)
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn run(program: &str, input: &Value) -> Result<String, String> {
    let meta: Record = [("url", "http://x/"), ("status", "200")].into_iter().collect();
    let mut vars = JqVars::new(&context()).with_meta(&meta);
    assert_eq!(vars.steps, super::STEPS);
    vars.steps = 300_000;
    let results = Jq::compile(program)?.run(input, &vars)?;
    Ok(results.iter().map(Value::to_json).collect::<Vec<_>>().join(" "))
}

#[test]
fn programs_give_what_jq_gives() {
    let cases = [
        (".", r#"{"a":1}"#, r#"{"a":1}"#),
        (".a", r#"{"a":{"b":2}}"#, r#"{"b":2}"#),
        (".a.b", r#"{"a":{"b":2}}"#, "2"),
        (".a.b.c", r#"{"a":null}"#, "null"),
        (r#"."a b""#, r#"{"a b":3}"#, "3"),
        (".[]", "[1,[2],null]", "1 [2] null"),
        (".[] | select(.x > 1) | {x, y: (.x * 2)}", r#"[{"x":1},{"x":2}]"#, r#"{"x":2,"y":4}"#),
        ("map(.+1) | add", "[1,2,3]", "9"),
        (r#""\(.a)-\(.b)""#, r#"{"a":1,"b":"x"}"#, r#""1-x""#),
        (".a // \"none\"", "{}", r#""none""#),
        ("[limit(3; repeat(. * 2))]", "1", "[1,2,4]"),
        ("[range(3)], [range(1;7;2)]", "null", "[0,1,2] [1,3,5]"),
        ("[recurse(if . < 3 then . + 1 else empty end)]", "0", "[0,1,2,3]"),
        ("[while(. < 8; . * 2)], until(. > 100; . * 2)", "1", "[1,2,4] 128"),
        ("[.. | numbers]", r#"{"a":[1,{"b":2}]}"#, "[1,2]"),
        ("to_entries | map(.key)", r#"{"b":1,"a":2}"#, r#"["b","a"]"#),
        ("[paths]", r#"{"a":[5]}"#, r#"[["a"],["a",0]]"#),
        ("[leaf_paths]", r#"{"a":[5]}"#, r#"[["a",0]]"#),
        ("@csv", r#"["a\"b",1,null,true]"#, r#""\"a\"\"b\",1,,true""#),
        ("@tsv", r#"["a\tb",1]"#, r#""a\\tb\t1""#),
        ("INDEX(.id)", r#"[{"id":7}]"#, r#"{"7":{"id":7}}"#),
        ("IN(2,3)", "2", "true"),
        ("toarray", "1", "[1]"),
        ("trimstr(\"x\")", r#""xax""#, r#""a""#),
        ("capture(\"(?<n>[0-9]+)\")", r#""ab12""#, r#"{"n":"12"}"#),
        ("try error(\"x\") catch .", "1", r#""x""#),
        (".[1:3], .[-1]", "[0,1,2,3]", "[1,2] 3"),
        ("reduce .[] as $x (0; . + $x)", "[1,2]", "3"),
        ("[foreach .[] as $x (0; . + $x)]", "[1,2]", "[1,3]"),
        ("def f(x): x * 2; f(.)", "4", "8"),
        ("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; fac", "20", "2432902008176640000"),
        ("def up: if . < 100000 then . + 1 | up else . end; up", "0", "100000"),
        (".a |= . + 1", r#"{"a":1,"b":2}"#, r#"{"a":2,"b":2}"#),
        ("def p: .a; p |= 5", r#"{"a":1}"#, r#"{"a":5}"#),
        ("del(.a)", r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
        ("[.[] | tonumber]", r#"["1","2.5"]"#, "[1,2.5]"),
        ("todate", "1700000000", r#""2023-11-14T22:13:20Z""#),
        ("strftime(\"%Y\"), (gmtime | mktime)", "1700000000", r#""2023" 1700000000"#),
        ("localtime == gmtime", "1700000000", "true"),
        ("debug, debug(\"x\"), stderr", "1", "1 1 1"),
        ("empty", "1", ""),
    ];
    for (program, input, expected) in cases {
        assert_eq!(run(program, &value(input)).as_deref(), Ok(expected), "{program} on {input}");
    }
}

#[test]
fn numbers_stay_exact_and_none_is_made_up() {
    let big = Value::number("123456789012345678901234567890").unwrap();
    assert_eq!(run(".", &big).unwrap(), "123456789012345678901234567890");
    assert_eq!(run("[.]", &big).unwrap(), "[123456789012345678901234567890]");
    assert_eq!(run(". + 1", &big).unwrap(), "123456789012345678901234567891");
    assert_eq!(
        run("[., . + 1]", &Value::Int(i64::MAX)).unwrap(),
        "[9223372036854775807,9223372036854775808]"
    );
    assert_eq!(run("[nan, infinite, 1.5, 3.0]", &Value::Null).unwrap(), "[null,null,1.5,3.0]");
}

#[test]
fn a_program_sees_the_run_and_no_secret() {
    let cases = [
        ("$meta.url", r#""http://x/""#),
        ("$run.pipeline", r#""books""#),
        ("$run.started_at", r#""2023-11-14T22:13:20Z""#),
        ("$run.date", r#""2023-11-14""#),
        ("$run.scheduled_for", r#""2024-10-04T00:00:00Z""#),
        ("now | floor", "1700000000"),
        ("env", "{}"),
        ("env.PATH", "null"),
        ("$ENV", "{}"),
        ("$ENV.PATH", "null"),
    ];
    for (program, expected) in cases {
        assert_eq!(run(program, &Value::Null).as_deref(), Ok(expected), "{program}");
    }
}

#[test]
fn a_wrong_program_says_where_and_why() {
    let cases = [
        ("", "line 1, column 1: expected term, found the end"),
        (".a |", "line 1, column 5: expected term, found the end"),
        ("{a: 1", "line 1, column 6: expected a closing brace"),
        (".a\n| mapp(.x)", "line 2, column 3: there is no function `mapp`, did you mean `map`?"),
        ("$metta", "line 1, column 1: there is no variable `$metta`, did you mean `$meta`?"),
        ("map", "line 1, column 1: `map` does not take 0 arguments"),
        ("input", "line 1, column 1: there is no function `input`"),
        ("include \"secrets\"; .", "line 1, column 1: modules and files cannot be loaded"),
        ("import \"/etc/passwd\" as $x; $x", "line 1, column 1: modules and files cannot be loaded"),
        (". as [$x;] | 1", "line 1, column 9: expected comma or right bracket, found `;`"),
    ];
    for (program, expected) in cases {
        let error = Jq::compile(program).unwrap_err();
        assert!(error.contains(expected), "{program}: {error}");
    }
}

#[test]
fn a_failing_program_says_what_failed() {
    let cases = [
        (".a.b", r#"{"a":5}"#, r#"cannot index 5 with "b""#),
        (".a.b, 1", r#"{"a":5}"#, r#"cannot index 5 with "b""#),
        ("error(\"no price\")", "1", "no price"),
        ("error({a: 1})", "1", r#"{"a":1}"#),
        ("halt", "1", "`halt` ends no run"),
        ("halt_error", "1", "`halt` ends no run"),
        ("{(1): 2}", "1", "which is no text"),
        (". + 1", "{}", "cannot calculate"),
    ];
    for (program, input, expected) in cases {
        let error = run(program, &value(input)).unwrap_err();
        assert!(error.contains(expected), "{program}: {error}");
    }
    let long = format!("\"{}\"", "x".repeat(10_000));
    assert!(run(".a, 1", &value(&long)).unwrap_err().len() < 600);
}

#[test]
fn endless_programs_are_stopped() {
    let cases = [
        "repeat(.) | empty",
        "range(0; infinite) | empty",
        "def f: f; f",
        "def f: def g: g; g; f",
        "\"\\(def f: f; f)\"",
        "until(false; .)",
        "recurse(.) | empty",
        "last(range(0; infinite; 0))",
    ];
    std::thread::scope(|scope| {
        for program in cases {
            scope.spawn(move || {
                let error = run(program, &Value::Int(1)).unwrap_err();
                assert!(error.contains("not come to an end"), "{program}: {error}");
            });
        }
    });
    for program in ["def f: [f]; f", "def f: 1 + f; f"] {
        let error = run(program, &Value::Int(1)).unwrap_err();
        assert!(error.contains("too deeply") || error.contains("an end"), "{program}: {error}");
    }
}

#[test]
fn cancelling_the_run_stops_a_program() {
    let context = context();
    context.cancellation().cancel();
    let vars = JqVars::new(&context);
    let error = Jq::compile("[range(1e6)] | length").unwrap().run(&Value::Null, &vars).unwrap_err();
    assert_eq!(error, "the run was cancelled");
}

#[test]
fn results_come_one_by_one() {
    let program = Jq::compile("range(0; 1000000000)").unwrap();
    let mut seen = 0;
    program
        .run_each(&Value::Null, &JqVars::new(&context()), |_| {
            seen += 1;
            if seen == 3 { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen, 3);
}

#[test]
fn conditions_hold_as_jq_says() {
    let vars = JqVars::new(&context());
    let record: Record = serde_json::from_str(r#"{"a":1,"b":null,"c":{"d":false}}"#).unwrap();
    let cases = [
        (".", true),
        (".a", true),
        (".b", false),
        (".c.d", false),
        (".c", true),
        (".a > 1", false),
        ("empty", false),
        ("true, false", true),
    ];
    for (program, expected) in cases {
        assert_eq!(Jq::compile(program).unwrap().holds(&record, &vars), Ok(expected), "{program}");
    }
}

#[test]
fn a_program_may_cross_threads() {
    fn check<T: Send + Sync + Clone>() {}
    check::<Jq>();
    check::<JqVars>();
    assert_eq!(Jq::compile(". | .").unwrap().text(), ". | .");
}

#[test]
fn programs_over_elements_are_split() {
    let cases = [
        (".[]", Some((vec![], "."))),
        (" .[] | {a}, {b}", Some((vec![], " {a}, {b}"))),
        (".a.b[] | .c | .d", Some((vec!["a", "b"], " .c | .d"))),
        (".a[].b", Some((vec!["a"], ".b"))),
        (".a[][0].c | f", None),
        (".a[][0].c | .d", Some((vec!["a"], ".[0].c | .d"))),
        (".\"a b\"[]", Some((vec!["a b"], "."))),
        (".a[].b, .c", None),
        (".a[] as $x | $x", None),
        (".a[]?", None),
        (".a?[]", None),
        (".a[0]", None),
        (".a", None),
        (".", None),
        (".a[] // 1", None),
        (".a[] + 1 | .", None),
        ("[.[]]", None),
        (".[\"a\"][]", None),
        ("def f: .; .[]", None),
    ];
    for (program, expected) in cases {
        let split = Jq::compile(program).ok().and_then(|program| program.split_elements());
        let split =
            split.as_ref().map(|(path, rest)| (path.iter().map(String::as_str).collect(), rest.text()));
        assert_eq!(split, expected, "{program}");
    }
}

#[test]
fn searches_know_the_letters_of_all_languages() {
    check(&[
        (r#"capture("(?<town>\\w+) (?<n>\\d+)")"#, r#""Göteborg 12""#, r#"{"town":"Göteborg","n":"12"}"#),
        (r#"test("^\\w+$"), test("\\bni"), test("ÜN";"i")"#, r#""ünï""#, "true false true"),
        (r#"gsub("[^\\w]+";"-")"#, r#""Kök & Bad""#, r#""Kök-Bad""#),
        (r#"test("^\\p{Lu}")"#, r#""Åre""#, "true"),
        (r#"gsub("\\s";"_")"#, "\"a\u{a0}b\"", r#""a_b""#),
        (r#"[match("b|å";"g") | [.offset,.length,.string]]"#, r#""åäb""#, r#"[[0,1,"å"],[2,1,"b"]]"#),
        // A group that is not there is null, and keeps its place.
        (r#"[scan("(\\d+)?-(\\d+)")]"#, r#""-5""#, r#"[[null,"5"]]"#),
        (r#"capture("(?<a>x)?(?<b>y)")"#, r#""y""#, r#"{"a":null,"b":"y"}"#),
        (r#"[split(", *";null)], [splits(";")]"#, r#""a, b;c""#, r#"[["a","b;c"]] ["a, b","c"]"#),
        (
            r#"sub("a";"b"), gsub("a";"b"), gsub("(?<x>a)";"<\(.x)>"), gsub("";"-")"#,
            r#""aa""#,
            r#""ba" "bb" "<a><a>" "-a-a-""#,
        ),
        (r#"[sub("a";"b","c")]"#, r#""a""#, r#"["b","c"]"#),
        (r#"try test("(") catch "wrong""#, r#""a""#, r#""wrong""#),
        (
            r#"try test("a";"q") catch ."#,
            r#""a""#,
            r#""`q` is no flag of a regular expression (g, n, i, m, s, l, x, p)""#,
        ),
    ]);
}

#[test]
fn a_long_text_is_cleaned_in_little_memory() {
    let text = Value::from(vec![Value::from("word  ".repeat(20_000))]);
    assert_eq!(run(r#".[0] | gsub("\\s+";" ") | length"#, &text), Ok("100000".into()));
}

#[test]
fn several_places_are_removed_at_once() {
    check(&[
        ("del(.[1,2]), del(.[0,2]), del(.[0:2],.[3]), del(.[-1,0])", "[1,2,3,4]", "[1,4] [2,4] [3] [2,3]"),
        (r#"delpaths([["a",0],["a",1]])"#, r#"{"a":[1,2,3,4]}"#, r#"{"a":[3,4]}"#),
        ("del(.a[range(0;2)])", r#"{"a":[1,2,3,4,5]}"#, r#"{"a":[3,4,5]}"#),
        (
            "del(.a, .b), del(.x), del(.x.y), del(.a.b)",
            r#"{"a":{"b":1},"b":2,"c":3}"#,
            r#"{"c":3} {"a":{"b":1},"b":2,"c":3} {"a":{"b":1},"b":2,"c":3} {"a":{},"b":2,"c":3}"#,
        ),
        ("del(.[] | select(. > 2)), del(.[]), del(.)", "[1,2,3,4]", "[1,2] [] null"),
        ("del(.. | nulls)", r#"{"a":[null,1,null],"b":null}"#, r#"{"a":[1]}"#),
    ]);
}

#[test]
fn what_is_not_there_yet_is_made() {
    check(&[
        (
            r#".a.b = 5, (.tags[0] = "x"), (.n["x"] += 1)"#,
            "{}",
            r#"{"a":{"b":5}} {"tags":["x"]} {"n":{"x":1}}"#,
        ),
        (r#"setpath(["a","b"];1), (getpath(["a","b"]) = 5)"#, "null", r#"{"a":{"b":1}} {"a":{"b":5}}"#),
        ("(.[5] = 1), (.[1] = 2)", "[0]", "[0,null,null,null,null,1] [0,2]"),
        ("reduce range(5) as $i ([]; .[$i] = $i)", "null", "[0,1,2,3,4]"),
        (r#""\(10 / 5)", "\(10 / 5 | floor)""#, "null", r#""2.0" "2""#),
    ]);
    assert!(run(".[1e12] = 1", &Value::Null).is_err());
    assert!(run(".[100000000000] = 1", &value("[]")).is_err());
}

#[test]
fn our_own_names_are_not_taken() {
    for program in
        ["def _step: 1; {a: _step}", "def f(_step): 1 + f(_step); f(true)", "[_remove([0])]", r#""\(_step)""#]
    {
        let error = run(program, &Value::Null).unwrap_err();
        assert!(error.contains("is kept for"), "{program}: {error}");
    }
}

fn check(cases: &[(&str, &str, &str)]) {
    for (program, input, expected) in cases {
        assert_eq!(run(program, &value(input)).as_deref(), Ok(*expected), "{program}");
    }
}
