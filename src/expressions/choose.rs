//! `case`, `??` and `?`: a value is computed only for the rows that take it, so that it fails only for those.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use datafusion_expr::ColumnarValue;

use super::attempt::{bug, column};
use super::failures::{Failures, certainly};
use super::logic::truth;
use super::step::{Compute, Rows, Step, Value};
use crate::plan::operator::TaskError;

/// The value of the first branch whose condition is true.
pub(super) fn case(branches: Vec<(Step, Step)>, otherwise: Option<Step>, ty: DataType) -> Step {
    let case = Case { branches: branches.len(), ty: ty.clone() };
    let mut operands: Vec<_> = branches.into_iter().flat_map(|(when, then)| [when, then]).collect();
    operands.extend(otherwise);
    Step::new(case, operands, ty, false)
}

/// `a ?? b`
pub(super) fn coalesce(value: Step, otherwise: Step, ty: DataType) -> Step {
    Step::new(Coalesce { ty: ty.clone() }, vec![value, otherwise], ty, false)
}

/// `x?`
pub(super) fn settle(of: Step) -> Step {
    let ty = of.ty.clone();
    Step::new(Settle, vec![of], ty, false)
}

/// A value for some rows of a block.
pub(super) struct Piece {
    /// Which, ascending.
    pub rows: UInt32Array,
    /// The value, for these rows only.
    pub value: Value,
}

/// Rows that are set, as positions.
pub(super) fn picked(rows: &BooleanBuffer) -> UInt32Array {
    rows.set_indices().map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect::<Vec<_>>().into()
}

/// Puts pieces that share no row together; the other rows are null.
pub(super) fn scatter(pieces: Vec<Piece>, ty: &DataType, count: usize) -> Result<Value, TaskError> {
    let mut failures = Failures::default();
    let mut arrays: Vec<ArrayRef> = vec![new_null_array(ty, 1)];
    let mut sources = vec![(0, 0); count];
    for Piece { rows, value } in pieces {
        let spread = matches!(value.data, ColumnarValue::Scalar(_));
        arrays.push(column(&value.data, ty, if spread { 1 } else { rows.len() })?);
        for (at, &row) in rows.values().iter().enumerate() {
            sources[row as usize] = (arrays.len() - 1, if spread { 0 } else { at });
        }
        failures.add(value.failures.among(rows.values()));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(Value { data: interleave(&arrays, &sources).map_err(bug)?.into(), failures })
}

struct Case {
    branches: usize,
    ty: DataType,
}

impl Compute for Case {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let mut left = UInt32Array::from_iter_values(0..u32::try_from(rows.count).map_err(bug)?);
        let mut pieces = Vec::with_capacity(self.branches + 1);
        let mut failures = Failures::default();
        for pair in operands.chunks(2) {
            let [when, then] = pair else { continue };
            let held = when.eval_picked(rows, &left)?;
            let condition = truth(&held, left.len())?;
            let taken = certainly(&condition, &held.failures);
            let skipped = match held.failures.mask(left.len()) {
                Some(failed) => !&(&taken | failed.values()),
                None => !&taken,
            };
            let of = |rows: &BooleanBuffer| {
                picked(rows).values().iter().map(|&at| left.value(at as usize)).collect::<Vec<_>>()
            };
            let (taken, skipped) = (UInt32Array::from(of(&taken)), UInt32Array::from(of(&skipped)));
            failures.add(held.failures.among(left.values()));
            pieces.push(Piece { value: then.eval_picked(rows, &taken)?, rows: taken });
            left = skipped;
        }
        if let Some(otherwise) = operands.get(2 * self.branches) {
            pieces.push(Piece { value: otherwise.eval_picked(rows, &left)?, rows: left });
        }
        let mut value = scatter(pieces, &self.ty, rows.count)?;
        value.failures.add(failures);
        Ok(value)
    }
}

struct Coalesce {
    ty: DataType,
}

impl Compute for Coalesce {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let [value, otherwise] = operands else { return Err(bug("`??` has two sides")) };
        let Value { data, failures } = value.eval(rows)?;
        let (open, settled) = failures.part();
        let array = column(&data, &self.ty, rows.count)?;
        if open.is_empty() && array.logical_null_count() == 0 {
            return Ok(Value { data: array.into(), failures: settled });
        }
        let there = match open.valid(array.logical_nulls().as_ref(), rows.count) {
            Some(valid) => valid.into_inner(),
            None => BooleanBuffer::new_set(rows.count),
        };
        let missing = picked(&!&there);
        let other = otherwise.eval_picked(rows, &missing)?;
        let mut merged = merge(&array, there, other, missing, &self.ty)?;
        merged.failures.add(settled);
        Ok(merged)
    }
}

/// The array where it is there, else what was computed for the missing rows.
fn merge(
    array: &ArrayRef,
    there: BooleanBuffer,
    other: Value,
    missing: UInt32Array,
    ty: &DataType,
) -> Result<Value, TaskError> {
    if let ColumnarValue::Scalar(value) = &other.data
        && other.failures.is_empty()
    {
        let value = value.cast_to(ty).and_then(|v| v.to_scalar()).map_err(bug)?;
        let mask = BooleanArray::new(there, None);
        let data = arrow::compute::kernels::zip::zip(&mask, array, &value).map_err(bug)?;
        return Ok(Value::column(data));
    }
    let rows = picked(&there);
    let given = arrow::compute::take(array, &rows, None).map_err(bug)?;
    let pieces = vec![Piece { rows, value: Value::column(given) }, Piece { rows: missing, value: other }];
    scatter(pieces, ty, array.len())
}

struct Settle;

impl Compute for Settle {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let mut value = operands[0].eval(rows)?;
        value.failures.settle();
        Ok(value)
    }
}
