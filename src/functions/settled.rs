//! What of a call rules out that a fallible function fails: floats that cannot overflow, counts and units that are
//! known before the run.

use chrono::format::{Item, StrftimeItems};
use datafusion_common::ScalarValue;

use crate::model::Type;
use crate::plan::catalog::Argument;

/// Units of time that `date_trunc` and `date_part` both know.
const UNITS: [&str; 9] = ["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond"];

/// The largest count that costs no more memory than a row may.
const LARGEST_COUNT: i64 = 100_000;

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

/// What fails is checked arithmetic, or asks for more than there can be: such rows go to the bad output unasked.
pub(super) fn checked(_: &[Argument<'_>]) -> bool {
    true
}

/// The first argument is a moment already, so that nothing is read.
pub(super) fn moment(args: &[Argument<'_>]) -> bool {
    args.first().is_some_and(|a| matches!(a.slot.ty, Type::Date | Type::Timestamp(_)))
}

/// Lists are put into an order that is not written, or exists.
pub(super) fn order(args: &[Argument<'_>]) -> bool {
    args.iter().skip(1).all(|a| word(a, &["asc", "desc", "nulls first", "nulls last"]))
}

/// The second argument is a constant encoding that can be written.
pub(super) fn encoding(args: &[Argument<'_>]) -> bool {
    args.get(1).is_some_and(|a| word(a, &["hex", "base64", "base64pad"]))
}

/// The second argument is a constant algorithm that exists.
pub(super) fn algorithm(args: &[Argument<'_>]) -> bool {
    args.get(1)
        .is_some_and(|a| word(a, &["md5", "sha224", "sha256", "sha384", "sha512", "blake2s", "blake2b", "blake3"]))
}

/// The second argument is a constant format without mistakes.
pub(super) fn format(args: &[Argument<'_>]) -> bool {
    match args.get(1).and_then(|a| a.constant) {
        Some(ScalarValue::Utf8(Some(format))) => !StrftimeItems::new(format).any(|item| matches!(item, Item::Error)),
        _ => false,
    }
}

fn word(arg: &Argument<'_>, known: &[&str]) -> bool {
    match arg.constant {
        Some(ScalarValue::Utf8(Some(word))) => known.contains(&word.to_lowercase().as_str()),
        _ => false,
    }
}

/// The unit is a constant that exists.
pub(super) fn unit(args: &[Argument<'_>]) -> bool {
    match args.first().and_then(|a| a.constant) {
        Some(ScalarValue::Utf8(Some(unit))) => UNITS.contains(&unit.to_lowercase().as_str()),
        _ => false,
    }
}
