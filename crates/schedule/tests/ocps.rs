//! The Open Cron Pattern Specification, clause by clause: what is followed, and what is not.
//!
//! Clauses are named as in the versions 1.0 (revision 2) and the increments 1.1 to 1.4.

mod common;

use common::{at, cron, schedule};
use schedule::{Cron, Schedule, Zone};

/// Whether the expression fires at these minutes of the wall clock.
fn check(text: &str, matching: &[&str], not_matching: &[&str]) {
    let schedule = Schedule::cron(cron(text), Zone::UTC);
    let fires_at = |minute: &str| {
        let instant = at(&format!("{minute}:00Z"));
        schedule.next_after(instant - chrono::TimeDelta::seconds(1)) == Some(instant)
    };
    for minute in matching {
        assert!(fires_at(minute), "`{text}` at {minute}");
    }
    for minute in not_matching {
        assert!(!fires_at(minute), "`{text}` not at {minute}");
    }
}

fn refused(texts: &[&str]) {
    for text in texts {
        assert!(Cron::parse(text).is_err(), "`{text}` is accepted");
    }
}

// --- 1.0 ---------------------------------------------------------------------------------------

#[test]
fn v1_0_clause_4_1_five_fields_and_white_space() {
    check("15 10 * * *", &["2025-03-10T10:15"], &["2025-03-10T10:14", "2025-03-10T10:16"]);
    check("  15\t 10   * *\t* ", &["2025-03-10T10:15"], &["2025-03-10T10:14"]);
    refused(&["", "* * * *", "* * * * * *", "5;10 * * * *", "a * * * *", "* * * * * x"]);
}

#[test]
fn v1_0_clause_4_2_values_and_names() {
    check("59 23 31 12 *", &["2025-12-31T23:59"], &["2025-12-30T23:59"]);
    check("30 8 * jan Mon", &["2025-01-06T08:30"], &["2025-01-07T08:30", "2025-02-03T08:30"]);
    for (number, name) in ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
        .iter()
        .enumerate()
    {
        let by_name = cron(&format!("0 0 1 {} *", name.to_lowercase()));
        assert!(by_name.same_fires(&cron(&format!("0 0 1 {} *", number + 1))), "{name}");
    }
    for (number, name) in ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"].iter().enumerate() {
        assert!(cron(&format!("0 0 * * {name}")).same_fires(&cron(&format!("0 0 * * {number}"))), "{name}");
    }
    // 0 and 7 are Sunday.
    for sunday in ["0", "7", "SUN", "sun", "0,7", "7-7"] {
        check(&format!("0 0 * * {sunday}"), &["2025-10-05T00:00"], &["2025-10-04T00:00", "2025-10-06T00:00"]);
    }
    check(
        "0 0 * * 5-7",
        &["2025-10-03T00:00", "2025-10-04T00:00", "2025-10-05T00:00"],
        &["2025-10-02T00:00", "2025-10-06T00:00"],
    );
    check("0 0 * * 0-7", &["2025-10-01T00:00", "2025-10-05T00:00"], &[]);
}

#[test]
fn v1_0_clause_5_special_characters() {
    check("0,15,30,45 * * * *", &["2025-03-10T09:15", "2025-03-10T09:45"], &["2025-03-10T09:20"]);
    check(
        "0 9-17 * * *",
        &["2025-03-10T09:00", "2025-03-10T17:00"],
        &["2025-03-10T08:00", "2025-03-10T18:00"],
    );
    check(
        "5-59/15 9 * * *",
        &["2025-03-10T09:05", "2025-03-10T09:20", "2025-03-10T09:35", "2025-03-10T09:50"],
        &["2025-03-10T09:00", "2025-03-10T09:15"],
    );
    check(
        "1-5,10-20/5,59 0 * * *",
        &["2025-03-10T00:03", "2025-03-10T00:15", "2025-03-10T00:59"],
        &["2025-03-10T00:06", "2025-03-10T00:11"],
    );
    // Steps begin with the lowest value of the field and start anew in the next one.
    check(
        "0 */23 * * *",
        &["2025-03-10T00:00", "2025-03-10T23:00", "2025-03-11T00:00"],
        &["2025-03-11T22:00"],
    );
    check(
        "0 0 */2 * *",
        &["2025-03-01T00:00", "2025-03-31T00:00", "2025-04-01T00:00"],
        &["2025-03-02T00:00"],
    );
    check("*/60 * * * *", &["2025-03-10T09:00"], &["2025-03-10T09:01"]);
}

