//! Choices: shorter ways to write `case`, so that what is not chosen is not evaluated and cannot fail.

use std::sync::Arc;

use super::coerce::{common, constant_fits};
use super::resolve::{before_types, unknown};
use crate::model::{Slot, Type};
use crate::plan::catalog::{Argument, Doc, Failure, FunctionBody, FunctionEntry, Signature, Stability, unsettled};
use crate::plan::expr::{Node, TypedExpr};

/// `if`, `coalesce`, `nvl`, `nvl2`.
pub(super) fn entries() -> Vec<Arc<FunctionEntry>> {
    let if_ = Doc::new(
        "if",
        "the second argument where the first is true, else the third",
        "if(condition, value, otherwise)",
    );
    let coalesce = Doc::new("coalesce", "the first argument that is not null", "coalesce(value[, ...])");
    let nvl = Doc::new("nvl", "the second argument where the first is null", "nvl(value, otherwise)");
    let nvl2 = Doc::new(
        "nvl2",
        "the second argument where the first is not null, else the third",
        "nvl2(value, then, otherwise)",
    );
    vec![
        entry(if_.alias("iff").example("if(1 < 2, \"yes\", \"no\")"), resolve_if, as_if),
        entry(coalesce.example("coalesce(null, 1)"), resolve_coalesce, as_coalesce),
        entry(nvl.alias("ifnull").example("nvl(null, 1)"), resolve_coalesce, as_coalesce),
        entry(nvl2.example("nvl2(null, 1, 2)"), resolve_nvl2, as_nvl2),
    ]
}

fn entry(
    doc: Doc,
    resolve: fn(&FunctionEntry, &[Argument<'_>]) -> Result<Signature, String>,
    expand: fn(&[TypedExpr]) -> Node,
) -> Arc<FunctionEntry> {
    let body = FunctionBody::Shorthand(expand);
    Arc::new(FunctionEntry {
        doc,
        group: "choice",
        failure: Failure::Total,
        settled: unsettled,
        stability: Stability::Pure,
        body,
        resolve,
    })
}

fn resolve_if(entry: &FunctionEntry, args: &[Argument<'_>]) -> Result<Signature, String> {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    if !matches!(args[0].slot.ty, Type::Bool | Type::Null) {
        return Err(format!("wants a bool as its first argument, got `{}`", args[0].slot.ty));
    }
    choice(vec![Type::Bool], &args[1..], args[1..].iter().any(|a| a.slot.nullable))
}

fn resolve_coalesce(entry: &FunctionEntry, args: &[Argument<'_>]) -> Result<Signature, String> {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    choice(Vec::new(), args, args.iter().all(|a| a.slot.nullable))
}

fn resolve_nvl2(entry: &FunctionEntry, args: &[Argument<'_>]) -> Result<Signature, String> {
    if let Some(signature) = before_types(&entry.doc.usage, args)? {
        return Ok(signature);
    }
    choice(vec![args[0].slot.ty.clone()], &args[1..], args[1..].iter().any(|a| a.slot.nullable))
}

/// The overload of a choice among `values`, which come behind arguments of the types `before`.
fn choice(before: Vec<Type>, values: &[Argument<'_>], nullable: bool) -> Result<Signature, String> {
    let mut ty = Type::Null;
    let constants_last = |value: &&Argument<'_>| value.constant.is_some();
    let (constants, others): (Vec<_>, Vec<_>) = values.iter().partition(constants_last);
    for value in others.into_iter().chain(constants) {
        if value.constant.is_some_and(|c| constant_fits(c, &ty.to_arrow())) {
            continue;
        }
        let got = &value.slot.ty;
        ty = common(&ty, got).ok_or_else(|| format!("wants values of one type, got `{ty}` and `{got}`"))?;
    }
    if ty.is_unknown() {
        return Ok(unknown(values));
    }
    let mut types = before;
    types.extend(values.iter().map(|_| ty.clone()));
    Ok(Signature { args: types, result: Slot { ty, nullable } })
}

fn as_if(args: &[TypedExpr]) -> Node {
    let [condition, value, otherwise] = args else { return Node::Unknown };
    Node::Case { branches: vec![(condition.clone(), value.clone())], otherwise: Some(Box::new(otherwise.clone())) }
}

fn as_coalesce(args: &[TypedExpr]) -> Node {
    let Some((last, before)) = args.split_last() else { return Node::Unknown };
    let branches = before.iter().map(|a| (is_given(a), a.clone())).collect();
    Node::Case { branches, otherwise: Some(Box::new(last.clone())) }
}

fn as_nvl2(args: &[TypedExpr]) -> Node {
    let [value, then, otherwise] = args else { return Node::Unknown };
    Node::Case { branches: vec![(is_given(value), then.clone())], otherwise: Some(Box::new(otherwise.clone())) }
}

fn is_given(value: &TypedExpr) -> TypedExpr {
    let is_null = TypedExpr::new(Node::IsNull(Box::new(value.clone())), Slot::required(Type::Bool), value.span);
    TypedExpr::new(Node::Not(Box::new(is_null)), Slot::required(Type::Bool), value.span)
}
