//! What is wrong with the arguments of a call, in the user's words: ends of "function `f` ...".

use arrow::datatypes::DataType;
use datafusion_common::DataFusionError;
use datafusion_expr::type_coercion::functions::UDFCoercionExt;

use super::resolve::kernel_types;
use crate::model::{Slot, Type};
use crate::plan::catalog::Argument;

/// Types to try in the place of one that does not fit, likeliest first, and what to call them.
pub(super) const CANDIDATES: &[(Type, &str)] = &[
    (Type::String, "a string"),
    (Type::Int64, "a whole number"),
    (Type::Float64, "a number"),
    (Type::Bool, "a bool"),
    (Type::Timestamp(None), "a timestamp"),
    (Type::Date, "a date"),
    (Type::Time, "a time"),
    (Type::Duration, "a duration"),
    (Type::Bytes, "bytes"),
];

/// "first", "second" ... counted from 0.
pub(super) fn ordinal(at: usize) -> String {
    const WORDS: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];
    WORDS.get(at).map_or_else(|| format!("{}th", at + 1), |w| (*w).to_owned())
}

/// "wants a string as its second argument, got `int64`"
pub(super) fn wants(wanted: &DataType, at: usize, got: &Type) -> String {
    let wanted = match Type::from_arrow(wanted) {
        Some(ty) => CANDIDATES.iter().find(|(c, _)| *c == ty).map_or(format!("`{ty}`"), |(_, word)| (*word).to_owned()),
        None => "another type".to_owned(),
    };
    format!("wants {wanted} as its {} argument, got `{got}`", ordinal(at))
}

/// Looks for the one argument that does not fit; says all their types where there is not one alone.
pub(super) fn misfit<F: UDFCoercionExt>(udf: &F, args: &[Argument<'_>]) -> String {
    let given: Vec<_> = args.iter().map(|a| a.slot.ty.to_arrow()).collect();
    for (at, arg) in args.iter().enumerate() {
        let others = candidates(args).into_iter().filter(|(ty, _)| *ty != arg.slot.ty);
        let fitting: Vec<_> = others.filter(|(ty, _)| fits(udf, &given, at, ty)).collect();
        if !fitting.is_empty() {
            let words: Vec<_> = fitting.iter().map(|(_, word)| word.as_str()).take(3).collect();
            return format!("wants {} as its {} argument, got `{}`", words.join(" or "), ordinal(at), arg.slot.ty);
        }
    }
    let types: Vec<_> = args.iter().map(|a| format!("`{}`", a.slot.ty)).collect();
    format!("does not take {}", types.join(", "))
}

/// The plain types, and lists of what the other arguments are.
fn candidates(args: &[Argument<'_>]) -> Vec<(Type, String)> {
    let mut all: Vec<_> = CANDIDATES.iter().map(|(ty, word)| (ty.clone(), (*word).to_owned())).collect();
    let elements = args.iter().map(|a| a.slot.clone()).chain([Slot::nullable(Type::Int64)]);
    let list = elements.map(|slot| (Type::List(Box::new(slot)), "a list".to_owned())).next_back();
    all.extend(list);
    let (key, value) = (Box::new(Type::String), Box::new(Slot::nullable(Type::Int64)));
    all.push((Type::Map(key, value), "a map".to_owned()));
    all
}

fn fits<F: UDFCoercionExt>(udf: &F, given: &[DataType], at: usize, ty: &Type) -> bool {
    let mut types = given.to_vec();
    types[at] = ty.to_arrow();
    kernel_types(udf, &types).is_some()
}

/// DataFusion's own sentence, without its frame.
pub(super) fn of_kernel(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let plain = text.lines().next().unwrap_or_default();
    let plain = plain.rsplit_once("error: ").map_or(plain, |(_, rest)| rest);
    format!("cannot be called so: {}", plain.trim_end_matches('.'))
}
