//! The crate's search against a scan of every minute.

mod common;

use chrono::{Days, Duration, NaiveDate, NaiveTime};
use common::{Naive, Random, cron, next_change, overrides};
use schedule::{Cron, Dst, Gap, Overlap, Schedule, Zone};

const ALL_RULES: [Dst; 6] = [
    Dst { gap: Gap::RunAfter, overlap: Overlap::First },
    Dst { gap: Gap::RunAfter, overlap: Overlap::Second },
    Dst { gap: Gap::RunAfter, overlap: Overlap::Both },
    Dst { gap: Gap::Skip, overlap: Overlap::First },
    Dst { gap: Gap::Skip, overlap: Overlap::Second },
    Dst { gap: Gap::Skip, overlap: Overlap::Both },
];

/// Compares all fires of some days around `date` with the scan, and the count with their number.
fn check(text: &str, zone: Zone, rule: Option<Dst>, date: NaiveDate) -> usize {
    let naive = Naive::new(text);
    let schedule = Schedule::cron(cron(text), zone);
    let (schedule, dst) = match rule {
        Some(dst) => (schedule.with_dst(overrides(dst)), dst),
        None => (schedule, naive.dst()),
    };
    let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN);
    // The scan covers 36 hours more on each side than what is compared: no offset is larger.
    let begin = midnight(date - Days::new(3));
    let end = midnight(date + Days::new(3));
    let (low, high) = (begin.and_utc() + Duration::hours(36), end.and_utc() - Duration::hours(36));
    let expected: Vec<_> =
        naive.scan(zone, dst, begin, end).into_iter().filter(|fire| *fire > low && *fire <= high).collect();
    let found: Vec<_> = schedule.fires(low).take_while(|fire| *fire <= high).collect();
    assert_eq!(found, expected, "`{text}` in {zone} with {dst:?} around {date}");
    assert_eq!(
        schedule.count(low, high),
        expected.len() as u64,
        "count of `{text}` in {zone} {dst:?} {date}"
    );
    expected.len()
}

/// A date in the years in which all offsets are whole minutes, at a change of the clocks if there
/// is one within a year.
fn interesting_date(random: &mut Random, zone: Zone) -> NaiveDate {
    let first = NaiveDate::from_ymd_opt(1972, 2, 1).expect("a date");
    let date = first + Days::new(random.below(128 * 365));
    next_change(zone, date, 366).unwrap_or(date)
}

/// `SCHEDULE_CASES` raises the number of cases; `SCHEDULE_SEED` chooses others.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn every_fire_around_clock_changes_is_what_a_minute_scan_finds() {
    let zones: Vec<Zone> = Zone::all().collect();
    let mut random = Random(setting("SCHEDULE_SEED", 20_260_101));
    let (mut cases, mut fires) = (0, 0);
    while cases < setting("SCHEDULE_CASES", 800) {
        let text = random.expression();
        // Some generated expressions name days that never come together; they are refused.
        if Cron::parse(&text).is_err() {
            continue;
        }
        let zone = random.pick(&zones);
        let rule = match random.below(3) {
            0 => Some(random.pick(&ALL_RULES)),
            _ => None,
        };
        let date = interesting_date(&mut random, zone);
        fires += check(&text, zone, rule, date);
        cases += 1;
    }
    // The comparison would be worthless if hardly anything fired.
    assert!(fires as u64 > cases * 20, "{fires} fires in {cases} cases");
}

#[test]
fn odd_zones_agree_under_every_rule() {
    let days = [
        ("Australia/Lord_Howe", [(2026, 4, 4), (2026, 10, 3)]),
        ("Pacific/Chatham", [(2026, 4, 4), (2026, 9, 26)]),
        ("Antarctica/Troll", [(2026, 3, 29), (2026, 10, 25)]),
        ("America/Santiago", [(2026, 4, 4), (2026, 9, 6)]),
        ("Asia/Beirut", [(2026, 3, 29), (2026, 10, 24)]),
        ("Africa/Cairo", [(2026, 4, 24), (2026, 10, 29)]),
        ("Pacific/Apia", [(2011, 12, 30), (2012, 4, 1)]),
        ("Africa/Casablanca", [(2026, 2, 15), (2026, 3, 22)]),
        ("Europe/Dublin", [(2026, 3, 29), (2026, 10, 25)]),
        ("America/Sao_Paulo", [(2018, 11, 4), (2018, 2, 17)]),
        ("Europe/Stockholm", [(2026, 3, 29), (2026, 10, 25)]),
        ("America/New_York", [(2025, 3, 9), (2025, 11, 2)]),
        ("Pacific/Kwajalein", [(1993, 8, 21), (1993, 8, 22)]),
    ];
    let expressions = [
        "* * * * *",
        "*/30 * * * *",
        "30 2 * * *",
        "0 0 * * *",
        "30 0-3 * * *",
        "15,45 1-3 * * *",
        "59 23 * * *",
        "10 */1 * * 0,5,6",
    ];
    for (name, dates) in days {
        for (year, month, day) in dates {
            let date = NaiveDate::from_ymd_opt(year, month, day).expect("a date");
            for text in expressions {
                check(text, common::zone(name), None, date);
                for rule in ALL_RULES {
                    check(text, common::zone(name), Some(rule), date);
                }
            }
        }
    }
}

/// Days alone, over decades: every rule for days against chrono's calendar.
#[test]
fn days_agree_with_a_day_scan_over_decades() {
    let mut random = Random(7);
    let mut cases = 0;
    while cases < 150 {
        let text = random.expression();
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [_, _, day_of_month, month, day_of_week] = fields[..] else { continue };
        let text = format!("0 12 {day_of_month} {month} {day_of_week}");
        let naive = Naive::new(&text);
        let first = NaiveDate::from_ymd_opt(1890 + random.below(300) as i32, 1, 1).expect("a date");
        let days: Vec<NaiveDate> =
            first.iter_days().take(8 * 366).filter(|date| naive.matches_day(*date)).collect();
        let Ok(cron) = Cron::parse(&text) else {
            assert!(days.is_empty(), "`{text}` is refused, but matches {}", days[0]);
            continue;
        };
        let schedule = Schedule::cron(cron, Zone::UTC);
        let begin = first.and_time(NaiveTime::MIN).and_utc();
        let end = begin + Duration::days(8 * 366);
        let found: Vec<NaiveDate> =
            schedule.fires(begin).take_while(|fire| *fire < end).map(|fire| fire.date_naive()).collect();
        assert_eq!(found, days, "`{text}` from {first}");
        assert_eq!(schedule.count(begin, end), days.len() as u64, "`{text}` from {first}");
        cases += 1;
    }
}
