//! Properties that hold for any input: no panic, no endless search, exact round trips.

mod common;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use schedule::{
    Cron, DstOverride, Gap, Overlap, Schedule, StoredSchedule, Trigger, Zone, explain, plan_fires,
};

/// Text that looks like an expression more often than not.
fn cron_like() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        3 => "[0-9*,/?LW#-]{1,6}",
        2 => "(\\*|[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2})(/[0-9]{1,2})?",
        1 => "(MON|tue|Sun|JAN|dec|L|LW|15W|5L|2#3)(-(FRI|SUN|7|9))?",
        1 => "\\PC{0,4}",
    ];
    proptest::collection::vec(field, 0..8).prop_map(|fields| fields.join(" "))
}

fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
    let (low, high) = (DateTime::<Utc>::MIN_UTC.timestamp(), DateTime::<Utc>::MAX_UTC.timestamp());
    prop_oneof![
        4 => -70_000_000_000_i64..260_000_000_000,
        4 => 0_i64..4_200_000_000,
        1 => low..=high,
    ]
    .prop_flat_map(|seconds| {
        (0_u32..1_000_000_000)
            .prop_filter_map("outside", move |nanos| DateTime::from_timestamp(seconds, nanos))
    })
}

fn any_zone() -> impl Strategy<Value = Zone> {
    // Each zone that is used costs its table of clock changes; these have all that there is.
    proptest::sample::select(vec![
        "UTC",
        "Europe/Stockholm",
        "Europe/Dublin",
        "America/New_York",
        "America/Santiago",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Pacific/Chatham",
        "Pacific/Apia",
        "Pacific/Kwajalein",
        "Antarctica/Troll",
        "Africa/Casablanca",
        "Africa/Cairo",
        "Africa/Monrovia",
        "Asia/Gaza",
        "Asia/Kathmandu",
    ])
    .prop_map(common::zone)
}

