//! Expressions, with parentheses where they are needed and where they help: around `and` inside `or`, and around
//! operators next to `??`.
//!
//! Chains that lean to one side (`a + b + c`, `x.a[0]::int64?`, `a ?? b ?? c`) are unrolled, so that the depth of
//! the call stack is the depth of the brackets in the text.

use super::page::Page;
use super::{call, items, types, words};
use crate::ast::{BinaryOp, Expr, ExprKind, Ident, Literal, Negation, Piece, StructExpr, TypeExpr};

/// How tightly an expression holds together, from loose to tight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Lambda,
    Or,
    And,
    Not,
    Compare,
    Coalesce,
    Add,
    Multiply,
    Negate,
    Postfix,
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// What is looser than this wants parentheses.
    loosest: Level,
    /// Words that would be read as something else if they started the expression.
    taken: &'static [&'static str],
}

impl Place {
    fn inside(loosest: Level) -> Self {
        Place { loosest, taken: &[] }
    }

    /// The place of the leftmost operand of what stands here.
    fn left(self, loosest: Level) -> Self {
        Place { loosest, ..self }
    }
}

/// Any expression, anywhere nothing can be mistaken.
pub(super) fn expr(page: &mut Page, expr: &Expr) {
    place(page, expr, Place::inside(Level::Lambda));
}

/// The expression of a clause. In brackets it could belong to the word before it, were that a column.
pub(super) fn of_clause(page: &mut Page, expr: &Expr, taken: &'static [&'static str]) {
    if matches!(leftmost(expr).kind, ExprKind::List(_)) {
        in_parentheses(page, expr);
    } else {
        expr_after(page, expr, taken);
    }
}

/// An expression that is printed with backticks if it starts with one of the words `taken`.
pub(super) fn expr_after(page: &mut Page, expr: &Expr, taken: &'static [&'static str]) {
    place(page, expr, Place { loosest: Level::Lambda, taken });
}

fn level(expr: &Expr) -> Level {
    match &expr.kind {
        ExprKind::Lambda(..) => Level::Lambda,
        ExprKind::Or(_) => Level::Or,
        ExprKind::And(_) => Level::And,
        ExprKind::Not(_) => Level::Not,
        ExprKind::In(..) | ExprKind::Between(..) | ExprKind::Like(..) | ExprKind::IsNull(..) => Level::Compare,
        ExprKind::Binary(_, op, _) => binary_level(*op),
        ExprKind::Negate(_) => Level::Negate,
        _ => Level::Postfix,
    }
}

fn binary_level(op: BinaryOp) -> Level {
    match op {
        BinaryOp::Coalesce => Level::Coalesce,
        BinaryOp::Add | BinaryOp::Subtract => Level::Add,
        BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => Level::Multiply,
        _ => Level::Compare,
    }
}

fn place(page: &mut Page, expr: &Expr, place: Place) {
    if level(expr) < place.loosest {
        in_parentheses(page, expr);
    } else {
        bare(page, expr, place);
    }
}

/// An expression in parentheses.
pub(super) fn in_parentheses(page: &mut Page, expr: &Expr) {
    page.text("(");
    bare(page, expr, Place::inside(Level::Lambda));
    page.text(")");
}

fn bare(page: &mut Page, expr: &Expr, here: Place) {
    match &expr.kind {
        ExprKind::Name(name) => word(page, name, here),
        ExprKind::Literal(value) => literal(page, value),
        ExprKind::Interpolation(pieces) => interpolation(page, pieces),
        ExprKind::List(items) => list(page, items),
        ExprKind::Struct(value) => struct_expr(page, value),
        ExprKind::Call(value) => call::call(page, value, here.taken),
        ExprKind::Lambda(names, body) => lambda(page, names, body, here),
        ExprKind::Negate(operand) => {
            page.text("-");
            place(page, operand, Place::inside(Level::Postfix));
        }
        ExprKind::Not(operand) => {
            page.text("not ");
            place(page, operand, Place::inside(Level::Not));
        }
        ExprKind::And(operands) => chain(page, "and ", operands.iter(), 3, Level::Not, here),
        ExprKind::Or(operands) => chain(page, "or ", operands.iter(), 3, Level::Not, here),
        ExprKind::Binary(_, BinaryOp::Coalesce, _) => coalesce(page, expr, here),
        ExprKind::Binary(left, op, right) if op.compares() => compare(page, left, *op, right, here),
        ExprKind::Binary(..) => arithmetic(page, expr, here),
        ExprKind::In(..) | ExprKind::Between(..) | ExprKind::Like(..) | ExprKind::IsNull(..) => test(page, expr, here),
        ExprKind::Case(value) => call::case(page, value),
        ExprKind::Cast(operand, ty) if ty.nullable => cast(page, operand, ty),
        ExprKind::Field(..) | ExprKind::Index(..) | ExprKind::Cast(..) | ExprKind::Try(_) => postfix(page, expr, here),
        ExprKind::Broken => page.text("<unreadable>"),
    }
}

