//! Next fires of this project and of its peers, on the same expressions, zones and instants.
//!
//! Every fire is a fresh "next after the last fire"; the search in the zone and the conversion to
//! an instant are part of it. Days of the week are written as names, so that the numbering of the
//! peers does not matter.

use std::hint::black_box;
use std::str::FromStr;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// How many fires are asked of each expression in each zone.
pub const FIRES: usize = 200;

/// The zones: none, north, south, half-hour changes, none with a half-hour offset.
pub const ZONES: [Tz; 5] =
    [Tz::UTC, Tz::Europe__Stockholm, Tz::America__New_York, Tz::Australia__Lord_Howe, Tz::Asia__Kolkata];

/// What people write, and what is hard.
pub const EXPRESSIONS: [&str; 60] = [
    "* * * * *",
    "*/2 * * * *",
    "*/5 * * * *",
    "*/7 * * * *",
    "*/10 * * * *",
    "*/15 * * * *",
    "*/20 * * * *",
    "*/30 * * * *",
    "0 * * * *",
    "15 * * * *",
    "0,30 * * * *",
    "5,20,50 * * * *",
    "10-20 * * * *",
    "3/10 * * * *",
    "0 */2 * * *",
    "0 */3 * * *",
    "0 */6 * * *",
    "30 */12 * * *",
    "0 0 * * *",
    "0 2 * * *",
    "30 2 * * *",
    "59 23 * * *",
    "0 9,17 * * *",
    "0 9-17 * * *",
    "*/30 9-17 * * MON-FRI",
    "*/5 8-18 * * MON-FRI",
    "0 9 * * MON-FRI",
    "0 12 * * MON",
    "0 0 * * SUN",
    "0 18 * * FRI",
    "0 0 * * SAT,SUN",
    "0 6 * * TUE,THU",
    "30 1 * * SUN",
    "0 0 1 * *",
    "0 0 15 * *",
    "0 0 1,15 * *",
    "0 0 31 * *",
    "0 3 28-31 * *",
    "0 0 */2 * *",
    "0 0 10-20 * *",
    "0 0 1 */3 *",
    "0 0 1 1 *",
    "0 0 1 1,7 *",
    "0 12 25 12 *",
    "0 0 * 6-8 *",
    "* * * 2 *",
    "*/15 * * 11 *",
    "0 4 1 4-9 *",
    "0 0,12 1 */2 *",
    "2 2 2 2 *",
    "17 3 11 7 *",
    "30 2 29 3 *",
    "30 2 25 10 *",
    "0 0 29 2 *",
    "0 12 29 2 MON",
    "0 0 13 * FRI",
    "0 9 1-7 * MON",
    "0 0 1 1 MON",
    "30 2 * 3,10,11 *",
    "15,45 1-3 * * *",
];

/// The instant from which fires are counted.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default()
}

/// An expression in a zone, compiled by one of the peers.
pub trait Search: Sized {
    /// The name in the tables.
    const NAME: &'static str;
    /// An instant as this peer has it.
    type Instant: Clone;

    /// Compiles the expression.
    fn new(expression: &str, zone: Tz) -> Option<Self>;
    /// The start as this peer has it.
    fn instant(&self, start: DateTime<Utc>) -> Self::Instant;
    /// The next fire.
    fn next(&self, after: &Self::Instant) -> Option<Self::Instant>;
    /// The instant in UTC.
    fn utc(instant: &Self::Instant) -> DateTime<Utc>;
}

/// This project.
pub struct Ours(schedule::Schedule);

impl Search for Ours {
    const NAME: &'static str = "schedule";
    type Instant = DateTime<Utc>;

    fn new(expression: &str, zone: Tz) -> Option<Self> {
        schedule::Cron::parse(expression).ok().map(|cron| Self(schedule::Schedule::cron(cron, zone.into())))
    }

    fn instant(&self, start: DateTime<Utc>) -> DateTime<Utc> {
        start
    }

    fn next(&self, after: &DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.next_after(*after)
    }

    fn utc(instant: &DateTime<Utc>) -> DateTime<Utc> {
        *instant
    }
}

/// The crate `croner`.
pub struct Croner(croner::Cron, Tz);

impl Search for Croner {
    const NAME: &'static str = "croner";
    type Instant = DateTime<Tz>;

    fn new(expression: &str, zone: Tz) -> Option<Self> {
        croner::Cron::from_str(expression).ok().map(|cron| Self(cron, zone))
    }

    fn instant(&self, start: DateTime<Utc>) -> DateTime<Tz> {
        self.1.from_utc_datetime(&start.naive_utc())
    }

    fn next(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        self.0.find_next_occurrence(after, false).ok()
    }

    fn utc(instant: &DateTime<Tz>) -> DateTime<Utc> {
        instant.to_utc()
    }
}

/// The crate `cron`, which wants a field for seconds.
pub struct CronCrate(cron::Schedule, Tz);

impl Search for CronCrate {
    const NAME: &'static str = "cron";
    type Instant = DateTime<Tz>;

    fn new(expression: &str, zone: Tz) -> Option<Self> {
        cron::Schedule::from_str(&format!("0 {expression}")).ok().map(|cron| Self(cron, zone))
    }

    fn instant(&self, start: DateTime<Utc>) -> DateTime<Tz> {
        self.1.from_utc_datetime(&start.naive_utc())
    }

    fn next(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        self.0.after(after).next()
    }

    fn utc(instant: &DateTime<Tz>) -> DateTime<Utc> {
        instant.to_utc()
    }
}

/// Asks for [`FIRES`] fires, or as many as there are, and says how many there were. It is not
/// inlined, so that callgrind can count what happens inside it and nothing else.
#[inline(never)]
pub fn fires_of_cell<S: Search>(search: &S, start: &S::Instant) -> usize {
    let mut after = start.clone();
    for number in 0..FIRES {
        match search.next(black_box(&after)) {
            Some(fire) => after = fire,
            None => return number,
        }
    }
    black_box(&after);
    FIRES
}

/// Compiles every expression once. Not inlined, for the same reason.
#[inline(never)]
pub fn parse_all<S: Search>() {
    for expression in EXPRESSIONS {
        black_box(S::new(black_box(expression), Tz::UTC));
    }
}

/// The fires of a cell in UTC.
pub fn list<S: Search>(expression: &str, zone: Tz) -> Vec<DateTime<Utc>> {
    let Some(search) = S::new(expression, zone) else { return Vec::new() };
    let mut after = search.instant(start());
    std::iter::from_fn(|| {
        after = search.next(&after)?;
        Some(S::utc(&after))
    })
    .take(FIRES)
    .collect()
}
