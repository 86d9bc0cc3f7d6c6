//! The daylight-saving table, row by row, in ordinary and in odd zones.

mod common;

use common::{at, fires, schedule, zone};
use schedule::{Dst, DstOverride, Gap, Overlap, Schedule};

struct Case {
    zone: &'static str,
    cron: &'static str,
    after: &'static str,
    expected: &'static [&'static str],
}

fn check(cases: &[Case]) {
    for Case { zone, cron, after, expected } in cases {
        let found = fires(&schedule(cron, zone), after, expected.len());
        assert_eq!(found, *expected, "`{cron}` in {zone} after {after}");
    }
}

#[test]
fn fixed_jobs_in_a_gap_fire_once_at_the_first_instant_after_it() {
    check(&[
        Case {
            zone: "Europe/Stockholm",
            cron: "30 2 * * *",
            after: "2026-03-28T00:00:00Z",
            expected: &[
                "2026-03-28T02:30:00+01:00",
                "2026-03-29T03:00:00+02:00",
                "2026-03-30T02:30:00+02:00",
            ],
        },
        // All nominal times inside one gap are one fire.
        Case {
            zone: "Europe/Stockholm",
            cron: "5,10,55 2 * * *",
            after: "2026-03-29T00:00:00Z",
            expected: &["2026-03-29T03:00:00+02:00", "2026-03-30T02:05:00+02:00"],
        },
        // It is merged with a regular fire at that instant.
        Case {
            zone: "Europe/Stockholm",
            cron: "0 1-3 * * *",
            after: "2026-03-28T23:30:00Z",
            expected: &[
                "2026-03-29T01:00:00+01:00",
                "2026-03-29T03:00:00+02:00",
                "2026-03-30T01:00:00+02:00",
            ],
        },
        // Thirty minutes.
        Case {
            zone: "Australia/Lord_Howe",
            cron: "15 2 * * *",
            after: "2026-10-03T00:00:00Z",
            expected: &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
        },
        // An offset of 12:45, and a gap of an hour at 02:45.
        Case {
            zone: "Pacific/Chatham",
            cron: "50 2 * * *",
            after: "2026-09-26T00:00:00Z",
            expected: &["2026-09-27T03:45:00+13:45", "2026-09-28T02:50:00+13:45"],
        },
        // Two hours.
        Case {
            zone: "Antarctica/Troll",
            cron: "30 1,2 * * *",
            after: "2026-03-28T12:00:00Z",
            expected: &[
                "2026-03-29T03:00:00+02:00",
                "2026-03-30T01:30:00+02:00",
                "2026-03-30T02:30:00+02:00",
            ],
        },
        // Midnight itself does not exist.
        Case {
            zone: "America/Santiago",
            cron: "0 0 * * *",
            after: "2026-09-05T12:00:00Z",
            expected: &["2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"],
        },
        Case {
            zone: "Asia/Beirut",
            cron: "30 0 * * *",
            after: "2026-03-28T12:00:00Z",
            expected: &["2026-03-29T01:00:00+03:00", "2026-03-30T00:30:00+03:00"],
        },
        Case {
            zone: "Africa/Cairo",
            cron: "0 0 * * *",
            after: "2026-04-23T12:00:00Z",
            expected: &["2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"],
        },
        // A whole day is missing: one fire at the start of the next date.
        Case {
            zone: "Pacific/Apia",
            cron: "0 9 * * *",
            after: "2011-12-28T22:00:00Z",
            expected: &[
                "2011-12-29T09:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                "2011-12-31T09:00:00+14:00",
            ],
        },
        // Even a job of that date alone, although the fire falls on another date.
        Case {
            zone: "Pacific/Apia",
            cron: "0 9 30 12 *",
            after: "2011-06-01T00:00:00Z",
            expected: &["2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"],
        },
        // Merged with the regular fire at that instant, over the change of date.
        Case {
            zone: "Pacific/Apia",
            cron: "0 0 * * *",
            after: "2011-12-28T22:00:00Z",
            expected: &[
                "2011-12-29T00:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                "2012-01-01T00:00:00+14:00",
            ],
        },
    ]);
}