fn valid_cron() -> impl Strategy<Value = Cron> {
    any::<u64>().prop_filter_map("refused", |seed| Cron::parse(&common::Random(seed).expression()).ok())
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let trigger = prop_oneof![
        6 => valid_cron().prop_map(Trigger::Cron),
        2 => (1_000_u64..700_000_000_000).prop_map(|ms| Trigger::Interval { period: Duration::from_millis(ms) }),
        1 => any_instant().prop_map(Trigger::At),
        1 => Just(Trigger::Manual),
    ];
    let gap = prop_oneof![Just(None), Just(Some(Gap::Skip)), Just(Some(Gap::RunAfter))];
    let overlap = prop_oneof![
        Just(None),
        Just(Some(Overlap::First)),
        Just(Some(Overlap::Second)),
        Just(Some(Overlap::Both))
    ];
    let bound = || prop_oneof![3 => Just(None), 1 => any_instant().prop_map(Some)];
    (trigger, any_zone(), gap, overlap, bound(), bound(), any_instant(), 0_u64..100_000).prop_map(
        |(trigger, zone, gap, overlap, start, end, anchor, jitter)| {
            Schedule::new(trigger, zone)
                .with_dst(DstOverride { gap, overlap })
                .with_bounds(start, end)
                .with_anchor(anchor)
                .with_jitter(Duration::from_secs(jitter))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_an_expression_or_an_error(text in prop_oneof![cron_like(), "\\PC*", "(?s).{0,30}"]) {
        match Cron::parse(&text) {
            Ok(cron) => {
                prop_assert_eq!(cron.as_str(), &text);
                prop_assert!(!cron.describe().is_empty());
                prop_assert!(cron.other_readings().len() <= 2);
            }
            Err(error) => {
                prop_assert!(!error.to_string().contains('\n'));
                prop_assert!(error.to_string().len() < 1_000);
                prop_assert!(text.get(error.span()).is_some(), "{:?} is not a part of {text:?}", error.span());
                prop_assert!(error.render().lines().count() <= 4);
            }
        }
    }

    #[test]
    fn parsing_and_printing_are_inverses(cron in valid_cron()) {
        let printed = cron.to_string();
        let again: Cron = printed.parse().expect("what is printed is valid");
        prop_assert_eq!(&again, &cron);
        prop_assert!(again.same_fires(&cron));
        let json = serde_json::to_string(&cron).expect("serializes");
        prop_assert_eq!(serde_json::from_str::<Cron>(&json).expect("reads back"), cron);
    }

    #[test]
    fn stored_schedules_are_read_back_exactly(schedule in any_schedule()) {
        let stored = schedule.to_stored();
        let in_range = |at: Option<DateTime<Utc>>| at.is_none_or(|at| (-62_000_000_000..=253_402_300_799).contains(&at.timestamp()));
        let trigger_in_range = !matches!(schedule.trigger(), Trigger::At(at) if !in_range(Some(*at)));
        prop_assume!(trigger_in_range && in_range(schedule.start()) && in_range(schedule.end()));
        let json = serde_json::to_string(&stored).expect("serializes");
        prop_assert_eq!(serde_json::from_str::<StoredSchedule>(&json).expect("reads back"), stored.clone());
        prop_assert!(stored.schedule().same_fires(&schedule));
        let text = schedule.trigger().to_string();
        prop_assert_eq!(&text.parse::<Trigger>().expect("reads back"), schedule.trigger());
    }

    #[test]
    fn next_is_later_and_nothing_is_in_between(schedule in any_schedule(), after in any_instant()) {
        let mut last = after;
        for fire in schedule.fires(after).take(5) {
            prop_assert!(fire > last);
            prop_assert_eq!(schedule.count(last, fire), 1);
            prop_assert_eq!(schedule.next_after(fire - TimeDelta::nanoseconds(1)), Some(fire));
            prop_assert!(schedule.start().is_none_or(|start| fire >= start));
            prop_assert!(schedule.end().is_none_or(|end| fire <= end));
            prop_assert!(schedule.due_at("job", fire) < schedule.next_after(fire).unwrap_or(DateTime::<Utc>::MAX_UTC));
            last = fire;
        }
    }

    #[test]
    fn counts_add_up(schedule in any_schedule(), mut instants in proptest::array::uniform3(any_instant())) {
        instants.sort();
        let [a, b, c] = instants;
        prop_assert_eq!(schedule.count(a, b) + schedule.count(b, c), schedule.count(a, c));
        prop_assert_eq!(schedule.count(a, b) > 0, schedule.next_after(a).is_some_and(|fire| fire <= b));
        prop_assert_eq!(schedule.count(c, a), 0);
    }

    #[test]
    fn plans_are_total(schedule in any_schedule(), due in any_instant(), now in any_instant()) {
        let plan = plan_fires(schedule.misfire(), &schedule, "job", due, now);
        prop_assert!(plan.run.len() <= 102);
        if let Some(missed) = schedule.missed(due, now) {
            let run = plan.run.len() as u64;
            let dropped = plan.missed.map_or(0, |row| row.count);
            let waiting = u64::from(schedule.due_at("job", missed.newest) > now);
            prop_assert_eq!(run + dropped + waiting, missed.count);
        } else {
            prop_assert_eq!(plan.next.map(|next| next.nominal), Some(due));
        }
    }

    #[test]
    fn explanations_are_total(schedule in any_schedule(), now in any_instant()) {
        let explanation = explain(&schedule, now, 3);
        prop_assert!(explanation.fires.len() <= 3);
        prop_assert!(!explanation.description.is_empty());
        prop_assert!(explanation.warnings.iter().all(|warning| !warning.message.contains('\n')));
        serde_json::to_string(&explanation).expect("serializes");
    }

    #[test]
    fn any_text_is_a_duration_an_instant_and_a_zone_or_an_error(text in prop_oneof!["\\PC*", "[0-9.wdhms -]{0,12}", "[0-9T:+Z.-]{0,30}"]) {
        if let Ok(duration) = schedule::duration::parse(&text) {
            prop_assert_eq!(schedule::duration::parse(&schedule::duration::format(duration)), Ok(duration));
        }
        if let Ok(instant) = schedule::instant::parse(&text, Zone::EUROPE_STOCKHOLM) {
            let written = schedule::instant::format(instant, Zone::EUROPE_STOCKHOLM);
            prop_assert_eq!(schedule::instant::parse(&written, Zone::UTC), Ok(instant));
        }
        if let Err(error) = text.parse::<Zone>() {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let ends = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, DateTime::UNIX_EPOCH];
    let schedules = [
        common::schedule("* * * * *", "Europe/Stockholm"),
        common::schedule("0 0 29 2 *", "Pacific/Apia"),
        common::schedule("0 0 29 2 1#5", "UTC"),
        Schedule::interval(schedule::duration::MAX, Zone::UTC).expect("long enough"),
        Schedule::interval(Duration::from_secs(1), Zone::UTC).expect("long enough"),
        Schedule::at(DateTime::<Utc>::MAX_UTC, Zone::UTC),
        Schedule::at(DateTime::<Utc>::MIN_UTC, Zone::UTC),
        Schedule::manual(Zone::UTC),
    ];
    for schedule in &schedules {
        for after in ends {
            for anchor in ends {
                let schedule = schedule.clone().with_anchor(anchor).with_jitter(schedule::duration::MAX);
                if let Some(fire) = schedule.next_after(after) {
                    assert!(fire > after, "{schedule:?} {after}");
                    assert!(schedule.due_at("job", fire) >= fire);
                }
                for until in ends {
                    schedule.missed(after, until);
                    plan_fires(schedule.misfire(), &schedule, "job", after, until);
                }
                explain(&schedule, after, 1);
            }
        }
    }
    // The last fire of all is in the year 9999.
    let minutes = &schedules[0];
    let last = common::at("9999-12-31T23:59:00Z");
    assert_eq!(minutes.next_after(last - TimeDelta::seconds(1)), Some(last));
    assert_eq!(minutes.next_after(last), None);
}

#[test]
fn leap_days_are_found_over_the_centuries() {
    let leap = common::schedule("0 0 29 2 *", "Europe/Stockholm");
    let years: Vec<String> = leap
        .fires(common::at("2089-01-01T00:00:00Z"))
        .take(5)
        .map(|fire| schedule::instant::format(fire, leap.zone())[..4].to_owned())
        .collect();
    assert_eq!(years, ["2092", "2096", "2104", "2108", "2112"]);
    // On a Monday (every date must match both): up to forty years apart.
    let monday = common::schedule("0 0 29 2 */1", "UTC");
    assert!(monday.next_after(common::at("2026-01-01T00:00:00Z")).is_some());
    let fifth_monday = common::schedule("0 0 * 2 1#5", "UTC");
    let fires = common::fires(&fifth_monday, "2072-01-01T00:00:00Z", 3);
    assert_eq!(
        fires,
        ["2072-02-29T00:00:00+00:00", "2112-02-29T00:00:00+00:00", "2140-02-29T00:00:00+00:00"]
    );
}
