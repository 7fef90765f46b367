//! Operands: what stands between operators, with the calls, fields and casts that hang on to it.

use super::expr::{self, DEEPEST, Grown};
use super::literal;
use super::reader::{Node, Reader, Rule, unticked};
use super::{slip, types};
use crate::ast::{
    Arg, At, Call, Case, Direction, Expr, ExprKind, Ident, Nulls, SortItem, StructExpr, StructField, Trivia,
};

/// An `operand` node.
pub(super) fn operand(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let start = reader.at(&node);
    let mut parts = node.into_inner();
    let Some(first) = parts.next() else { return Grown::leaf(ExprKind::Broken, start) };
    let mut grown = primary(reader, first, level + 1);
    for part in parts {
        let at = At(start.to(grown.expr.at.0).to(reader.place(&part)));
        grown = hung(reader, grown, part, at, level + 1);
        if grown.depth > DEEPEST {
            reader.report(expr::deep(at.0));
            return Grown::leaf(ExprKind::Broken, at);
        }
    }
    grown
}

/// What hangs on to an operand.
fn hung(reader: &mut Reader<'_>, base: Grown, part: Node<'_>, at: At, level: usize) -> Grown {
    let value = Box::new(base.expr);
    let (kind, depth) = match part.as_rule() {
        Rule::access => {
            let field = part.into_inner().next().map(|n| reader.ident(&n));
            (field.map_or(ExprKind::Broken, |f| ExprKind::Field(value, f)), base.depth)
        }
        Rule::index => {
            let index = first_expr(reader, part, level);
            (ExprKind::Index(value, Box::new(index.expr)), base.depth.max(index.depth))
        }
        Rule::cast_mark => match part.into_inner().next() {
            Some(ty) => (ExprKind::Cast(value, types::core(reader, ty)), base.depth),
            None => (ExprKind::Broken, base.depth),
        },
        _ => (ExprKind::Try(value), base.depth),
    };
    Grown::of(kind, at, depth + 1)
}

fn first_expr(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&node);
    match node.into_inner().find(|n| n.as_rule() == Rule::expr) {
        Some(inner) => expr::grown(reader, inner, level),
        None => Grown::leaf(ExprKind::Broken, at),
    }
}

fn primary(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&node);
    match node.as_rule() {
        Rule::named => named(reader, node, level),
        Rule::parens => parens(reader, node, level),
        Rule::list => list(reader, node, level),
        Rule::case => case(reader, node, level),
        Rule::cast => cast(reader, node, level),
        Rule::string => literal::string(reader, node, level),
        Rule::struct_expr => {
            let (fields, depth) = struct_expr(reader, node, level);
            Grown::of(ExprKind::Struct(fields), at, depth + 1)
        }
        Rule::angle_type => {
            let ty = types::angle(reader, node);
            Grown::leaf(types::to_expr(&ty).kind, at)
        }
        _ => Grown::leaf(literal::literal(reader, &node).map_or(ExprKind::Broken, ExprKind::Literal), at),
    }
}

/// A name, or a call.
fn named(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&node);
    let mut parts = node.into_inner();
    let Some(name) = parts.next() else { return Grown::leaf(ExprKind::Broken, at) };
    let Some(tail) = parts.next() else {
        return Grown::leaf(ExprKind::Name(unticked(name.as_str()).to_owned()), at);
    };
    let name = reader.ident(&name);
    let mut call = Call { name, distinct: false, args: Vec::new(), order_by: Vec::new(), filter: None };
    let mut depth = 1;
    for part in tail.into_inner() {
        match part.as_rule() {
            Rule::distinct => call.distinct = true,
            Rule::star => slip::star(reader, &part, &call.name.name),
            Rule::call_args => {
                let (args, deepest) = call_args(reader, part, level);
                call.args = args;
                depth = depth.max(deepest);
            }
            Rule::order_by => {
                for item in part.into_inner().filter(|n| n.as_rule() == Rule::sort_item) {
                    let (item, deepest) = sort_item(reader, item, level);
                    call.order_by.push(item);
                    depth = depth.max(deepest);
                }
            }
            _ => {
                let filter = first_expr(reader, part, level);
                depth = depth.max(filter.depth);
                call.filter = Some(filter.expr);
            }
        }
    }
    Grown::of(ExprKind::Call(Box::new(call)), at, depth + 1)
}

