//! What is the same for all rows is computed once, here. An expression that fails stays, so that rows fail as before;
//! a condition is not decided where deciding it would hide a failure.

use datafusion_common::ScalarValue;

use crate::expressions::constant;
use crate::model::Type;
use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::graph::Work;
use crate::plan::{Node, Plan, TypedExpr};

pub(super) const RULE: Rule =
    Rule { name: "fold_constants", why: "what is the same for all rows is computed once", apply };

fn apply(plan: &mut Plan, _: &Watched<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for id in plan.ordered() {
        let Some(operator) = operator(plan, id) else { continue };
        let mut said = Vec::new();
        let rewritten = operator.rewritten(&mut |expr| {
            let folded = expr.rebuilt(&mut folded);
            if folded != *expr {
                said.push(format!("{}: `{expr}` is `{folded}`", place(plan, id)));
            }
            folded
        });
        if let (Some(rewritten), false) = (rewritten, said.is_empty()) {
            plan.node_mut(id).work = Work::Operator(rewritten.into());
            remarks.extend(said.into_iter().map(Remark::fired));
        }
    }
    remarks
}

/// An expression whose operands are folded already.
fn folded(expr: TypedExpr) -> TypedExpr {
    if has_literals(&expr.slot.ty)
        && !matches!(expr.node, Node::Literal(_))
        && let Some(value) = constant(&expr)
    {
        return TypedExpr { node: Node::Literal(value), fails: false, ..expr };
    }
    match expr.node {
        Node::And(all) => joined(all, true, Node::And, expr.slot, expr.span, expr.fails),
        Node::Or(all) => joined(all, false, Node::Or, expr.slot, expr.span, expr.fails),
        Node::Case { branches, otherwise } => {
            let (slot, span, fails) = (expr.slot, expr.span, expr.fails);
            // Up to the first condition that does not always hold, those that never hold can go.
            let mut left: Vec<_> = branches.into_iter().skip_while(|(when, _)| never(when)).collect();
            match (left.first(), otherwise) {
                (Some((when, _)), _) if truth(when) == Some(true) => TypedExpr { slot, ..left.swap_remove(0).1 },
                (None, Some(otherwise)) => TypedExpr { slot, ..*otherwise },
                (_, otherwise) => TypedExpr { node: Node::Case { branches: left, otherwise }, slot, fails, span },
            }
        }
        Node::Coalesce(a, _) if matches!(&a.node, Node::Literal(value) if !value.is_null()) => {
            TypedExpr { slot: expr.slot, ..*a }
        }
        _ => expr,
    }
}

/// Types whose values stand as one literal; lists and records stay as they are written.
fn has_literals(ty: &Type) -> bool {
    !matches!(ty, Type::Unknown | Type::Null | Type::Json | Type::List(_) | Type::Map(..) | Type::Struct(_))
}

/// `and` without what is true, `or` without what is false.
fn joined(
    all: Vec<TypedExpr>,
    idle: bool,
    join: fn(Vec<TypedExpr>) -> Node,
    slot: crate::model::Slot,
    span: millstream_dsl::Span,
    fails: bool,
) -> TypedExpr {
    let (mut left, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|e| truth(e) != Some(idle));
    if left.is_empty() {
        left.extend(gone.into_iter().take(1));
    }
    match left.len() {
        1 => TypedExpr { slot, ..left.swap_remove(0) },
        _ => TypedExpr { node: join(left), slot, fails, span },
    }
}

fn truth(expr: &TypedExpr) -> Option<bool> {
    match expr.node {
        Node::Literal(ScalarValue::Boolean(truth)) => truth,
        _ => None,
    }
}

/// Whether a condition is false or null for every row.
fn never(expr: &TypedExpr) -> bool {
    matches!(expr.node, Node::Literal(ScalarValue::Boolean(None | Some(false))))
}
