//! Files with something wrong, and exactly what is said of them.

use crate::support::{read, with_keys, with_kwargs};

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let error = read(text).expect_err(text).to_string();
        assert_eq!(error, *expected, "\nin the file:\n{text}\ngot:\n{error}");
    }
}

fn check_kwargs(cases: &[(&str, &str)]) {
    for (kwargs, expected) in cases {
        let error = read(&with_kwargs(kwargs)).expect_err(kwargs).to_string();
        let expected: Vec<String> = expected.lines().map(|line| format!("p.yml:{line}")).collect();
        assert_eq!(error, expected.join("\n"), "kwargs: {kwargs}");
    }
}

fn check_keys(cases: &[(&str, &str)]) {
    for (keys, expected) in cases {
        let error = read(&with_keys(keys)).expect_err(keys).to_string();
        let expected: Vec<String> = expected.lines().map(|line| format!("p.yml:{line}")).collect();
        assert_eq!(error, expected.join("\n"), "keys: {keys}");
    }
}

#[test]
fn the_file_as_a_whole() {
    check(&[
        ("", "p.yml:1:1: the file is empty: it needs `pipelines:` with at least one pipeline"),
        (
            "# only a comment\n",
            "p.yml:1:1: the file is empty: it needs `pipelines:` with at least one pipeline",
        ),
        ("---\n", "p.yml:1:1: the file is empty: it needs `pipelines:` with at least one pipeline"),
        ("[]", "p.yml:1:1: the file is a map, but here stands a list"),
        ("pipelines", "p.yml:1:1: the file is a map, but here stands the text `pipelines`"),
        ("defaults: {}\n", "p.yml:1:1: pipelines: `pipelines` is missing: it holds the pipelines by name"),
        ("pipelines:\n", "p.yml:1:1: pipelines: there is no pipeline: at least one is needed"),
        ("pipelines: {}\n", "p.yml:1:1: pipelines: there is no pipeline: at least one is needed"),
        ("pipelines: 5\n", "p.yml:1:12: pipelines: expected a map of pipelines, found the number 5"),
        (
            "pipeline: {}\n",
            "p.yml:1:1: pipeline: unknown key `pipeline`, did you mean `pipelines`?\n\
             p.yml:1:1: pipelines: `pipelines` is missing: it holds the pipelines by name",
        ),
        (
            "pipelines: {a: {chain: [{class: console.ConsoleSink}]}}\n---\npipelines: {}\n",
            "p.yml:2:1: a second document starts here: a file holds one",
        ),
    ]);
}

#[test]
fn syntax() {
    check(&[
        (
            "pipelines:\n\ta: {}\n",
            "p.yml:2:2: pipelines: invalid YAML: tabs disallowed within this context (block indentation) (a tab stands in the indentation: YAML wants spaces)",
        ),
        (
            "pipelines:\n  a: {chain: [\n",
            "p.yml:3:1: pipelines.a.chain[0]: invalid YAML: while parsing a node, did not find expected node content",
        ),
        (
            "pipelines: {a: !custom {}}\n",
            "p.yml:1:16: pipelines.a: the tag `!custom` means nothing here: leave it out",
        ),
        ("pipelines: &x [*x]\n", "p.yml:1:16: pipelines[0]: this alias stands within what it names"),
        (
            "pipelines: *nobody\n",
            "p.yml:1:12: pipelines: invalid YAML: while parsing node, found unknown anchor",
        ),
        (
            "pipelines:\n  a: {chain: [{class: console.ConsoleSink}]}\n  b: {chain: [{class: console.ConsoleSink}]}\n  a: {}\n",
            "p.yml:4:3: pipelines.a: `a` stands here twice (first at line 2, column 3)",
        ),
        (
            "pipelines: {a: {enabled: true, enabled: false, chain: [{class: console.ConsoleSink, class: x}]}}\n",
            "p.yml:1:32: pipelines.a.enabled: `enabled` stands here twice (first at line 1, column 17)\n\
             p.yml:1:85: pipelines.a.chain[0].class: `class` stands here twice (first at line 1, column 57)",
        ),
        (
            "pipelines: {a: {<<: 5, chain: [{class: console.ConsoleSink}]}}\n",
            "p.yml:1:21: pipelines.a[\"<<\"]: `<<` takes a map, or a list of maps (`<<: *name`)",
        ),
    ]);
}