/// A name of an expression. `distinct` would be read as the word in front of a call's arguments, a type's word
/// before `<` as a type.
fn word(page: &mut Page, name: &str, here: Place) {
    let taken = here.taken.contains(&name) || matches!(name, "distinct" | "list" | "map" | "array");
    page.text(if taken { words::ticked(name) } else { words::name(name) });
}

fn literal(page: &mut Page, value: &Literal) {
    page.text(match value {
        Literal::Null => "null".to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Integer(text) | Literal::Decimal(text) | Literal::Float(text) => text.clone(),
        Literal::String(text) => words::quoted(text),
        Literal::Raw(text) => words::raw(text),
        Literal::Quantity { number, unit } => format!("{number}{}", unit.word()),
        Literal::Typed { word, text } => format!("{} {}", word.word(), words::quoted(text)),
    });
}

/// An interpolated string stays on its line, and so does everything in it.
fn interpolation(page: &mut Page, pieces: &[Piece]) {
    let mut out = String::from("\"");
    for piece in pieces {
        match piece {
            Piece::Text(text) => words::escape(&mut out, text, true),
            Piece::Value(value) => {
                let mut inner = Page::default();
                expr(&mut inner, value);
                out.push_str("${");
                out.push_str(&inner.on_one_line());
                out.push('}');
            }
        }
    }
    out.push('"');
    page.text(out);
}

fn list(page: &mut Page, items: &[Expr]) {
    page.group(|page| {
        page.text("[");
        items::commas(page, items, "", expr);
        page.text("]");
    });
}

/// `{ user_id, total: state.total }`
pub(super) fn struct_expr(page: &mut Page, value: &StructExpr) {
    items::braces(page, &value.fields, &value.end, |page, field| {
        page.text(words::key(&field.name.name));
        if let Some(value) = &field.value {
            page.text(": ");
            expr(page, value);
        }
    });
}

fn lambda(page: &mut Page, names: &[Ident], body: &Expr, here: Place) {
    match names {
        [one] => word(page, &one.name, here),
        several => {
            let names: Vec<_> = several.iter().map(|name| words::name(&name.name)).collect();
            page.text(format!("({})", names.join(", ")));
        }
    }
    page.text(" -> ");
    place(page, body, Place::inside(Level::Lambda));
}

/// Operands with the same word between, broken before the word.
fn chain<'e>(
    page: &mut Page,
    operator: &'static str,
    operands: impl Iterator<Item = &'e Expr>,
    hang: usize,
    loosest: Level,
    here: Place,
) {
    page.group(|page| {
        for (index, operand) in operands.enumerate() {
            if index == 0 {
                place(page, operand, here.left(loosest));
            } else {
                page.indent(hang, |page| {
                    page.line(" ");
                    page.text(operator);
                    place(page, operand, Place::inside(loosest));
                });
            }
        }
    });
}

/// `a ?? b ?? c`, which leans to the right.
fn coalesce(page: &mut Page, expr: &Expr, here: Place) {
    let mut operands = Vec::new();
    let mut rest = expr;
    while let ExprKind::Binary(left, BinaryOp::Coalesce, right) = &rest.kind {
        operands.push(&**left);
        rest = right;
    }
    operands.push(rest);
    chain(page, "?? ", operands.into_iter(), 2, Level::Negate, here);
}

/// `a + b - c`, which leans to the left: one line or one operand a line.
fn arithmetic(page: &mut Page, expr: &Expr, here: Place) {
    let own = level(expr);
    let operand_level = if own == Level::Add { Level::Multiply } else { Level::Negate };
    let mut rest = Vec::new();
    let mut first = expr;
    while let ExprKind::Binary(left, op, right) = &first.kind {
        if binary_level(*op) != own {
            break;
        }
        rest.push((*op, &**right));
        first = left;
    }
    page.group(|page| {
        place(page, first, here.left(operand_level));
        page.indent(2, |page| {
            for (op, operand) in rest.into_iter().rev() {
                page.line(" ");
                page.text(op.word());
                page.text(" ");
                place(page, operand, Place::inside(operand_level));
            }
        });
    });
}

