//! `x::T`. Arrow's casts, where a value that does not fit makes its row fail; durations and json by our own rules.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DurationMicrosecondArray, StringArray};
use arrow::compute::cast_with_options;
use arrow::datatypes::{DataType, DurationMicrosecondType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::DataFusionError;
use datafusion_expr::ColumnarValue;

use super::attempt::{Attempt, KernelResult, LENIENT, STRICT, bug};
use super::failures::Failures;
use super::step::{Compute, Rows, Step, Value};
use super::{duration, json};
use crate::model::Type;
use crate::model::time::show_duration;
use crate::plan::TypedExpr;
use crate::plan::operator::TaskError;

/// `x::T`
pub(super) fn step(expr: &TypedExpr, from: &Type, of: Step) -> Step {
    let to = &expr.slot.ty;
    let ty = to.to_arrow();
    match (from, to) {
        _ if from == to => of,
        (Type::Json, Type::String) => json::to_text(of),
        (Type::Json, to) if to.is_nested() => json::to_parts(expr, of, ty),
        (Type::Json, _) => plain(expr, json::to_text(of), ty),
        (Type::String, Type::Json) => json::checked(expr, of),
        (_, Type::Json) => json::written(of),
        _ => plain(expr, of, ty),
    }
}

fn plain(expr: &TypedExpr, of: Step, ty: DataType) -> Step {
    if of.ty == ty {
        return of;
    }
    let fails = !never_fails(&of.ty, &ty);
    let of_nested = of.ty.is_nested() || ty.is_nested();
    match of_nested {
        true => Step::new(Whole { what: expr.to_string(), ty: ty.clone() }, vec![of], ty, fails),
        false => Step::new(Plain { word: expr.slot.ty.to_string(), ty: ty.clone() }, vec![of], ty, fails),
    }
}

/// The commonest casts that have a value for every value, so that they are not evaluated for chosen rows only.
fn never_fails(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Float32, Float64, Int8, Int16, Int32, Int64, Null, UInt8, UInt16, UInt32, Utf8};
    match (from, to) {
        (Null, _) => true,
        (from, Float32 | Float64) => from.is_numeric(),
        (from, Utf8) => from.is_numeric() || *from == Boolean,
        (Int8 | UInt8, Int16 | Int32 | Int64) | (Int16 | UInt16, Int32 | Int64) | (Int32 | UInt32, Int64) => true,
        _ => false,
    }
}

/// Between plain types: what is null behind the cast and was not before has failed.
struct Plain {
    word: String,
    ty: DataType,
}

impl Compute for Plain {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let value = operands[0].eval(rows)?;
        let (before, spread) = match &value.data {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(value) => (value.to_array().map_err(bug)?, true),
        };
        let Ok(after) = lenient(&before, &self.ty) else { return self.one_by_one(value, rows.count) };
        let mut failures = value.failures;
        let failed = self.lost(&before, &after)?;
        if !spread {
            failures.add(failed);
            return Ok(Value { data: after.into(), failures });
        }
        if let Some((_, why)) = failed.iter().next() {
            failures.add(Failures::all(rows.count, &Arc::from(why)));
        }
        let value = datafusion_common::ScalarValue::try_from_array(&*after, 0).map_err(bug)?;
        Ok(Value { data: ColumnarValue::Scalar(value), failures })
    }
}

impl Plain {
    /// The rows that are null now and were not before.
    fn lost(&self, before: &ArrayRef, after: &ArrayRef) -> Result<Failures, TaskError> {
        let mut failed = Failures::default();
        if after.null_count() > before.logical_null_count() {
            let shown = ArrayFormatter::try_new(before, &FormatOptions::new()).map_err(bug)?;
            for row in (0..after.len()).filter(|&row| after.is_null(row) && !is_gap(before, row)) {
                let text = shown.value(row).try_to_string().unwrap_or_else(|_| "this value".into());
                failed.push(row, format!("`{}` is no {}", shortened(&text), self.word));
            }
        }
        Ok(failed)
    }

    /// For the casts that Arrow fails as a whole even where it is asked for null.
    fn one_by_one(&self, value: Value, count: usize) -> Result<Value, TaskError> {
        let kernel =
            |inputs: &[ColumnarValue], count: usize| Ok(lenient(&inputs[0].to_array(count)?, &self.ty)?.into());
        Attempt { what: &format!("cast to {}", self.word), ty: &self.ty, kernel }.run(vec![value], count)
    }
}

fn is_gap(array: &ArrayRef, row: usize) -> bool {
    array.is_null(row) || array.data_type() == &DataType::Null
}

/// Null where a value does not fit.
fn lenient(array: &ArrayRef, ty: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    match (array.data_type(), ty) {
        (DataType::Utf8, DataType::Duration(TimeUnit::Microsecond)) => {
            let texts = array.as_string::<i32>();
            let micros: DurationMicrosecondArray = texts.iter().map(|t| t.and_then(duration::parse)).collect();
            Ok(Arc::new(micros))
        }
        (DataType::Duration(TimeUnit::Microsecond), DataType::Utf8) => {
            let micros = array.as_primitive::<DurationMicrosecondType>();
            Ok(Arc::new(micros.iter().map(|m| m.map(show_duration)).collect::<StringArray>()))
        }
        _ => cast_with_options(array, ty, &LENIENT),
    }
}

/// Between values with parts: fails as a whole.
struct Whole {
    what: String,
    ty: DataType,
}

impl Compute for Whole {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let inputs = vec![operands[0].eval(rows)?];
        let kernel = |inputs: &[ColumnarValue], count: usize| -> KernelResult {
            let [of] = inputs else { return Err(DataFusionError::Internal("one operand".into())) };
            Ok(cast_with_options(&of.to_array(count)?, &self.ty, &STRICT)?.into())
        };
        Attempt { what: &self.what, ty: &self.ty, kernel }.run(inputs, rows.count)
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
