//! Arithmetic of the proleptic Gregorian calendar on plain integers.
//!
//! Days are counted from 1970-01-01. The conversions follow the well-known scheme of years that
//! begin in March, in which the leap day comes last.

/// Seconds in a minute.
pub(crate) const MINUTE: i64 = 60;
/// Minutes in a day.
pub(crate) const DAY_MINUTES: i64 = 1_440;
/// Seconds in a day.
pub(crate) const DAY: i64 = 86_400;

/// The last second at which anything fires: the end of the year 9999, the last that RFC 3339
/// can write.
pub(crate) const LAST_SECOND: i64 = 253_402_300_799;

/// The day number of a date. `month` is 1 to 12, `day` 1 to 31.
pub(crate) const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let from_march = (month as i64 + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The year, month (1 to 12) and day (1 to 31) of a day number.
pub(crate) const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097) as u32;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era as i64 + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

/// The weekday of a day number, 0 for Sunday to 6 for Saturday.
pub(crate) const fn weekday(days: i64) -> u32 {
    (days + 4).rem_euclid(7) as u32
}

/// Whether `year` has a 29 February.
pub(crate) const fn is_leap(year: i64) -> bool {
    year & 3 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// How many days a month has.
pub(crate) const fn month_length(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + is_leap(year) as u32,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The first minute that begins at or after `second`.
pub(crate) const fn minute_at_or_after(second: i64) -> i64 {
    -((-second).div_euclid(MINUTE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn agrees_with_chrono_over_eight_thousand_years() {
        let mut date = NaiveDate::from_ymd_opt(-1_200, 2, 27).expect("a date");
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");
        for step in 0..40_000_u64 {
            let days = (date - epoch).num_days();
            assert_eq!(civil_from_days(days), (i64::from(date.year()), date.month(), date.day()));
            assert_eq!(days_from_civil(date.year().into(), date.month(), date.day()), days);
            assert_eq!(weekday(days), date.weekday().num_days_from_sunday());
            assert_eq!(is_leap(date.year().into()), date.leap_year());
            let length = date.num_days_in_month();
            assert_eq!(month_length(date.year().into(), date.month()), u32::from(length));
            // Single days around the start, then ever larger strides that are prime to 7 and 400.
            let stride = if step < 2_000 { 1 } else { 97 };
            date = date + chrono::Days::new(stride);
        }
    }

    #[test]
    fn minutes_round_up_on_both_sides_of_the_epoch() {
        for (second, minute) in [(0, 0), (1, 1), (59, 1), (60, 1), (61, 2), (-1, 0), (-60, -1), (-61, -1)] {
            assert_eq!(minute_at_or_after(second), minute, "{second}");
        }
    }
}