#[test]
fn keys_of_a_pipeline() {
    check_keys(&[
        ("enabled: 5", "3:14: pipelines.a.enabled: expected `true` or `false`, found the number 5"),
        (
            "enabled: \"true\"",
            "3:14: pipelines.a.enabled: expected `true` or `false`, found the text `true` (leave out the quotes)",
        ),
        (
            "description: 5",
            "3:18: pipelines.a.description: expected a text, found the number 5 (put it in quotes)",
        ),
        ("shedule: {}", "3:5: pipelines.a.shedule: unknown key `shedule`, did you mean `schedule`?"),
        ("cron: '* * * * *'", "3:5: pipelines.a.cron: `cron` belongs under `schedule`"),
        (
            "overlap: parallel",
            "3:14: pipelines.a.overlap: unknown value `parallel` (known: `skip`, `queue`, `replace`, `allow`)",
        ),
        ("overlap: qeue", "3:14: pipelines.a.overlap: unknown value `qeue`, did you mean `queue`?"),
        (
            "max_instances: 0",
            "3:20: pipelines.a.max_instances: expected a whole number other than 0, found the number 0",
        ),
        ("max_instances: -1", "3:20: pipelines.a.max_instances: -1 is out of range: it must not be negative"),
        (
            "timeout: soon",
            "3:14: pipelines.a.timeout: `soon` is not a duration: a number must stand before each unit (write `500ms`, `30s`, `1h30m`, `2d`, or seconds)",
        ),
        ("timeout: 0", "3:14: pipelines.a.timeout: a timeout is longer than 0 (`none` is no timeout)"),
        (
            "retry: {max_attempts: many, backof: 1s, on_crash: rerun}",
            "3:27: pipelines.a.retry.max_attempts: expected a whole number, found the text `many`\n\
             3:33: pipelines.a.retry.backof: unknown key `backof`, did you mean `backoff`?",
        ),
        (
            "retry: 3",
            "3:12: pipelines.a.retry: expected a map (`max_attempts`, `backoff`, `max_backoff`, `on_crash`), found the number 3",
        ),
        ("limit_group: {name: shop}", "3:18: pipelines.a.limit_group: `max` is missing"),
        ("limit_group: {name: '', max: 1}", "3:25: pipelines.a.limit_group.name: the name is empty"),
        (
            "on_failure: {webhook_url: nowhere, discord_channel_id: abc, mail: x}",
            "3:31: pipelines.a.on_failure.webhook_url: `nowhere` is no web address: it begins with `https://` or `http://` and a host\n\
             3:60: pipelines.a.on_failure.discord_channel_id: expected a whole number, found the text `abc`\n\
             3:65: pipelines.a.on_failure.mail: unknown key `mail` (known: `discord_channel_id`, `webhook_url`)",
        ),
        (
            "heartbeat_url: ftp://x",
            "3:20: pipelines.a.heartbeat_url: `ftp://x` is no web address: it begins with `https://` or `http://` and a host",
        ),
        ("after: [b]", "3:5: pipelines.a.after: there is no pipeline `b`"),
        ("after: [a]", "3:5: pipelines.a.after: these pipelines wait for each other: a → a"),
        ("after: b", "3:12: pipelines.a.after: expected a list, found the text `b`"),
        ("name: b", "3:11: pipelines.a.name: the pipeline is called `a` already: leave `name` out"),
    ]);
}