#[test]
fn v1_0_clause_6_1_either_day_field_may_match() {
    check("0 12 1 * MON", &["2025-10-01T12:00", "2025-10-06T12:00"], &["2025-10-07T12:00"]);
    check("0 12 * * MON", &["2025-10-06T12:00"], &["2025-10-07T12:00"]);
    check("0 12 1-31 * MON", &["2025-10-06T12:00", "2025-10-07T12:00"], &["2025-10-08T11:00"]);
    // A field that begins with `*` is not restricted, steps included, as crontab reads it.
    check("0 12 */2 * MON", &["2025-10-13T12:00"], &["2025-10-06T12:00", "2025-10-01T12:00"]);
    check(
        "0 12 13 * */2",
        &["2025-11-13T12:00", "2025-12-13T12:00"],
        &["2025-10-13T12:00", "2025-10-14T12:00"],
    );
}

#[test]
fn v1_0_clause_6_2_errors() {
    refused(&["60 * * * *", "* 24 * * *", "0 0 32 * *", "0 0 0 * *", "0 0 1 13 *", "0 0 1 0 *", "0 0 * * 8"]);
    refused(&["10-5 * * * *", "0 0 10-5 * *", "0 0 * * FRI-MON", "0 22-2 * * *"]);
    refused(&["*/0 * * * *", "0-10/0 * * * *", "/30 * * * *", "*/ * * * *"]);
}

/// Not followed: `a/n` is refused there, and read here as from `a` to the maximum, because the
/// schedulers that people come from (Quartz, robfig/cron, croniter) read it so.
#[test]
fn v1_0_clause_6_2_a_step_may_follow_a_single_value() {
    check("0/15 9 * * *", &["2025-03-10T09:00", "2025-03-10T09:45"], &["2025-03-10T09:10"]);
    check("10/25 9 * * *", &["2025-03-10T09:10", "2025-03-10T09:35"], &["2025-03-10T09:00"]);
    check(
        "0 0 * * 1/2",
        &["2025-10-06T00:00", "2025-10-08T00:00", "2025-10-10T00:00"],
        &["2025-10-05T00:00", "2025-10-12T00:00"],
    );
}

/// Not followed: an impossible date is valid syntax there, and refused here when it is added,
/// because a job that never runs is a mistake that nobody notices.
#[test]
fn v1_0_clause_6_2_impossible_dates_are_refused() {
    refused(&["* * 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"]);
    check("0 0 29 2 *", &["2028-02-29T00:00", "2104-02-29T00:00"], &["2100-03-01T00:00"]);
}

#[test]
fn v1_0_clause_6_4_the_pattern_is_local_time() {
    let stockholm = schedule("0 9 * * *", "Europe/Stockholm");
    assert_eq!(stockholm.next_after(at("2026-07-01T00:00:00Z")), Some(at("2026-07-01T07:00:00Z")));
    assert_eq!(stockholm.next_after(at("2026-01-01T00:00:00Z")), Some(at("2026-01-01T08:00:00Z")));
}

// --- 1.1 ---------------------------------------------------------------------------------------

#[test]
fn v1_1_clause_4_1_nicknames() {
    for (nickname, fields) in [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ] {
        assert!(cron(nickname).same_fires(&cron(fields)), "{nickname}");
    }
    refused(&["@Daily", "@daily 0 0 * * *", "0 0 * * @daily", "@fortnightly"]);
}

/// Not followed: `@reboot` is no instant. A pipeline without a schedule runs at each start, and
/// the message says so.
#[test]
fn v1_1_clause_4_2_reboot_is_refused_with_what_to_do() {
    let error = Cron::parse("@reboot").expect_err("no instant").to_string();
    assert!(error.contains("a pipeline without `schedule` runs once at every start"), "{error}");
}

// --- 1.2 ---------------------------------------------------------------------------------------

/// Not followed: there is no field for seconds or years. Five fields fire at second 0.
#[test]
fn v1_2_five_fields_only() {
    check("15 10 * * *", &["2025-03-10T10:15"], &[]);
    refused(&["30 15 10 * * *", "0 15 10 * * * 2025"]);
    let error = Cron::parse("0 15 10 * * *").expect_err("six fields").to_string();
    assert!(error.contains("`15 10 * * *`"), "{error}");
}

// --- 1.3 ---------------------------------------------------------------------------------------

#[test]
fn v1_3_clause_4_1_last() {
    check(
        "0 0 L * *",
        &["2025-02-28T00:00", "2028-02-29T00:00", "2025-12-31T00:00"],
        &["2025-02-27T00:00", "2028-02-28T00:00"],
    );
    check("0 0 * * 5L", &["2025-02-28T00:00", "2025-10-31T00:00"], &["2025-02-21T00:00"]);
    check("0 0 * * FRIL", &["2025-02-28T00:00"], &["2025-02-21T00:00"]);
    check("0 0 * * 7L", &["2025-02-23T00:00"], &["2025-02-16T00:00"]);
    // Beyond the specification: days before the last.
    check("0 0 L-3 * *", &["2025-02-25T00:00", "2025-03-28T00:00"], &["2025-02-28T00:00"]);
    check(
        "0 0 L-30 * *",
        &["2025-03-01T00:00", "2025-05-01T00:00"],
        &["2025-04-01T00:00", "2025-02-01T00:00"],
    );
    // Not followed: `FRI#L`, a second spelling of `FRIL`.
    refused(&["0 0 * * FRI#L"]);
}