#[test]
fn fixed_jobs_in_an_overlap_fire_at_the_first_occurrence_only() {
    check(&[
        Case {
            zone: "Europe/Stockholm",
            cron: "30 2 * * *",
            after: "2026-10-24T12:00:00Z",
            expected: &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        },
        Case {
            zone: "Europe/Stockholm",
            cron: "0,30 2,3 * * *",
            after: "2026-10-24T12:00:00Z",
            expected: &[
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T03:00:00+01:00",
                "2026-10-25T03:30:00+01:00",
            ],
        },
        // Asked in the middle of the second pass, the first one is past.
        Case {
            zone: "Europe/Stockholm",
            cron: "30 2 * * *",
            after: "2026-10-25T01:10:00Z",
            expected: &["2026-10-26T02:30:00+01:00"],
        },
        Case {
            zone: "Australia/Lord_Howe",
            cron: "45 1 * * *",
            after: "2026-04-04T00:00:00Z",
            expected: &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"],
        },
        Case {
            zone: "Pacific/Chatham",
            cron: "0 3 * * *",
            after: "2026-04-04T00:00:00Z",
            expected: &["2026-04-05T03:00:00+13:45", "2026-04-06T03:00:00+12:45"],
        },
        Case {
            zone: "Antarctica/Troll",
            cron: "30 1 * * *",
            after: "2026-10-24T12:00:00Z",
            expected: &["2026-10-25T01:30:00+02:00", "2026-10-26T01:30:00+00:00"],
        },
        // 23:00 to 24:00 of Saturday occurs twice.
        Case {
            zone: "America/Santiago",
            cron: "30 23 * * *",
            after: "2026-04-04T12:00:00Z",
            expected: &["2026-04-04T23:30:00-03:00", "2026-04-05T23:30:00-04:00"],
        },
        // Dublin's winter is "negative" summer time in the database; the wall clock is what counts.
        Case {
            zone: "Europe/Dublin",
            cron: "30 1 * * *",
            after: "2026-10-24T12:00:00Z",
            expected: &["2026-10-25T01:30:00+01:00", "2026-10-26T01:30:00+00:00"],
        },
        // Casablanca goes back for Ramadan, and forward after it.
        Case {
            zone: "Africa/Casablanca",
            cron: "30 2 * * *",
            after: "2026-02-14T12:00:00Z",
            expected: &["2026-02-15T02:30:00+01:00", "2026-02-16T02:30:00+00:00"],
        },
        Case {
            zone: "Africa/Casablanca",
            cron: "30 2 * * *",
            after: "2026-03-21T12:00:00Z",
            expected: &["2026-03-22T03:00:00+01:00", "2026-03-23T02:30:00+01:00"],
        },
    ]);
}

#[test]
fn wildcard_jobs_follow_real_minutes() {
    check(&[
        // Nothing for the gap.
        Case {
            zone: "Europe/Stockholm",
            cron: "*/30 * * * *",
            after: "2026-03-29T00:10:00Z",
            expected: &[
                "2026-03-29T01:30:00+01:00",
                "2026-03-29T03:00:00+02:00",
                "2026-03-29T03:30:00+02:00",
            ],
        },
        Case {
            zone: "Europe/Stockholm",
            cron: "*/30 2 * * *",
            after: "2026-03-28T12:00:00Z",
            expected: &["2026-03-30T02:00:00+02:00"],
        },
        // A star in the hour is enough.
        Case {
            zone: "Europe/Stockholm",
            cron: "15 */2 * * *",
            after: "2026-03-29T00:00:00Z",
            expected: &["2026-03-29T04:15:00+02:00"],
        },
        // Both passes of the overlap.
        Case {
            zone: "America/New_York",
            cron: "*/30 * * * *",
            after: "2025-11-02T04:45:00Z",
            expected: &[
                "2025-11-02T01:00:00-04:00",
                "2025-11-02T01:30:00-04:00",
                "2025-11-02T01:00:00-05:00",
                "2025-11-02T01:30:00-05:00",
                "2025-11-02T02:00:00-05:00",
            ],
        },
        Case {
            zone: "Australia/Lord_Howe",
            cron: "*/15 1 * * *",
            after: "2026-04-04T13:50:00Z",
            expected: &[
                "2026-04-05T01:00:00+11:00",
                "2026-04-05T01:15:00+11:00",
                "2026-04-05T01:30:00+11:00",
                "2026-04-05T01:45:00+11:00",
                "2026-04-05T01:30:00+10:30",
                "2026-04-05T01:45:00+10:30",
                "2026-04-06T01:00:00+10:30",
            ],
        },
        Case {
            zone: "Pacific/Apia",
            cron: "0 */12 * * *",
            after: "2011-12-29T10:00:00Z",
            expected: &["2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00"],
        },
    ]);
}

/// Expression, gap, overlap, after, expected.
type Own = (&'static str, Option<Gap>, Option<Overlap>, &'static str, &'static [&'static str]);