#[test]
fn schedules() {
    check_keys(&[
        ("schedule: {cron: '* * *'}", "3:22: pipelines.a.schedule.cron: `* * *` has not 5 fields"),
        (
            "schedule: '0 9 * * *'",
            "3:15: pipelines.a.schedule: `schedule` is a map: write `schedule: {cron: \"0 9 * * *\"}`",
        ),
        (
            "schedule:\n  cron: 0 9 * * *\n  timezone: Mars\n  jiter: 1s",
            "5:17: pipelines.a.schedule.timezone: `Mars` is no time zone\n\
             6:7: pipelines.a.schedule.jiter: unknown key `jiter` (known: `cron`, `timezone`, `misfire`)",
        ),
        (
            "schedule: {cron: '* * * * *'}\nafter: [a]",
            "4:5: pipelines.a.after: `after` stands instead of a `schedule`: leave one of them out\n\
             4:5: pipelines.a.after: these pipelines wait for each other: a → a",
        ),
    ]);
}

#[test]
fn relations() {
    let sink = "chain: [{class: console.ConsoleSink}]";
    check(&[
        (
            &format!(
                "pipelines:\n  a: {{after: [c], {sink}}}\n  b: {{after: [a], {sink}}}\n  c: {{after: [b], {sink}}}\n"
            ),
            "p.yml:2:7: pipelines.a.after: these pipelines wait for each other: a → c → b → a",
        ),
        (
            &format!("pipelines:\n  books: {{{sink}}}\n  b:\n    after:\n      - boks\n    {sink}\n"),
            "p.yml:4:5: pipelines.b.after: there is no pipeline `boks`, did you mean `books`?",
        ),
        (
            &format!(
                "pipelines:\n  a: {{limit_group: {{name: g, max: 1}}, {sink}}}\n  b: {{limit_group: {{name: g, max: 2}}, {sink}}}\n"
            ),
            "p.yml:3:3: pipelines.b.limit_group: the group `g` has max 2 here and 1 in the pipeline `a`: they share one limit",
        ),
        (
            &format!(
                "pipelines:\n  - {{name: a, {sink}}}\n  - {{{sink}}}\n  - {{name: a, {sink}}}\n  - {{name: 5, {sink}}}\n"
            ),
            "p.yml:3:5: pipelines[1].name: `name` is missing: in a list each pipeline has its name\n\
             p.yml:4:12: pipelines[2].name: a pipeline `a` stands here already (at line 2, column 12)\n\
             p.yml:5:12: pipelines[3].name: expected a text, found the number 5 (put it in quotes)",
        ),
        (
            &format!(
                "pipelines:\n  \"\": {{{sink}}}\n  \"a\\tb\": {{{sink}}}\n  {}: {{{sink}}}\n",
                "x".repeat(101)
            ),
            &format!(
                "p.yml:2:3: pipelines[\"\"]: the name is empty\n\
                 p.yml:3:3: pipelines[\"a\\tb\"]: the name holds the control character \\t\n\
                 p.yml:4:3: pipelines.{}: the name is 101 characters long: at most 100 are allowed",
                "x".repeat(101)
            ),
        ),
    ]);
}

#[test]
fn chains() {
    check(&[
        ("pipelines:\n  a: {}\n", "p.yml:2:6: pipelines.a: `chain` is missing"),
        ("pipelines:\n  a:\n", "p.yml:2:3: pipelines.a: a pipeline is a map, but here stands nothing"),
        (
            "pipelines:\n  a: {chain: []}\n",
            "p.yml:2:7: pipelines.a.chain: the chain is empty: it needs at least one stage",
        ),
        (
            "pipelines:\n  a: {chain: {class: x}}\n",
            "p.yml:2:14: pipelines.a.chain: expected a list of stages, found a map",
        ),
        (
            "pipelines:\n  a:\n    chain:\n      - console.ConsoleSink\n      - {kwargs: {}}\n      - {class: 5}\n      - {class: console.ConsoleSink, on_eror: skip, on_error: ignore}\n",
            "p.yml:4:9: pipelines.a.chain[0]: a stage is a map, but here stands the text `console.ConsoleSink`\n\
             p.yml:5:9: pipelines.a.chain[1]: `class` is missing\n\
             p.yml:6:17: pipelines.a.chain[2].class: expected a text, found the number 5 (put it in quotes)\n\
             p.yml:7:38: pipelines.a.chain[3].on_eror: unknown key `on_eror`, did you mean `on_error`?\n\
             p.yml:7:63: pipelines.a.chain[3].on_error: unknown value `ignore` (known: `fail`, `skip`, `dead_letter`)",
        ),
    ]);
}

