//! Expressions: the grammar gives operands and operators in a row, this climbs the precedences.
//! Depth is counted on the way, so that no tree can overflow the stack of whoever walks it.

use std::iter::Peekable;

use super::operand;
use super::reader::{Node, Nodes, Reader, Rule};
use super::slip;
use crate::ast::{At, BinaryOp, Expr, ExprKind, Ident, Negation};
use crate::diagnostic::Diagnostic;
use crate::span::Span;

/// How deep a tree may be; what is deeper is refused.
pub(super) const DEEPEST: usize = 128;

/// How tightly operators bind, loose to tight.
mod binding {
    pub(super) const OR: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const NOT: u8 = 3;
    pub(super) const COMPARE: u8 = 4;
    pub(super) const COALESCE: u8 = 5;
    pub(super) const ADD: u8 = 6;
    pub(super) const MULTIPLY: u8 = 7;
    pub(super) const NEGATE: u8 = 8;
}

/// An expression, how deep it is, and whether an operator joined it without parentheses around.
pub(super) struct Grown {
    pub(super) expr: Expr,
    pub(super) depth: usize,
    joined: bool,
}

impl Grown {
    pub(super) fn leaf(kind: ExprKind, at: At) -> Self {
        Self::of(kind, at, 1)
    }

    pub(super) fn of(kind: ExprKind, at: At, depth: usize) -> Self {
        Grown { expr: Expr { kind, at }, depth, joined: false }
    }

    fn join(kind: ExprKind, at: At, depth: usize) -> Self {
        Grown { expr: Expr { kind, at }, depth, joined: true }
    }
}

type Items<'t> = Peekable<Nodes<'t>>;

/// An `expr` node.
pub(super) fn expr(reader: &mut Reader<'_>, node: Node<'_>) -> Expr {
    grown(reader, node, 0).expr
}

/// An `expr` node that stands `level` deep.
pub(super) fn grown(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let mut items = node.into_inner().peekable();
    climb(reader, &mut items, 0, level)
}

fn climb(reader: &mut Reader<'_>, items: &mut Items<'_>, least: u8, level: usize) -> Grown {
    let mut left = prefixed(reader, items, level);
    while let Some(infix) = items.peek().and_then(|n| Infix::of(n)) {
        if infix.binding() < least {
            break;
        }
        let Some(node) = items.next() else { break };
        left = joined(reader, items, left, infix, &node, level);
        if left.depth > DEEPEST {
            left = too_deep(reader, items, left.expr.at.0);
        }
    }
    left
}

/// What stands before an operand, and the operand.
fn prefixed(reader: &mut Reader<'_>, items: &mut Items<'_>, level: usize) -> Grown {
    let Some(node) = items.next() else { return hole(reader) };
    if level >= DEEPEST {
        let at = reader.place(&node);
        return too_deep(reader, items, at);
    }
    let at = reader.at(&node);
    let (grown, kind): (Grown, fn(Box<Expr>) -> ExprKind) = match node.as_rule() {
        Rule::operand => return operand::operand(reader, node, level),
        Rule::lambda_head => return lambda(reader, items, node, level),
        Rule::minus => (climb(reader, items, binding::NEGATE, level + 1), ExprKind::Negate),
        _ => {
            slip::negation(reader, &node);
            (climb(reader, items, binding::NOT, level + 1), ExprKind::Not)
        }
    };
    let at = At(at.to(grown.expr.at.0));
    Grown::of(kind(Box::new(grown.expr)), at, grown.depth + 1)
}

fn lambda(reader: &mut Reader<'_>, items: &mut Items<'_>, head: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&head);
    let mut names: Vec<Ident> = Vec::new();
    for node in head.into_inner() {
        match node.as_rule() {
            Rule::name => names.push(reader.ident(&node)),
            _ => slip::arrow(reader, &node),
        }
    }
    let body = climb(reader, items, binding::OR, level + 1);
    let at = At(at.to(body.expr.at.0));
    Grown::of(ExprKind::Lambda(names, Box::new(body.expr)), at, body.depth + 1)
}

/// What an operator after an operand is.
#[derive(Clone, Copy, PartialEq)]
enum Infix {
    Or,
    And,
    In,
    Between,
    Like,
    IsNull,
    Binary(BinaryOp),
}

impl Infix {
    fn of(node: &Node<'_>) -> Option<Infix> {
        Some(match node.as_rule() {
            Rule::kw_or => Infix::Or,
            Rule::kw_and => Infix::And,
            Rule::is_null => Infix::IsNull,
            Rule::negatable => match node.clone().into_inner().last()?.as_rule() {
                Rule::kw_in => Infix::In,
                Rule::kw_between => Infix::Between,
                _ => Infix::Like,
            },
            _ => match node.as_str() {
                "&&" => Infix::And,
                "||" => Infix::Or,
                "=" => Infix::Binary(BinaryOp::Equal),
                "<>" | "=!" => Infix::Binary(BinaryOp::NotEqual),
                other => Infix::Binary(BinaryOp::from_word(other)?),
            },
        })
    }

    fn binding(self) -> u8 {
        match self {
            Infix::Or => binding::OR,
            Infix::And => binding::AND,
            Infix::In | Infix::Between | Infix::Like | Infix::IsNull => binding::COMPARE,
            Infix::Binary(op) => match op {
                BinaryOp::Coalesce => binding::COALESCE,
                BinaryOp::Add | BinaryOp::Subtract => binding::ADD,
                BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => binding::MULTIPLY,
                _ => binding::COMPARE,
            },
        }
    }

