//! The calendar: parts of dates and moments, and calculating with days and months. DataFusion has `date_part` for the
//! first and nothing for the second.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, Date32Type, FieldRef, Int64Type};
use chrono::{Datelike, Days, Months, NaiveDate};
use datafusion_common::{DataFusionError, Result, exec_datafusion_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Signature as Accepts, Volatility};

use super::kernel::{Kernel, exactly};
use super::resolve::before_types;
use super::wording::ordinal;
use crate::model::{Slot, Type};
use crate::plan::catalog::{Argument, Doc, Failure, FunctionBody, FunctionEntry, Signature, Stability};

type Resolved = std::result::Result<Signature, String>;

/// Days from year 1 to 1970.
const EPOCH: i32 = 719_163;

/// Word, Spark's words for it, what it is, how it is computed.
type Part = (&'static str, &'static [&'static str], &'static str, fn(&ScalarFunctionArgs) -> Result<ColumnarValue>);

const PARTS: &[Part] = &[
    ("year", &[], "the year of a date or moment", |a| part(a, DatePart::Year)),
    ("quarter", &[], "the quarter of the year, from 1", |a| part(a, DatePart::Quarter)),
    ("month", &[], "the month of the year, from 1", |a| part(a, DatePart::Month)),
    ("week", &["weekofyear"], "the ISO week of the year, from 1", |a| part(a, DatePart::Week)),
    ("day", &["dayofmonth"], "the day of the month, from 1", |a| part(a, DatePart::Day)),
    ("dayofweek", &[], "the day of the week, from 1 for Sunday", |a| part(a, DatePart::DayOfWeekSunday1)),
    ("weekday", &[], "the day of the week, from 0 for Monday", |a| part(a, DatePart::DayOfWeekMonday0)),
    ("dayofyear", &[], "the day of the year, from 1", |a| part(a, DatePart::DayOfYear)),
    ("hour", &[], "the hour of the day, from 0", |a| part(a, DatePart::Hour)),
    ("minute", &[], "the minute of the hour, from 0", |a| part(a, DatePart::Minute)),
    ("second", &[], "the second of the minute, from 0", |a| part(a, DatePart::Second)),
];

/// `year`, `month` ..., `date_add`, `date_diff`, `add_months`, `months_between`, `last_day`.
pub(super) fn entries() -> Vec<Arc<FunctionEntry>> {
    let mut all: Vec<_> = PARTS.iter().map(part_entry).collect();
    let day_and_count = || exactly(vec![DataType::Date32, DataType::Int64]);
    let two_days = || exactly(vec![DataType::Date32, DataType::Date32]);
    let date = |_: &[FieldRef]| DataType::Date32;
    let doc = Doc::new;
    let all_of = [
        (
            doc("date_add", "a date so many days later", "date_add(date, days)")
                .example(r#"date_add("2026-01-31", 1)"#),
            Kernel::udf("date_add", day_and_count(), date, |a| moved(a, days_later)),
        ),
        (
            doc("date_sub", "a date so many days earlier", "date_sub(date, days)")
                .example(r#"date_sub("2026-01-01", 1)"#),
            Kernel::udf("date_sub", day_and_count(), date, |a| moved(a, |d, n| days_later(d, n.checked_neg()?))),
        ),
        (
            doc(
                "add_months",
                "a date so many months later, at most the last day of its month",
                "add_months(date, months)",
            )
            .example(r#"add_months("2026-01-31", 1)"#),
            Kernel::udf("add_months", day_and_count(), date, |a| moved(a, months_later)),
        ),
        (
            doc("date_diff", "the days from the second date to the first", "date_diff(end, start)")
                .alias("datediff")
                .example(r#"date_diff("2026-02-01", "2026-01-01")"#),
            Kernel::udf("date_diff", two_days(), |_| DataType::Int64, days_between),
        ),
        (
            doc(
                "months_between",
                "the months from the second date to the first, in parts of 31 days",
                "months_between(end, start)",
            )
            .example(r#"months_between("2026-02-28", "2026-01-31")"#),
            Kernel::udf("months_between", two_days(), |_| DataType::Float64, months_apart),
        ),
        (
            doc("last_day", "the last day of the month of a date", "last_day(date)")
                .example(r#"last_day("2026-02-01")"#),
            Kernel::udf("last_day", exactly(vec![DataType::Date32]), date, month_end),
        ),
    ];
    let leaves = |name: &str| matches!(name, "date_add" | "date_sub" | "add_months");
    all.extend(all_of.into_iter().map(|(doc, udf)| {
        let failure = if leaves(&doc.name) { Failure::Fallible } else { Failure::Total };
        entry(doc, udf, failure, resolve_days)
    }));
    all
}

fn part_entry((name, aliases, summary, compute): &Part) -> Arc<FunctionEntry> {
    let udf = Kernel::udf(name, Accepts::any(1, Volatility::Immutable), |_| DataType::Int32, *compute);
    let doc = aliases.iter().fold(Doc::new(name, summary, &format!("{name}(moment)")), |doc, alias| doc.alias(alias));
    entry(doc, udf, Failure::Total, resolve_part)
}

fn entry(
    doc: Doc,
    udf: Arc<ScalarUDF>,
    failure: Failure,
    resolve: fn(&FunctionEntry, &[Argument<'_>]) -> Resolved,
) -> Arc<FunctionEntry> {
    Arc::new(FunctionEntry {
        doc,
        group: "date",
        failure,
        settled: super::settled::checked,
        stability: Stability::Pure,
        body: FunctionBody::Scalar(udf),
        resolve,
    })
}

fn resolve_part(entry: &FunctionEntry, args: &[Argument<'_>]) -> Resolved {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    let Slot { ty, nullable } = args[0].slot.clone();
    let clock = matches!(entry.doc.name.as_str(), "hour" | "minute" | "second");
    match ty {
        Type::Timestamp(_) | Type::Null => {}
        Type::Time if clock => {}
        Type::Date if !clock => {}
        _ if clock => return Err(format!("wants a timestamp or a time as its first argument, got `{ty}`")),
        _ => return Err(format!("wants a date or a timestamp as its first argument, got `{ty}`")),
    }
    let ty = if ty == Type::Null { Type::Timestamp(None) } else { ty };
    Ok(Signature { args: vec![ty], result: Slot { ty: Type::Int32, nullable } })
}

/// Dates (or moments, of which the day in their zone counts), then a number where one is wanted.
fn resolve_days(entry: &FunctionEntry, args: &[Argument<'_>]) -> Resolved {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    let counts = matches!(entry.doc.name.as_str(), "date_add" | "date_sub" | "add_months");
    let mut types = Vec::with_capacity(args.len());
    for (at, arg) in args.iter().enumerate() {
        let (wanted, word) = if counts && at == 1 { (Type::Int64, "a whole number") } else { (Type::Date, "a date") };
        let constant = || arg.constant.is_some_and(|c| super::coerce::constant_fits(c, &wanted.to_arrow()));
        let fits = match &arg.slot.ty {
            Type::Null => true,
            ty if wanted == Type::Int64 => super::coerce::always_fits(ty, &Type::Int64) && ty.is_integer(),
            ty => matches!(ty, Type::Date | Type::Timestamp(_)) || constant(),
        };
        if !fits {
            return Err(format!("wants {word} as its {} argument, got `{}`", ordinal(at), arg.slot.ty));
        }
        types.push(wanted);
    }
    let ty = match entry.doc.name.as_str() {
        "date_diff" => Type::Int64,
        "months_between" => Type::Float64,
        _ => Type::Date,
    };
    Ok(Signature { args: types, result: Slot { ty, nullable: args.iter().any(|a| a.slot.nullable) } })
}

fn part(args: &ScalarFunctionArgs, part: DatePart) -> Result<ColumnarValue> {
    let moments = args.args[0].to_array(args.number_rows)?;
    let parts = date_part(&moments, part)?;
    match parts.null_count() > moments.logical_null_count() {
        true => Err(outside()),
        false => Ok(ColumnarValue::Array(parts)),
    }
}

/// For dates more than 260,000 years away.
fn outside() -> DataFusionError {
    exec_datafusion_err!("the date is outside of the calendar")
}

fn dates(args: &ScalarFunctionArgs, at: usize) -> Result<Date32Array> {
    Ok(args.args[at].to_array(args.number_rows)?.as_primitive::<Date32Type>().clone())
}

fn to_date(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH)?)
}

fn from_date(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH
}

/// Moves each date by a number; fails where it leaves the calendar.
fn moved(args: &ScalarFunctionArgs, by: fn(NaiveDate, i64) -> Option<NaiveDate>) -> Result<ColumnarValue> {
    let dates = dates(args, 0)?;
    let counts = cast(&args.args[1].to_array(args.number_rows)?, &DataType::Int64)?;
    let result = dates.iter().zip(counts.as_primitive::<Int64Type>()).map(|(date, count)| match date.zip(count) {
        Some((date, count)) => match to_date(date).and_then(|d| by(d, count)) {
            Some(moved) => Ok(Some(from_date(moved))),
            None => Err(outside()),
        },
        None => Ok(None),
    });
    column(result.collect::<Result<Date32Array>>()?)
}

fn days_later(date: NaiveDate, count: i64) -> Option<NaiveDate> {
    let days = Days::new(count.unsigned_abs());
    if count < 0 { date.checked_sub_days(days) } else { date.checked_add_days(days) }
}

fn months_later(date: NaiveDate, count: i64) -> Option<NaiveDate> {
    let months = Months::new(u32::try_from(count.unsigned_abs()).ok()?);
    if count < 0 { date.checked_sub_months(months) } else { date.checked_add_months(months) }
}

fn days_between(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let (end, start) = (dates(args, 0)?, dates(args, 1)?);
    let days = end.iter().zip(&start).map(|(end, start)| Some(i64::from(end?) - i64::from(start?)));
    column(days.collect::<Int64Array>())
}

/// Whole months where both are the same day or the last of their month; else the rest counts as parts of 31 days.
fn months_apart(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let (end, start) = (dates(args, 0)?, dates(args, 1)?);
    let months = end.iter().zip(&start).map(|pair| {
        let (Some(end), Some(start)) = pair else { return Ok(None) };
        let (end, start) = to_date(end).zip(to_date(start)).ok_or_else(outside)?;
        let months = (end.year() - start.year()) * 12 + end.month0() as i32 - start.month0() as i32;
        let whole = end.day() == start.day() || (is_last(end) && is_last(start));
        let rest = if whole { 0.0 } else { (f64::from(end.day()) - f64::from(start.day())) / 31.0 };
        Ok(Some(f64::from(months) + rest))
    });
    column(months.collect::<Result<Float64Array>>()?)
}

fn is_last(date: NaiveDate) -> bool {
    date.succ_opt().is_none_or(|next| next.month() != date.month())
}

fn month_end(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let last = |days: i32| {
        let date = to_date(days)?;
        let next = date.with_day(1)?.checked_add_months(Months::new(1))?;
        Some(from_date(next.pred_opt()?))
    };
    let dates = dates(args, 0)?;
    let result = dates.iter().map(|day| match day {
        Some(day) => last(day).map(Some).ok_or_else(outside),
        None => Ok(None),
    });
    column(result.collect::<Result<Date32Array>>()?)
}

fn column(array: impl Array + 'static) -> Result<ColumnarValue> {
    Ok(ColumnarValue::Array(Arc::new(array) as ArrayRef))
}
