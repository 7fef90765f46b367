//! `and`, `or`, `not`, `is null` by three-valued logic. Operands that can fail are evaluated from left to right, and
//! only for rows that are not decided yet: `n != 0 and 10 / n > 1` fails for no row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{and_kleene, is_null as null_mask, not as inverse, or_kleene};
use arrow::datatypes::DataType;

use super::attempt::bug;
use super::choose::{Piece, picked, scatter};
use super::failures::{Failures, certainly};
use super::step::{Compute, Rows, Step, Value};
use crate::plan::operator::TaskError;

/// All of them.
pub(super) fn all(operands: Vec<Step>) -> Step {
    Step::new(Junction { decides: false }, operands, DataType::Boolean, false)
}

/// Any of them.
pub(super) fn any(operands: Vec<Step>) -> Step {
    Step::new(Junction { decides: true }, operands, DataType::Boolean, false)
}

/// `not x`
pub(super) fn not(of: Step) -> Step {
    Step::new(Not, vec![of], DataType::Boolean, false)
}

/// `x is null`
pub(super) fn is_null(of: Step) -> Step {
    Step::new(IsNull, vec![of], DataType::Boolean, false)
}

/// A step's data as truth values. A literal `null` has a type of its own.
pub(super) fn truth(value: &Value, count: usize) -> Result<BooleanArray, TaskError> {
    let array = value.array(count)?;
    match array.data_type() {
        DataType::Boolean => Ok(array.as_boolean().clone()),
        _ => Ok(BooleanArray::new_null(count)),
    }
}

/// Operands until one is `decides`.
struct Junction {
    decides: bool,
}

impl Compute for Junction {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let mut so_far = BooleanArray::from(vec![!self.decides; rows.count]);
        let mut failures = Failures::default();
        for operand in operands {
            let next =
                if operand.fails { self.undecided(operand, rows, &so_far, &failures)? } else { operand.eval(rows)? };
            let next_truth = truth(&next, rows.count)?;
            let combined =
                if self.decides { or_kleene(&so_far, &next_truth) } else { and_kleene(&so_far, &next_truth) };
            so_far = combined.map_err(bug)?;
            failures.add(next.failures);
        }
        Ok(Value { data: (Arc::new(so_far) as ArrayRef).into(), failures })
    }
}

impl Junction {
    /// Evaluates an operand for the rows that are neither decided nor failed; elsewhere it is null.
    fn undecided(
        &self,
        operand: &Step,
        rows: &Rows<'_>,
        so_far: &BooleanArray,
        failures: &Failures,
    ) -> Result<Value, TaskError> {
        let decided = if self.decides {
            certainly(so_far, &Failures::default())
        } else {
            let inverted = inverse(so_far).map_err(bug)?;
            certainly(&inverted, &Failures::default())
        };
        let mut open = !&decided;
        if let Some(failed) = failures.mask(rows.count) {
            open = &open & &!failed.values();
        }
        let open: UInt32Array = picked(&open);
        if open.len() == rows.count {
            return operand.eval(rows);
        }
        let value = operand.eval_picked(rows, &open)?;
        scatter(vec![Piece { rows: open, value }], &DataType::Boolean, rows.count)
    }
}

struct Not;

impl Compute for Not {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let value = operands[0].eval(rows)?;
        let array: ArrayRef = Arc::new(inverse(&truth(&value, rows.count)?).map_err(bug)?);
        Ok(Value { data: array.into(), failures: value.failures })
    }
}

struct IsNull;

impl Compute for IsNull {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let value = operands[0].eval(rows)?;
        let array: ArrayRef = Arc::new(null_mask(&value.array(rows.count)?).map_err(bug)?);
        Ok(Value { data: array.into(), failures: value.failures })
    }
}
