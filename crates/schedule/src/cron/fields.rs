//! The compiled form of an expression: one bit for each value, and the days of a month from it.

/// All minutes of an hour.
pub(crate) const ALL_MINUTES: u64 = (1 << 60) - 1;
/// All hours of a day.
pub(crate) const ALL_HOURS: u32 = (1 << 24) - 1;
/// All days of the longest month; bit 0 is the 1st.
pub(crate) const ALL_DAYS: u32 = (1 << 31) - 1;
/// All months; bit 1 is January.
pub(crate) const ALL_MONTHS: u16 = 0b1_1111_1111_1110;
/// All days of the week; bit 0 is Sunday.
pub(crate) const ALL_WEEKDAYS: u8 = 0b111_1111;

/// The values that an expression matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Fields {
    /// Bit m for minute m.
    pub(crate) minutes: u64,
    /// Bit h for hour h.
    pub(crate) hours: u32,
    /// Bit m for month m (1 to 12).
    pub(crate) months: u16,
    pub(crate) days: Days,
    /// The minute or the hour begins with `*`.
    pub(crate) wildcard: bool,
}

/// The part of an expression that chooses days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Days {
    /// Bit d-1 for day d.
    pub(crate) of_month: u32,
    /// Bit n for `L-n`; bit 0 for `L`.
    pub(crate) from_end: u32,
    /// Bit d-1 for `dW`.
    pub(crate) nearest_workday: u32,
    /// `LW`.
    pub(crate) last_workday: bool,
    /// Bit w for weekday w.
    pub(crate) of_week: u8,
    /// Bit w for `wL`.
    pub(crate) last_of_week: u8,
    /// Bit w of element k-1 for `w#k`.
    pub(crate) nth_of_week: [u8; 5],
    /// Either day field begins with `*` (or is `?`): both must match. Otherwise either may.
    pub(crate) both: bool,
}

impl Days {
    /// Whether every day of every month matches.
    pub(crate) fn every(&self) -> bool {
        let (month, week) = (self.of_month == ALL_DAYS, self.of_week == ALL_WEEKDAYS);
        if self.both { month && week } else { month || week }
    }

    /// Whether the day of the week alone decides.
    pub(crate) fn weekly(&self) -> bool {
        self.both && self.of_month == ALL_DAYS && self.last_of_week == 0 && self.nth_of_week == [0; 5]
    }

    fn has_month_extensions(&self) -> bool {
        self.from_end != 0 || self.nearest_workday != 0 || self.last_workday
    }

    /// The matching days of a month of `length` days whose 1st falls on the weekday `first`
    /// (0 is Sunday). Bit d-1 for day d.
    pub(crate) fn in_month(&self, first: u32, length: u32) -> u32 {
        let all = ALL_DAYS >> (31 - length);
        let mut by_month = self.of_month;
        if self.has_month_extensions() {
            by_month |= self.month_extensions(first, length);
        }
        let mut by_week = spread(self.of_week, first);
        if self.last_of_week != 0 {
            by_week |= spread(self.last_of_week, first) & (0b111_1111 << (length - 7));
        }
        for (index, weekdays) in self.nth_of_week.iter().enumerate() {
            if *weekdays != 0 {
                by_week |= spread(*weekdays, first) & ((0b111_1111_u64 << (7 * index)) as u32);
            }
        }
        all & if self.both { by_month & by_week } else { by_month | by_week }
    }

    fn month_extensions(&self, first: u32, length: u32) -> u32 {
        let weekday_of = |day: u32| (first + day - 1) % 7;
        // Bit n of `from_end` is day length-n; those before the 1st are shifted out.
        let mut days = self.from_end.reverse_bits() >> (32 - length);
        let mut nearest = self.nearest_workday;
        while nearest != 0 {
            let day = nearest.trailing_zeros() + 1;
            nearest &= nearest - 1;
            if day > length {
                break;
            }
            // The nearest day from Monday to Friday that is still in the month.
            let moved = match weekday_of(day) {
                6 if day == 1 => 3,
                6 => day - 1,
                0 if day == length => day - 2,
                0 => day + 1,
                _ => day,
            };
            days |= 1 << (moved - 1);
        }
        if self.last_workday {
            let back = match weekday_of(length) {
                6 => 1,
                0 => 2,
                _ => 0,
            };
            days |= 1 << (length - back - 1);
        }
        days
    }
}

/// The days of a month that fall on `weekdays` when its 1st falls on `first`.
fn spread(weekdays: u8, first: u32) -> u32 {
    // Six weeks side by side, beginning on a Sunday; shifted so that bit 0 is the 1st.
    const SIX_WEEKS: u64 = 1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28 | 1 << 35;
    ((u64::from(weekdays) * SIX_WEEKS) >> first) as u32
}

impl Fields {
    /// Whether any date matches: a proof over the shapes that a month can have, not a search.
    ///
    /// In the 400 years after which the calendar repeats, every month begins on every weekday,
    /// and 29 February falls on every weekday too. So an expression fires if and only if it
    /// matches in one of the 7 × 4 shapes of its months.
    pub(crate) fn can_fire(&self) -> bool {
        let days = &self.days;
        let lengths = [(31, 0b1_0101_1010_1010_u16), (30, 0b0_1010_0101_0000), (29, 0b100), (28, 0b100)];
        lengths
            .iter()
            .filter(|(_, months)| self.months & months != 0)
            .any(|(length, _)| (0..7).any(|first| days.in_month(first, *length) != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::civil;

    #[test]
    fn every_shape_of_month_occurs_in_four_centuries() {
        let mut seen = std::collections::BTreeSet::new();
        for year in 2000..2400 {
            for month in 1..=12 {
                let first = civil::weekday(civil::days_from_civil(year, month, 1));
                seen.insert((month, civil::month_length(year, month), first));
            }
        }
        // Twelve months and a second length of February, each with seven first weekdays.
        assert_eq!(seen.len(), 13 * 7);
    }

    #[test]
    fn spread_repeats_each_week() {
        // The 1st is a Wednesday: Sundays are the 5th, 12th, 19th, 26th.
        let sundays = spread(1, 3) & ALL_DAYS;
        assert_eq!(sundays, 1 << 4 | 1 << 11 | 1 << 18 | 1 << 25);
    }
}
