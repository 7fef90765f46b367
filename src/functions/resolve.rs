//! Finds the overload of a borrowed function: DataFusion's coercion, our rules for what may be lost on the way
//! and our words for what does not fit.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion_common::ScalarValue;
use datafusion_expr::type_coercion::functions::{UDFCoercionExt, fields_with_udf};
use datafusion_expr::{ReturnFieldArgs, ScalarUDF};

use super::arity::Arity;
use super::coerce::{always_fits, constant_fits, has_text};
use super::fact::Nulls;
use super::facts;
use super::wording;
use crate::model::{Slot, Type};
use crate::plan::catalog::{Argument, Failure, FunctionBody, FunctionEntry, Signature};

/// The overload of a borrowed function, by what its fact says.
pub(super) fn borrowed(entry: &FunctionEntry, args: &[Argument<'_>]) -> Result<Signature, String> {
    let Some(fact) = facts::of(&entry.doc.name) else { return strict(entry, args) };
    (fact.accepts)(args)?;
    let nulls = if fact.failure == Failure::NullOnFailure { Nulls::Ever } else { fact.nulls };
    scalar(entry, args, nulls)
}

/// The overload of a function whose result is null where an argument is.
pub(super) fn strict(entry: &FunctionEntry, args: &[Argument<'_>]) -> Result<Signature, String> {
    scalar(entry, args, Nulls::Strict)
}

fn scalar(entry: &FunctionEntry, args: &[Argument<'_>], nulls: Nulls) -> Result<Signature, String> {
    let FunctionBody::Scalar(udf) = &entry.body else { return Err("takes a lambda".into()) };
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    let allowed = Allowed {
        lossy: entry.failure == Failure::Fallible,
        text: facts::of(&entry.doc.name).is_some_and(|fact| fact.writes),
    };
    let (types, wanted) = coerced(udf.as_ref(), args, allowed)?;
    let result = result_type(udf, args, &wanted)?;
    Ok(Signature { args: types, result: Slot { ty: result, nullable: nullable_by(nulls, args) } })
}

/// What can be said without looking at types: the number of arguments, lambdas, mistakes reported before.
pub(super) fn before_types(usage: &str, args: &[Argument<'_>]) -> Result<Option<Signature>, String> {
    let arity = Arity::of(usage);
    if !arity.takes(args.len()) {
        return Err(arity.refuse(args.len()));
    }
    if let Some(at) = args.iter().position(|a| a.lambda) {
        return Err(format!("takes no lambda as its {} argument", wording::ordinal(at)));
    }
    Ok(args.iter().any(|a| a.slot.ty.is_unknown()).then(|| unknown(args)))
}

/// The overload for arguments whose mistake has been reported.
pub(super) fn unknown(args: &[Argument<'_>]) -> Signature {
    Signature { args: args.iter().map(|a| a.slot.ty.clone()).collect(), result: Slot::unknown() }
}

/// Which casts a call may have put in besides those that lose nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowed {
    /// Between numbers, although a row may fail: left to the call itself, where it makes a failing row.
    pub lossy: bool,
    /// To text.
    pub text: bool,
}

/// What each argument is cast to, in our types and in the kernel's.
pub(super) fn coerced<F: UDFCoercionExt>(
    udf: &F,
    args: &[Argument<'_>],
    allowed: Allowed,
) -> Result<(Vec<Type>, Vec<DataType>), String> {
    let given: Vec<_> = args.iter().map(|a| a.slot.ty.to_arrow()).collect();
    let wanted = kernel_types(udf, &given).or_else(|| with_constants(udf, args));
    let Some(wanted) = wanted else { return Err(wording::misfit(udf, args)) };
    let mut types = Vec::with_capacity(args.len());
    for (at, (arg, wanted)) in args.iter().zip(&wanted).enumerate() {
        types.push(adapted(arg, wanted, allowed).ok_or_else(|| wording::wants(wanted, at, &arg.slot.ty))?);
    }
    Ok((types, wanted))
}

/// The type an argument is cast to before the call; none where a row could be lost.
fn adapted(arg: &Argument<'_>, wanted: &DataType, allowed: Allowed) -> Option<Type> {
    let given = &arg.slot.ty;
    let wanted_type = Type::from_arrow(wanted)?;
    if *given == wanted_type || (*given == Type::Json && wanted_type == Type::String) {
        return Some(given.clone());
    }
    let written = allowed.text && wanted_type == Type::String && has_text(given);
    let fits = written || always_fits(given, &wanted_type) || arg.constant.is_some_and(|c| constant_fits(c, wanted));
    match fits {
        true => Some(wanted_type),
        false => (allowed.lossy && given.is_number() && wanted_type.is_number()).then(|| given.clone()),
    }
}

/// The types a kernel takes for arguments of these types; none where it does not.
pub(crate) fn kernel_types<F: UDFCoercionExt>(udf: &F, given: &[DataType]) -> Option<Vec<DataType>> {
    let attempt = |types: &[DataType]| {
        let fields: Vec<_> = types.iter().map(|t| field(t.clone(), true)).collect();
        let fields = fields_with_udf(&fields, udf).ok()?;
        Some(fields.iter().map(|f| f.data_type().clone()).collect::<Vec<_>>())
    };
    attempt(given).or_else(|| attempt(&given.iter().map(as_interval).collect::<Vec<_>>()))
}

/// DataFusion's functions know lengths of time as intervals.
fn as_interval(ty: &DataType) -> DataType {
    match ty {
        DataType::Duration(_) => DataType::Interval(IntervalUnit::MonthDayNano),
        other => other.clone(),
    }
}

/// A string constant may stand for a moment, a whole number for a smaller one: one constant at a time.
fn with_constants<F: UDFCoercionExt>(udf: &F, args: &[Argument<'_>]) -> Option<Vec<DataType>> {
    let given: Vec<_> = args.iter().map(|a| a.slot.ty.to_arrow()).collect();
    args.iter().enumerate().find_map(|(at, arg)| {
        let constant = arg.constant?;
        wording::CANDIDATES.iter().find_map(|(ty, _)| {
            let ty = ty.to_arrow();
            let mut types = given.clone();
            types[at] = ty.clone();
            kernel_types(udf, &types).filter(|_| constant_fits(constant, &ty))
        })
    })
}

/// What comes out of a kernel for arguments of its own types.
fn result_type(udf: &ScalarUDF, args: &[Argument<'_>], wanted: &[DataType]) -> Result<Type, String> {
    let fields: Vec<_> = args.iter().zip(wanted).map(|(a, w)| field(w.clone(), a.slot.nullable)).collect();
    let constants: Vec<_> = args.iter().zip(wanted).map(|(a, w)| a.constant?.cast_to(w).ok()).collect();
    let constants: Vec<Option<&ScalarValue>> = constants.iter().map(Option::as_ref).collect();
    let result = udf
        .return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &constants })
        .map_err(|e| wording::of_kernel(&e))?;
    Type::from_arrow(result.data_type()).ok_or_else(|| "gives a type that the language does not have".into())
}

fn nullable_by(nulls: Nulls, args: &[Argument<'_>]) -> bool {
    let mut nullable = args.iter().map(|a| a.slot.nullable);
    match nulls {
        Nulls::Strict => nullable.any(|n| n),
        Nulls::WhenAll => nullable.all(|n| n),
        Nulls::First => nullable.next().unwrap_or(false),
        Nulls::Never => false,
        Nulls::Ever => true,
    }
}

pub(super) fn field(ty: DataType, nullable: bool) -> FieldRef {
    Arc::new(Field::new("arg", ty, nullable))
}
