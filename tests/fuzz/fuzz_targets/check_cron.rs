//! What must hold for any bytes as a cron expression. The test that replays the corpus shares it.

use chrono::{DateTime, TimeDelta, Utc};
use schedule::{Cron, DstOverride, Gap, Overlap, Schedule, Zone};

/// Zones with all kinds of changes, and instants from which the search starts: before 1970, at a
/// change of the clocks, far out, and the ends of what chrono can hold.
const ZONES: [&str; 4] = ["UTC", "Europe/Stockholm", "Pacific/Apia", "Australia/Lord_Howe"];
const STARTS: [i64; 6] = [-5_000_000_000, -1, 1_774_745_999, 1_325_239_199, 250_000_000_000, 253_402_300_798];

/// Panics if something does not hold.
pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let cron = match Cron::parse(&text) {
        Ok(cron) => cron,
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains('\n') && line.len() < 2_000, "{line}");
            assert!(text.get(error.span()).is_some(), "{:?} of {text:?}", error.span());
            assert!(error.render().lines().count() <= 4);
            return;
        }
    };
    assert_eq!(cron.to_string(), text);
    assert!(!cron.describe().is_empty());
    cron.other_readings();
    let own = DstOverride { gap: Some(Gap::RunAfter), overlap: Some(Overlap::Second) };
    for zone in ZONES {
        let zone: Zone = zone.parse().expect("a known zone");
        for dst in [DstOverride::default(), own] {
            let schedule = Schedule::cron(cron.clone(), zone).with_dst(dst);
            for start in STARTS {
                let begin = DateTime::from_timestamp(start, 0).expect("in range");
                follow(&schedule, begin);
            }
            follow(&schedule, DateTime::<Utc>::MIN_UTC);
            assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC), None);
            schedule.warnings(DateTime::from_timestamp(1_767_225_600, 0).expect("in range"));
        }
    }
}

/// Some fires: they strictly increase, are counted right, and are found from just before them.
fn follow(schedule: &Schedule, begin: DateTime<Utc>) {
    let mut last = begin;
    let mut number = 0;
    for fire in schedule.fires(begin).take(12) {
        assert!(fire > last, "{fire} after {last}: {schedule:?}");
        assert_eq!(schedule.next_after(fire - TimeDelta::seconds(1)), Some(fire), "{schedule:?}");
        number += 1;
        assert_eq!(schedule.count(begin, fire), number, "{schedule:?} from {begin} to {fire}");
        last = fire;
    }
}
