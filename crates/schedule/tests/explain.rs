//! What people are told about a schedule.

mod common;

use std::time::Duration;

use common::{at, schedule, zone};
use schedule::{DstOverride, Gap, Overlap, Schedule, WarningKind, explain};

const NOW: &str = "2026-01-15T12:00:00Z";

fn warnings(schedule: &Schedule) -> Vec<String> {
    schedule.warnings(at(NOW)).into_iter().map(|warning| warning.message).collect()
}

#[test]
fn clock_changes_of_the_coming_year_are_named() {
    assert_eq!(
        warnings(&schedule("30 2 * * *", "Europe/Stockholm")),
        [
            "on 2026-03-29 clocks in Europe/Stockholm go forward from 02:00 to 03:00: 02:30 does not exist, and it fires once at 03:00 instead",
            "on 2026-10-25 clocks in Europe/Stockholm go back from 03:00 to 02:00: 02:30 occurs twice, and it fires at the first occurrence only",
        ]
    );
    assert_eq!(
        warnings(&schedule("*/20 2 * * *", "Europe/Stockholm")),
        [
            "on 2026-03-29 clocks in Europe/Stockholm go forward from 02:00 to 03:00: 3 times from 02:00 on do not exist, and it does not fire for them",
            "on 2026-10-25 clocks in Europe/Stockholm go back from 03:00 to 02:00: 3 times from 02:00 on occur twice, and it fires at both",
        ]
    );
    let dst = DstOverride { gap: Some(Gap::Skip), overlap: Some(Overlap::Second) };
    assert_eq!(
        warnings(&schedule("30 2 * * *", "Europe/Stockholm").with_dst(dst)),
        [
            "on 2026-03-29 clocks in Europe/Stockholm go forward from 02:00 to 03:00: 02:30 does not exist, and it does not fire for it",
            "on 2026-10-25 clocks in Europe/Stockholm go back from 03:00 to 02:00: 02:30 occurs twice, and it fires at the second occurrence only",
        ]
    );
    // A change at midnight is named with the day that it belongs to.
    assert_eq!(
        warnings(&schedule("30 23 * * *", "America/Santiago")),
        [
            "on 2026-04-05 clocks in America/Santiago go back from 00:00 to 23:00: 23:30 occurs twice, and it fires at the first occurrence only"
        ]
    );
    // Times that no change touches, and zones without changes, need no words.
    assert!(warnings(&schedule("0 9 * * 1-5", "Europe/Stockholm")).is_empty());
    assert!(warnings(&schedule("30 2 * * *", "UTC")).is_empty());
    // 28 February is no Sunday in March.
    assert!(warnings(&schedule("30 2 28 2 *", "Europe/Stockholm")).is_empty());
    // After the end of the job nothing is met.
    let ended =
        schedule("30 2 * * *", "Europe/Stockholm").with_bounds(None, Some(at("2026-02-01T00:00:00Z")));
    assert!(warnings(&ended).is_empty());
}

#[test]
fn uneven_steps_are_named() {
    let cases = [
        (
            "*/7 * * * *",
            Some(
                "minute `*/7` is not every 7 minutes: it starts anew each hour, so the last distance is shorter; for equal distances use `interval: 7m`",
            ),
        ),
        ("3/25 * * * *", Some("minute `3/25`")),
        ("0 */23 * * *", Some("hour `*/23` is not every 23 hours: it starts anew each day")),
        ("0 0 */2 * *", Some("day-of-month `*/2` is not every 2 days: it starts anew each month")),
        (
            "0 0 1 */5 *",
            Some(
                "month `*/5` is not every 5 months: it starts anew each year, so the last distance is shorter",
            ),
        ),
        ("0 0 * * */2", Some("day-of-week `*/2` is not every 2 days: it starts anew each week")),
        ("*/15 * * * *", None),
        ("*/60 * * * *", None),
        ("0 */6 * * *", None),
        ("0 9-17/3 * * *", None),
        ("0 0 1 */3 *", None),
        ("*/1 * * * *", None),
    ];
    for (text, expected) in cases {
        let found = schedule(text, "UTC").warnings(at(NOW));
        match expected {
            Some(expected) => {
                assert_eq!(found.len(), 1, "{text}: {found:?}");
                assert_eq!(found[0].kind, WarningKind::UnevenStep);
                assert!(found[0].message.starts_with(expected), "{text}: {}", found[0].message);
            }
            None => assert!(found.is_empty(), "{text}: {found:?}"),
        }
    }
}

