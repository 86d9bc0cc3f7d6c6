//! What must hold for any bytes as any other text. The test that replays the corpus shares it.

use schedule::{ScheduleSpec, StoredSchedule, Trigger, Zone};

/// Panics if something does not hold.
pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(duration) = schedule::duration::parse(&text) {
        assert_eq!(schedule::duration::parse(&schedule::duration::format(duration)), Ok(duration));
    }
    for zone in [Zone::UTC, Zone::EUROPE_STOCKHOLM] {
        if let Ok(instant) = schedule::instant::parse(&text, zone) {
            let written = schedule::instant::format(instant, zone);
            assert_eq!(schedule::instant::parse(&written, Zone::UTC), Ok(instant), "{written}");
        }
    }
    match text.parse::<Zone>() {
        Ok(zone) => assert_eq!(zone.name(), text),
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
    if let Ok(trigger) = text.parse::<Trigger>() {
        assert_eq!(trigger.to_string().parse(), Ok(trigger));
    }
    if let Ok(stored) = serde_json::from_slice::<StoredSchedule>(data) {
        let written = serde_json::to_string(&stored).expect("serializes");
        assert_eq!(serde_json::from_str::<StoredSchedule>(&written).expect("reads back"), stored);
    }
    if let Ok(spec) = serde_json::from_slice::<ScheduleSpec>(data) {
        match spec.build(&Zone::EUROPE_STOCKHOLM) {
            Ok(schedule) => {
                assert!(!schedule.describe().is_empty());
                let stored = schedule.to_stored();
                assert!(stored.schedule().same_fires(&schedule));
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                assert!(problems.iter().all(|problem| !problem.to_string().contains('\n')));
            }
        }
    }
}
