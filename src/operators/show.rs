//! What operators say of the expressions they hold: one line for `plan`, the columns read, whether chance plays a part.

use std::collections::BTreeSet;

use millstream_dsl::Span;

use crate::plan::catalog::Stability;
use crate::plan::expr::SortKey;
use crate::plan::{AggregateCall, Node, TypedExpr};

/// An expression, without parentheses around the whole of it.
pub(super) fn plain(expr: &TypedExpr) -> String {
    let text = expr.to_string();
    match text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        Some(inner) if balanced(inner) => inner.to_owned(),
        _ => text,
    }
}

/// Whether no parenthesis closes more than was opened, outside of string literals.
fn balanced(text: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// `b * 2 as c`; `a` where the name says nothing new.
pub(super) fn named(expr: &TypedExpr, name: &str) -> String {
    let text = plain(expr);
    if text == name { text } else { format!("{text} as {name}") }
}

/// `amount desc, ts`
pub(super) fn order(keys: &[SortKey]) -> String {
    let one = |k: &SortKey| {
        let nulls = match (k.descending, k.nulls_first) {
            (false, true) => " nulls first",
            (true, false) => " nulls last",
            _ => "",
        };
        format!("{}{}{nulls}", plain(&k.value), if k.descending { " desc" } else { "" })
    };
    keys.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `count(distinct user_id) filter (where amount > 0)`
pub(super) fn call(call: &AggregateCall) -> String {
    let args: Vec<_> = call.args.iter().map(plain).collect();
    let distinct = if call.distinct { "distinct " } else { "" };
    let order = if call.order_by.is_empty() { String::new() } else { format!(" order by {}", order(&call.order_by)) };
    let filter = call.filter.as_ref().map(|f| format!(" filter (where {})", plain(f))).unwrap_or_default();
    format!("{}({distinct}{}{order}){filter}", call.function.doc.name, args.join(", "))
}

/// ` by a, b`; nothing where there is no key.
pub(super) fn by(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) }
}

/// Positions of the input columns that any of the expressions reads, ascending, each once.
pub(super) fn columns_read<'a>(values: impl IntoIterator<Item = &'a TypedExpr>) -> Vec<usize> {
    values.into_iter().flat_map(TypedExpr::columns).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether none of the expressions depends on chance.
pub(super) fn deterministic<'a>(values: impl IntoIterator<Item = &'a TypedExpr>) -> bool {
    values.into_iter().all(|value| volatile_call(value).is_none())
}

/// The first function in an expression that depends on chance.
pub(super) fn volatile_call(value: &TypedExpr) -> Option<(String, Span)> {
    let mut found = None;
    value.visit(&mut |e| {
        if let Node::Call { function, .. } = &e.node
            && function.stability == Stability::Volatile
            && found.is_none()
        {
            found = Some((function.doc.name.clone(), e.span));
        }
    });
    found
}
