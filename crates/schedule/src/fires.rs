//! A cron expression in a time zone: real instants from the wall clock's minutes.
//!
//! All times here are whole seconds: UTC since 1970, or the wall clock's since 1970.

use crate::civil::{LAST_SECOND, MINUTE, minute_at_or_after};
use crate::cron::search::Matcher;
use crate::dst::{Dst, Gap, Overlap};
use crate::spans::{Span, Spans};

/// An expression, a zone and the rule for its changes.
#[derive(Clone, Copy)]
pub(crate) struct ZonedCron<'a> {
    pub(crate) matcher: &'a Matcher,
    pub(crate) spans: &'static Spans,
    pub(crate) dst: Dst,
}

impl ZonedCron<'_> {
    /// The first fire after `after` (exclusive).
    pub(crate) fn next_after(&self, after: i64) -> Option<i64> {
        let mut index = self.spans.index(after);
        let mut span = *self.spans.get(index)?;
        // No minute from `from` to before `found` matches. Both are minutes of the wall clock.
        let mut from = (after + span.offset).div_euclid(MINUTE) + 1;
        if let Some(before) = self.spans.before(index) {
            from = from.max(minute_at_or_after(self.local_begin(before, &span)));
        }
        let mut found = self.matcher.next_minute(from)?;
        loop {
            let next = self.spans.get(index + 1);
            let local = found * MINUTE;
            if local < self.local_end(&span, next) {
                let fire = local - span.offset;
                return (fire <= LAST_SECOND).then_some(fire);
            }
            let next = *next?;
            if self.dst.gap == Gap::RunAfter && local < next.begin + next.offset && span.offset < next.offset
            {
                return Some(next.begin);
            }
            let begin = minute_at_or_after(self.local_begin(&span, &next));
            if begin < from || begin > found {
                from = begin;
                found = self.matcher.next_minute(from)?;
            }
            index += 1;
            span = next;
        }
    }

    /// How many fires there are after `after` (exclusive) and up to `until` (inclusive).
    pub(crate) fn count(&self, after: i64, until: i64) -> u64 {
        let until = until.min(LAST_SECOND);
        let mut index = self.spans.index(after);
        let mut count = 0;
        while let Some(span) = self.spans.get(index).filter(|span| after < until && span.begin <= until) {
            let mut begin = i64::MIN;
            if let Some(before) = self.spans.before(index) {
                begin = self.local_begin(before, span);
                if span.begin > after && self.fires_after_gap(before, span) {
                    count += 1;
                }
            }
            let begin = begin.max(after.max(span.begin.saturating_sub(1)).saturating_add(span.offset + 1));
            let end = self.local_end(span, self.spans.get(index + 1)).min(until + span.offset + 1);
            count += self.matcher.count(minute_at_or_after(begin), minute_at_or_after(end));
            index += 1;
        }
        count
    }

    /// Whether the first instant of `span` is a fire only because of the gap before it.
    fn fires_after_gap(&self, before: &Span, span: &Span) -> bool {
        if self.dst.gap == Gap::Skip || before.offset >= span.offset {
            return false;
        }
        let first_missing = minute_at_or_after(span.begin + before.offset);
        let local = span.begin + span.offset;
        self.matcher.any(first_missing, minute_at_or_after(local))
            && !(local % MINUTE == 0 && self.matcher.any(local / MINUTE, local / MINUTE + 1))
    }

    /// The first second of the wall clock that counts in `span`, which follows `before`.
    fn local_begin(&self, before: &Span, span: &Span) -> i64 {
        let offset = match self.dst.overlap {
            Overlap::First => before.offset.max(span.offset),
            Overlap::Second | Overlap::Both => span.offset,
        };
        span.begin + offset
    }

    /// The second of the wall clock from which on nothing counts in `span`, which `next` follows.
    fn local_end(&self, span: &Span, next: Option<&Span>) -> i64 {
        match next {
            None => i64::MAX,
            Some(next) if self.dst.overlap == Overlap::Second => span.end + span.offset.min(next.offset),
            Some(_) => span.end + span.offset,
        }
    }
}