    /// The loosest binding of the right operand.
    fn right(self) -> u8 {
        match self {
            Infix::Binary(BinaryOp::Coalesce) => binding::COALESCE,
            Infix::Between => binding::ADD,
            _ => self.binding() + 1,
        }
    }
}

fn joined(
    reader: &mut Reader<'_>,
    items: &mut Items<'_>,
    left: Grown,
    infix: Infix,
    node: &Node<'_>,
    level: usize,
) -> Grown {
    slip::operator(reader, node);
    if infix.binding() == binding::COMPARE && left.joined && compares(&left.expr) {
        slip::chained(reader, node, &left.expr);
    }
    if infix == Infix::IsNull {
        let at = At(left.expr.at.to(reader.place(node)));
        let kind = ExprKind::IsNull(Box::new(left.expr), negation(node));
        return Grown::join(kind, at, left.depth + 1);
    }
    let right = climb(reader, items, infix.right(), level + 1);
    let at = At(left.expr.at.to(right.expr.at.0));
    let depth = left.depth.max(right.depth) + 1;
    let (l, r) = (left.expr, right.expr);
    let kind = match infix {
        Infix::Or => return chained(left.depth, right.depth, at, ExprKind::Or(flat(l, r, is_or))),
        Infix::And => return chained(left.depth, right.depth, at, ExprKind::And(flat(l, r, is_and))),
        Infix::In => ExprKind::In(Box::new(l), negation(node), Box::new(r)),
        Infix::Like => ExprKind::Like(Box::new(l), negation(node), Box::new(r)),
        Infix::Between => return between(reader, items, l, r, (negation(node), depth, level)),
        Infix::Binary(op) => {
            slip::equals(reader, node, &l, &r);
            ExprKind::Binary(Box::new(l), op, Box::new(r))
        }
        Infix::IsNull => ExprKind::Broken,
    };
    Grown::join(kind, at, depth)
}

/// `a and b and c` is one node however long it is: joining it to one more makes it no deeper.
fn chained(left: usize, right: usize, at: At, kind: ExprKind) -> Grown {
    Grown::join(kind, at, left.max(right + 1).max(2))
}

fn is_or(kind: ExprKind) -> Result<Vec<Expr>, ExprKind> {
    if let ExprKind::Or(parts) = kind { Ok(parts) } else { Err(kind) }
}

fn is_and(kind: ExprKind) -> Result<Vec<Expr>, ExprKind> {
    if let ExprKind::And(parts) = kind { Ok(parts) } else { Err(kind) }
}

/// The operands of `left` and `right` in one list, taking apart what is already a chain of the same word.
fn flat(left: Expr, right: Expr, chain: fn(ExprKind) -> Result<Vec<Expr>, ExprKind>) -> Vec<Expr> {
    let parts = |e: Expr| chain(e.kind).unwrap_or_else(|kind| vec![Expr { kind, at: e.at }]);
    let mut all = parts(left);
    all.extend(parts(right));
    all
}

fn between(
    reader: &mut Reader<'_>,
    items: &mut Items<'_>,
    value: Expr,
    low: Expr,
    (negation, depth, level): (Negation, usize, usize),
) -> Grown {
    let word = items.next_if(|n| n.as_rule() == Rule::kw_and || n.as_str() == "&&");
    let Some(word) = word else {
        let at = At(value.at.to(low.at.0));
        let problem = Diagnostic::error("syntax", low.at.after(), "`between` has no upper bound");
        let text = |e: &Expr| reader.slice(e.at.0);
        let help = format!("write both bounds:\n  {} between {} and ...", text(&value), text(&low));
        reader.report(problem.label("expected `and` here").help(help));
        return Grown::leaf(ExprKind::Broken, at);
    };
    slip::operator(reader, &word);
    let high = climb(reader, items, binding::ADD, level + 1);
    let at = At(value.at.to(high.expr.at.0));
    let kind = ExprKind::Between(Box::new(value), negation, Box::new(low), Box::new(high.expr));
    Grown::join(kind, at, depth.max(high.depth + 1))
}

fn negation(node: &Node<'_>) -> Negation {
    let not = node.clone().into_inner().any(|n| n.as_rule() == Rule::kw_not);
    if not { Negation::Not } else { Negation::Plain }
}

fn compares(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Binary(_, op, _) => op.compares(),
        ExprKind::In(..) | ExprKind::Between(..) | ExprKind::Like(..) | ExprKind::IsNull(..) => true,
        _ => false,
    }
}

fn hole(reader: &Reader<'_>) -> Grown {
    Grown::leaf(ExprKind::Broken, At(reader.span(0, 0)))
}

/// Gives up on the rest of the expression.
fn too_deep(reader: &mut Reader<'_>, items: &mut Items<'_>, at: Span) -> Grown {
    let end = items.map(|n| reader.place(&n)).last();
    reader.report(deep(at));
    Grown::leaf(ExprKind::Broken, At(end.map_or(at, |end| at.to(end))))
}

/// The problem of an expression that is too deep.
pub(super) fn deep(at: Span) -> Diagnostic {
    Diagnostic::error("nesting-too-deep", at, format!("the expression is more than {DEEPEST} levels deep"))
        .help("give a part of it a name, in an `extend` stage above or with `let`, and use that name")
}
