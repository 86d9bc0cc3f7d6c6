//! What an answer means for a message.

use std::time::Duration;

use crate::http::{Answer, Limits, SendError};

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// It arrived.
    Arrived(Limits),
    /// Later it may work: no connection, a 5xx. It may even have arrived.
    Later(String),
    /// Too many messages: wait so long; whether the whole bot must.
    TooMany { wait: Duration, everywhere: bool, why: String },
    /// Discord does not know the token.
    Unauthorised(String),
    /// This message, or this destination, will never work.
    Never(String),
    /// It should not have happened.
    Odd(String),
}

/// Where a 429 does not say how long.
const UNSAID: Duration = Duration::from_secs(10);

impl Verdict {
    pub(crate) fn of(result: Result<Answer, SendError>) -> Self {
        let answer = match result {
            Ok(answer) => answer,
            Err(error @ SendError::Request(_)) => return Self::Odd(error.to_string()),
            Err(error) => return Self::Later(error.to_string()),
        };
        let why = || format!("Discord answered {}", answer.describe());
        match answer.status {
            200..300 => Self::Arrived(answer.limits),
            429 => {
                // Where "at once" is said, a moment is waited all the same.
                let wait = answer.limits.retry_after.unwrap_or(UNSAID).max(Duration::from_millis(100));
                Self::TooMany { wait, everywhere: answer.limits.global, why: why() }
            }
            401 => Self::Unauthorised(why()),
            400 | 403 | 404 => Self::Never(why()),
            500.. => Self::Later(why()),
            _ => Self::Odd(why()),
        }
    }
}
