//! IANA time zones by name.

use std::fmt;
use std::str::FromStr;

use chrono_tz::{TZ_VARIANTS, Tz};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::suggest::shown;

/// A time zone of the IANA database. It is stored and shown by name, never as an offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone(Tz::UTC);
    /// The zone that holds where nothing else is said.
    pub const EUROPE_STOCKHOLM: Zone = Zone(Tz::Europe__Stockholm);

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The zone for `chrono`.
    pub fn tz(self) -> Tz {
        self.0
    }

    /// Every zone of the database, aliases included.
    pub fn all() -> impl ExactSizeIterator<Item = Zone> {
        TZ_VARIANTS.iter().map(|tz| Zone(*tz))
    }
}

impl From<Tz> for Zone {
    fn from(tz: Tz) -> Self {
        Zone(tz)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not in the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneError {
    name: String,
    suggestion: Option<&'static str>,
}

impl ZoneError {
    /// The zone that was probably meant.
    pub fn suggestion(&self) -> Option<&'static str> {
        self.suggestion
    }
}

impl std::error::Error for ZoneError {}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return f.write_str("a time zone is missing; write an IANA name such as `Europe/Stockholm`");
        }
        write!(f, "unknown time zone `{}`", shown(&self.name))?;
        match self.suggestion {
            Some(known) => write!(f, "; did you mean `{known}`?"),
            None if looks_like_offset(&self.name) => f.write_str(
                "; an offset is not a zone, because it does not know when clocks change: write an IANA name such as `Europe/Stockholm`, or `UTC`",
            ),
            None => f.write_str("; write an IANA name such as `Europe/Stockholm` or `UTC`"),
        }
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        name.parse().map(Zone).map_err(|_| ZoneError { name: name.to_owned(), suggestion: suggest(name) })
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}

fn looks_like_offset(name: &str) -> bool {
    let digits = name.trim_start_matches("UTC").trim_start_matches("GMT");
    digits.len() > 1
        && digits.starts_with(['+', '-'])
        && digits[1..].bytes().all(|b| b.is_ascii_digit() || b == b':')
}

/// Abbreviations that people use for a place, where the database has no zone of that name.
const ABBREVIATIONS: [(&str, &str); 14] = [
    ("aest", "Australia/Sydney"),
    ("aedt", "Australia/Sydney"),
    ("bst", "Europe/London"),
    ("cdt", "America/Chicago"),
    ("cest", "Europe/Stockholm"),
    ("cst", "America/Chicago"),
    ("edt", "America/New_York"),
    ("eest", "Europe/Helsinki"),
    ("ist", "Asia/Kolkata"),
    ("jst", "Asia/Tokyo"),
    ("mdt", "America/Denver"),
    ("pdt", "America/Los_Angeles"),
    ("pst", "America/Los_Angeles"),
    ("z", "UTC"),
];

/// The zone that was probably meant: the same name in another case or with spaces, the city
/// alone, a common abbreviation, or a near miss.
fn suggest(name: &str) -> Option<&'static str> {
    if name.len() > 64 || looks_like_offset(name) {
        return None;
    }
    let plain = name.trim().to_lowercase().replace([' ', '-'], "_");
    if plain.is_empty() {
        return None;
    }
    if let Some((_, zone)) = ABBREVIATIONS.iter().find(|(short, _)| *short == plain) {
        return Some(zone);
    }
    let names = || Zone::all().map(Zone::name);
    let is_plain = |known: &str| known.bytes().map(folded).eq(plain.bytes());
    names()
        .find(|known| is_plain(known))
        .or_else(|| names().find(|known| known.rsplit('/').next().is_some_and(is_plain)))
        .or_else(|| crate::suggest::nearest(&plain, names()))
        .or_else(|| {
            // A misspelt city alone, or a right city in the wrong region.
            let city = plain.rsplit('/').next()?;
            let by_city = || names().filter_map(|known| Some((known.rsplit_once('/')?.1, known)));
            let nearest = crate::suggest::nearest(city, by_city().map(|(last, _)| last))?;
            by_city().find(|(last, _)| *last == nearest).map(|(_, known)| known)
        })
}

/// A byte of a name in the form in which suggestions are looked for.
fn folded(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_database_is_a_zone_and_round_trips() {
        assert!(Zone::all().len() > 500);
        for zone in Zone::all() {
            assert_eq!(zone.name().parse(), Ok(zone));
            let json = serde_json::to_string(&zone).expect("serializes");
            assert_eq!(serde_json::from_str::<Zone>(&json).expect("reads back"), zone);
        }
    }

    #[test]
    fn unknown_names_get_the_nearest_known_one() {
        let cases = [
            ("europe/stockholm", Some("Europe/Stockholm")),
            ("Europe/Stokholm", Some("Europe/Stockholm")),
            ("Stockholm", Some("Europe/Stockholm")),
            ("stokholm", Some("Europe/Stockholm")),
            ("America/New York", Some("America/New_York")),
            ("US/New_York", Some("America/New_York")),
            ("PST", Some("America/Los_Angeles")),
            ("CEST", Some("Europe/Stockholm")),
            ("utc", Some("UTC")),
            ("Mars/Olympus_Mons", None),
            ("+02:00", None),
            ("", None),
        ];
        for (name, expected) in cases {
            let error = name.parse::<Zone>().expect_err(name);
            assert_eq!(error.suggestion(), expected, "{name}");
            assert!(!error.to_string().contains('\n'));
        }
        let offset = "UTC+2".parse::<Zone>().expect_err("an offset").to_string();
        assert!(offset.contains("an offset is not a zone"), "{offset}");
    }
}
