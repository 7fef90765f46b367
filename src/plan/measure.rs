//! Numbers that the user measures: what `meter` gives and reports show.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, DurationMicrosecondType, Float64Type};

use crate::model::time::show_duration;

/// What was measured under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The name the user gave.
    pub name: String,
    /// Whether batches add up (a counter) or the last one counts (a gauge).
    pub adds_up: bool,
    /// Of this batch; none where it has no rows to say it of.
    pub batch: Option<Measure>,
    /// Since the pipeline was first started: the sum, or the last value.
    pub so_far: Option<Measure>,
}

/// A number.
#[derive(Debug, Clone, Copy)]
pub enum Measure {
    /// A whole number, or one with so many digits behind the point.
    Exact(i128, i8),
    /// A float.
    Float(f64),
    /// Microseconds.
    Duration(i64),
}

impl Measure {
    /// The first value of a column of numbers; none where it is null or no number.
    pub fn first(column: &ArrayRef) -> Option<Self> {
        let column = column.slice(0, column.len().min(1));
        if column.is_empty() || column.is_null(0) {
            return None;
        }
        match column.data_type() {
            DataType::Decimal128(_, scale) => {
                Some(Measure::Exact(column.as_primitive::<Decimal128Type>().value(0), *scale))
            }
            DataType::Duration(_) => {
                Some(Measure::Duration(column.as_primitive_opt::<DurationMicrosecondType>()?.value(0)))
            }
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let floats = cast(&column, &DataType::Float64).ok()?;
                Some(Measure::Float(floats.as_primitive::<Float64Type>().value(0)))
            }
            DataType::Boolean => Some(Measure::Exact(i128::from(column.as_boolean().value(0)), 0)),
            ty if ty.is_integer() => {
                let whole = cast(&column, &DataType::Decimal128(38, 0)).ok()?;
                Some(Measure::Exact(whole.as_primitive::<Decimal128Type>().value(0), 0))
            }
            _ => None,
        }
    }

    /// The sum; the largest or smallest number there is where it does not fit.
    #[must_use]
    pub fn plus(self, more: Measure) -> Self {
        match (self, more) {
            (Measure::Exact(a, scale), Measure::Exact(b, other)) if scale == other => {
                Measure::Exact(a.saturating_add(b), scale)
            }
            (Measure::Duration(a), Measure::Duration(b)) => Measure::Duration(a.saturating_add(b)),
            (a, b) => Measure::Float(a.as_float() + b.as_float()),
        }
    }

    /// The number, rounded where it must be.
    pub fn as_float(self) -> f64 {
        match self {
            Measure::Exact(digits, scale) => digits as f64 / 10_f64.powi(i32::from(scale)),
            Measure::Float(number) => number,
            Measure::Duration(micros) => micros as f64 / 1e6,
        }
    }
}

impl PartialEq for Measure {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Measure::Exact(a, s), Measure::Exact(b, t)) => (a, s) == (b, t),
            (Measure::Float(a), Measure::Float(b)) => a.to_bits() == b.to_bits(),
            (Measure::Duration(a), Measure::Duration(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Measure {}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Measure::Exact(digits, scale) if *scale <= 0 => write!(f, "{digits}"),
            Measure::Exact(digits, scale) => {
                let sign = if *digits < 0 { "-" } else { "" };
                let one = 10_u128.pow(u32::from(scale.unsigned_abs()));
                let digits = digits.unsigned_abs();
                let width = usize::from(scale.unsigned_abs());
                write!(f, "{sign}{}.{:0width$}", digits / one, digits % one)
            }
            Measure::Float(number) => write!(f, "{number}"),
            Measure::Duration(micros) => f.write_str(&show_duration(*micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_write_them() {
        assert_eq!(Measure::Exact(-105, 2).to_string(), "-1.05");
        assert_eq!(Measure::Exact(7, 0).plus(Measure::Exact(5, 0)).to_string(), "12");
        assert_eq!(Measure::Float(0.5).to_string(), "0.5");
        assert_eq!(Measure::Duration(1_500_000).to_string(), "1500ms");
    }
}
