//! `== != < <= > >=` and `like`. Floats compare as in SQL: both zeros are equal, NaN is equal to itself and above all
//! other numbers. Structs, lists and maps compare part by part, nulls in them being equal.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cmp;
use arrow::compute::{SortOptions, like as like_kernel};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use datafusion_expr::ColumnarValue;
use millstream_dsl::ast::BinaryOp;

use super::attempt::{Attempt, KernelResult, bug};
use super::failures::Failures;
use super::step::{Compute, Rows, Step, Value};
use crate::plan::TypedExpr;
use crate::plan::operator::TaskError;

type Kernel = fn(&dyn Datum, &dyn Datum) -> Result<BooleanArray, ArrowError>;

/// `a op b`, for operands of one type.
pub(super) fn step(op: BinaryOp, left: Step, right: Step) -> Step {
    Step::new(Compare { op }, vec![left, right], DataType::Boolean, false)
}

/// `a like b`
pub(super) fn like(expr: &TypedExpr, text: Step, pattern: Step) -> Step {
    let fails = pattern.constant.is_none();
    Step::new(Like { what: expr.to_string() }, vec![text, pattern], DataType::Boolean, fails)
}

struct Compare {
    op: BinaryOp,
}

impl Compute for Compare {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let [left, right] = operands else { return Err(bug("a comparison has two sides")) };
        let (left, right) = (left.eval(rows)?, right.eval(rows)?);
        let data = compared(self.op, &left.data, &right.data, rows.count).map_err(bug)?;
        let mut failures = Failures::default();
        failures.add(left.failures);
        failures.add(right.failures);
        Ok(Value { data: (Arc::new(data) as ArrayRef).into(), failures })
    }
}

/// Compares two columns of one type by three-valued logic.
pub(super) fn compared(
    op: BinaryOp,
    left: &ColumnarValue,
    right: &ColumnarValue,
    count: usize,
) -> Result<BooleanArray, DataFusionError> {
    if left.data_type() == DataType::Null || right.data_type() == DataType::Null {
        return Ok(BooleanArray::new_null(count));
    }
    if left.data_type().is_nested() {
        return Ok(nested(op, &left.to_array(count)?, &right.to_array(count)?)?);
    }
    let kernel: Kernel = match op {
        BinaryOp::NotEqual => cmp::neq,
        BinaryOp::Less => cmp::lt,
        BinaryOp::LessOrEqual => cmp::lt_eq,
        BinaryOp::Greater => cmp::gt,
        BinaryOp::GreaterOrEqual => cmp::gt_eq,
        _ => cmp::eq,
    };
    let result = match (left, right) {
        (ColumnarValue::Array(a), ColumnarValue::Scalar(b)) => {
            kernel(&plain_floats(a), &arrow::array::Scalar::new(plain_floats(&b.to_array()?)))?
        }
        (ColumnarValue::Scalar(a), ColumnarValue::Array(b)) => {
            kernel(&arrow::array::Scalar::new(plain_floats(&a.to_array()?)), &plain_floats(b))?
        }
        (a, b) => kernel(&plain_floats(&a.to_array(count)?), &plain_floats(&b.to_array(count)?))?,
    };
    Ok(result)
}

/// One zero and one NaN, so that Arrow's total order is SQL's.
pub(crate) fn plain_floats(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let plain = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(plain))
        }
        DataType::Float32 => {
            let plain = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(plain))
        }
        _ => Arc::clone(array),
    }
}

fn nested(op: BinaryOp, left: &ArrayRef, right: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let order = make_comparator(left, right, SortOptions::default())?;
    let holds = |ordering: Ordering| match op {
        BinaryOp::NotEqual => ordering.is_ne(),
        BinaryOp::Less => ordering.is_lt(),
        BinaryOp::LessOrEqual => ordering.is_le(),
        BinaryOp::Greater => ordering.is_gt(),
        BinaryOp::GreaterOrEqual => ordering.is_ge(),
        _ => ordering.is_eq(),
    };
    let values = (0..left.len()).map(|row| holds(order(row, row))).collect();
    Ok(BooleanArray::new(values, NullBuffer::union(left.nulls(), right.nulls())))
}

struct Like {
    what: String,
}

impl Compute for Like {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let inputs = operands.iter().map(|o| o.eval(rows)).collect::<Result<Vec<_>, _>>()?;
        Attempt { what: &self.what, ty: &DataType::Boolean, kernel: matched }.run(inputs, rows.count)
    }
}

fn matched(inputs: &[ColumnarValue], count: usize) -> KernelResult {
    let [text, pattern] = inputs else { return Err(DataFusionError::Internal("two operands".into())) };
    let text = text.to_array(count)?;
    let result = match pattern {
        ColumnarValue::Scalar(pattern) => like_kernel(&text, &pattern.to_scalar()?)?,
        ColumnarValue::Array(pattern) => like_kernel(&text, pattern)?,
    };
    Ok(ColumnarValue::Array(Arc::new(result)))
}
