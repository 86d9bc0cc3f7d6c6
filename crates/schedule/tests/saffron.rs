//! The search against saffron's, where both read the same language, and the traps in saffron that
//! are the reason why it does not answer alone.

mod common;

use chrono::{DateTime, Datelike, Utc, Weekday};
use common::{Random, at, cron, schedule};
use saffron::Cron as Saffron;
use schedule::{Cron, Schedule, Zone};

fn saffron(text: &str) -> Saffron {
    text.parse().unwrap_or_else(|_| panic!("saffron refuses `{text}`"))
}

/// The same expression in saffron's language, where there is one.
fn translate(text: &str) -> Option<String> {
    const NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day_of_month, month, day_of_week] = fields[..] else { return None };
    // Its extensions stand alone, and its stars with a step count as restricted.
    let extended = |field: &str| field.to_uppercase().trim_start_matches("JUL").contains(['L', 'W', '#']);
    let plain_names = day_of_week.to_uppercase().replace("WED", "").replace("JUL", "");
    let week_extended = plain_names.contains(['L', '#']);
    if (extended(day_of_month) || week_extended) && (day_of_month.contains(',') || day_of_week.contains(','))
    {
        return None;
    }
    // The nearest weekday to a day that the month does not have is another trap.
    if ["29W", "30W", "31W"].contains(&day_of_month.to_uppercase().as_str()) {
        return None;
    }
    let star_with_more = |field: &str| field.starts_with('*') && field.len() > 1;
    if star_with_more(day_of_month) || star_with_more(day_of_week) {
        return None;
    }
    let mut week = String::new();
    for part in day_of_week.split(',') {
        let (base, tail) = match part.find(['/', '#']) {
            Some(index) => part.split_at(index),
            None => (part, ""),
        };
        let (base, last) = match base.strip_suffix(['L', 'l']) {
            Some(base) => (base, "L"),
            None => (base, ""),
        };
        let days: Vec<String> = base
            .split('-')
            .map(|day| day.parse::<usize>().map_or_else(|_| day.to_uppercase(), |day| NAMES[day].to_owned()))
            .collect();
        // Sunday to Sunday is one day there.
        if days.len() == 2 && days[0] == days[1] {
            return None;
        }
        if !week.is_empty() {
            week.push(',');
        }
        // A range that ends on Sunday wraps there, and wraps wrongly (see the trap below).
        if days.len() == 2 && days[1] == "SUN" {
            let first = NAMES.iter().position(|name| *name == days[0])?;
            let step = tail.strip_prefix('/').map_or(Some(1), |step| step.parse().ok())?;
            let list: Vec<&str> = (first..=7).step_by(step).map(|day| NAMES[day]).collect();
            week.push_str(&list.join(","));
            continue;
        }
        week.push_str(&format!("{}{last}{tail}", days.join("-")));
    }
    let star = |field: &str| field.replace('?', "*").to_uppercase();
    Some(format!("{minute} {hour} {} {} {}", star(day_of_month), month.to_uppercase(), star(&week)))
}

#[test]
fn both_searches_find_the_same_fires_in_utc() {
    let mut random = Random(11);
    let (mut compared, mut with_extensions) = (0, 0);
    for _ in 0..3_000 {
        let text = random.expression();
        let (Ok(ours), Some(translated)) = (Cron::parse(&text), translate(&text)) else { continue };
        let Ok(theirs) = translated.parse::<Saffron>() else { continue };
        let after =
            DateTime::from_timestamp(random.between(-2_200_000_000, 7_200_000_000), 0).expect("in range");
        let schedule = Schedule::cron(ours, Zone::UTC);
        let ours: Vec<DateTime<Utc>> = schedule.fires(after).take(30).collect();
        // Its iterator may give its start, although it should not.
        let theirs: Vec<DateTime<Utc>> = theirs.iter_after(after).take(30).collect();
        assert_eq!(ours, theirs, "`{text}`, there `{translated}`, after {after}");
        compared += 1;
        with_extensions += usize::from(translated.contains(['L', '#', 'W']));
    }
    assert!(compared > 800 && with_extensions > 60, "{compared} compared, {with_extensions} with extensions");
}

#[test]
fn matching_agrees_with_the_search() {
    // Each fire of ours is one that saffron's matcher knows, and no other minute of its day is.
    for (text, translated) in [
        ("*/20 9-17 * * 1-5", "*/20 9-17 * * MON-FRI"),
        ("15 3 L 2 *", "15 3 L 2 *"),
        ("0 6 * * 5#3", "0 6 * * FRI#3"),
    ] {
        let theirs = saffron(translated);
        let schedule = Schedule::cron(cron(text), Zone::UTC);
        for fire in schedule.fires(at("2026-01-01T00:00:00Z")).take(50) {
            assert!(theirs.contains(fire), "`{text}` at {fire}");
            let day =
                fire.date_naive().and_time(chrono::NaiveTime::MIN).and_utc() - chrono::TimeDelta::seconds(1);
            let next_day = day + chrono::TimeDelta::days(1);
            let minutes = (1..=1_440).map(|minute| day + chrono::TimeDelta::seconds(minute * 60 - 59));
            let matching = minutes.filter(|minute| theirs.contains(*minute)).count() as u64;
            assert_eq!(schedule.count(day, next_day), matching, "`{text}` on {}", fire.date_naive());
        }
    }
}

