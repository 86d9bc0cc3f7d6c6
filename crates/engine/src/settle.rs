//! What follows the end of an attempt: a pure decision.

use chrono::{DateTime, TimeDelta, Utc};
use jobstore::{AttemptOutcome, ClaimedRun, End, OnCrash, Outcome};
use pipeline_core::RunOutcome;
use pipeline_core::config::RetryPolicy;

/// Why the engine itself ended an attempt before its chain did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A person wanted it, or a later fire replaced the run.
    Cancelled {
        /// Who.
        by: Option<String>,
    },
    /// The scheduler shuts down.
    Shutdown,
    /// The lease could not be renewed in time.
    Unrenewed,
    /// The store said that another scheduler holds the run.
    Lost,
    /// It was past its timeout and did not stop by itself.
    Overdue,
}

/// What follows, and the error that is kept with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) end: End,
    pub(crate) error: Option<String>,
}

/// Decides what follows an attempt that ended as `outcome` at `now`. `dice` (0 to 1) spreads the wait for a retry.
///
/// Nothing follows, and nothing may be written, where somebody else holds the run.
pub(crate) fn settle(
    claim: &ClaimedRun,
    retry: &RetryPolicy,
    outcome: RunOutcome,
    error: Option<String>,
    stop: Option<&Stop>,
    now: DateTime<Utc>,
    dice: f64,
) -> Option<Settled> {
    let used = attempts_used(claim);
    let finish = |outcome, error| Some(Settled { end: End::Finish(outcome), error });
    if stop == Some(&Stop::Lost) {
        return None;
    }
    match (outcome, stop) {
        (RunOutcome::Succeeded, _) => finish(Outcome::Succeeded, None),
        (_, Some(Stop::Cancelled { by })) => finish(Outcome::Cancelled, Some(cancelled_text(by.as_deref()))),
        (_, Some(Stop::Shutdown)) => Some(Settled {
            end: End::Interrupt,
            error: Some("cut off: the scheduler was shut down".to_owned()),
        }),
        (_, Some(Stop::Unrenewed)) => Some(Settled {
            end: after_crash(claim, now),
            error: Some("stopped: the lease could not be renewed in time, the job store was away".to_owned()),
        }),
        (RunOutcome::TimedOut, _) | (_, Some(Stop::Overdue)) => {
            Some(failed(retry, used, AttemptOutcome::TimedOut, Outcome::TimedOut, error, now, dice))
        }
        (RunOutcome::Failed, _) => {
            Some(failed(retry, used, AttemptOutcome::Failed, Outcome::Failed, error, now, dice))
        }
        (RunOutcome::Cancelled, _) => finish(Outcome::Cancelled, error),
    }
}

/// How many of its attempts a run has used; those that a shutdown cut off do not count.
pub(crate) fn attempts_used(claim: &ClaimedRun) -> u32 {
    u32::try_from(claim.attempt.saturating_sub(claim.interruptions)).unwrap_or(1).max(1)
}

fn failed(
    retry: &RetryPolicy,
    used: u32,
    attempt: AttemptOutcome,
    run: Outcome,
    error: Option<String>,
    now: DateTime<Utc>,
    dice: f64,
) -> Settled {
    let end = if retry.allows_after(used) {
        let delay = TimeDelta::from_std(retry.delay_after(used, dice)).unwrap_or(TimeDelta::MAX);
        let available_at = now.checked_add_signed(delay).unwrap_or(DateTime::<Utc>::MAX_UTC);
        End::Retry { outcome: attempt, available_at }
    } else {
        End::Finish(run)
    };
    Settled { end, error }
}

/// The rule for crashes: the next attempt at once, within `max_attempts`, and once more where that is 1.
fn after_crash(claim: &ClaimedRun, now: DateTime<Utc>) -> End {
    let allowed = claim.policy.max_attempts.max(2);
    match claim.policy.on_crash {
        OnCrash::Rerun if attempts_used(claim) < allowed => {
            End::Retry { outcome: AttemptOutcome::Crashed, available_at: now }
        }
        OnCrash::Rerun | OnCrash::Abandon => End::Finish(Outcome::Abandoned),
    }
}

fn cancelled_text(by: Option<&str>) -> String {
    match by {
        Some(by) => format!("cancelled: {by}"),
        None => "cancelled".to_owned(),
    }
}