#[test]
fn classes() {
    let message = |class: &str| {
        let error =
            read(&format!("pipelines: {{a: {{chain: [{{class: {class}}}]}}}}")).expect_err(class).to_string();
        error.split_once("class: ").map(|(_, message)| message.to_owned()).unwrap_or(error)
    };
    let cases = [
        ("http.HttpFecher", "unknown class `http.HttpFecher`, did you mean `http.HttpFetcher`?"),
        ("htp.HttpFetcher", "unknown class `htp.HttpFetcher`, did you mean `http.HttpFetcher`?"),
        ("HttpFetcher", "unknown class `HttpFetcher`, did you mean `http.HttpFetcher`?"),
        ("http.ConsoleSink", "unknown class `http.ConsoleSink`, did you mean `console.ConsoleSink`?"),
        (
            "fi_shortinterest.FiFetcher",
            "unknown class `fi_shortinterest.FiFetcher`: Python plugins are not loaded; use `http.HttpFetcher` instead",
        ),
        ("nonsense", "unknown class `nonsense`"),
    ];
    for (class, expected) in cases {
        assert_eq!(message(class), expected);
    }
}

#[test]
fn kwargs() {
    check_kwargs(&[
        ("{}", "5:17: pipelines.a.chain[0].kwargs: `url` is missing"),
        ("", "5:9: pipelines.a.chain[0].kwargs: `url` is missing"),
        ("[1]", "5:17: pipelines.a.chain[0].kwargs: `kwargs` is a map, but here stands a list"),
        ("{url: x}", "5:23: pipelines.a.chain[0].kwargs.url: `x` is no web address"),
        (
            "{url: 5}",
            "5:23: pipelines.a.chain[0].kwargs.url: expected a text, found the number 5 (put it in quotes)",
        ),
        ("{url: [h]}", "5:23: pipelines.a.chain[0].kwargs.url: expected a text, found a list"),
        (
            "{url: 'http:', max_pages: 70000}",
            "5:43: pipelines.a.chain[0].kwargs.max_pages: 70000 is out of range (0 to 65535)",
        ),
        (
            "{url: 'http:', max_pages: '5'}",
            "5:43: pipelines.a.chain[0].kwargs.max_pages: expected a whole number, found the text `5` (leave out the quotes)",
        ),
        (
            "{url: 'http:', max_pages: 1.5}",
            "5:43: pipelines.a.chain[0].kwargs.max_pages: expected a whole number, found the number 1.5",
        ),
        (
            "{url: 'http:', ratio: half}",
            "5:39: pipelines.a.chain[0].kwargs.ratio: expected a number, found the text `half`",
        ),
        (
            "{url: 'http:', format: json}",
            "5:40: pipelines.a.chain[0].kwargs.format: unknown value `json` (known: `raw`, `lines`)",
        ),
        (
            "{url: 'http:', auth: {basic: {username: a}}}",
            "5:46: pipelines.a.chain[0].kwargs.auth.basic: `password` is missing",
        ),
        (
            "{url: 'http:', auth: bearer}",
            "5:38: pipelines.a.chain[0].kwargs.auth: `bearer` needs a value: `{bearer: …}`",
        ),
        (
            "{url: 'http:', headers: {Accept: [5]}}",
            "5:50: pipelines.a.chain[0].kwargs.headers.Accept: expected a text, found a list",
        ),
        (
            "{url: '${NONE}/x'}",
            "5:23: pipelines.a.chain[0].kwargs.url: the variable `NONE` is not set (set it, or give a default: `${NONE:-…}`)",
        ),
        (
            "{url: '${HOST}', max_pages: '${HOST}'}",
            "5:45: pipelines.a.chain[0].kwargs.max_pages: expected a whole number, found the text `http://shop.example`",
        ),
        // Many at once: each of them is said, in the order of the file.
        (
            "{ulr: x, max_pages: lots, timeout: soon, robots: maybe, fields: {price: {selct: x}, name: [], ok: {select: .a, regex: 5}}, format: xml, ratio: {}}",
            "5:17: pipelines.a.chain[0].kwargs: `url` is missing\n\
             5:18: pipelines.a.chain[0].kwargs.ulr: unknown key `ulr`, did you mean `url`?\n\
             5:37: pipelines.a.chain[0].kwargs.max_pages: expected a whole number, found the text `lots`\n\
             5:52: pipelines.a.chain[0].kwargs.timeout: `soon` is not a duration: a number must stand before each unit (write `500ms`, `30s`, `1h30m`, `2d`, or seconds)\n\
             5:66: pipelines.a.chain[0].kwargs.robots: expected `true` or `false`, found the text `maybe`\n\
             5:89: pipelines.a.chain[0].kwargs.fields.price: `select` is missing\n\
             5:90: pipelines.a.chain[0].kwargs.fields.price.selct: unknown key `selct`, did you mean `select`?\n\
             5:107: pipelines.a.chain[0].kwargs.fields.name: expected a map (`select`, `regex`), found a list\n\
             5:135: pipelines.a.chain[0].kwargs.fields.ok.regex: expected a text, found the number 5 (put it in quotes)\n\
             5:148: pipelines.a.chain[0].kwargs.format: unknown value `xml` (known: `raw`, `lines`)\n\
             5:160: pipelines.a.chain[0].kwargs.ratio: expected a number, found a map",
        ),
        (
            "{url: x, fields: {a.b: {select: x, regex: (}, c: {select: x, regex: (}}}",
            "5:23: pipelines.a.chain[0].kwargs.url: `x` is no web address\n\
             5:59: pipelines.a.chain[0].kwargs.fields.a.b.regex: `(` is not closed\n\
             5:85: pipelines.a.chain[0].kwargs.fields.c.regex: `(` is not closed",
        ),
    ]);
}

