//! Calls of functions: DataFusion's kernels, given their arguments in the layouts they take.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use super::attempt::{Attempt, KernelResult, STRICT};
use super::compile::Compiler;
use super::step::{Compute, Rows, Step, Value};
use crate::functions::resolve::kernel_types;
use crate::model::Type;
use crate::plan::TypedExpr;
use crate::plan::catalog::{Failure, FunctionEntry, Stability};
use crate::plan::operator::{NotRunnable, TaskError};

/// `f(a, b)`
pub(super) fn step(
    compiler: &Compiler,
    expr: &TypedExpr,
    entry: &FunctionEntry,
    udf: &Arc<ScalarUDF>,
    mut args: Vec<Step>,
) -> Result<Step, NotRunnable> {
    if entry.stability == Stability::Batch {
        args.push(Step::new(BatchMoment, Vec::new(), Type::Timestamp(None).to_arrow(), false));
    }
    let given: Vec<_> = args.iter().map(|a| a.ty.clone()).collect();
    let misfit = || NotRunnable(format!("function `{}` does not take {given:?}", entry.doc.name));
    let wanted = kernel_types(udf.as_ref(), &given).ok_or_else(misfit)?;
    let fields: Vec<FieldRef> = wanted.iter().map(|w| Arc::new(Field::new("arg", w.clone(), true))).collect();
    let constants: Vec<_> = args.iter().zip(&wanted).map(|(a, w)| a.constant.as_ref()?.cast_to(w).ok()).collect();
    let constants: Vec<Option<&ScalarValue>> = constants.iter().map(Option::as_ref).collect();
    let result = udf
        .return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &constants })
        .map_err(|e| NotRunnable(format!("function `{}`: {}", entry.doc.name, e.strip_backtrace())))?;
    let ty = expr.slot.ty.to_arrow();
    let call = Call {
        udf: Arc::clone(udf),
        what: entry.doc.name.clone(),
        fields,
        result,
        ty: ty.clone(),
        config: Arc::clone(&compiler.config),
    };
    Ok(Step::new(call, args, ty, entry.failure == Failure::Fallible))
}

/// The recorded time of the batch.
struct BatchMoment;

impl Compute for BatchMoment {
    fn eval(&self, _: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let moment = ScalarValue::TimestampMicrosecond(Some(rows.time.micros), Some("UTC".into()));
        Ok(Value::total(ColumnarValue::Scalar(moment)))
    }
}

struct Call {
    udf: Arc<ScalarUDF>,
    what: String,
    /// The arguments as the kernel wants them.
    fields: Vec<FieldRef>,
    result: FieldRef,
    ty: DataType,
    config: Arc<ConfigOptions>,
}

impl Compute for Call {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let inputs = operands.iter().map(|o| o.eval(rows)).collect::<Result<Vec<_>, _>>()?;
        let kernel = |inputs: &[ColumnarValue], count: usize| self.compute(inputs, count);
        Attempt { what: &self.what, ty: &self.ty, kernel }.run(inputs, rows.count)
    }
}

impl Call {
    fn compute(&self, inputs: &[ColumnarValue], count: usize) -> KernelResult {
        let fitted = |(input, field): (&ColumnarValue, &FieldRef)| match input.data_type() == *field.data_type() {
            true => Ok(input.clone()),
            false => input.cast_to(field.data_type(), Some(&STRICT)),
        };
        let args = inputs.iter().zip(&self.fields).map(fitted).collect::<Result<Vec<_>, DataFusionError>>()?;
        let args = ScalarFunctionArgs {
            args,
            arg_fields: self.fields.clone(),
            number_rows: count,
            return_field: Arc::clone(&self.result),
            config_options: Arc::clone(&self.config),
        };
        guarded(|| self.udf.invoke_with_args(args))
    }
}

/// Some kernels of DataFusion panic where they should give an error. A panic is a failing row, not a dead engine.
pub(super) fn guarded(kernel: impl FnOnce() -> KernelResult) -> KernelResult {
    catch_unwind(AssertUnwindSafe(kernel)).unwrap_or_else(|_| Err(DataFusionError::Execution(BROKEN.into())))
}

/// The reason of a row for which a kernel panicked.
pub(super) const BROKEN: &str = "the function broke on this value";
