//! Functions that take a lambda: DataFusion's, with what it leaves to its planner.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use datafusion_expr::type_coercion::functions::value_fields_with_higher_order_udf;
use datafusion_expr::{HigherOrderReturnFieldArgs, HigherOrderUDF, LambdaParametersProgress, ValueOrLambda};

use super::arity::Arity;
use super::borrowed;
use super::resolve::{self, field};
use super::wording;
use crate::model::{Slot, Type};
use crate::plan::catalog::{
    Argument, Failure, FunctionBody, FunctionEntry, HigherOrderBody, Signature, Stability, unsettled,
};

/// DataFusion's name, our words for it, how it is written, what it is.
const FACTS: &[(&str, &[&str], &str, &str)] = &[
    (
        "array_any_match",
        &["exists"],
        "array_any_match(list, x -> condition)",
        "whether the condition holds for an element",
    ),
    ("array_filter", &["filter"], "array_filter(list, x -> condition)", "the elements for which the condition holds"),
    (
        "array_first",
        &[],
        "array_first(list, x -> condition)",
        "the first element for which the condition holds, else null",
    ),
    ("array_transform", &["transform"], "array_transform(list, x -> value)", "a list of what becomes of each element"),
];

/// Every function that takes a lambda.
pub(super) fn entries() -> Vec<Arc<FunctionEntry>> {
    let udfs = datafusion_functions_nested::all_default_higher_order_functions();
    let known = |udf: &Arc<HigherOrderUDF>| FACTS.iter().find(|(name, ..)| *name == udf.name());
    udfs.into_iter().filter_map(|udf| known(&udf).map(|fact| Arc::new(entry(udf, fact)))).collect()
}

fn entry(udf: Arc<HigherOrderUDF>, (name, ours, usage, summary): &(&str, &[&str], &str, &str)) -> FunctionEntry {
    let mut doc = borrowed::doc(name, udf.documentation(), Some(usage));
    doc.summary = (*summary).to_owned();
    doc.aliases = borrowed::aliases(udf.aliases(), ours);
    FunctionEntry {
        doc,
        group: "list",
        failure: Failure::Total,
        settled: unsettled,
        stability: Stability::Pure,
        body: FunctionBody::HigherOrder(Arc::new(OverList(udf))),
        resolve,
    }
}

/// A function of DataFusion's whose lambdas take what its plain arguments say.
#[derive(Debug)]
struct OverList(Arc<HigherOrderUDF>);

impl HigherOrderBody for OverList {
    fn parameters(&self, args: &[Option<Slot>]) -> Result<Vec<Vec<Slot>>, String> {
        if args.iter().flatten().any(|slot| slot.ty.is_unknown()) {
            return Ok(args.iter().filter(|a| a.is_none()).map(|_| vec![Slot::unknown()]).collect());
        }
        let fields: Vec<ValueOrLambda<FieldRef, Option<FieldRef>>> = args
            .iter()
            .map(|a| match a {
                Some(slot) => ValueOrLambda::Value(field(slot.ty.to_arrow(), slot.nullable)),
                None => ValueOrLambda::Lambda(None),
            })
            .collect();
        let coerced = value_fields_with_higher_order_udf(&fields, &self.0).map_err(|_| self.misfit(args))?;
        match self.0.lambda_parameters(0, &coerced).map_err(|e| wording::of_kernel(&e))? {
            LambdaParametersProgress::Complete(all) => all.iter().map(|one| slots(one)).collect(),
            LambdaParametersProgress::Partial(_) => Err("has lambdas that depend on each other".into()),
        }
    }

    fn udf(&self) -> Arc<HigherOrderUDF> {
        Arc::clone(&self.0)
    }
}

impl OverList {
    fn misfit(&self, args: &[Option<Slot>]) -> String {
        match args {
            [Some(slot), None] => format!("wants a list as its first argument, got `{}`", slot.ty),
            [Some(_), Some(_)] => "wants a lambda as its second argument, e.g. `x -> x > 0`".into(),
            [None, ..] => "wants a list as its first argument, got a lambda".into(),
            _ => Arity { min: 2, max: Some(2) }.refuse(args.len()),
        }
    }
}

fn slots(fields: &[FieldRef]) -> Result<Vec<Slot>, String> {
    let slot = |f: &FieldRef| Some(Slot { ty: Type::from_arrow(f.data_type())?, nullable: f.is_nullable() });
    fields
        .iter()
        .map(|f| slot(f).ok_or_else(|| "has elements of a type that the language does not have".into()))
        .collect()
}

fn resolve(entry: &FunctionEntry, args: &[Argument<'_>]) -> Result<Signature, String> {
    let FunctionBody::HigherOrder(body) = &entry.body else { return Err("takes no lambda".into()) };
    let arity = Arity::of(&entry.doc.usage);
    if !arity.takes(args.len()) {
        return Err(arity.refuse(args.len()));
    }
    if args.iter().any(|a| a.slot.ty.is_unknown()) {
        return Ok(resolve::unknown(args));
    }
    let plain: Vec<_> = args.iter().map(|a| (!a.lambda).then(|| a.slot.clone())).collect();
    body.parameters(&plain)?;
    if entry.doc.name != "array_transform" && args[1].slot.ty != Type::Bool {
        return Err(format!("wants a lambda that gives a bool, got `{}`", args[1].slot.ty));
    }
    let fields: Vec<_> = args
        .iter()
        .map(|a| {
            let field = Arc::new(Field::new("arg", a.slot.ty.to_arrow(), a.slot.nullable));
            if a.lambda { ValueOrLambda::Lambda(field) } else { ValueOrLambda::Value(field) }
        })
        .collect();
    let constants = vec![None; args.len()];
    let result = body
        .udf()
        .return_field_from_args(HigherOrderReturnFieldArgs { arg_fields: &fields, scalar_arguments: &constants })
        .map_err(|e| wording::of_kernel(&e))?;
    let ty = Type::from_arrow(result.data_type()).ok_or("gives a type that the language does not have")?;
    let types = args.iter().map(|a| a.slot.ty.clone()).collect();
    Ok(Signature { args: types, result: Slot { ty, nullable: result.is_nullable() } })
}
