//! What can go wrong with a request, and whether to ask again.

use std::error::Error as StdError;
use std::time::Duration;

use pipeline_core::{StageError, duration};

use super::address::Private;

/// Why a request gave no answer that counts.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(super) cause: Cause,
    pub(super) error: StageError,
    pub(super) again: Again,
}

/// The kind of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An answer of this status.
    Status(u16),
    /// Too many redirections, or a circle of them.
    Redirects,
    /// The request must not be made: `robots.txt`, a private address.
    Refused,
    /// No answer, half an answer, or an answer that cannot be used.
    Network,
}

/// Whether to ask again.
#[derive(Debug)]
pub(super) enum Again {
    Never,
    /// After the usual delay, or after this one where the server named it.
    After(Option<Duration>),
}

impl Problem {
    pub(super) fn never(cause: Cause, error: StageError) -> Self {
        Self { cause, error, again: Again::Never }
    }

    /// What the HTTP library says.
    pub(super) fn of(error: reqwest::Error, timeout: Duration) -> Self {
        let error = error.without_url();
        if let Some(private) = find::<Private>(&error) {
            return Self::never(Cause::Refused, StageError::item(private.to_string()));
        }
        let distrusted = find::<rustls::Error>(&error)
            .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
        let message = if error.is_timeout() {
            format!("no whole answer within {}", duration::format(timeout))
        } else if distrusted {
            "the server's certificate is not to be trusted".to_owned()
        } else if error.is_connect() {
            "the server cannot be reached".to_owned()
        } else if error.is_body() || error.is_decode() {
            "the answer was cut off or damaged".to_owned()
        } else {
            "the request failed".to_owned()
        };
        // A bad certificate and a request that cannot be written stay what they are.
        let again = if distrusted || error.is_builder() { Again::Never } else { Again::After(None) };
        let error = StageError::item(message).caused_by(Quiet(deepest(&error)));
        Self { cause: Cause::Network, error, again }
    }
}

/// The first error of a type in a chain of causes.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // `io::Error` hides what it wraps from `source`.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|wrapped| find::<E>(wrapped)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The text of the first cause; the layers above it only say that there is one.
fn deepest(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// An error that is only its text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Quiet(String);
