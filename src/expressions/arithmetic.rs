//! `+ - * / %` and the minus sign. Whole numbers and decimals are checked: a row that overflows fails. Moments and
//! durations are calculated as the microseconds they are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL128_MAX_SCALE, DataType, Decimal128Type};
use arrow::error::ArrowError;
use datafusion_common::DataFusionError;
use datafusion_expr::ColumnarValue;
use millstream_dsl::ast::BinaryOp;

use super::attempt::{Attempt, KernelResult, bug};
use super::step::{Compute, Rows, Step, Value};
use crate::model::Type;
use crate::plan::TypedExpr;
use crate::plan::operator::TaskError;

type Kernel = fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>;

/// `a op b`
pub(super) fn step(expr: &TypedExpr, op: BinaryOp, left: Step, right: Step) -> Step {
    let kernel: Kernel = match op {
        BinaryOp::Subtract => numeric::sub,
        BinaryOp::Multiply => numeric::mul,
        BinaryOp::Divide if matches!(expr.slot.ty, Type::Decimal { .. }) => quotient,
        BinaryOp::Divide => numeric::div,
        BinaryOp::Modulo => numeric::rem,
        _ => numeric::add,
    };
    let ty = expr.slot.ty.to_arrow();
    let fails = !expr.slot.ty.is_float();
    let binary = Binary { kernel, what: expr.to_string(), ty: ty.clone() };
    Step::new(binary, vec![as_number(left), as_number(right)], ty, fails)
}

/// `-x`
pub(super) fn negate(expr: &TypedExpr, of: Step) -> Step {
    let ty = expr.slot.ty.to_arrow();
    let fails = expr.slot.ty.is_integer() || expr.slot.ty == Type::Duration;
    Step::new(Negate { what: expr.to_string(), ty: ty.clone() }, vec![as_number(of)], ty, fails)
}

/// Time as microseconds; anything else as it is.
fn as_number(step: Step) -> Step {
    match step.ty {
        DataType::Timestamp(..) | DataType::Duration(_) => Step::new(Micros, vec![step], DataType::Int64, false),
        _ => step,
    }
}

struct Micros;

impl Compute for Micros {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let Value { data, failures } = operands[0].eval(rows)?;
        Ok(Value { data: data.cast_to(&DataType::Int64, None).map_err(bug)?, failures })
    }
}

struct Binary {
    kernel: Kernel,
    what: String,
    ty: DataType,
}

impl Compute for Binary {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let inputs = operands.iter().map(|o| o.eval(rows)).collect::<Result<Vec<_>, _>>()?;
        let kernel = |inputs: &[ColumnarValue], _| self.compute(inputs);
        Attempt { what: &self.what, ty: &self.ty, kernel }.run(inputs, rows.count)
    }
}

impl Binary {
    fn compute(&self, inputs: &[ColumnarValue]) -> KernelResult {
        let [left, right] = inputs else { return Err(DataFusionError::Internal("two operands".into())) };
        let result = match (left, right) {
            (ColumnarValue::Array(a), ColumnarValue::Array(b)) => (self.kernel)(a, b)?,
            (ColumnarValue::Array(a), ColumnarValue::Scalar(b)) => (self.kernel)(a, &b.to_scalar()?)?,
            (ColumnarValue::Scalar(a), ColumnarValue::Array(b)) => (self.kernel)(&a.to_scalar()?, b)?,
            (ColumnarValue::Scalar(a), ColumnarValue::Scalar(b)) => (self.kernel)(&a.to_scalar()?, &b.to_scalar()?)?,
        };
        within_precision(&result)?;
        Ok(ColumnarValue::Array(result))
    }
}

/// Of decimals, with four more digits than the left one has, rounded half away from zero where Arrow's kernel cuts off.
fn quotient(left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    let ((left, left_is_one), (right, right_is_one)) = (left.get(), right.get());
    let (DataType::Decimal128(precision, scale), DataType::Decimal128(_, of_right)) =
        (left.data_type(), right.data_type())
    else {
        return numeric::div(&left, &right);
    };
    let to = (scale + 4).min(DECIMAL128_MAX_SCALE);
    let ty =
        DataType::Decimal128((precision.saturating_add(of_right.unsigned_abs()) + 4).min(DECIMAL128_MAX_PRECISION), to);
    let more = u32::try_from(to - scale + of_right).unwrap_or(0);
    let too_large = || ArrowError::ArithmeticOverflow("the quotient has too many digits".into());
    let shift = 10_i128.checked_pow(more).ok_or_else(too_large)?;
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let count = if left_is_one { right.len() } else { left.len() };
    let value = |of: &Decimal128Array, is_one: bool, row: usize| {
        let row = if is_one { 0 } else { row };
        of.is_valid(row).then(|| of.value(row))
    };
    let divided = |row: usize| {
        let Some((a, b)) = value(left, left_is_one, row).zip(value(right, right_is_one, row)) else { return Ok(None) };
        if b == 0 {
            return Err(ArrowError::DivideByZero);
        }
        let a = a.checked_mul(shift).ok_or_else(too_large)?;
        let (whole, rest) = (a / b, a % b);
        let away = rest.unsigned_abs() >= b.unsigned_abs() - rest.unsigned_abs();
        Ok(Some(if away { whole + rest.signum() * b.signum() } else { whole }))
    };
    let quotients = (0..count).map(divided).collect::<Result<Decimal128Array, ArrowError>>()?;
    Ok(Arc::new(quotients.with_data_type(ty)))
}

/// Arrow lets a decimal have more digits than its type says.
fn within_precision(array: &ArrayRef) -> Result<(), ArrowError> {
    match array.data_type() {
        DataType::Decimal128(precision, _) => {
            array.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision)
        }
        _ => Ok(()),
    }
}

struct Negate {
    what: String,
    ty: DataType,
}

impl Compute for Negate {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let inputs = vec![operands[0].eval(rows)?];
        let kernel = |inputs: &[ColumnarValue], _| match &inputs[0] {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(numeric::neg(array)?)),
            ColumnarValue::Scalar(value) => Ok(ColumnarValue::Array(numeric::neg(&value.to_array()?)?)),
        };
        Attempt { what: &self.what, ty: &self.ty, kernel }.run(inputs, rows.count)
    }
}
