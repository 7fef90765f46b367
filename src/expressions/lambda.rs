//! Calls of functions that take a lambda. The lambda's body is an expression like any other, over rows of what it
//! captures and its parameters; where it fails for an element, the row of the list fails.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema as ArrowSchema};
use datafusion_common::config::ConfigOptions;
use datafusion_common::utils::remove_list_null_values;
use datafusion_common::{DataFusionError, Result as KernelOutcome};
use datafusion_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderUDF, LambdaArgument, ValueOrLambda,
};
use datafusion_physical_expr::PhysicalExpr;

use super::attempt::{Attempt, KernelResult};
use super::call::guarded;
use super::compile::{Compiler, Place};
use super::step::{Compute, Rows, Step, Value};
use crate::model::Column;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::{Node, TypedExpr};

/// `array_filter(list, x -> x > 0)`
pub(super) fn step(
    compiler: &Compiler,
    expr: &TypedExpr,
    udf: Arc<HigherOrderUDF>,
    args: &[TypedExpr],
) -> Result<Step, NotRunnable> {
    let (mut operands, mut shapes, mut fails) = (Vec::new(), Vec::new(), false);
    for arg in args {
        match &arg.node {
            Node::Lambda { parameters, body } => {
                let (lambda, captures) = lambda(compiler, parameters, body)?;
                fails |= lambda.body.fails;
                shapes.push(Shape::Lambda(lambda, operands.len()..operands.len() + captures.len()));
                operands.extend(captures);
            }
            _ => {
                shapes.push(Shape::Value(operands.len()));
                operands.push(compiler.step(arg)?);
            }
        }
    }
    let fields: Vec<_> = shapes.iter().map(|s| s.field(&operands)).collect();
    let constants = vec![None; fields.len()];
    let result = udf
        .return_field_from_args(HigherOrderReturnFieldArgs { arg_fields: &fields, scalar_arguments: &constants })
        .map_err(|e| NotRunnable(format!("function `{}`: {}", udf.name(), e.strip_backtrace())))?;
    let ty = expr.slot.ty.to_arrow();
    let config = Arc::clone(&compiler.config);
    let call = Call { what: udf.name().to_owned(), udf, shapes, fields, result, ty: ty.clone(), config };
    Ok(Step::new(call, operands, ty, fails))
}

/// A lambda's body, and steps for what it captures from the rows around it.
fn lambda(compiler: &Compiler, parameters: &[Column], body: &TypedExpr) -> Result<(Lambda, Vec<Step>), NotRunnable> {
    let mut free = BTreeMap::new();
    captured(body, &mut parameters.iter().map(|p| p.name.clone()).collect(), &mut free);
    let inner = free.keys().cloned();
    let inner = inner.chain(parameters.iter().map(|p| Place::Variable(p.name.clone())));
    let body = Arc::new(compiler.within(inner).step(body)?);
    let captures = free.iter().map(|(place, ty)| Ok(Step::column(compiler.position(place)?, ty.clone())));
    let captures = captures.collect::<Result<Vec<_>, NotRunnable>>()?;
    let parameters = parameters.iter().map(|p| Arc::new(p.to_field())).collect();
    Ok((Lambda { parameters, body }, captures))
}

/// Collects what an expression reads and does not bind.
fn captured(expr: &TypedExpr, bound: &mut Vec<String>, free: &mut BTreeMap<Place, DataType>) {
    match &expr.node {
        Node::Column { index, .. } => {
            free.insert(Place::Column(*index), expr.slot.ty.to_arrow());
        }
        Node::LambdaVariable(name) if !bound.contains(name) => {
            free.insert(Place::Variable(name.clone()), expr.slot.ty.to_arrow());
        }
        Node::Lambda { parameters, body } => {
            let before = bound.len();
            bound.extend(parameters.iter().map(|p| p.name.clone()));
            captured(body, bound, free);
            bound.truncate(before);
        }
        _ => expr.children().into_iter().for_each(|child| captured(child, bound, free)),
    }
}

/// What stands in the place of an argument.
enum Shape {
    /// The operand at this position.
    Value(usize),
    /// A lambda; the operands it captures.
    Lambda(Lambda, std::ops::Range<usize>),
}