fn compare(page: &mut Page, left: &Expr, op: BinaryOp, right: &Expr, here: Place) {
    page.group(|page| {
        place(page, left, here.left(Level::Add));
        page.indent(2, |page| {
            page.line(" ");
            page.text(op.word());
            page.text(" ");
            place(page, right, Place::inside(Level::Add));
        });
    });
}

/// The conditions that are words: `in`, `between`, `like`, `is null`.
fn test(page: &mut Page, expr: &Expr, here: Place) {
    let not = |negation: &Negation| if *negation == Negation::Not { "not " } else { "" };
    let operand = |page: &mut Page, operand: &Expr| place(page, operand, Place::inside(Level::Add));
    page.group(|page| match &expr.kind {
        ExprKind::In(value, negation, list) => {
            place(page, value, here.left(Level::Add));
            page.text(format!(" {}in ", not(negation)));
            operand(page, list);
        }
        ExprKind::Like(value, negation, pattern) => {
            place(page, value, here.left(Level::Add));
            page.text(format!(" {}like ", not(negation)));
            operand(page, pattern);
        }
        ExprKind::Between(value, negation, low, high) => {
            place(page, value, here.left(Level::Add));
            page.text(format!(" {}between ", not(negation)));
            operand(page, low);
            page.indent(2, |page| page.line(" "));
            page.text("and ");
            operand(page, high);
        }
        ExprKind::IsNull(value, negation) => {
            place(page, value, here.left(Level::Add));
            page.text(format!(" is {}null", not(negation)));
        }
        _ => {}
    });
}

/// `users.tags[0]::int64?`: the operand, then what hangs on it.
fn postfix(page: &mut Page, expr: &Expr, here: Place) {
    let mut hanging = Vec::new();
    let mut base = expr;
    let mut fenced = false;
    while let (Some(operand), false) = (operand_of(base), fenced) {
        hanging.push(base);
        // Two marks in a row would be read as `??`, a number and a dot as one number.
        fenced = matches!((&base.kind, &operand.kind), (ExprKind::Try(_), ExprKind::Try(_)))
            || matches!((&base.kind, &operand.kind), (ExprKind::Field(..) | ExprKind::Index(..), ExprKind::Literal(_)));
        base = operand;
    }
    if fenced {
        in_parentheses(page, base);
    } else {
        place(page, base, here.left(Level::Postfix));
    }
    for link in hanging.into_iter().rev() {
        match &link.kind {
            ExprKind::Field(_, name) => page.text(format!(".{}", words::field(&name.name))),
            ExprKind::Index(_, index) => {
                page.text("[");
                place(page, index, Place::inside(Level::Lambda));
                page.text("]");
            }
            ExprKind::Cast(_, ty) => {
                page.text("::");
                types::type_expr(page, ty);
            }
            _ => page.text("?"),
        }
    }
}

/// What a postfix operator that is printed behind its operand hangs on.
fn operand_of(expr: &Expr) -> Option<&Expr> {
    match &expr.kind {
        ExprKind::Field(operand, _) | ExprKind::Index(operand, _) | ExprKind::Try(operand) => Some(operand),
        ExprKind::Cast(operand, ty) if !ty.nullable => Some(operand),
        _ => None,
    }
}

/// `cast(x as int64?)`: behind `::` the mark would belong to the expression.
fn cast(page: &mut Page, operand: &Expr, ty: &TypeExpr) {
    page.text("cast(");
    expr(page, operand);
    page.text(" as ");
    types::type_expr(page, ty);
    page.text(")");
}

/// The part of an expression that its text starts with, unless in parentheses.
pub(super) fn leftmost(expr: &Expr) -> &Expr {
    let mut leftmost = expr;
    loop {
        let left = match &leftmost.kind {
            ExprKind::Binary(left, ..)
            | ExprKind::In(left, ..)
            | ExprKind::Between(left, ..)
            | ExprKind::Like(left, ..)
            | ExprKind::IsNull(left, _) => Some(&**left),
            ExprKind::And(operands) | ExprKind::Or(operands) => operands.first(),
            _ => operand_of(leftmost),
        };
        match left {
            Some(left) => leftmost = left,
            None => return leftmost,
        }
    }
}
