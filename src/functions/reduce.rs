//! `array_reduce(list, start, (total, x) -> ...)`: a list to one value, element by element. All lists of a block go
//! forward together: the first elements of all, then the second ones.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_null_array};
use arrow::compute::{cast, interleave, take, take_arrays};
use arrow::datatypes::FieldRef;
use datafusion_common::{DataFusionError, Result as KernelOutcome};
use datafusion_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature, HigherOrderUDF,
    HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda, Volatility,
};

use super::arity::Arity;
use super::resolve::{self, field};
use crate::model::{Slot, Type};
use crate::plan::Doc;
use crate::plan::catalog::{
    Argument, Failure, FunctionBody, FunctionEntry, HigherOrderBody, Signature, Stability, unsettled,
};

const USAGE: &str = "array_reduce(list, start, (total, x) -> value)";

/// What it is.
pub(super) fn entry() -> FunctionEntry {
    let doc = Doc::new("array_reduce", "one value made of a list, element by element", USAGE)
        .details(
            "The lambda gets what came of the elements before (at first the start) and the next element. What it gives \
             must have the type of the start; a whole number counts as `int64`, a decimal as one with 38 digits. With \
             `collect_list` it reduces the rows of a key by an expression of your own.",
        )
        .example("array_reduce([1, 2, 3], 0, (total, x) -> total + x)")
        .alias("reduce");
    FunctionEntry {
        doc,
        group: "list",
        failure: Failure::Total,
        settled: unsettled,
        stability: Stability::Pure,
        body: FunctionBody::HigherOrder(Arc::new(Reduce)),
        resolve,
    }
}

#[derive(Debug)]
struct Reduce;

impl HigherOrderBody for Reduce {
    fn parameters(&self, args: &[Option<Slot>]) -> Result<Vec<Vec<Slot>>, String> {
        match args {
            [Some(list), Some(start), None] => match &list.ty {
                Type::List(element) => Ok(vec![vec![total(start, element), element.as_ref().clone()]]),
                Type::Unknown => Ok(vec![vec![Slot::unknown(), Slot::unknown()]]),
                other => Err(format!("wants a list as its first argument, got `{other}`")),
            },
            [Some(_), Some(_), Some(_)] => {
                Err("wants a lambda as its third argument, e.g. `(total, x) -> total + x`".into())
            }
            [_, _, _] => Err("wants a list, a start and then a lambda".into()),
            _ => Err(Arity::of(USAGE).refuse(args.len())),
        }
    }

    fn udf(&self) -> Arc<HigherOrderUDF> {
        Arc::new(HigherOrderUDF::new_from_impl(Kernel {
            signature: HigherOrderSignature::user_defined(Volatility::Immutable),
        }))
    }
}

/// What the lambda gets and gives: the start, wide enough for what may become of it.
fn total(start: &Slot, element: &Slot) -> Slot {
    let ty = match (&start.ty, &element.ty) {
        (Type::Decimal { scale: a, .. }, Type::Decimal { scale: b, .. }) => {
            Type::Decimal { precision: 38, scale: *a.max(b) }
        }
        (Type::Decimal { scale, .. }, _) => Type::Decimal { precision: 38, scale: *scale },
        (ty, Type::Decimal { scale, .. }) if ty.is_integer() => Type::Decimal { precision: 38, scale: *scale },
        (ty, other) if ty.is_integer() && other.is_float() => Type::Float64,
        (ty, _) if ty.is_integer() => Type::Int64,
        (ty, _) => ty.clone(),
    };
    Slot { ty, nullable: start.nullable }
}