#[test]
fn two_day_fields_are_named() {
    assert_eq!(
        warnings(&schedule("0 0 13 * 5", "UTC")),
        [
            "it fires on days that match day-of-month `13` or day-of-week `5`, not only on those that match both"
        ]
    );
    let both = warnings(&schedule("0 0 */2 * 1", "UTC"));
    assert!(
        both.contains(
            &"`*/2` begins with `*`, so day-of-month `*/2` and day-of-week `1` must both match".to_owned()
        ),
        "{both:?}"
    );
    for text in ["0 0 13 * *", "0 0 13 * ?", "0 0 ? * 5", "0 0 * * 5", "@weekly"] {
        assert!(warnings(&schedule(text, "UTC")).is_empty(), "{text}");
    }
}

#[test]
fn intervals_of_whole_days_move_by_the_clock() {
    let day = Schedule::interval(Duration::from_secs(86_400), zone("Europe/Stockholm")).expect("a day");
    assert_eq!(
        warnings(&day),
        [
            "an interval is real time: from 2026-03-29 on it fires 60 minutes later by the clocks of Europe/Stockholm; use `cron` to keep the time of day"
        ]
    );
    let utc = Schedule::interval(Duration::from_secs(86_400), zone("UTC")).expect("a day");
    assert!(warnings(&utc).is_empty());
    let hours =
        Schedule::interval(Duration::from_secs(6 * 3_600), zone("Europe/Stockholm")).expect("six hours");
    assert!(warnings(&hours).is_empty());
    let skip = DstOverride { gap: Some(Gap::Skip), overlap: None };
    assert_eq!(hours.with_dst(skip).warnings(at(NOW))[0].kind, WarningKind::NoEffect);
    assert_eq!(Schedule::manual(zone("UTC")).with_dst(skip).warnings(at(NOW))[0].kind, WarningKind::NoEffect);
}

#[test]
fn descriptions_of_all_triggers() {
    let every = |seconds| {
        Schedule::interval(Duration::from_secs(seconds), zone("UTC")).expect("long enough").describe()
    };
    assert_eq!(every(3_600), "every hour");
    assert_eq!(every(5_400), "every 1 hour 30 minutes");
    assert_eq!(every(86_400), "every 24 hours");
    assert_eq!(every(172_800), "every 2 days");
    assert_eq!(every(1), "every second");
    assert_eq!(every(45), "every 45 seconds");
    let stockholm = zone("Europe/Stockholm");
    assert_eq!(
        Schedule::at(at("2026-12-24T17:00:00Z"), stockholm).describe(),
        "once, at 2026-12-24 18:00 Europe/Stockholm"
    );
    assert_eq!(Schedule::manual(stockholm).describe(), "only when started by hand");
    let bounded = schedule("0 9 * * *", "Europe/Stockholm")
        .with_bounds(Some(at("2026-05-31T22:00:00Z")), Some(at("2026-08-31T21:59:59Z")));
    assert_eq!(bounded.describe(), "at 09:00 every day, from 2026-06-01 00:00 on, until 2026-08-31 23:59:59");
}

#[test]
fn an_explanation_holds_everything_as_json() {
    let explanation = explain(&schedule("30 2 13 * 1-5", "Europe/Stockholm"), at("2026-03-28T12:00:00Z"), 2);
    let json = serde_json::to_value(&explanation).expect("serializes");
    assert_eq!(json["trigger"], "cron: 30 2 13 * 1-5");
    assert_eq!(json["description"], "at 02:30, on the 13th of every month or on Monday to Friday");
    assert_eq!(json["timezone"], "Europe/Stockholm");
    assert_eq!(json["dst"], serde_json::json!({"gap": "run_after", "overlap": "first"}));
    assert_eq!(
        json["fires"][0],
        serde_json::json!({"at": "2026-03-30T00:30:00Z", "local": "2026-03-30T02:30:00+02:00"})
    );
    assert_eq!(json["fires"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["warnings"][0]["kind"], "day_fields");
    assert_eq!(json["other_readings"][0]["scheduler"], "Quartz");
    let interval =
        explain(&Schedule::interval(Duration::from_secs(60), zone("UTC")).expect("a minute"), at(NOW), 1);
    let json = serde_json::to_value(&interval).expect("serializes");
    assert_eq!((&json["dst"], &json["trigger"]), (&serde_json::Value::Null, &"interval: 1m".into()));
}
