//! Names of things: newtypes, so that none can be passed for another.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, ToSql};
use diesel::sql_types::{BigInt, Text};
use uuid::Uuid;

/// Declares a newtype over `String` that Diesel reads and writes as text.
macro_rules! text_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow,
            serde::Serialize, serde::Deserialize,
        )]
        #[diesel(sql_type = Text)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a text; nothing is checked.
            pub fn new(text: impl Into<String>) -> Self {
                $name(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text itself, by value.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                $name(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                $name(text)
            }
        }

        impl<DB> ToSql<Text, DB> for $name
        where
            DB: diesel::backend::Backend,
            str: ToSql<Text, DB>,
        {
            fn to_sql<'b>(&'b self, out: &mut serialize::Output<'b, '_, DB>) -> serialize::Result {
                <str as ToSql<Text, DB>>::to_sql(&self.0, out)
            }
        }

        impl<DB> FromSql<Text, DB> for $name
        where
            DB: diesel::backend::Backend,
            String: FromSql<Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
                <String as FromSql<Text, DB>>::from_sql(bytes).map($name)
            }
        }
    };
}

text_id! {
    /// The id of a job, unique within its namespace.
    JobId
}

text_id! {
    /// One life of one scheduler process: never used again after that process has ended.
    Owner
}

impl Owner {
    /// A new owner that no other process has.
    pub fn generate(now: DateTime<Utc>) -> Self {
        Owner(RunId::generate(now).to_string())
    }
}

/// The id of a run: a UUID of version 7, so that ids sort by the time of creation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub struct RunId(Uuid);

impl RunId {
    /// A new id, created at `now`.
    pub fn generate(now: DateTime<Utc>) -> Self {
        RunIds::new(now).next_id()
    }

    /// Smaller than every other id.
    pub(crate) const MIN: RunId = RunId(Uuid::nil());

    /// The smallest id that a run created at or after `at` can have.
    pub fn lower_bound(at: DateTime<Utc>) -> Self {
        RunId::from_parts(millis(at), 0)
    }

    /// When the run was created, to the millisecond.
    pub fn created_at(&self) -> DateTime<Utc> {
        let millis = i64::try_from(self.0.as_u128() >> 80).unwrap_or(i64::MAX);
        DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Builds an id from a 48-bit count of milliseconds and a 74-bit number that orders ids within one.
    fn from_parts(millis: u64, tail: u128) -> Self {
        let high = (tail >> 62) & 0xFFF;
        let low = tail & ((1 << 62) - 1);
        RunId(Uuid::from_u128((u128::from(millis) << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low))
    }
}

fn millis(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1)
}

/// Makes many ids for one instant, each greater than the one before, with one draw of randomness.
pub(crate) struct RunIds {
    /// The milliseconds in front, 74 bits of order behind.
    next: u128,
    step: u128,
}

impl RunIds {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        // Only the random bits of this one are used; it is made for the epoch, no clock is read.
        let random = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 0, 0)).as_u128();
        // The top bit of the tail stays free, so that counting up does not run into the next millisecond.
        let tail = ((random >> 64) & 0x7FF) << 62 | random & ((1 << 62) - 1);
        // An odd step of about 40 bits: two processes that start near one another do not walk in step.
        let step = (random & 0xFF_FFFF_FFFF) | 1;
        RunIds { next: (u128::from(millis(now)) << 74) | tail, step }
    }

    pub(crate) fn next_id(&mut self) -> RunId {
        let id = self.next;
        self.next += self.step;
        let millis = u64::try_from((id >> 74) & ((1 << 48) - 1)).unwrap_or(u64::MAX);
        RunId::from_parts(millis, id & ((1 << 74) - 1))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = Uuid::encode_buffer();
        f.write_str(self.0.hyphenated().encode_lower(&mut buffer))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl serde::Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that cannot be a run's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a run's id (expected a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057)")]
pub struct InvalidId(String);

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(RunId).map_err(|_| InvalidId(text.to_owned()))
    }
}

impl ToSql<Text, diesel::sqlite::Sqlite> for RunId {
    fn to_sql<'b>(
        &'b self,
        out: &mut serialize::Output<'b, '_, diesel::sqlite::Sqlite>,
    ) -> serialize::Result {
        out.set_value(self.to_string());
        Ok(serialize::IsNull::No)
    }
}

impl ToSql<Text, diesel::pg::Pg> for RunId {
    fn to_sql<'b>(&'b self, out: &mut serialize::Output<'b, '_, diesel::pg::Pg>) -> serialize::Result {
        use std::io::Write as _;
        write!(out, "{self}")?;
        Ok(serialize::IsNull::No)
    }
}

impl<DB> FromSql<Text, DB> for RunId
where
    DB: diesel::backend::Backend,
    String: FromSql<Text, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let text = <String as FromSql<Text, DB>>::from_sql(bytes)?;
        Ok(text.parse()?)
    }
}

/// The number of a message in the outbox; numbers grow in the order of storing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow, serde::Serialize,
)]
#[diesel(sql_type = BigInt)]
#[serde(transparent)]
pub struct MessageId(pub i64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<DB> ToSql<BigInt, DB> for MessageId
where
    DB: diesel::backend::Backend,
    i64: ToSql<BigInt, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut serialize::Output<'b, '_, DB>) -> serialize::Result {
        <i64 as ToSql<BigInt, DB>>::to_sql(&self.0, out)
    }
}

impl<DB> FromSql<BigInt, DB> for MessageId
where
    DB: diesel::backend::Backend,
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> deserialize::Result<Self> {
        <i64 as FromSql<BigInt, DB>>::from_sql(bytes).map(MessageId)
    }
}

/// What fences a write: only the attempt that holds the run now may write for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptKey {
    /// The run.
    pub run: RunId,
    /// The number of the attempt, counted from 1.
    pub attempt: i32,
    /// Who claimed it.
    pub owner: Owner,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    #[test]
    fn ids_are_version_7_and_carry_their_time() {
        let id = RunId::generate(at(1_700_000_000_123));
        let uuid = Uuid::try_parse(&id.to_string()).unwrap();
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        assert!(id >= RunId::lower_bound(at(1_700_000_000_123)));
        assert!(id.created_at() >= at(1_700_000_000_123));
    }

    #[test]
    fn text_order_is_id_order() {
        let mut ids = RunIds::new(at(1_700_000_000_000));
        let made: Vec<RunId> = (0..1000).map(|_| ids.next_id()).collect();
        assert!(made.windows(2).all(|w| w[0] < w[1] && w[0].to_string() < w[1].to_string()));
    }
}
