//! Cells of a sheet as values.

use std::borrow::Cow;

use calamine::{CellErrorType, Data, DataRef, ExcelDateTime};
use chrono::{NaiveDateTime, NaiveTime, TimeDelta};
use pipeline_core::Value;

use crate::convert::iso;
use crate::parse::table::Cell;

/// A cell of a sheet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SheetCell<'a> {
    Empty,
    Text(Cow<'a, str>),
    Value(Value),
    /// A formula that failed.
    Error(CellErrorType),
}

impl SheetCell<'_> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    /// What a person sees.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.to_string(),
            Self::Value(Value::Text(text)) => text.to_string(),
            Self::Value(value) => value.to_json(),
            Self::Error(error) => error.to_string(),
        }
    }

    /// The cell for a record.
    ///
    /// # Errors
    /// Where it holds an error.
    pub(super) fn take(&mut self) -> Result<Cell<'_>, String> {
        match self {
            Self::Empty => Ok(Cell::Value(Value::Null)),
            Self::Text(text) => Ok(Cell::Text(text)),
            Self::Value(value) => Ok(Cell::Value(value.clone())),
            Self::Error(error) => Err(format!("the cell holds the error {error}")),
        }
    }
}

impl<'a> From<DataRef<'a>> for SheetCell<'a> {
    fn from(data: DataRef<'a>) -> Self {
        match data {
            DataRef::SharedString(text) => Self::Text(text.into()),
            DataRef::String(text) => Self::Text(text.into()),
            DataRef::Int(number) => Self::Value(Value::Int(number)),
            DataRef::Float(number) => Self::Value(number_of(number)),
            DataRef::Bool(value) => Self::Value(Value::Bool(value)),
            DataRef::DateTime(at) => Self::Value(time_of(at)),
            DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Self::Value(text.into()),
            DataRef::Error(error) => Self::Error(error),
            DataRef::Empty => Self::Empty,
        }
    }
}

impl<'a> From<&'a Data> for SheetCell<'a> {
    fn from(data: &'a Data) -> Self {
        match data {
            Data::String(text) => Self::Text(text.into()),
            Data::Int(number) => Self::Value(Value::Int(*number)),
            Data::Float(number) => Self::Value(number_of(*number)),
            Data::Bool(value) => Self::Value(Value::Bool(*value)),
            Data::DateTime(at) => Self::Value(time_of(*at)),
            Data::DateTimeIso(text) | Data::DurationIso(text) => Self::Value(text.as_str().into()),
            Data::Error(error) => Self::Error(error.clone()),
            Data::Empty => Self::Empty,
        }
    }
}

/// Spreadsheets keep all numbers as floats; a whole one is shown without a point.
fn number_of(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9.0e15 {
        Value::Int(number as i64)
    } else {
        Value::float(number)
    }
}

/// A date, a date and time, a time, or a duration, in ISO 8601.
fn time_of(at: ExcelDateTime) -> Value {
    if at.is_duration() {
        return at.as_duration().map_or(Value::Null, |time| duration(time).into());
    }
    match at.as_datetime() {
        Some(time) if (0.0..1.0).contains(&at.as_f64()) => {
            time.time().format("%H:%M:%S%.f").to_string().into()
        }
        Some(time) => date_or_time(time).into(),
        None => number_of(at.as_f64()),
    }
}

fn date_or_time(at: NaiveDateTime) -> String {
    if at.time() == NaiveTime::MIN { at.format("%Y-%m-%d").to_string() } else { iso(at) }
}

fn duration(time: TimeDelta) -> String {
    let millis = time.num_milliseconds();
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    let (hours, minutes, rest) = (millis / 3_600_000, millis / 60_000 % 60, millis % 60_000);
    let mut text = format!("{sign}PT");
    if hours > 0 {
        text.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}M"));
    }
    if rest > 0 || (hours == 0 && minutes == 0) {
        text.push_str(&format!("{}S", rest as f64 / 1000.0));
    }
    text
}

#[cfg(test)]
mod tests {
    use calamine::ExcelDateTimeType::{DateTime, TimeDelta};

    use super::*;

    #[test]
    fn times_become_iso_8601() {
        let cases = [
            (45_351.0, DateTime, false, "\"2024-02-29\""),
            (45_351.5, DateTime, false, "\"2024-02-29T12:00:00\""),
            (45_351.437_505_787, DateTime, false, "\"2024-02-29T10:30:00.500\""),
            (43_889.0, DateTime, true, "\"2024-02-29\""),
            (0.437_5, DateTime, false, "\"10:30:00\""),
            (1.5, TimeDelta, false, "\"PT36H\""),
            (0.062_517, TimeDelta, false, "\"PT1H30M1.469S\""),
            (0.0, TimeDelta, false, "\"PT0S\""),
            (1e300, DateTime, false, "1e+300"),
        ];
        for (value, kind, is_1904, expected) in cases {
            let cell = SheetCell::from(DataRef::DateTime(ExcelDateTime::new(value, kind, is_1904)));
            let SheetCell::Value(found) = cell else { panic!("{cell:?}") };
            assert_eq!(found.to_json(), expected, "{value}");
        }
    }
}
