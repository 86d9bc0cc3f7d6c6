//! Dates as people write them, and fires as they are shown.

mod common;

use common::{at, zone};
use schedule::instant::{format, parse};

#[test]
fn reads_instants_and_local_times() {
    let cases = [
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
        ("2026-07-01t12:00:00z", "2026-07-01T12:00:00Z"),
        ("2026-07-01T12:00:00+02:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01T12:00:00-0330", "2026-07-01T15:30:00Z"),
        ("2026-07-01T12:00+02", "2026-07-01T10:00:00Z"),
        ("2026-07-01 12:00:00 +02:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01T12:00:00.25Z", "2026-07-01T12:00:00.250Z"),
        // Without an offset: local time, summer and winter.
        ("2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
        ("2026-01-01T12:00", "2026-01-01T11:00:00Z"),
        ("2026-01-01 12:00", "2026-01-01T11:00:00Z"),
        ("2026-01-01", "2025-12-31T23:00:00Z"),
        (" 2026-01-01T12:00 ", "2026-01-01T11:00:00Z"),
        ("2026-01-01T12:00:00.123456", "2026-01-01T11:00:00.123456Z"),
        // In the gap: the first instant after it. Twice: the first of both.
        ("2026-03-29T02:00", "2026-03-29T01:00:00Z"),
        ("2026-03-29T02:59:59", "2026-03-29T01:00:00Z"),
        ("2026-03-29T03:00", "2026-03-29T01:00:00Z"),
        ("2026-03-29T01:59:59", "2026-03-29T00:59:59Z"),
        ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),
        ("2026-10-25T03:00", "2026-10-25T02:00:00Z"),
        ("2026-10-25T01:59:59", "2026-10-24T23:59:59Z"),
        // The ends of what can be written.
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text, zone("Europe/Stockholm")), Ok(at(expected)), "{text}");
    }
    // A missing day, and a midnight that occurs twice.
    assert_eq!(parse("2011-12-30T15:00", zone("Pacific/Apia")), Ok(at("2011-12-30T10:00:00Z")));
    assert_eq!(parse("2026-10-29T23:30", zone("Africa/Cairo")), Ok(at("2026-10-29T20:30:00Z")));
}

#[test]
fn refuses_the_rest_and_says_why() {
    let cases = [
        ("", "it is empty"),
        ("tomorrow", "the date is not YYYY-MM-DD"),
        ("12:00", "the date is not YYYY-MM-DD"),
        ("2026-1-1", "the date is not YYYY-MM-DD"),
        ("26-01-01", "the date is not YYYY-MM-DD"),
        ("12026-01-01", "the date is not YYYY-MM-DD"),
        ("-2026-01-01", "the date is not YYYY-MM-DD"),
        ("2026-01-01-01", "the date is not YYYY-MM-DD"),
        ("2026-13-01", "there is no date 2026-13-01"),
        ("2026-02-29", "there is no date 2026-02-29"),
        ("2026-01-01T", "the time is not HH:MM or HH:MM:SS"),
        ("2026-01-01T9:00", "the time is not HH:MM or HH:MM:SS"),
        ("2026-01-01T0900", "the time is not HH:MM or HH:MM:SS"),
        ("2026-01-01T24:00", "there is no time 24:00"),
        ("2026-01-01T12:60", "there is no time 12:60"),
        ("2026-01-01T12:00:60", "there is no time 12:00:60"),
        ("2026-01-01T12:00:00.", "1 to 9 digits"),
        ("2026-01-01T12:00:00.1234567891", "1 to 9 digits"),
        ("2026-01-01T12:00:00.x", "the fraction of the second is not a number"),
        ("2026-01-01T12:00:00+25:00", "the offset is not Z or ±HH:MM"),
        ("2026-01-01T12:00:00+2", "the offset is not Z or ±HH:MM"),
        ("2026-01-01T12:00:00Zulu", "the offset is not Z or ±HH:MM"),
        ("2026-01-01T12:00:00[UTC]", "the time is not"),
        ("2026\u{2011}01\u{2011}01", "not ASCII"),
        ("0000-06-01T00:00:00Z", "outside the years 1 to 9999"),
        ("9999-12-31T23:59:59-01:00", "outside the years 1 to 9999"),
    ];
    for (text, expected) in cases {
        let message = parse(text, zone("Europe/Stockholm")).expect_err(text).to_string();
        assert!(message.contains(expected), "{text}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn writes_rfc_3339_with_the_offset_of_the_zone() {
    for (instant, name, expected) in [
        ("2026-03-29T00:59:59Z", "Europe/Stockholm", "2026-03-29T01:59:59+01:00"),
        ("2026-03-29T01:00:00Z", "Europe/Stockholm", "2026-03-29T03:00:00+02:00"),
        ("2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T00:00:00.5Z", "UTC", "2026-01-01T00:00:00.500+00:00"),
        ("2026-01-01T00:00:00Z", "Asia/Kathmandu", "2026-01-01T05:45:00+05:45"),
        ("9999-12-31T22:59:59Z", "Europe/Stockholm", "9999-12-31T23:59:59+01:00"),
        ("9999-12-31T23:00:00Z", "Europe/Stockholm", "9999-12-31T23:00:00+00:00"),
        ("1850-01-01T00:00:00Z", "Europe/Berlin", "1850-01-01T00:53:00+00:53"),
        ("2026-01-01T00:00:00Z", "America/St_Johns", "2025-12-31T20:30:00-03:30"),
    ] {
        assert_eq!(format(at(instant), zone(name)), expected);
    }
}

#[test]
fn what_is_written_is_read_back_everywhere() {
    let mut random = common::Random(23);
    for zone in schedule::Zone::all().step_by(7) {
        for _ in 0..20 {
            let instant = chrono::DateTime::from_timestamp(random.between(-5_000_000_000, 9_000_000_000), 0)
                .expect("in range");
            let text = format(instant, zone);
            assert_eq!(parse(&text, schedule::Zone::UTC), Ok(instant), "{text} in {zone}");
        }
    }
}