fn resolve(_: &FunctionEntry, args: &[Argument<'_>]) -> Result<Signature, String> {
    let plain: Vec<_> = args.iter().map(|a| (!a.lambda).then(|| a.slot.clone())).collect();
    let parameters = Reduce.parameters(&plain)?;
    if args.iter().any(|a| a.slot.ty.is_unknown()) {
        return Ok(resolve::unknown(args));
    }
    let (total, given) = (&parameters[0][0], &args[2].slot);
    if given.ty != total.ty || (given.nullable && !total.nullable) {
        return Err(format!("wants a lambda that gives `{total}`, as the start says, got `{given}`"));
    }
    let types = vec![args[0].slot.ty.clone(), total.ty.clone(), total.ty.clone()];
    Ok(Signature { args: types, result: Slot { nullable: total.nullable || args[0].slot.nullable, ..total.clone() } })
}

#[derive(Debug, PartialEq, Eq)]
struct Kernel {
    signature: HigherOrderSignature,
}

impl Hash for Kernel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl HigherOrderUDFImpl for Kernel {
    fn name(&self) -> &str {
        "array_reduce"
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn lambda_parameters(
        &self,
        _: usize,
        _: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> KernelOutcome<LambdaParametersProgress> {
        Err(DataFusionError::Internal("the checker knows the parameters of `array_reduce`".into()))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs<'_>) -> KernelOutcome<FieldRef> {
        match args.arg_fields {
            [_, ValueOrLambda::Value(start), _] => Ok(field(start.data_type().clone(), true)),
            _ => Err(DataFusionError::Plan("`array_reduce` takes a list, a start and a lambda".into())),
        }
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> KernelOutcome<ColumnarValue> {
        let rows = args.number_rows;
        let [ValueOrLambda::Value(list), ValueOrLambda::Value(start), ValueOrLambda::Lambda(lambda)] = &args.args[..]
        else {
            return Err(DataFusionError::Plan("`array_reduce` takes a list, a start and a lambda".into()));
        };
        let (list, start) = (list.to_array(rows)?, start.to_array(rows)?);
        reduced(&list, start, lambda).map(ColumnarValue::Array)
    }
}

fn reduced(list: &ArrayRef, start: ArrayRef, lambda: &LambdaArgument) -> KernelOutcome<ArrayRef> {
    let Some(list) = list.as_list_opt::<i32>() else {
        return Err(DataFusionError::Internal(format!("`array_reduce` got {}", list.data_type())));
    };
    let length = |row: usize| if list.is_null(row) { 0 } else { list.value_length(row) as usize };
    let ty = start.data_type().clone();
    let mut active: Vec<u32> = (0..list.len() as u32).filter(|row| length(*row as usize) > 0).collect();
    let mut current = take(&start, &UInt32Array::from(active.clone()), None)?;
    // Where each row's result is: lists of one length end together.
    let mut ended = vec![start];
    let mut places: Vec<(usize, usize)> = (0..list.len()).map(|row| (0, row)).collect();
    for round in 0.. {
        if active.is_empty() {
            break;
        }
        let rows = UInt32Array::from(active.clone());
        let elements = active.iter().map(|row| list.value_offsets()[*row as usize] as u32 + round as u32);
        let elements = take(list.values(), &UInt32Array::from_iter_values(elements), None)?;
        let given = lambda.evaluate(&[&|| Ok(Arc::clone(&current)), &|| Ok(Arc::clone(&elements))], |captures| {
            Ok(take_arrays(captures, &rows, None)?)
        })?;
        let after = cast(&given.into_array(active.len())?, &ty)?;
        let (mut going, mut kept) = (Vec::new(), Vec::new());
        for (n, row) in active.into_iter().enumerate() {
            if length(row as usize) > round + 1 {
                going.push(row);
                kept.push(n as u32);
            } else {
                places[row as usize] = (ended.len(), n);
            }
        }
        current =
            if kept.len() == after.len() { Arc::clone(&after) } else { take(&after, &UInt32Array::from(kept), None)? };
        if going.len() < after.len() {
            ended.push(after);
        }
        active = going;
    }
    ended.push(new_null_array(&ty, 1));
    for row in (0..list.len()).filter(|row| list.is_null(*row)) {
        places[row] = (ended.len() - 1, 0);
    }
    let ended: Vec<&dyn Array> = ended.iter().map(AsRef::as_ref).collect();
    Ok(interleave(&ended, &places)?)
}
