//! What is refused, and what the message says.

mod common;

use CronField::{DayOfMonth, DayOfWeek, Hour, Minute, Month};
use schedule::{Cron, CronField};

/// Text, field, culprit, a part of the message, a part of the suggestion ("" for none needed).
type Case = (&'static str, Option<CronField>, &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    // Shape.
    ("", None, "", "it is empty", "five fields"),
    ("  \t ", None, "", "it is empty", "five fields"),
    ("*", None, "", "it has 1 field, needed are 5", "every value"),
    ("* * * *", None, "", "it has 4 fields", "every value"),
    ("0 0 * * * *", None, "*", "it has 6 fields", "`0 * * * *`"),
    ("5 0 * * * *", None, "*", "it has 6 fields", "use `interval`"),
    ("0 0 12 ? * MON 2026", None, "MON 2026", "it has 7 fields", "Quartz"),
    ("0 9 * * 1-5 # weekdays", None, "# weekdays", "it has 7 fields", ""),
    ("CRON_TZ=Asia/Tokyo 30 4 * * *", None, "*", "it has 6 fields", "write it as `timezone`"),
    // Nicknames.
    ("@dayly", None, "@dayly", "not a known nickname", "`@daily`"),
    ("@Daily", None, "@Daily", "not a known nickname", "`@daily`"),
    ("@reboot", None, "@reboot", "not a known nickname", "without `schedule`"),
    ("@every 5m", None, "@every 5m", "not a known nickname", "interval: 5m"),
    ("@daily x", None, "@daily x", "not a known nickname", ""),
    ("@", None, "@", "not a known nickname", "@hourly"),
    // Ranges of values.
    ("60 * * * *", Some(Minute), "60", "out of range, allowed are 0-59", "minute 0"),
    ("61 * * * *", Some(Minute), "61", "out of range, allowed are 0-59", ""),
    ("0 24 * * *", Some(Hour), "24", "out of range, allowed are 0-23", "midnight is hour 0"),
    ("0 0 0 * *", Some(DayOfMonth), "0", "out of range, allowed are 1-31", "first day is 1"),
    ("0 0 32 * *", Some(DayOfMonth), "32", "out of range, allowed are 1-31", ""),
    ("0 0 * 0 *", Some(Month), "0", "out of range, allowed are 1-12 or JAN-DEC", "January is 1"),
    ("0 0 * 13 *", Some(Month), "13", "out of range, allowed are 1-12 or JAN-DEC", ""),
    ("0 0 * * 8", Some(DayOfWeek), "8", "out of range, allowed are 0-7", ""),
    ("0 0-24 * * *", Some(Hour), "24", "out of range", ""),
    ("1,2,99 * * * *", Some(Minute), "99", "out of range", ""),
    ("99999999999999999999999 * * * *", Some(Minute), "99999999999999999999999", "out of range", ""),
    // Steps.
    ("*/0 * * * *", Some(Minute), "0", "a step of 0 never moves, allowed are 1-60", ""),
    ("*/61 * * * *", Some(Minute), "61", "larger than the field, allowed are 1-60", "interval: 61m"),
    ("*/90 * * * *", Some(Minute), "90", "larger than the field, allowed are 1-60", "interval: 90m"),
    ("0 */25 * * *", Some(Hour), "25", "allowed are 1-24", "interval: 25h"),
    ("0 0 */32 * *", Some(DayOfMonth), "32", "allowed are 1-31", "interval: 32d"),
    ("0 0 1 */13 *", Some(Month), "13", "allowed are 1-12", "each year"),
    ("0 0 * * */8", Some(DayOfWeek), "8", "allowed are 1-7", "interval: 8d"),
    ("0-30/0 * * * *", Some(Minute), "0", "a step of 0", ""),
    ("*/ * * * *", Some(Minute), "", "the step after `/` is missing", "1-60"),
    ("/5 * * * *", Some(Minute), "/5", "`/5` has no start", "`*/5`"),
    ("*/5/5 * * * *", Some(Minute), "/", "a second `/`", ""),
    ("*/-5 * * * *", Some(Minute), "-", "negative", ""),
    ("*/x * * * *", Some(Minute), "x", "not understood", ""),
    ("*/99999999999999999999 * * * *", Some(Minute), "99999999999999999999", "larger than the field", ""),
    // Backwards.
    ("0 22-2 * * *", Some(Hour), "22-2", "runs backwards", "`22-23,0-2`"),
    ("0 23-0 * * *", Some(Hour), "23-0", "runs backwards", "`23,0`"),
    ("0 22-4/2 * * *", Some(Hour), "22-4", "runs backwards", "`22,0,2,4`"),
    ("0 0 * * FRI-MON", Some(DayOfWeek), "FRI-MON", "runs backwards", "`FRI-SUN,MON`"),
    ("0 0 * * sat-tue", Some(DayOfWeek), "sat-tue", "runs backwards", "`SAT-SUN,MON-TUE`"),
    ("0 0 * * 5-1", Some(DayOfWeek), "5-1", "runs backwards", "`5-7,1`"),
    ("0 0 * * 5-0", Some(DayOfWeek), "5-0", "runs backwards", "`5-7`"),
    ("0 0 * * 7-2", Some(DayOfWeek), "7-2", "runs backwards", "`0-2`"),
    ("0 0 * * 6-2/2", Some(DayOfWeek), "6-2", "runs backwards", "`6,1`"),
    ("0 0 * NOV-FEB *", Some(Month), "NOV-FEB", "runs backwards", "`NOV-DEC,JAN-FEB`"),
    ("50-10 * * * *", Some(Minute), "50-10", "runs backwards", "`50-59,0-10`"),
    ("50-10/0 * * * *", Some(Minute), "50-10", "runs backwards", "two ranges"),
    ("50-49/1 * * * *", Some(Minute), "50-49", "runs backwards", "`50-59,0-49`"),
    ("0 0 25-5 * *", Some(DayOfMonth), "25-5", "runs backwards", "`25-31,1-5`"),
    // Empty parts.
    ("1,,2 * * * *", Some(Minute), "", "an empty part beside `,`", "1,15,30"),
    (",1 * * * *", Some(Minute), "", "an empty part", ""),
    ("1, * * * *", Some(Minute), "", "an empty part", ""),
    ("1, 2 * * * *", None, "*", "it has 6 fields", ""),
    ("1- * * * *", Some(Minute), "", "the range `1-` has no end", "both ends"),
    ("-5 * * * *", Some(Minute), "-", "negative values", "0-59"),
    ("1-2-3 * * * *", Some(Minute), "-", "a range has two ends", ""),
    ("1--2 * * * *", Some(Minute), "-", "negative", ""),
    // Stars and question marks.
    ("** * * * *", Some(Minute), "**", "only a step may follow `*`", ""),
    ("*5 * * * *", Some(Minute), "*5", "only a step may follow `*`", ""),
    ("*-5 * * * *", Some(Minute), "*-5", "only a step may follow `*`", ""),
    ("5* * * * *", Some(Minute), "*", "not understood", ""),
    ("? * * * *", Some(Minute), "?", "`?` does not belong here", "two day fields"),
    ("0 0 ?/2 * *", Some(DayOfMonth), "?", "`?` does not belong here", "stands alone"),
    ("0 0 ?,5 * *", Some(DayOfMonth), "?", "`?` does not belong here", "stands alone"),
    ("0 0 * ? *", Some(Month), "?", "`?` does not belong here", "two day fields"),
    // Names.
    ("0 0 * * MONDAY", Some(DayOfWeek), "MONDAY", "is not a value", "`MON`"),
    ("0 0 * * MOO", Some(DayOfWeek), "MOO", "is not a value", "`MON`"),
    ("0 0 * * TUES", Some(DayOfWeek), "TUES", "is not a value", "`TUE`"),
    ("0 0 * MARCH *", Some(Month), "MARCH", "is not a value", "`MAR`"),
    ("0 0 * MON *", Some(Month), "MON", "is not a value, allowed are 1-12 or JAN-DEC", ""),
    ("0 MON * * *", Some(Hour), "MON", "is not a value, allowed are 0-23", ""),
    ("H * * * *", Some(Minute), "H", "is not a value", "jitter"),
    ("x * * * *", Some(Minute), "x", "is not a value", ""),
    ("0 0 * * MON-TUE-WED", Some(DayOfWeek), "TUE-WED", "is not a value", ""),
    ("0 0 * JAN2 *", Some(Month), "JAN2", "is not a value", "`JAN`"),
    // Extensions.
    ("0 0 L-0 * *", Some(DayOfMonth), "L-0", "counts back further", "L-1 to L-30"),
    ("0 0 L-31 * *", Some(DayOfMonth), "L-31", "counts back further", "L-1 to L-30"),
    ("0 0 L- * *", Some(DayOfMonth), "", "a number is missing", ""),
    ("0 0 L-x * *", Some(DayOfMonth), "x", "not understood", ""),
    ("0 0 W * *", Some(DayOfMonth), "W", "`W` is not a day", "15W"),
    ("0 0 1-5W * *", Some(DayOfMonth), "1-5W", "`1-5W` is not a day", "15W"),
    ("0 0 0W * *", Some(DayOfMonth), "0", "out of range", ""),
    ("0 0 32W * *", Some(DayOfMonth), "32", "out of range", ""),
    ("0 0 L-3W * *", Some(DayOfMonth), "W", "does not belong here", ""),
    ("0 0 LX * *", Some(DayOfMonth), "LX", "is not a value", "L-3"),
    ("0 0 5L * *", Some(DayOfMonth), "L", "does not belong here", ""),
    ("0 L * * *", Some(Hour), "L", "is not a value", ""),
    ("0 0 * * L", Some(DayOfWeek), "L", "`L` needs a day before it", "5L"),
    ("0 0 * * 8L", Some(DayOfWeek), "8", "out of range", ""),
    ("0 0 * * 1-5L", Some(DayOfWeek), "1-5L", "is not one day", "single day"),
    ("0 0 * * 5#0", Some(DayOfWeek), "5#0", "at most five", "#1 to #5"),
    ("0 0 * * 5#6", Some(DayOfWeek), "5#6", "at most five", "as in `5L`"),
    ("0 0 * * 5#", Some(DayOfWeek), "", "a number is missing", ""),
    ("0 0 * * #3", Some(DayOfWeek), "#3", "is not one day", ""),
    ("0 0 * * 5#1#2", Some(DayOfWeek), "#", "does not belong here", ""),
    ("0 0 * * MON-FRI#2", Some(DayOfWeek), "MON-FRI#2", "is not one day", ""),
    ("0 0 * * 15W", Some(DayOfWeek), "W", "does not belong here", ""),
    // Characters.
    ("\u{661} * * * *", Some(Minute), "\u{661}", "is not one of the digits 0-9", ""),
    ("0 \u{ff19} * * *", Some(Hour), "\u{ff19}", "is not one of the digits 0-9", ""),
    ("0\u{a0}9 * * * *", Some(Minute), "\u{a0}", "is not a plain space", ""),
    ("\u{2212}5 * * * *", Some(Minute), "\u{2212}", "not understood", ""),
    ("+5 * * * *", Some(Minute), "+", "not understood", ""),
    ("5.5 * * * *", Some(Minute), ".", "not understood", ""),
    ("0 0 * * 1\u{2013}5", Some(DayOfWeek), "\u{2013}", "not understood", ""),
    ("\u{0}* * * * *", Some(Minute), "\u{0}", "not understood", ""),
    // Dates that never come.
    ("0 0 31 2 *", Some(DayOfMonth), "31 2", "can never fire", "`L`"),
    ("0 0 30 FEB ?", Some(DayOfMonth), "30 FEB", "can never fire", "`L`"),
    ("0 0 31 4,6,9,11 *", Some(DayOfMonth), "31 4,6,9,11", "can never fire", ""),
    ("0 0 31W 2-2 *", Some(DayOfMonth), "31W 2-2", "can never fire", ""),
    ("0 0 L-29 2 *", Some(DayOfMonth), "L-29 2", "can never fire", ""),
    ("0 0 L-30 4 *", Some(DayOfMonth), "L-30 4", "can never fire", ""),
    ("0 0 30 2 */2", None, "30 2 */2", "can never fire", "begins with `*`"),
    ("0 0 */31 * 1#2", None, "*/31 * 1#2", "can never fire", "must match together"),
];

