//! What of a call rules out that a fallible function fails: floats that cannot overflow, counts and units that are
//! known before the run.

use datafusion_common::ScalarValue;

use crate::plan::catalog::Argument;

/// Units of time that `date_trunc` and `date_part` both know.
const UNITS: [&str; 9] = ["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond"];

/// The largest count that costs no more memory than a row may.
const LARGEST_COUNT: i64 = 100_000;

/// A float has no overflow.
pub(super) fn float(args: &[Argument<'_>]) -> bool {
    args.first().is_some_and(|a| a.slot.ty.is_float())
}

/// The counts behind the first argument are constants, not negative and not huge.
pub(super) fn counts(args: &[Argument<'_>]) -> bool {
    numbers_within(args, 0)
}

/// The positions behind the first argument are constants from one on.
pub(super) fn positions(args: &[Argument<'_>]) -> bool {
    numbers_within(args, 1)
}

fn numbers_within(args: &[Argument<'_>], least: i64) -> bool {
    args.iter().skip(1).filter(|a| a.slot.ty.is_integer()).all(|a| match a.constant {
        Some(ScalarValue::Int64(Some(n))) => (least..=LARGEST_COUNT).contains(n),
        _ => false,
    })
}

/// The unit is a constant that exists.
pub(super) fn unit(args: &[Argument<'_>]) -> bool {
    match args.first().and_then(|a| a.constant) {
        Some(ScalarValue::Utf8(Some(unit))) => UNITS.contains(&unit.to_lowercase().as_str()),
        _ => false,
    }
}