struct Lambda {
    parameters: Vec<FieldRef>,
    body: Arc<Step>,
}

impl Shape {
    fn field(&self, operands: &[Step]) -> ValueOrLambda<FieldRef, FieldRef> {
        let field = |ty: &DataType| Arc::new(Field::new("arg", ty.clone(), true));
        match self {
            Shape::Value(at) => ValueOrLambda::Value(field(&operands[*at].ty)),
            Shape::Lambda(lambda, _) => ValueOrLambda::Lambda(field(&lambda.body.ty)),
        }
    }
}

struct Call {
    udf: Arc<HigherOrderUDF>,
    what: String,
    shapes: Vec<Shape>,
    fields: Vec<ValueOrLambda<FieldRef, FieldRef>>,
    result: FieldRef,
    ty: DataType,
    config: Arc<ConfigOptions>,
}

impl Compute for Call {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let inputs = operands.iter().map(|o| o.eval(rows)).collect::<Result<Vec<_>, _>>()?;
        let kernel = |inputs: &[ColumnarValue], count: usize| self.compute(inputs, count, rows.time);
        Attempt { what: &self.what, ty: &self.ty, kernel }.run(inputs, rows.count)
    }
}

impl Call {
    fn compute(&self, inputs: &[ColumnarValue], count: usize, time: &BatchTime) -> KernelResult {
        let args = self.shapes.iter().map(|shape| match shape {
            Shape::Value(at) => Ok(ValueOrLambda::Value(self.value(&inputs[*at], count)?)),
            Shape::Lambda(lambda, captures) => {
                Ok(ValueOrLambda::Lambda(lambda.argument(&inputs[captures.clone()], count, time)?))
            }
        });
        let args = HigherOrderFunctionArgs {
            args: args.collect::<KernelOutcome<Vec<_>>>()?,
            arg_fields: self.fields.clone(),
            number_rows: count,
            return_field: Arc::clone(&self.result),
            config_options: Arc::clone(&self.config),
        };
        guarded(|| self.udf.invoke_with_args(args))
    }

    /// A list without what lies hidden behind its nulls, where the function relies on that.
    fn value(&self, value: &ColumnarValue, count: usize) -> KernelResult {
        let array = value.to_array(count)?;
        let clear =
            self.udf.clear_null_values() && array.null_count() > 0 && matches!(array.data_type(), DataType::List(_));
        Ok(ColumnarValue::Array(if clear { remove_list_null_values(&array)? } else { array }))
    }
}

impl Lambda {
    fn argument(&self, captures: &[ColumnarValue], count: usize, time: &BatchTime) -> KernelOutcome<LambdaArgument> {
        let columns = captures.iter().map(|c| c.to_array(count)).collect::<KernelOutcome<Vec<_>>>()?;
        let field = |(at, column): (usize, &arrow::array::ArrayRef)| {
            Field::new(format!("c{at}"), column.data_type().clone(), true)
        };
        let schema = ArrowSchema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
        let captures = match columns.is_empty() {
            true => None,
            false => Some(RecordBatch::try_new(Arc::new(schema), columns)?),
        };
        let all: Vec<_> = (0..self.parameters.len()).collect();
        let body = Body { step: Arc::clone(&self.body), time: *time };
        Ok(LambdaArgument::new(self.parameters.clone(), Arc::new(body), captures, &all))
    }
}

/// A step as DataFusion sees it.
struct Body {
    step: Arc<Step>,
    time: BatchTime,
}

impl PhysicalExpr for Body {
    fn data_type(&self, _: &ArrowSchema) -> KernelOutcome<DataType> {
        Ok(self.step.ty.clone())
    }

    fn nullable(&self, _: &ArrowSchema) -> KernelOutcome<bool> {
        Ok(true)
    }

    fn evaluate(&self, block: &RecordBatch) -> KernelResult {
        let value = self.step.eval(&Rows::of(block, &self.time));
        let value = value.map_err(|e| DataFusionError::Execution(e.to_string()))?;
        match value.failures.iter().next() {
            Some((_, why)) => Err(DataFusionError::Execution(why.to_owned())),
            None => Ok(value.data),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn PhysicalExpr>>) -> KernelOutcome<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lambda")
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lambda")
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.step, &other.step) && self.time == other.time
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.step).hash(state);
    }
}
