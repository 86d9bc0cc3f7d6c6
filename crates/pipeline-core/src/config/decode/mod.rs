//! [`Node`]s to typed values, with all that is wrong instead of the first.
//!
//! A serde visitor that has failed cannot go on. So a value that does not fit is noted and replaced by a made-up one
//! of the type that was asked for; where that is not possible in the same pass, another pass follows in which
//! that place is made up from the beginning. The result of such passes is thrown away: only the problems count.

mod error;
mod fields;
mod made;
mod scalar;
mod session;
mod source;

pub(super) use scalar::describe;
pub use session::{decode, decode_known};

/// The message for a key that is not among the known ones.
pub(super) fn unknown_key(key: &str, known: &[&str]) -> String {
    error::unknown("key", key, known)
}
