//! Cron expressions: text, checks, matching.
//!
//! `saffron` reads the language of Quartz, in which 1 is Sunday. Here it says how such schedulers
//! read an expression (`readings`), and the tests compare the two searches. It does not search for
//! us: it knows no zones, its errors do not say what is wrong, and some of its answers differ from
//! crontab's (each has a test of its own in `tests/saffron.rs`).

mod describe;
mod error;
pub(crate) mod fields;
mod hints;
mod parse;
mod readings;
pub(crate) mod search;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use error::{CronError, CronField};
pub use readings::Reading;

use crate::dst::Dst;
use search::Matcher;

/// A checked cron expression: five fields, or a nickname such as `@daily`.
///
/// It keeps its text exactly as written: [`Display`](fmt::Display), [`FromStr`] and serde are
/// inverses of each other. Two expressions are equal if their texts are; whether they fire at the
/// same times is asked with [`Cron::same_fires`].
#[derive(Clone)]
pub struct Cron {
    text: Box<str>,
    matcher: Matcher,
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// The text is not five fields or a known nickname, a value is out of its range, or no date
    /// can ever match. The error names the field, the culprit, the allowed range and what to
    /// write instead.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let fields = parse::parse(text).map_err(|error| error.of(text))?;
        Ok(Self { text: text.into(), matcher: Matcher::new(fields) })
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the minute or the hour begins with `*`. Such jobs follow real minutes when clocks
    /// change; all others follow nominal times.
    pub fn is_wildcard(&self) -> bool {
        self.matcher.fields.wildcard
    }

    /// What happens when clocks change, unless the job says otherwise.
    pub fn default_dst(&self) -> Dst {
        if self.is_wildcard() { Dst::WILDCARD } else { Dst::FIXED }
    }

    /// Whether both expressions fire at the same times in every zone, however they are written:
    /// `0 9 * * 1-5` and `0 9 * * MON-FRI` do.
    pub fn same_fires(&self, other: &Cron) -> bool {
        self.matcher == other.matcher
    }

    pub(crate) fn matcher(&self) -> &Matcher {
        &self.matcher
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl std::hash::Hash for Cron {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({})", self.text)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}