#[test]
fn defaults() {
    let sink = "pipelines: {a: {schedule: {cron: '* * * * *'}, chain: [{class: console.ConsoleSink}]}}";
    check(&[
        (
            &format!("defaults: {{timezone: Mars, timeout: x}}\n{sink}"),
            "p.yml:1:22: defaults.timezone: `Mars` is no time zone\n\
             p.yml:1:37: defaults.timeout: `x` is not a duration: a number must stand before each unit (write `500ms`, `30s`, `1h30m`, `2d`, or seconds)",
        ),
        (
            &format!("defaults: {{chain: [], tiemout: 1s}}\n{sink}"),
            "p.yml:1:12: defaults.chain: `chain` belongs to a pipeline: it cannot be inherited\n\
             p.yml:1:23: defaults.tiemout: unknown key `tiemout`, did you mean `timeout`?",
        ),
        (
            &format!("defaults: 5\n{sink}"),
            "p.yml:1:11: defaults: `defaults` is a map, but here stands the number 5",
        ),
    ]);
}

#[test]
fn problems_of_all_pipelines_come_together_and_in_order() {
    check(&[(
        "pipelines:\n  a:\n    chain:\n      - class: x.Y\n  b:\n    overlap: 1\n    chain:\n      - class: http.HttpFetcher\n",
        "p.yml:4:16: pipelines.a.chain[0].class: unknown class `x.Y`\n\
         p.yml:6:14: pipelines.b.overlap: expected one of `skip`, `queue`, `replace`, `allow`, found the number 1\n\
         p.yml:8:9: pipelines.b.chain[0].kwargs: `url` is missing",
    )]);
}
