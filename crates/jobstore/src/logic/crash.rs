//! What becomes of a run whose holder is gone.

use crate::model::run::{OnCrash, Outcome};
use crate::model::turn::RescuedAs;

/// Decides it. `attempt` is the one that crashed, `interruptions` how many before it were cut off by a shutdown.
pub(crate) fn after_crash(
    on_crash: OnCrash,
    max_attempts: i32,
    attempt: i32,
    interruptions: i32,
    cancel_requested: bool,
) -> RescuedAs {
    if cancel_requested {
        return RescuedAs::Finished(Outcome::Cancelled);
    }
    // A crash is nobody's fault: it is made up for once even where failures are not retried.
    let allowed = max_attempts.max(2);
    match on_crash {
        OnCrash::Rerun if attempt - interruptions < allowed => RescuedAs::Queued,
        OnCrash::Rerun | OnCrash::Abandon => RescuedAs::Finished(Outcome::Abandoned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes() {
        use OnCrash::*;
        let abandoned = RescuedAs::Finished(Outcome::Abandoned);
        for (on_crash, max, attempt, interruptions, cancel, expected) in [
            (Rerun, 1, 1, 0, false, RescuedAs::Queued),
            (Rerun, 1, 2, 0, false, abandoned),
            (Rerun, 3, 2, 0, false, RescuedAs::Queued),
            (Rerun, 3, 3, 0, false, abandoned),
            (Rerun, 1, 5, 4, false, RescuedAs::Queued),
            (Rerun, 1, 5, 3, false, abandoned),
            (Abandon, 3, 1, 0, false, abandoned),
            (Rerun, 3, 1, 0, true, RescuedAs::Finished(Outcome::Cancelled)),
        ] {
            assert_eq!(
                after_crash(on_crash, max, attempt, interruptions, cancel),
                expected,
                "{on_crash} max {max} attempt {attempt} interruptions {interruptions} cancel {cancel}"
            );
        }
    }
}