#[test]
fn a_job_can_choose_for_itself() {
    let gap = "2026-03-28T12:00:00Z";
    let overlap = "2026-10-24T12:00:00Z";
    let cases: [Own; 9] = [
        ("30 2 * * *", Some(Gap::Skip), None, gap, &["2026-03-30T02:30:00+02:00"]),
        (
            "30 2 * * *",
            None,
            Some(Overlap::Second),
            overlap,
            &["2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"],
        ),
        (
            "30 2 * * *",
            None,
            Some(Overlap::Both),
            overlap,
            &["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"],
        ),
        // What is left out stays with the kind.
        ("30 2 * * *", None, Some(Overlap::Both), gap, &["2026-03-29T03:00:00+02:00"]),
        (
            "*/30 2 * * *",
            Some(Gap::RunAfter),
            None,
            gap,
            &["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"],
        ),
        (
            "*/30 2-3 * * *",
            Some(Gap::RunAfter),
            None,
            gap,
            &["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"],
        ),
        (
            "*/30 2 * * *",
            None,
            Some(Overlap::First),
            overlap,
            &["2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"],
        ),
        (
            "*/30 2 * * *",
            None,
            Some(Overlap::Second),
            overlap,
            &["2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:00:00+01:00"],
        ),
        (
            "*/30 2 * * *",
            Some(Gap::RunAfter),
            None,
            overlap,
            &["2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"],
        ),
    ];
    for (text, gap, overlap, after, expected) in cases {
        let schedule = schedule(text, "Europe/Stockholm").with_dst(DstOverride { gap, overlap });
        assert_eq!(fires(&schedule, after, expected.len()), expected, "{text} {gap:?} {overlap:?}");
    }
}

#[test]
fn the_kind_is_decided_by_minute_and_hour() {
    let wildcard = Dst { gap: Gap::Skip, overlap: Overlap::Both };
    let fixed = Dst { gap: Gap::RunAfter, overlap: Overlap::First };
    for (text, expected) in [
        ("* * * * *", wildcard),
        ("*/5 2 * * *", wildcard),
        ("5 * * * *", wildcard),
        ("*,5 2 * * *", wildcard),
        ("@hourly", wildcard),
        ("0-59 2 * * *", fixed),
        ("0/30 2 * * *", fixed),
        ("5,* 2 * * *", fixed),
        ("@daily", fixed),
        ("0 2 */2 * *", fixed),
    ] {
        assert_eq!(schedule(text, "UTC").dst(), expected, "{text}");
    }
    let hour = std::time::Duration::from_secs(3_600);
    assert_eq!(Schedule::interval(hour, zone("UTC")).expect("an hour").dst(), wildcard);
}

#[test]
fn a_zone_that_abolished_its_changes_has_none() {
    check(&[Case {
        zone: "America/Sao_Paulo",
        cron: "30 0 * * *",
        after: "2026-11-01T00:00:00Z",
        expected: &["2026-11-01T00:30:00-03:00", "2026-11-02T00:30:00-03:00"],
    }]);
    // It had them at midnight, until 2019.
    check(&[Case {
        zone: "America/Sao_Paulo",
        cron: "30 0 * * *",
        after: "2018-11-03T12:00:00Z",
        expected: &["2018-11-04T01:00:00-02:00", "2018-11-05T00:30:00-02:00"],
    }]);
}

/// Offsets had seconds before standard time: the wall clock's minutes are not UTC's.
#[test]
fn local_mean_time_has_seconds() {
    let berlin = schedule("0 12 * * *", "Europe/Berlin");
    // Berlin was 53 minutes and 28 seconds ahead until April 1893, then an hour.
    let fires: Vec<_> = berlin.fires(at("1893-03-31T00:00:00Z")).take(2).collect();
    assert_eq!(fires, [at("1893-03-31T11:06:32Z"), at("1893-04-01T11:00:00Z")]);
    assert_eq!(berlin.count(at("1893-03-31T11:06:31Z"), at("1893-04-01T11:00:00Z")), 2);
    // Monrovia's ended in 1972.
    let monrovia = schedule("0 * * * *", "Africa/Monrovia");
    assert_eq!(monrovia.next_after(at("1971-06-01T00:00:00Z")), Some(at("1971-06-01T00:44:30Z")));
}

#[test]
fn fires_strictly_increase_whatever_the_rule() {
    let mut random = common::Random(3);
    let zones: Vec<_> = schedule::Zone::all().step_by(5).collect();
    for _ in 0..400 {
        let text = random.expression();
        let Ok(cron) = schedule::Cron::parse(&text) else { continue };
        let rule = DstOverride {
            gap: random.pick(&[None, Some(Gap::RunAfter), Some(Gap::Skip)]),
            overlap: random.pick(&[None, Some(Overlap::First), Some(Overlap::Second), Some(Overlap::Both)]),
        };
        let schedule = Schedule::cron(cron, random.pick(&zones)).with_dst(rule);
        // Any second from 1830 to 2110, so that local mean time and its end are crossed too.
        let mut last = chrono::DateTime::from_timestamp(random.between(-4_400_000_000, 4_400_000_000), 0)
            .expect("in range");
        let begin = last;
        for (number, fire) in schedule.fires(last).take(200).enumerate() {
            assert!(fire > last, "{text} {fire} {last}");
            last = fire;
            if number % 50 == 49 {
                assert_eq!(
                    schedule.count(begin, last),
                    number as u64 + 1,
                    "{text} in {} from {begin}",
                    schedule.zone()
                );
            }
            // Asking from just before a fire finds it, and asking from it does not.
            let before = fire - chrono::TimeDelta::nanoseconds(1);
            assert_eq!(schedule.next_after(before), Some(fire), "{text} in {}", schedule.zone());
        }
    }
}