#[test]
fn v1_3_clause_4_2_nth() {
    check("0 0 * * TUE#3", &["2025-06-17T00:00"], &["2025-06-10T00:00", "2025-06-24T00:00"]);
    check("0 0 * * 2#3", &["2025-06-17T00:00"], &["2025-06-10T00:00"]);
    check("0 0 * * MON#1", &["2025-06-02T00:00"], &["2025-06-09T00:00"]);
    check("0 0 * * 1#5", &["2025-06-30T00:00"], &["2025-07-28T00:00"]);
    check("0 0 * * 0#1,7#2", &["2025-06-01T00:00", "2025-06-08T00:00"], &["2025-06-15T00:00"]);
}

#[test]
fn v1_3_clause_4_3_nearest_weekday() {
    // The 15th on a Sunday, a Saturday, and a Wednesday.
    check(
        "0 12 15W * *",
        &["2025-06-16T12:00", "2025-11-14T12:00", "2025-10-15T12:00"],
        &["2025-06-15T12:00", "2025-11-15T12:00"],
    );
    // Never over the end of the month: the 1st on a Saturday, the last day on a Sunday.
    check(
        "0 12 1W * *",
        &["2025-02-03T12:00", "2025-03-03T12:00"],
        &["2025-01-31T12:00", "2025-02-01T12:00"],
    );
    check("0 12 30W * *", &["2025-11-28T12:00"], &["2025-11-30T12:00", "2025-12-01T12:00"]);
    check("0 12 31W * *", &["2025-08-29T12:00", "2025-12-31T12:00"], &["2025-09-30T12:00"]);
    check(
        "0 12 LW * *",
        &["2025-08-29T12:00", "2025-11-28T12:00", "2025-12-31T12:00"],
        &["2025-08-31T12:00"],
    );
    refused(&["0 12 1-15W * *", "0 12 W * *"]);
    // Beyond the specification: extensions may stand in lists.
    check(
        "0 12 1,15W,L * *",
        &["2025-06-01T12:00", "2025-06-16T12:00", "2025-06-30T12:00"],
        &["2025-06-15T12:00"],
    );
}

// --- 1.4 ---------------------------------------------------------------------------------------

/// Not followed: the `+` modifier. `*/1` in the other field says the same for whole fields, and
/// `#`, `L` and `W` say what most people want it for.
#[test]
fn v1_4_clause_4_1_or_without_a_modifier() {
    check(
        "0 12 1 * MON",
        &["2025-09-01T12:00", "2025-09-08T12:00", "2025-10-01T12:00"],
        &["2025-10-07T12:00"],
    );
    refused(&["0 12 1 * +MON", "0 12 +1 * MON"]);
}

#[test]
fn v1_4_clause_4_2_question_mark() {
    assert!(cron("0 12 ? * MON").same_fires(&cron("0 12 * * MON")));
    assert!(cron("0 12 13 * ?").same_fires(&cron("0 12 13 * *")));
    assert!(cron("0 12 ? * ?").same_fires(&cron("0 12 * * *")));
    refused(&["? 12 * * *", "0 ? * * *", "0 12 * ? *"]);
}

/// Followed for the overlap, not for the gap: there the job is skipped, here it runs at once
/// after the gap, as cronie's code does. `dst: {gap: skip}` gives the other reading.
#[test]
fn v1_4_clause_4_3_1_clock_changes() {
    let job = schedule("30 2 * * *", "Europe/Stockholm");
    assert_eq!(job.next_after(at("2026-03-28T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    assert_eq!(
        common::fires(&job, "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
}

#[test]
fn v1_4_clause_4_3_2_calendar_and_range() {
    // Proleptic Gregorian, far beyond the portable range on both sides.
    check(
        "0 0 29 2 *",
        &["0400-02-29T00:00", "1600-02-29T00:00", "2000-02-29T00:00", "9996-02-29T00:00"],
        &[],
    );
    check("0 0 1 3 *", &["1900-03-01T00:00", "2100-03-01T00:00", "2199-03-01T00:00"], &[]);
    // The last year is 9999; then there is no next fire.
    let newyear = Schedule::cron(cron("0 0 1 1 *"), Zone::UTC);
    assert_eq!(newyear.next_after(at("9998-06-01T00:00:00Z")), Some(at("9999-01-01T00:00:00Z")));
    assert_eq!(newyear.next_after(at("9999-06-01T00:00:00Z")), None);
}
