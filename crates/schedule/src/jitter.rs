//! A delay that spreads the starts of many jobs and is the same on every scheduler.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::schedule::Schedule;

impl Schedule {
    /// How long after its nominal instant a fire starts. It depends on the job's id and the
    /// instant alone, is below the jitter, and ends before the next nominal fire.
    pub fn jitter_delay(&self, job_id: &str, nominal: DateTime<Utc>) -> Duration {
        let mut limit = self.jitter().as_millis();
        if limit == 0 {
            return Duration::ZERO;
        }
        if let Some(next) = self.next_after(nominal) {
            let room = (next - nominal).to_std().unwrap_or(Duration::ZERO).as_millis();
            limit = limit.min(room);
        }
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(hash(job_id, nominal) % limit)
    }

    /// When a fire starts: its nominal instant, delayed by the jitter.
    pub fn due_at(&self, job_id: &str, nominal: DateTime<Utc>) -> DateTime<Utc> {
        let delay = chrono::TimeDelta::from_std(self.jitter_delay(job_id, nominal)).unwrap_or_default();
        nominal.checked_add_signed(delay).unwrap_or(nominal)
    }
}

/// FNV-1a with a final mix. It must never change: schedulers of different versions that share a
/// store agree on the delays by it.
fn hash(job_id: &str, nominal: DateTime<Utc>) -> u64 {
    let seconds = nominal.timestamp().to_le_bytes();
    let nanos = nominal.timestamp_subsec_nanos().to_le_bytes();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in job_id.bytes().chain([0xff]).chain(seconds).chain(nanos) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cron, Zone};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn the_hash_is_pinned() {
        // A change here would move the fires of running installations.
        assert_eq!(hash("pipeline_books", at("2026-01-01T09:00:00Z")), 17_945_737_336_259_755_902);
    }

    #[test]
    fn delays_spread_and_stay_before_the_next_fire() {
        let every_minute = Schedule::cron(Cron::parse("* * * * *").expect("valid"), Zone::UTC)
            .with_jitter(Duration::from_secs(3_600));
        let mut seconds = std::collections::BTreeSet::new();
        for fire in every_minute.fires(at("2026-01-01T00:00:00Z")).take(1_000) {
            let delay = every_minute.jitter_delay("job", fire);
            assert!(delay < Duration::from_secs(60), "{delay:?}");
            assert_eq!(delay, every_minute.jitter_delay("job", fire));
            assert_ne!(delay, every_minute.jitter_delay("other job", fire));
            seconds.insert(delay.as_secs());
        }
        assert_eq!(seconds.len(), 60);
    }

    #[test]
    fn without_jitter_there_is_no_delay() {
        let schedule = Schedule::cron(Cron::parse("@daily").expect("valid"), Zone::UTC);
        let fire = at("2026-01-01T00:00:00Z");
        assert_eq!(schedule.due_at("job", fire), fire);
        // One shot: there is no next fire, so the whole jitter is available.
        let once = Schedule::at(fire, Zone::UTC).with_jitter(Duration::from_secs(10));
        assert!(once.jitter_delay("job", fire) < Duration::from_secs(10));
    }
}