/// A `call_args` node, and how deep its values are.
pub(super) fn call_args(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> (Vec<Arg>, usize) {
    let mut depth = 0;
    let mut args = Vec::new();
    for arg in node.into_inner() {
        let (mut names, mut value) = (Vec::new(), None);
        for part in arg.into_inner() {
            match part.as_rule() {
                Rule::label => names.extend(slip::label(reader, part)),
                Rule::name => names.push(reader.ident(&part)),
                Rule::expr => value = Some(expr::grown(reader, part, level)),
                _ => slip::word(reader, &part),
            }
        }
        if let Some(value) = value {
            depth = depth.max(value.depth);
            args.push(Arg { names, value: value.expr });
        }
    }
    (args, depth)
}

/// A `sort_item` node, and how deep its value is.
pub(super) fn sort_item(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> (SortItem, usize) {
    let at = reader.at(&node);
    let value = Expr { kind: ExprKind::Broken, at };
    let mut item = SortItem { value, name: None, direction: None, nulls: None };
    let mut depth = 0;
    for part in node.into_inner() {
        let word = part.as_str().to_ascii_lowercase();
        match part.as_rule() {
            Rule::expr => {
                let value = expr::grown(reader, part, level);
                depth = value.depth;
                item.value = value.expr;
            }
            Rule::name => item.name = Some(reader.ident(&part)),
            Rule::direction => {
                slip::word(reader, &part);
                item.direction = Some(if word == "asc" { Direction::Ascending } else { Direction::Descending });
            }
            Rule::nulls => {
                let last = word.ends_with("last");
                part.into_inner().for_each(|w| slip::word(reader, &w));
                item.nulls = Some(if last { Nulls::Last } else { Nulls::First });
            }
            _ => slip::word(reader, &part),
        }
    }
    (item, depth)
}

fn parens(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&node);
    let mut items: Vec<Grown> = Vec::new();
    for part in node.into_inner() {
        items.push(expr::grown(reader, part, level));
    }
    if items.len() > 1 {
        slip::tuple(reader, at.0);
        let depth = items.iter().map(|i| i.depth).max().unwrap_or(0) + 1;
        let kind = ExprKind::List(items.into_iter().map(|i| i.expr).collect());
        return Grown::of(kind, at, depth);
    }
    match items.pop() {
        Some(inner) => Grown::of(inner.expr.kind, at, inner.depth),
        None => Grown::leaf(ExprKind::Broken, at),
    }
}

fn list(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&node);
    let (mut items, mut depth) = (Vec::new(), 0);
    for part in node.into_inner() {
        if part.as_rule() == Rule::no_comma {
            slip::missing_comma(reader, &part);
            continue;
        }
        let item = expr::grown(reader, part, level);
        depth = depth.max(item.depth);
        items.push(item.expr);
    }
    Grown::of(ExprKind::List(items), at, depth + 1)
}

/// A `struct_expr` node, and how deep its values are.
pub(super) fn struct_expr(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> (StructExpr, usize) {
    let (mut fields, mut depth) = (Vec::new(), 0);
    for part in node.into_inner() {
        if part.as_rule() != Rule::field {
            slip::missing_comma(reader, &part);
            continue;
        }
        let mut field = StructField { trivia: Trivia::default(), name: nameless(reader.at(&part)), value: None };
        for piece in part.into_inner() {
            match piece.as_rule() {
                Rule::key => field.name = literal::key(reader, piece),
                Rule::expr => {
                    let value = expr::grown(reader, piece, level);
                    depth = depth.max(value.depth);
                    field.value = Some(value.expr);
                }
                _ => slip::assign(reader, &piece),
            }
        }
        fields.push(field);
    }
    (StructExpr { fields, end: Vec::new() }, depth)
}

fn nameless(at: At) -> Ident {
    Ident { name: String::new(), at }
}

fn case(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&node);
    let mut case = Case { operand: None, branches: Vec::new(), otherwise: None };
    let mut depth = 0;
    for part in node.into_inner() {
        let rule = part.as_rule();
        let mut values = Vec::new();
        if matches!(rule, Rule::kw_case | Rule::kw_end) {
            slip::word(reader, &part);
            continue;
        }
        for piece in part.into_inner() {
            if piece.as_rule() == Rule::expr {
                let value = expr::grown(reader, piece, level);
                depth = depth.max(value.depth);
                values.push(value.expr);
            } else {
                slip::word(reader, &piece);
            }
        }
        let last = values.pop();
        match rule {
            Rule::case_operand => case.operand = last,
            Rule::case_else => case.otherwise = last,
            _ => case.branches.extend(values.pop().zip(last)),
        }
    }
    Grown::of(ExprKind::Case(Box::new(case)), at, depth + 1)
}

fn cast(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&node);
    let (mut value, mut ty) = (None, None);
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::expr => value = Some(expr::grown(reader, part, level)),
            Rule::type_expr => ty = Some(types::type_expr(reader, part)),
            _ => slip::word(reader, &part),
        }
    }
    match value.zip(ty) {
        Some((value, ty)) => {
            let kind = ExprKind::Cast(Box::new(value.expr), ty);
            Grown::of(kind, at, value.depth + 1)
        }
        None => Grown::leaf(ExprKind::Broken, at),
    }
}
