//! The `schedule:` block: what it builds, and everything that it refuses, all at once.

mod common;

use std::time::Duration;

use common::{at, cron, zone};
use schedule::{
    CatchUp, DstOverride, Gap, MisfirePolicy, Overlap, Schedule, ScheduleSpec, StoredSchedule, Trigger, Zone,
};

fn spec(yaml: &str) -> ScheduleSpec {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn build(yaml: &str) -> Schedule {
    match spec(yaml).build(&Zone::EUROPE_STOCKHOLM) {
        Ok(schedule) => schedule,
        Err(problems) => {
            panic!("{yaml}: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
        }
    }
}

fn problems(yaml: &str) -> Vec<String> {
    match spec(yaml).build(&Zone::EUROPE_STOCKHOLM) {
        Ok(schedule) => panic!("`{yaml}` is accepted: {schedule:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn interval(seconds: u64) -> Trigger {
    Trigger::Interval { period: Duration::from_secs(seconds) }
}

#[test]
fn triggers() {
    let cases = [
        ("cron: '*/30 9-17 * * 1-5'", Trigger::Cron(cron("*/30 9-17 * * 1-5"))),
        ("cron: '@daily'", Trigger::Cron(cron("@daily"))),
        ("interval: {hours: 6}", interval(21_600)),
        ("interval: {weeks: 1, days: 2, hours: 3, minutes: 4, seconds: 5}", interval(788_645)),
        ("interval: {hours: 1, minutes: 0}", interval(3_600)),
        ("interval: {hours: 1.5}", interval(5_400)),
        ("interval: {minutes: '15'}", interval(900)),
        ("interval: 90m", interval(5_400)),
        ("interval: 1h30m", interval(5_400)),
        ("interval: 3600", interval(3_600)),
        ("interval: '3600'", interval(3_600)),
        ("interval: {weeks: 10000}", interval(6_048_000_000)),
        ("interval: 1s500ms", Trigger::Interval { period: Duration::from_millis(1_500) }),
        // Local time in the job's zone; with an offset, the instant.
        ("at: 2026-12-24T18:00", Trigger::At(at("2026-12-24T17:00:00Z"))),
        ("at: 2026-12-24 18:00:30", Trigger::At(at("2026-12-24T17:00:30Z"))),
        ("at: 2026-12-24", Trigger::At(at("2026-12-23T23:00:00Z"))),
        ("{at: 2026-12-24T18:00, timezone: America/New_York}", Trigger::At(at("2026-12-24T23:00:00Z"))),
        ("at: 2026-12-24T18:00:00+05:30", Trigger::At(at("2026-12-24T12:30:00Z"))),
        ("at: 2026-12-24T18:00:00Z", Trigger::At(at("2026-12-24T18:00:00Z"))),
        ("manual: true", Trigger::Manual),
        ("manual: 'true'", Trigger::Manual),
        ("{manual: false, interval: 1m}", interval(60)),
        ("{cron: , interval: 1m}", interval(60)),
    ];
    for (yaml, trigger) in cases {
        assert_eq!(*build(yaml).trigger(), trigger, "{yaml}");
    }
}

#[test]
fn everything_around_the_trigger() {
    let schedule = build(
        "{cron: 0 9 * * *, timezone: America/New_York, jitter: 20s, dst: {gap: skip, overlap: both}, \
         start: 2026-06-01, end: 2026-09-01T00:00:00Z, misfire: {catch_up: all, grace: 2h, max: 7}}",
    );
    assert_eq!(schedule.zone(), zone("America/New_York"));
    assert_eq!(schedule.jitter(), Duration::from_secs(20));
    assert_eq!(schedule.dst_override(), DstOverride { gap: Some(Gap::Skip), overlap: Some(Overlap::Both) });
    assert_eq!(schedule.start(), Some(at("2026-06-01T04:00:00Z")));
    assert_eq!(schedule.end(), Some(at("2026-09-01T00:00:00Z")));
    let misfire = MisfirePolicy { catch_up: CatchUp::All, grace: Some(Duration::from_secs(7_200)), max: 7 };
    assert_eq!(*schedule.misfire(), misfire);
    let plain = build("{cron: 0 9 * * *, misfire: , dst: {}, jitter: 0, timezone: }");
    assert_eq!(plain.zone(), Zone::EUROPE_STOCKHOLM);
    assert_eq!(*plain.misfire(), MisfirePolicy { catch_up: CatchUp::Latest, grace: None, max: 100 });
    assert!(plain.dst_override().is_empty());
}

#[test]
fn bounds_hold_nominal_instants_inclusively() {
    let schedule = build("{cron: 0 9 * * *, start: 2026-06-02T09:00, end: 2026-06-04T09:00}");
    let fires = common::fires(&schedule, "2026-01-01T00:00:00Z", 9);
    assert_eq!(
        fires,
        ["2026-06-02T09:00:00+02:00", "2026-06-03T09:00:00+02:00", "2026-06-04T09:00:00+02:00"]
    );
    assert_eq!(schedule.count(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")), 3);
    // A fraction of a second after a fire excludes it.
    let later = build("{cron: 0 9 * * *, start: '2026-06-02T09:00:00.001'}");
    assert_eq!(common::fires(&later, "2026-01-01T00:00:00Z", 1), ["2026-06-03T09:00:00+02:00"]);
    // An interval with a start fires there first, whenever it was first seen.
    let from_start = build("{interval: 6h, start: 2026-06-02T09:00}").with_anchor(at("2026-05-01T00:17:00Z"));
    assert_eq!(
        common::fires(&from_start, "2026-05-01T00:17:00Z", 2),
        ["2026-06-02T09:00:00+02:00", "2026-06-02T15:00:00+02:00"]
    );
}

#[test]
fn refusals_say_where_and_what_to_write() {
    let cases: [(&str, &str); 52] = [
        ("{}", "schedule: no trigger; write one of `cron`, `interval`, `at` and `manual: true`"),
        ("", "schedule: no trigger"),
        ("manual: false", "schedule: no trigger"),
        ("[]", "schedule: it is a list, a map is needed"),
        ("daily", "schedule: it is text, a map is needed"),
        (
            "{cron: 0 9 * * *, interval: 1h}",
            "interval: `cron` and `interval` exclude each other; keep one of them",
        ),
        ("{cron: 0 9 * * *, manual: true}", "manual: `cron` and `manual` exclude each other"),
        ("cron: 61 * * * *", "cron: `61 * * * *`: minute: `61` is out of range, allowed are 0-59"),
        ("cron: 0 0 31 2 *", "cron: `0 0 31 2 *`: day-of-month: it can never fire"),
        ("cron: 5", "cron: it is a number, text is needed"),
        ("cron: [a]", "cron: it is a list, text is needed"),
        ("cron: ''", "cron: ``: it is empty; write five fields"),
        ("{chron: 0 9 * * *}", "chron: unknown key; did you mean `cron`?"),
        ("{cron: 0 9 * * *, tz: UTC}", "tz: unknown key; use `timezone`"),
        ("{cron: 0 9 * * *, time_zone: UTC}", "time_zone: unknown key; did you mean `timezone`?"),
        ("{hours: 6}", "hours: unknown key; use `interval`"),
        ("{run_date: 2026-01-01}", "run_date: unknown key; use `at`"),
        ("{cron: 0 9 * * *, misfire_grace_time: 60}", "misfire_grace_time: unknown key; use `misfire.grace`"),
        (
            "{cron: 0 9 * * *, overlap: skip}",
            "overlap: unknown key; `overlap` stands beside `schedule`, not inside it",
        ),
        ("{cron: 0 9 * * *, frobnicate: 1}", "frobnicate: unknown key; known are cron, interval"),
        ("{cron: 0 9 * * *, 5: 1}", "5: unknown key"),
        ("interval: {}", "interval: the interval 0s is too short; the shortest is 1s"),
        ("interval: 0", "interval: the interval 0s is too short"),
        ("interval: 500ms", "interval: the interval 500ms is too short"),
        ("interval: {hours: 0}", "interval: the interval 0s is too short"),
        ("interval: {hours: -1}", "interval.hours: `-1` is negative"),
        ("interval: -5s", "interval: `-5s` is negative"),
        ("interval: {hour: 1}", "interval.hour: unknown key; did you mean `hours`?"),
        (
            "interval: {months: 1}",
            "interval.months: unknown key; known are weeks, days, hours, minutes, seconds",
        ),
        ("interval: {hours: soon}", "interval.hours: `soon` is not a number"),
        ("interval: {hours: [1]}", "interval.hours: it is a list, a number is needed"),
        ("interval: {weeks: 99999999999999999999}", "interval.weeks: `99999999999999999999w` is longer than"),
        (
            "interval: {weeks: 50000, days: 50000}",
            "interval: it is longer than the longest duration, 365250d",
        ),
        ("interval: {days: 1.0e+300}", "interval.days: "),
        ("interval: {days: .nan}", "interval.days: `NaN` is not a number"),
        ("interval: true", "interval: it is a boolean, a duration such as `30s` or `1h30m` is needed"),
        ("interval: 5min", "interval: unknown unit `min` in `5min`; use `m`"),
        ("at: tomorrow", "at: `tomorrow` is not a date with a time: the date is not YYYY-MM-DD"),
        ("at: 2026-02-30", "at: `2026-02-30` is not a date with a time: there is no date 2026-02-30"),
        ("manual: maybe", "manual: it is text, true or false is needed"),
        (
            "{cron: 0 9 * * *, timezone: Europe/Stokholm}",
            "timezone: unknown time zone `Europe/Stokholm`; did you mean `Europe/Stockholm`?",
        ),
        (
            "{cron: 0 9 * * *, timezone: '+02:00'}",
            "timezone: unknown time zone `+02:00`; an offset is not a zone",
        ),
        (
            "{cron: 0 9 * * *, dst: {gap: run-after}}",
            "dst.gap: `run-after` is not one of run_after, skip; did you mean `run_after`?",
        ),
        ("{cron: 0 9 * * *, dst: {spring: skip}}", "dst.spring: unknown key; known are gap, overlap"),
        ("{cron: 0 9 * * *, jitter: -1s}", "jitter: `-1s` is negative"),
        ("{cron: 0 9 * * *, misfire: latest}", "misfire: it is text, a map is needed"),
        (
            "{cron: 0 9 * * *, misfire: {catchup: all}}",
            "misfire.catchup: unknown key; did you mean `catch_up`?",
        ),
        (
            "{cron: 0 9 * * *, misfire: {catch_up: newest}}",
            "misfire.catch_up: `newest` is not one of latest, all, skip",
        ),
        ("{cron: 0 9 * * *, misfire: {max: 0}}", "misfire.max: `0` is not a whole number from 1 to 10000"),
        ("{cron: 0 9 * * *, misfire: {grace: 10ms}}", "misfire.grace: it is shorter than a second"),
        (
            "{cron: 0 9 * * *, start: 2026-06-02, end: 2026-06-01}",
            "end: it is before `start`, so nothing can ever fire",
        ),
        (
            "{cron: 0 9 29 2 *, start: 2026-01-01, end: 2027-01-01}",
            "end: there is no fire between `start` and `end`",
        ),
    ];
    for (yaml, expected) in cases {
        let found = problems(yaml);
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{yaml}: {found:?}, expected {expected}"
        );
        assert!(found.iter().all(|problem| !problem.contains('\n')), "{found:?}");
    }
    assert_eq!(
        problems("{at: 2026-06-01, end: 2026-05-01}"),
        ["at: it is outside `start` and `end`, so nothing can ever fire"]
    );
}

#[test]
fn all_problems_are_reported_together() {
    let found = problems(
        "{cron: 61 * * * *, timezone: Mars, jitter: x, dst: {gap: never}, colour: red, \
         misfire: {catch_up: maybe, max: -1, grace: 1ms}, start: yesterday, end: 2026-13-01}",
    );
    let paths: Vec<&str> =
        found.iter().map(|problem| problem.split(':').next().unwrap_or_default()).collect();
    assert_eq!(
        paths,
        [
            "jitter",
            "dst.gap",
            "colour",
            "misfire.catch_up",
            "misfire.max",
            "timezone",
            "cron",
            "start",
            "end",
            "misfire.grace"
        ]
    );
}

#[test]
fn a_spec_can_be_built_without_a_file() {
    let by_hand = ScheduleSpec {
        interval: Some(Duration::from_secs(60)),
        timezone: Some("UTC".to_owned()),
        ..ScheduleSpec::default()
    };
    assert_eq!(by_hand.build(&Zone::EUROPE_STOCKHOLM), Ok(Schedule::new(interval(60), Zone::UTC)));
    // JSON is read the same way.
    let json: ScheduleSpec =
        serde_json::from_str(r#"{"interval": {"minutes": 1}, "timezone": "UTC"}"#).expect("JSON");
    assert_eq!(json, by_hand);
}

#[test]
fn the_stored_form_is_exact_and_small() {
    let cases = [
        ("cron: '0  9 * * 1-5 '", r#"{"cron":"0  9 * * 1-5 ","timezone":"Europe/Stockholm"}"#),
        ("interval: {hours: 36}", r#"{"interval":"1d12h","timezone":"Europe/Stockholm"}"#),
        ("at: 2026-12-24T18:00", r#"{"at":"2026-12-24T17:00:00Z","timezone":"Europe/Stockholm"}"#),
        ("manual: true", r#"{"manual":true,"timezone":"Europe/Stockholm"}"#),
        (
            "{cron: '@daily', timezone: UTC, dst: {gap: skip}, start: 2026-01-01, end: 2027-01-01, jitter: 5s, misfire: {max: 3}}",
            r#"{"cron":"@daily","timezone":"UTC","dst":{"gap":"skip"},"start":"2026-01-01T00:00:00Z","end":"2027-01-01T00:00:00Z"}"#,
        ),
    ];
    for (yaml, json) in cases {
        let stored = build(yaml).to_stored();
        assert_eq!(serde_json::to_string(&stored).expect("serializes"), json);
        let read: StoredSchedule = serde_json::from_str(json).expect("reads back");
        assert_eq!(read, stored);
        assert!(read.schedule().same_fires(&build(yaml)));
    }
    for (json, expected) in [
        (r#"{"timezone":"UTC"}"#, "exactly one of"),
        (r#"{"cron":"@daily","interval":"1h","timezone":"UTC"}"#, "exactly one of"),
        (r#"{"manual":false,"timezone":"UTC"}"#, "exactly one of"),
        (r#"{"cron":"61 * * * *","timezone":"UTC"}"#, "out of range"),
        (r#"{"interval":"0s","timezone":"UTC"}"#, "too short"),
        (r#"{"cron":"@daily","timezone":"Mars"}"#, "unknown time zone"),
        (r#"{"cron":"@daily"}"#, "missing field `timezone`"),
        (r#"{"cron":"@daily","timezone":"UTC","newer":1}"#, "unknown field `newer`"),
    ] {
        let error = serde_json::from_str::<StoredSchedule>(json).expect_err(json).to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn what_makes_two_schedules_the_same() {
    let base = "cron: 0 9 * * 1-5, timezone: Europe/Stockholm";
    let same = [
        "cron: 0 9 * * MON-FRI",
        "cron: '0  9 * * 1,2,3,4,5'",
        "cron: 0 9 ? * 1-5",
        "cron: 0 9 * * 1-5, jitter: 5m",
        "cron: 0 9 * * 1-5, misfire: {catch_up: skip}",
    ];
    let different = [
        "cron: 0 9 * * 1-6",
        "cron: 0 9 * * 1-5, timezone: Europe/Oslo",
        "cron: 0 9 * * 1-5, dst: {gap: skip}",
        "cron: 0 9 * * 1-5, start: 2026-01-01",
        "cron: 0 9 * * 1-5, end: 2030-01-01",
        // Either day field instead of both, and another kind of job.
        "cron: 0 9 1-31 * 1-5",
        "cron: 0 */24 * * 1-5",
        "interval: 1d",
    ];
    let build = |fields: &str| build(&format!("{{{fields}}}"));
    for fields in same {
        assert!(build(base).same_fires(&build(fields)), "{fields}");
    }
    for fields in different {
        assert!(!build(base).same_fires(&build(fields)), "{fields}");
    }
    // An anchor belongs to the job.
    let every = build("interval: 6h");
    assert!(every.same_fires(&every.clone().with_anchor(at("2026-01-01T00:00:00Z"))));
}

#[test]
fn triggers_have_an_exact_text_form() {
    for text in [
        "cron: 0 9 * * 1-5",
        "cron: @daily",
        "interval: 6h",
        "interval: 1s500ms",
        "at: 2026-12-24T17:00:00Z",
        "manual",
    ] {
        let trigger: Trigger = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(trigger.to_string(), text);
    }
    for (text, expected) in [
        ("", "is not a trigger"),
        ("cron", "is not a trigger"),
        ("hourly: 1", "is not a trigger"),
        ("cron: x", "it has 1 field"),
        ("interval: 1ms", "too short"),
        ("at: soon", "is not a date"),
    ] {
        let error = text.parse::<Trigger>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_schema_names_every_key() {
    let schema = serde_json::to_value(schemars::schema_for!(ScheduleSpec)).expect("serializes");
    let keys: Vec<&str> =
        schema["properties"].as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["cron", "interval", "at", "manual", "timezone", "dst", "jitter", "start", "end", "misfire"]
    );
    // What the schema knows is what is read.
    for key in keys {
        let text = problems(&format!("{{{key}: {{bogus: 1}}}}"));
        assert!(
            !text.iter().any(|problem| problem.starts_with(&format!("{key}: unknown key"))),
            "{key}: {text:?}"
        );
    }
}