#[test]
fn every_refusal_names_field_and_culprit_and_says_what_to_write() {
    for (text, field, culprit, message, suggestion) in CASES {
        let Err(error) = Cron::parse(text) else { panic!("`{text}` is accepted") };
        assert_eq!(error.field(), *field, "{text}: {error}");
        assert_eq!(error.culprit(), *culprit, "{text}: {error}");
        assert!(error.message().contains(message), "{text}: {error}");
        assert!(error.suggestion().unwrap_or_default().contains(suggestion), "{text}: {error}");
        let line = error.to_string();
        assert!(!line.contains('\n') && !line.contains('\0'), "{line:?}");
        assert!(field.is_none_or(|field| line.contains(field.name())), "{line}");
        let rendered = error.render();
        assert!((3..=4).contains(&rendered.lines().count()), "{rendered}");
    }
}

#[test]
fn the_caret_is_under_the_culprit() {
    let rendered = |text: &str| Cron::parse(text).expect_err(text).render();
    assert_eq!(
        rendered("0 22-2 * * *"),
        "0 22-2 * * *\n  ^^^^\nhour: the range runs backwards\nhint: write it as a list: `22-23,0-2`"
    );
    assert_eq!(
        rendered("1,,2 * * * *"),
        "1,,2 * * * *\n  ^\nminute: an empty part beside `,`\nhint: separate values by single commas, without spaces: `1,15,30`"
    );
    assert_eq!(
        rendered("0 0 * *"),
        "0 0 * *\n       ^\nit has 4 fields, needed are 5: minute hour day-of-month month day-of-week\nhint: `*` stands for every value"
    );
    // A long expression is cut around the culprit, and the caret moves with it.
    let long = format!("{},99 * * * *", "1,".repeat(200).trim_end_matches(','));
    let text = rendered(&long);
    let lines: Vec<&str> = text.lines().collect();
    let column = lines[1].chars().count() - 2;
    assert_eq!(lines[0].chars().skip(column).take(2).collect::<String>(), "99", "{text}");
    assert!(lines[0].chars().count() < 200, "{text}");
}

#[test]
fn an_endless_text_is_refused_unread() {
    let long = "*".repeat(2_000_000);
    let error = Cron::parse(&long).expect_err("too long").to_string();
    assert!(error.contains("2000000 bytes long, the limit is 1000"), "{error}");
    assert!(error.len() < 300, "{error}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this test is about real time")]
fn impossible_dates_are_refused_at_once() {
    // A search that goes on to the last year would take seconds here.
    let started = std::time::Instant::now();
    for _ in 0..10_000 {
        assert!(Cron::parse("0 0 31 2 *").is_err());
        assert!(Cron::parse("0 0 */31 * 1#2").is_err());
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}
