//! Dates with times as people write them, and fires as they are shown.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};

use crate::civil::{DAY, LAST_SECOND};
use crate::spans::Spans;
use crate::suggest::shown;
use crate::zone::Zone;

/// Why a text is not a date with a time. The message is one line and says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InstantError {
    message: String,
}

/// Reads a date with a time.
///
/// With an offset (`2026-12-24T18:00:00+01:00`, `…Z`) it is an instant. Without one it is the wall
/// clock of `zone`; a time that occurs twice is its first occurrence, and a time that clocks skip
/// is the first instant after the gap. Seconds may be left out, a date alone is its midnight, and
/// `T` may be a space.
///
/// # Errors
/// The text is no such date, the date does not exist, or its year is not 1 to 9999.
pub fn parse(text: &str, zone: Zone) -> Result<DateTime<Utc>, InstantError> {
    let body = text.trim_ascii();
    let instant = read(body, zone).map_err(|why| InstantError {
        message: format!("`{}` is not a date with a time: {why}; write for example `2026-12-24T18:00` or `2026-12-24T18:00:00+01:00`", shown(body)),
    })?;
    let range = -62_135_596_800..=LAST_SECOND;
    if range.contains(&instant.timestamp()) {
        Ok(instant)
    } else {
        Err(InstantError { message: format!("`{}` is outside the years 1 to 9999", shown(body)) })
    }
}

fn read(text: &str, zone: Zone) -> Result<DateTime<Utc>, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if !text.is_ascii() {
        return Err("it has characters that are not ASCII".to_owned());
    }
    let (date, rest) = text.split_at(text.find(['T', 't', ' ']).unwrap_or(text.len()));
    let date = read_date(date)?;
    if rest.is_empty() {
        return Ok(local(date.and_time(NaiveTime::MIN), zone));
    }
    let rest = &rest[1..];
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    };
    let time = read_time(time.trim_ascii_end())?;
    let wall = date.and_time(time);
    match offset {
        None => Ok(local(wall, zone)),
        Some(offset) => {
            let ahead = read_offset(offset)?;
            wall.checked_sub_offset(ahead)
                .map(|utc| utc.and_utc())
                .ok_or_else(|| "it is out of range".to_owned())
        }
    }
}

/// Fixed digits: `text` is exactly `length` ASCII digits.
fn digits(text: &str, length: usize) -> Option<u32> {
    (text.len() == length && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn read_date(text: &str) -> Result<NaiveDate, String> {
    let mut parts = text.split('-');
    let mut part = |length: usize| parts.next().and_then(|part| digits(part, length));
    let (year, month, day) = (part(4), part(2), part(2));
    let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else {
        return Err("the date is not YYYY-MM-DD".to_owned());
    };
    NaiveDate::from_ymd_opt(year as i32, month, day).ok_or_else(|| format!("there is no date {text}"))
}

fn read_time(text: &str) -> Result<NaiveTime, String> {
    let (clock, fraction) =
        text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let mut parts = clock.split(':');
    let hour = parts.next().and_then(|part| digits(part, 2));
    let minute = parts.next().and_then(|part| digits(part, 2));
    let second = parts.next().map(|part| digits(part, 2));
    let (Some(hour), Some(minute), Some(second), None) =
        (hour, minute, second.unwrap_or(Some(0)), parts.next())
    else {
        return Err("the time is not HH:MM or HH:MM:SS".to_owned());
    };
    let nanos = match fraction {
        None => 0,
        Some(fraction) if (1..=9).contains(&fraction.len()) => {
            let value =
                digits(fraction, fraction.len()).ok_or("the fraction of the second is not a number")?;
            value * 10_u32.pow(9 - fraction.len() as u32)
        }
        Some(_) => return Err("the fraction of the second has not 1 to 9 digits".to_owned()),
    };
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)
        .ok_or_else(|| format!("there is no time {text}"))
}

fn read_offset(text: &str) -> Result<FixedOffset, String> {
    let seconds = if text.eq_ignore_ascii_case("Z") {
        Some(0)
    } else {
        let (sign, rest) = text.split_at(1);
        let (hours, minutes) = match rest.len() {
            5 if rest.as_bytes()[2] == b':' => (&rest[..2], &rest[3..]),
            4 => rest.split_at(2),
            2 => (rest, "00"),
            _ => ("", ""),
        };
        digits(hours, 2).zip(digits(minutes, 2)).filter(|(hours, minutes)| *hours < 24 && *minutes < 60).map(
            |(hours, minutes)| {
                let seconds = (hours * 3_600 + minutes * 60) as i32;
                if sign == "-" { -seconds } else { seconds }
            },
        )
    };
    seconds.and_then(FixedOffset::east_opt).ok_or_else(|| "the offset is not Z or ±HH:MM".to_owned())
}

/// The instant of a wall clock: the first of two, or the end of the gap.
pub fn local(wall: NaiveDateTime, zone: Zone) -> DateTime<Utc> {
    let seconds = wall.and_utc().timestamp();
    // No wall clock is more than a day ahead of UTC.
    let spans = Spans::of(zone, seconds - DAY);
    // The first stretch whose wall clock, when it ends, has passed `seconds`: it shows that time
    // first, or it begins after the gap that swallowed it.
    let index = spans.position(|span| seconds < span.end.saturating_add(span.offset));
    let span = spans.get_or_last(index);
    let skipped = span.begin != i64::MIN && seconds < span.begin + span.offset;
    if skipped {
        return DateTime::from_timestamp(span.begin, 0).unwrap_or_else(|| wall.and_utc());
    }
    wall.and_utc()
        .checked_sub_signed(chrono::TimeDelta::seconds(span.offset))
        .unwrap_or_else(|| wall.and_utc())
}

/// The instant with the offset that the zone has then.
pub fn in_zone(instant: DateTime<Utc>, zone: Zone) -> DateTime<FixedOffset> {
    let second = instant.timestamp();
    let ahead = Spans::of(zone, second).at(second).offset;
    let offset = i32::try_from(ahead).ok().and_then(FixedOffset::east_opt);
    instant.with_timezone(&offset.unwrap_or_else(|| chrono::Offset::fix(&Utc)))
}

/// RFC 3339 with the zone's offset: `2026-03-29T03:00:00+02:00`. Fractions of a second appear
/// only where there are any; UTC is written `+00:00`.
///
/// Offsets of the time before standard time have seconds, which RFC 3339 cannot write: such
/// instants are written with the nearest whole minute of offset, and stay the same instant. So do
/// the last hours of the year 9999 where it is 10000 already: they are written in UTC.
pub fn format(instant: DateTime<Utc>, zone: Zone) -> String {
    let mut shown = in_zone(instant, zone);
    let ahead = (f64::from(shown.offset().local_minus_utc()) / 60.0).round() as i32 * 60;
    let ahead = if shown.year() > 9_999 { 0 } else { ahead };
    if let Some(writable) = FixedOffset::east_opt(ahead) {
        shown = shown.with_timezone(&writable);
    }
    shown.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}