/// A number from 0 to 1 that is always the same for an attempt, and different for each.
pub(crate) fn dice(run: &str, attempt: i32) -> f64 {
    let bytes = run.bytes().chain(attempt.to_le_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    // The upper 53 bits are what a double can hold.
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use jobstore::{Reason, RunId, RunPolicy};

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn claim(attempt: i32, interruptions: i32, max_attempts: u32, on_crash: OnCrash) -> ClaimedRun {
        ClaimedRun {
            id: RunId::generate(now()),
            pipeline: "books".into(),
            job_id: None,
            reason: Reason::Schedule,
            scheduled_for: now(),
            available_at: now(),
            attempt,
            interruptions,
            started_at: now(),
            lease: Duration::from_secs(30),
            requested_by: None,
            policy: RunPolicy { max_attempts, on_crash, ..RunPolicy::default() },
            cancel_requested: false,
        }
    }

    fn retry(max_attempts: u32) -> RetryPolicy {
        RetryPolicy { max_attempts: NonZeroU32::new(max_attempts).unwrap(), ..RetryPolicy::default() }
    }

    fn retry_in(seconds: i64, outcome: AttemptOutcome) -> End {
        End::Retry { outcome, available_at: now() + TimeDelta::seconds(seconds) }
    }

    #[test]
    fn every_end_leads_to_what_the_rules_say() {
        use RunOutcome as R;
        let by_anna = Stop::Cancelled { by: Some("anna".into()) };
        // (attempt, interruptions, max_attempts, outcome, stop, end)
        type Case<'a> = (i32, i32, u32, R, Option<&'a Stop>, Option<End>);
        let cases: [Case<'_>; 20] = [
            (1, 0, 1, R::Succeeded, None, Some(End::Finish(Outcome::Succeeded))),
            (1, 0, 1, R::Failed, None, Some(End::Finish(Outcome::Failed))),
            (1, 0, 1, R::TimedOut, None, Some(End::Finish(Outcome::TimedOut))),
            (1, 0, 3, R::Failed, None, Some(retry_in(30, AttemptOutcome::Failed))),
            (2, 0, 3, R::Failed, None, Some(retry_in(60, AttemptOutcome::Failed))),
            (3, 0, 3, R::Failed, None, Some(End::Finish(Outcome::Failed))),
            (1, 0, 2, R::TimedOut, None, Some(retry_in(30, AttemptOutcome::TimedOut))),
            // Attempts that a shutdown cut off use up no retry, and lengthen no wait.
            (3, 2, 3, R::Failed, None, Some(retry_in(30, AttemptOutcome::Failed))),
            (5, 2, 3, R::Failed, None, Some(End::Finish(Outcome::Failed))),
            (1, 0, 1, R::Cancelled, Some(&Stop::Shutdown), Some(End::Interrupt)),
            (1, 0, 3, R::Failed, Some(&Stop::Shutdown), Some(End::Interrupt)),
            // What has succeeded before the stop was seen has succeeded.
            (1, 0, 1, R::Succeeded, Some(&Stop::Shutdown), Some(End::Finish(Outcome::Succeeded))),
            (1, 0, 1, R::Succeeded, Some(&by_anna), Some(End::Finish(Outcome::Succeeded))),
            (1, 0, 3, R::Cancelled, Some(&by_anna), Some(End::Finish(Outcome::Cancelled))),
            (1, 0, 3, R::Failed, Some(&by_anna), Some(End::Finish(Outcome::Cancelled))),
            (1, 0, 1, R::Cancelled, Some(&Stop::Lost), None),
            (1, 0, 1, R::Succeeded, Some(&Stop::Lost), None),
            (1, 0, 1, R::Cancelled, Some(&Stop::Unrenewed), Some(retry_in(0, AttemptOutcome::Crashed))),
            (2, 0, 1, R::Cancelled, Some(&Stop::Unrenewed), Some(End::Finish(Outcome::Abandoned))),
            (1, 0, 2, R::Cancelled, Some(&Stop::Overdue), Some(retry_in(30, AttemptOutcome::TimedOut))),
        ];
        for (attempt, interruptions, max, outcome, stop, expected) in cases {
            let claim = claim(attempt, interruptions, max, OnCrash::Rerun);
            let settled = settle(&claim, &retry(max), outcome, Some("why".into()), stop, now(), 0.5);
            assert_eq!(
                settled.map(|settled| settled.end),
                expected,
                "attempt {attempt} ({interruptions} cut off) of {max}, {outcome:?}, {stop:?}"
            );
        }
    }

    #[test]
    fn a_run_that_must_not_be_repeated_is_abandoned_when_its_lease_could_not_be_renewed() {
        let claim = claim(1, 0, 3, OnCrash::Abandon);
        let stop = Some(&Stop::Unrenewed);
        let settled = settle(&claim, &retry(3), RunOutcome::Cancelled, None, stop, now(), 0.5).unwrap();
        assert_eq!(settled.end, End::Finish(Outcome::Abandoned));
        assert!(settled.error.unwrap().contains("lease"));
    }

    #[test]
    fn the_error_says_who_cancelled() {
        let stop = Stop::Cancelled { by: Some("discord:anna".into()) };
        let claim = claim(1, 0, 1, OnCrash::Rerun);
        let settled =
            settle(&claim, &retry(1), RunOutcome::Cancelled, None, Some(&stop), now(), 0.5).unwrap();
        assert_eq!(settled.error.as_deref(), Some("cancelled: discord:anna"));
    }

    #[test]
    fn dice_are_fair_enough_and_repeatable() {
        let thrown: Vec<f64> = (0..1_000).map(|n| dice(&format!("run-{n}"), 1)).collect();
        assert!(thrown.iter().all(|dice| (0.0..1.0).contains(dice)));
        let mean = thrown.iter().sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert_eq!(dice("run", 1).to_bits(), dice("run", 1).to_bits());
        assert_ne!(dice("run", 1).to_bits(), dice("run", 2).to_bits());
    }
}
