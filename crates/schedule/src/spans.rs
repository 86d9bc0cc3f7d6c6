//! The stretches of time in which a zone keeps one offset from UTC.
//!
//! chrono-tz answers "which offset at this instant?" by a search on each call. A fire needs that
//! answer and when it ends, so each zone's stretches are found once, on first use, and kept.

use std::sync::OnceLock;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::civil::{DAY, days_from_civil};
use crate::zone::Zone;

/// One stretch: UTC seconds from `begin` (inclusive) to `end` (exclusive), and the seconds that
/// local time is ahead of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) begin: i64,
    pub(crate) end: i64,
    pub(crate) offset: i64,
}

/// All stretches of a zone, without a hole between them.
#[derive(Debug)]
pub(crate) struct Spans(Box<[Span]>);

/// No zone changed its clocks before 1844, or does so after 2099 in the database.
const FIRST_YEAR: i64 = 1_840;
const LAST_YEAR: i64 = 2_101;
/// Hardly anybody asks for the past, so it is not looked through for those who do not.
const MODERN_YEAR: i64 = 2_000;
/// How far apart the offset is looked up. Two changes that are closer could hide each other; the
/// closest two in the database are almost seven days apart (Brazil in October 2000, Gaza later).
const STRIDE: i64 = 4 * DAY;

/// 1 February 2000.
const MODERN_FROM: i64 = days_from_civil(MODERN_YEAR, 2, 1) * DAY;

type Zones = [OnceLock<Spans>; TZ_VARIANTS.len()];

static MODERN: Zones = [const { OnceLock::new() }; TZ_VARIANTS.len()];
static ALL: Zones = [const { OnceLock::new() }; TZ_VARIANTS.len()];

impl Spans {
    /// The stretches of a zone that matter to whoever looks forward from a UTC second. The first
    /// call for a zone takes about half a millisecond.
    pub(crate) fn of(zone: Zone, from: i64) -> &'static Spans {
        let tz = zone.tz();
        // A month later, no change before the first year that was looked at has any effect.
        let (zones, year) = if from >= MODERN_FROM { (&MODERN, MODERN_YEAR) } else { (&ALL, FIRST_YEAR) };
        zones[tz as usize].get_or_init(|| Self::find(tz, year))
    }

    fn find(tz: Tz, first_year: i64) -> Self {
        let first = days_from_civil(first_year, 1, 1) * DAY;
        let last = days_from_civil(LAST_YEAR, 1, 1) * DAY;
        let mut spans = Vec::new();
        let mut span = Span { begin: i64::MIN, end: i64::MAX, offset: offset_at(tz, first) };
        let mut at = first;
        while at < last {
            let next = at + STRIDE;
            let offset = offset_at(tz, next);
            if offset != span.offset {
                span.end = change_between(tz, at, next, span.offset);
                spans.push(span);
                span = Span { begin: span.end, end: i64::MAX, offset };
            }
            at = next;
        }
        spans.push(span);
        Self(spans.into_boxed_slice())
    }

    /// The index of the stretch that holds a UTC second.
    pub(crate) fn index(&self, second: i64) -> usize {
        self.0.partition_point(|span| span.end <= second)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Span> {
        self.0.get(index)
    }

    /// The stretch that holds a UTC second.
    pub(crate) fn at(&self, second: i64) -> &Span {
        self.get_or_last(self.index(second))
    }

    /// The stretch before `index`.
    pub(crate) fn before(&self, index: usize) -> Option<&Span> {
        index.checked_sub(1).and_then(|before| self.0.get(before))
    }

    /// The index of the first stretch for which `test` holds; it must not hold before others for
    /// which it does not.
    pub(crate) fn position(&self, test: impl Fn(&Span) -> bool) -> usize {
        self.0.partition_point(|span| !test(span))
    }

    /// The stretch at `index`, or the last one.
    pub(crate) fn get_or_last(&self, index: usize) -> &Span {
        &self.0[index.min(self.0.len() - 1)]
    }
}

fn offset_at(tz: Tz, second: i64) -> i64 {
    let naive = DateTime::from_timestamp(second, 0).map_or(NaiveDateTime::MIN, |at| at.naive_utc());
    i64::from(tz.offset_from_utc_datetime(&naive).fix().local_minus_utc())
}

/// The second at which the offset stops being `before`.
fn change_between(tz: Tz, mut low: i64, mut high: i64, before: i64) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset_at(tz, middle) == before {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_a_zone_is_its_place_in_the_list() {
        for (index, tz) in TZ_VARIANTS.iter().enumerate() {
            assert_eq!(*tz as usize, index, "{tz}");
        }
    }

    #[test]
    fn stretches_join_and_are_longer_than_the_stride() {
        let dense = ["Asia/Gaza", "America/Noronha", "Africa/Casablanca", "Africa/Tunis"];
        let zones = dense.iter().map(|name| name.parse().expect(name));
        for zone in zones.chain(Zone::all().step_by(23)) {
            for from in [0, MODERN_FROM] {
                let spans = Spans::of(zone, from);
                assert_eq!(spans.0[0].begin, i64::MIN);
                assert_eq!(spans.0.last().map(|last| last.end), Some(i64::MAX));
                for pair in spans.0.windows(2) {
                    assert_eq!(pair[0].end, pair[1].begin, "{zone}");
                    assert_ne!(pair[0].offset, pair[1].offset, "{zone}");
                    assert!(pair[1].end.saturating_sub(pair[1].begin) > STRIDE + 2 * DAY, "{zone} {pair:?}");
                }
            }
        }
    }

    /// A change that hides between two looks would be found here, after an update of the database
    /// at the latest.
    #[test]
    fn no_change_is_hidden() {
        for zone in Zone::all().step_by(29).chain(["Asia/Gaza".parse().expect("a zone")]) {
            let (modern, all) = (Spans::of(zone, MODERN_FROM), Spans::of(zone, 0));
            let mut second = days_from_civil(1_890, 1, 1) * DAY;
            while second < days_from_civil(2_105, 1, 1) * DAY {
                let offset = offset_at(zone.tz(), second);
                assert_eq!(all.at(second).offset, offset, "{zone} at {second}");
                if second >= MODERN_FROM {
                    assert_eq!(modern.at(second).offset, offset, "{zone} at {second}");
                }
                second += 31 * 3_600;
            }
        }
    }

    #[test]
    fn stockholm_changes_when_it_does() {
        let spans = Spans::of(Zone::EUROPE_STOCKHOLM, MODERN_FROM);
        // 2026-03-29T01:00Z and 2026-10-25T01:00Z.
        let summer = spans.at(1_780_000_000);
        assert_eq!((summer.begin, summer.end, summer.offset), (1_774_746_000, 1_792_890_000, 7_200));
    }
}
