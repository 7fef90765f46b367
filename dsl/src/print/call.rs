//! What stands in brackets with a word before it: calls, `case`, arguments and sort items.

use super::page::Page;
use super::{expr, items, words};
use crate::ast::{Arg, Call, Case, Direction, Expr, ExprKind, Literal, Nulls, SortItem, TypedWord};
use crate::lexis;

/// `count(distinct user_id) filter (where amount > 0)`
pub(super) fn call(page: &mut Page, call: &Call, taken: &[&str]) {
    let name = &call.name.name;
    // A statement's word before a bracket could be taken for a statement that is indented by mistake.
    let name = name.as_str();
    let taken = taken.contains(&name) || lexis::STATEMENTS.contains(&name) || name == "distinct";
    page.text(if taken { words::ticked(name) } else { words::name(name) });
    page.group(|page| {
        page.text("(");
        let first = call.args.first().filter(|_| call.distinct);
        let argument = |page: &mut Page, arg: &Arg| match first {
            Some(first) if std::ptr::eq(first, arg) => distinct_argument(page, arg),
            _ => argument(page, arg),
        };
        match (call.args.as_slice(), call.order_by.as_slice()) {
            ([one], []) => argument(page, one),
            (args, []) => items::commas(page, args, "", argument),
            (args, order) => ordered(page, args, order, argument),
        }
        page.text(")");
    });
    if let Some(filter) = &call.filter {
        page.text(" filter (where ");
        expr::expr(page, filter);
        page.text(")");
    }
}

/// Arguments in parentheses; nothing if there are none.
pub(super) fn arguments(page: &mut Page, args: &[Arg]) {
    if args.is_empty() {
        return;
    }
    page.group(|page| {
        page.text("(");
        match args {
            [one] => argument(page, one),
            several => items::commas(page, several, "", argument),
        }
        page.text(")");
    });
}

/// `x order by ts desc`
fn ordered(page: &mut Page, args: &[Arg], order: &[SortItem], argument: impl Fn(&mut Page, &Arg)) {
    page.indent(2, |page| {
        page.line("");
        for (index, arg) in args.iter().enumerate() {
            if index > 0 {
                page.text(",");
                page.line(" ");
            }
            argument(page, arg);
        }
        if !args.is_empty() {
            page.line(" ");
        }
        page.text("order by ");
        sort_items(page, order, &[]);
    });
    page.line("");
}

/// `amount`, `every 10s`. A value that could go on with the label before it stands first: `(a + b) as every`.
pub(super) fn argument(page: &mut Page, arg: &Arg) {
    let Some(label) = arg.names.first() else {
        return expr::expr(page, &arg.value);
    };
    if follows_label(&label.name, &arg.value) {
        page.text(label_name(&label.name));
        page.text(" ");
        expr::expr(page, &arg.value);
    } else {
        expr::expr(page, &arg.value);
        page.text(format!(" as {}", words::name(&label.name)));
    }
}

/// The argument behind `distinct`, which no sign and no `not` may follow.
fn distinct_argument(page: &mut Page, arg: &Arg) {
    page.text("distinct ");
    if !matches!(expr::leftmost(&arg.value).kind, ExprKind::Negate(_) | ExprKind::Not(_)) {
        return argument(page, arg);
    }
    expr::in_parentheses(page, &arg.value);
    if let Some(label) = arg.names.first() {
        page.text(format!(" as {}", words::name(&label.name)));
    }
}

/// A label in front of its value; `distinct x` and `order by` mean something else.
fn label_name(name: &str) -> String {
    if matches!(name, "distinct" | "order") { words::ticked(name) } else { words::name(name) }
}

/// Whether `value` starts with what cannot go on with a name before it.
fn follows_label(label: &str, value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Literal(Literal::String(_) | Literal::Raw(_)) | ExprKind::Interpolation(_) => {
            TypedWord::from_word(label).is_none()
        }
        ExprKind::Name(_) | ExprKind::Literal(_) | ExprKind::Struct(_) | ExprKind::Call(_) | ExprKind::Case(_) => true,
        ExprKind::Field(operand, _) => matches!(operand.kind, ExprKind::Name(_)),
        _ => false,
    }
}

/// `amount desc nulls last, ts`; none but the first may start with one of the words `taken`.
pub(super) fn sort_items(page: &mut Page, items: &[SortItem], taken: &'static [&'static str]) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            page.text(",");
            page.line(" ");
        }
        sort_item(page, item, if index > 0 { taken } else { &[] });
    }
}

fn sort_item(page: &mut Page, item: &SortItem, taken: &'static [&'static str]) {
    expr::of_clause(page, &item.value, taken);
    if let Some(name) = &item.name {
        page.text(format!(" as {}", words::name(&name.name)));
    }
    match item.direction {
        Some(Direction::Ascending) => page.text(" asc"),
        Some(Direction::Descending) => page.text(" desc"),
        None => {}
    }
    match item.nulls {
        Some(Nulls::First) => page.text(" nulls first"),
        Some(Nulls::Last) => page.text(" nulls last"),
        None => {}
    }
}

/// `case when a then b else c end`
pub(super) fn case(page: &mut Page, case: &Case) {
    page.group(|page| {
        page.text("case");
        if let Some(operand) = &case.operand {
            page.text(" ");
            expr::expr(page, operand);
        }
        page.indent(2, |page| {
            for (condition, value) in &case.branches {
                page.line(" ");
                page.text("when ");
                expr::expr(page, condition);
                page.text(" then ");
                expr::expr(page, value);
            }
            if let Some(value) = &case.otherwise {
                page.line(" ");
                page.text("else ");
                expr::expr(page, value);
            }
        });
        page.line(" ");
        page.text("end");
    });
}