/// Trap: 1 is Sunday there, and 0 does not exist.
#[test]
fn trap_days_of_the_week_are_shifted() {
    let after = at("2026-01-01T00:00:00Z");
    let theirs = saffron("0 9 * * 1").next_after(after).expect("a fire");
    assert_eq!(theirs.weekday(), Weekday::Sun);
    assert!("0 9 * * 0".parse::<Saffron>().is_err());
    let ours = |text: &str| schedule(text, "UTC").next_after(after).expect("a fire").weekday();
    assert_eq!(ours("0 9 * * 1"), Weekday::Mon);
    assert_eq!((ours("0 9 * * 0"), ours("0 9 * * 7")), (Weekday::Sun, Weekday::Sun));
}

/// Trap: ranges wrap there; here a range that runs backwards is a mistake.
#[test]
fn trap_ranges_wrap() {
    assert!("0 9 * * FRI-MON".parse::<Saffron>().is_ok());
    assert!(Cron::parse("0 9 * * FRI-MON").is_err());
}

/// Trap: a range that wraps takes in the day before its start as well.
#[test]
fn trap_wrapping_ranges_begin_a_day_early() {
    let thursday = at("2026-01-01T00:00:00Z");
    assert!(saffron("0 0 * * FRI-SUN").contains(thursday));
    let before = thursday - chrono::TimeDelta::seconds(1);
    assert_eq!(schedule("0 0 * * FRI-SUN", "UTC").next_after(before), Some(at("2026-01-02T00:00:00Z")));
}

/// Trap: `31W` can fire in a month of 30 days, when its 30th is a Friday.
#[test]
fn trap_the_weekday_nearest_to_a_day_that_does_not_exist() {
    let friday = at("2173-04-30T00:00:00Z");
    assert!(saffron("0 0 31W * *").contains(friday));
    let before = friday - chrono::TimeDelta::seconds(1);
    assert_eq!(schedule("0 0 31W * *", "UTC").next_after(before), Some(at("2173-05-31T00:00:00Z")));
}

/// Trap: it knows UTC only.
#[test]
fn trap_there_are_no_zones() {
    let after = at("2026-03-28T12:00:00Z");
    // The wall clock handed in as if it were UTC would fire at a time that does not exist.
    assert_eq!(saffron("30 2 * * *").next_after(after), Some(at("2026-03-29T02:30:00Z")));
    let ours = schedule("30 2 * * *", "Europe/Stockholm");
    assert_eq!(ours.next_after(after), Some(at("2026-03-29T01:00:00Z")));
}

/// Trap: its error does not say which field, or why.
#[test]
fn trap_its_error_says_nothing() {
    for text in ["61 * * * *", "0 24 * * *", "0 0 * * MOO"] {
        let theirs = text.parse::<Saffron>().expect_err(text).to_string();
        assert!(!theirs.contains("minute") && !theirs.contains("out of range"), "{theirs}");
        let ours = Cron::parse(text).expect_err(text);
        assert!(ours.field().is_some() && ours.to_string().contains("allowed are"), "{ours}");
    }
}

/// Trap: for dates that never come it searches up to the last year that chrono knows, unless the
/// caller asks `any` first, which does not look at the day fields together.
#[test]
fn trap_impossible_dates_are_accepted() {
    assert!("0 0 31 2 *".parse::<Saffron>().is_ok());
    assert!(Cron::parse("0 0 31 2 *").is_err());
}

/// Trap: a star with a step counts as restricted there; crontab counts it as a star.
#[test]
fn trap_a_star_with_a_step_is_restricted() {
    // Saturday 3 January 2026 is an odd day, but no Monday.
    let saturday = at("2026-01-03T00:00:00Z");
    assert!(saffron("0 0 */2 * MON").contains(saturday));
    let before = saturday - chrono::TimeDelta::seconds(1);
    assert_ne!(schedule("0 0 */2 * MON", "UTC").next_after(before), Some(saturday));
}

/// Trap: `L` alone in the day of the week is Saturday there.
#[test]
fn trap_a_lone_l_is_saturday() {
    assert!(saffron("0 0 * * L").contains(at("2026-01-03T00:00:00Z")));
    assert!(Cron::parse("0 0 * * L").is_err());
}
