//! Kernels fail a whole block on its first bad row. Here the bad rows are found: a block that fails is halved until
//! each failing row stands alone.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::DataType;
use arrow::util::display::FormatOptions;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::ColumnarValue;

use super::failures::Failures;
use super::step::Value;
use crate::plan::operator::TaskError;

/// Casts that fail where a value does not fit.
pub(super) const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };

/// Casts that give null where a value does not fit.
pub(super) const LENIENT: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// What a kernel may say.
pub(super) type KernelResult = Result<ColumnarValue, DataFusionError>;

/// A kernel, called so that only the rows fail for which it does.
pub(super) struct Attempt<'a, K> {
    /// The expression, for the reason.
    pub what: &'a str,
    /// What must come out.
    pub ty: &'a DataType,
    /// What computes; is given the inputs and how many rows they stand for.
    pub kernel: K,
}

impl<K: Fn(&[ColumnarValue], usize) -> KernelResult> Attempt<'_, K> {
    /// Computes the rows of these inputs; those that failed before stay failed.
    pub(super) fn run(&self, inputs: Vec<Value>, count: usize) -> Result<Value, TaskError> {
        let mut failures = Failures::default();
        let mut data = Vec::with_capacity(inputs.len());
        for input in inputs {
            failures.add(input.failures);
            data.push(input.data);
        }
        let outcome = match self.once(&data, count) {
            Ok(data) => Value::total(data),
            Err(error) => self.halves(&data, count, &error)?,
        };
        failures.add(outcome.failures);
        Ok(Value { data: outcome.data, failures })
    }

    fn once(&self, inputs: &[ColumnarValue], count: usize) -> KernelResult {
        match (self.kernel)(inputs, count)? {
            ColumnarValue::Array(array) if array.len() == 1 && count != 1 && inputs.iter().all(is_scalar) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&*conformed(&array, self.ty)?, 0)?))
            }
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(conformed(&array, self.ty)?)),
            ColumnarValue::Scalar(value) if value.data_type() == *self.ty => Ok(ColumnarValue::Scalar(value)),
            ColumnarValue::Scalar(value) => {
                let array = conformed(&value.to_array()?, self.ty)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&*array, 0)?))
            }
        }
    }

    fn halves(&self, inputs: &[ColumnarValue], count: usize, error: &DataFusionError) -> Result<Value, TaskError> {
        if count == 0 {
            return Ok(Value::column(new_empty_array(self.ty)));
        }
        if count == 1 || inputs.iter().all(is_scalar) {
            let why = Arc::from(format!("{}: {}", self.what, reason(error)));
            let data = ColumnarValue::Array(new_null_array(self.ty, count));
            return Ok(Value { data, failures: Failures::all(count, &why) });
        }
        let (mut parts, mut failures) = (Vec::new(), Failures::default());
        self.collect(inputs, 0, count, &mut parts, &mut failures)?;
        let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
        Ok(Value { data: ColumnarValue::Array(concat(&parts).map_err(bug)?), failures })
    }

    /// Computes the rows `from .. from + count`, which are known to fail together.
    fn collect(
        &self,
        inputs: &[ColumnarValue],
        from: usize,
        count: usize,
        parts: &mut Vec<ArrayRef>,
        failures: &mut Failures,
    ) -> Result<(), TaskError> {
        let half = count / 2;
        for (from, count) in [(from, half), (from + half, count - half)] {
            let part: Vec<_> = inputs.iter().map(|i| sliced(i, from, count)).collect();
            match self.once(&part, count) {
                Ok(data) => parts.push(Value::total(data).array(count)?),
                Err(error) if count == 1 => {
                    parts.push(new_null_array(self.ty, 1));
                    failures.push(from, format!("{}: {}", self.what, reason(&error)));
                }
                Err(_) => self.collect(inputs, from, count, parts, failures)?,
            }
        }
        Ok(())
    }
}

fn is_scalar(value: &ColumnarValue) -> bool {
    matches!(value, ColumnarValue::Scalar(_))
}

fn sliced(value: &ColumnarValue, from: usize, count: usize) -> ColumnarValue {
    match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, count)),
        ColumnarValue::Scalar(value) => ColumnarValue::Scalar(value.clone()),
    }
}

/// The same data in another layout of the same meaning.
pub(super) fn conformed(array: &ArrayRef, ty: &DataType) -> Result<ArrayRef, DataFusionError> {
    match array.data_type() == ty {
        true => Ok(Arc::clone(array)),
        false => Ok(cast_with_options(array, ty, &STRICT)?),
    }
}

/// The data as a column of a type it is known to fit.
pub(super) fn column(data: &ColumnarValue, ty: &DataType, count: usize) -> Result<ArrayRef, TaskError> {
    let array = match data {
        ColumnarValue::Array(array) => Arc::clone(array),
        ColumnarValue::Scalar(value) => value.to_array_of_size(count).map_err(bug)?,
    };
    conformed(&array, ty).map_err(bug)
}

/// A kernel's own sentence, without its frame, first letter small.
fn reason(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let line = text.lines().next().unwrap_or_default();
    let mut plain = line;
    while let Some((frame, rest)) = plain.split_once(": ")
        && frame.to_lowercase().ends_with("error")
    {
        plain = rest;
    }
    let mut letters = plain.trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// An assumption between phases is broken.
pub(super) fn bug(why: impl fmt::Display) -> TaskError {
    TaskError::Bug(why.to_string())
}
