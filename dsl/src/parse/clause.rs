//! The clauses of stages, sources and sinks.

use super::expr;
use super::literal;
use super::operand;
use super::reader::{Node, Reader, Rule, find};
use super::slip;
use crate::ast::{
    Arg, At, Clause, ClauseKind, Endpoint, Expr, ExprKind, Fate, Ident, OptionEntry, Options, SortItem, Trivia, Ttl,
};

/// A node of any of the clause rules; none for another node.
pub(super) fn clause(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Clause> {
    let at = reader.at(&node);
    kind(reader, node).map(|kind| Clause { kind, at })
}

/// What a clause node says.
pub(super) fn kind(reader: &mut Reader<'_>, node: Node<'_>) -> Option<ClauseKind> {
    Some(match node.as_rule() {
        Rule::by => ClauseKind::By(by(reader, node)),
        Rule::using => ClauseKind::Using(names(reader, node)),
        Rule::on => ClauseKind::On(value(reader, node)),
        Rule::on_batch_time => ClauseKind::OnBatchTime,
        Rule::on_expiry => ClauseKind::OnExpiry(value(reader, node)),
        Rule::over => ClauseKind::Over(value(reader, node)),
        Rule::per_batch => ClauseKind::PerBatch,
        Rule::per => {
            let values = node.into_inner().filter(|n| n.as_rule() == Rule::expr);
            ClauseKind::Per(values.map(|n| expr::expr(reader, n)).collect())
        }
        Rule::running => ClauseKind::Running(ttl(reader, node)),
        Rule::within => ClauseKind::Within(value(reader, node)),
        Rule::named_as => ClauseKind::Named(find(node.into_inner(), Rule::field_name).map(|n| reader.ident(&n))?),
        Rule::late => ClauseKind::Late(fate(reader, node)?),
        Rule::bad => ClauseKind::Bad(fate(reader, node)?),
        Rule::rejected => ClauseKind::Rejected(fate(reader, node)?),
        Rule::otherwise => ClauseKind::Else(fate(reader, node)?),
        Rule::emit => {
            let mode = find(node.clone().into_inner(), Rule::name).map(|n| reader.ident(&n))?;
            let every = find(node.into_inner(), Rule::expr).map(|n| expr::expr(reader, n));
            ClauseKind::Emit { mode, every }
        }
        Rule::init_from => ClauseKind::InitFrom(find(node.into_inner(), Rule::name).map(|n| reader.ident(&n))?),
        Rule::init => ClauseKind::Init(value(reader, node)),
        Rule::step => ClauseKind::Step(value(reader, node)),
        Rule::yield_ => ClauseKind::Yield(value(reader, node)),
        Rule::with => ClauseKind::With(find(node.into_inner(), Rule::options).map(|n| options(reader, n))?),
        _ => return None,
    })
}

fn value(reader: &mut Reader<'_>, node: Node<'_>) -> Expr {
    let at = reader.at(&node);
    match find(node.into_inner(), Rule::expr) {
        Some(inner) => expr::expr(reader, inner),
        None => Expr { kind: ExprKind::Broken, at },
    }
}

fn names(reader: &Reader<'_>, node: Node<'_>) -> Vec<Ident> {
    node.into_inner().filter(|n| n.as_rule() == Rule::name).map(|n| reader.ident(&n)).collect()
}

fn by(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<SortItem> {
    let (mut items, mut group) = (Vec::new(), None);
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::sort_item => items.push(operand::sort_item(reader, part, 0).0),
            Rule::group_word => group = Some(part),
            _ => match group.take() {
                Some(group) => slip::group_by(reader, &group, &part),
                None => slip::word(reader, &part),
            },
        }
    }
    items
}

fn ttl(reader: &mut Reader<'_>, node: Node<'_>) -> Ttl {
    let mut ttl = Ttl::Missing;
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::forever => ttl = Ttl::Forever,
            Rule::expr => ttl = Ttl::For(expr::expr(reader, part)),
            Rule::no_ttl => slip::no_ttl(reader, &part),
            _ => {}
        }
    }
    ttl
}

fn fate(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Fate> {
    let fate = find(node.into_inner(), Rule::fate)?;
    let last = fate.into_inner().last()?;
    let ident = reader.ident(&last);
    Some(if last.as_rule() == Rule::name { Fate::To(ident) } else { Fate::Word(ident) })
}

/// An `options` node.
pub(super) fn options(reader: &mut Reader<'_>, node: Node<'_>) -> Options {
    let mut options = Options { entries: Vec::new(), end: Vec::new(), at: reader.at(&node) };
    for part in node.into_inner() {
        if part.as_rule() != Rule::option {
            slip::missing_comma(reader, &part);
            continue;
        }
        let (mut name, mut value) = (None, None);
        for piece in part.into_inner() {
            match piece.as_rule() {
                Rule::option_key => name = Some(literal::key(reader, piece)),
                Rule::expr => value = Some(expr::expr(reader, piece)),
                _ => slip::assign(reader, &piece),
            }
        }
        let entry = name.zip(value).map(|(name, value)| OptionEntry { trivia: Trivia::default(), name, value });
        options.entries.extend(entry);
    }
    options
}

/// No options, where braces would stand.
pub(super) fn no_options(at: At) -> Options {
    Options { entries: Vec::new(), end: Vec::new(), at: At(at.after()) }
}

/// Whether an argument is written like an option, `format: json`.
fn has_colon(args: Node<'_>) -> bool {
    let labels = args.into_inner().filter_map(|arg| arg.into_inner().next()).filter(|n| n.as_rule() == Rule::label);
    labels.flat_map(Node::into_inner).any(|n| n.as_rule() == Rule::label_colon)
}

/// `files("out", format: json)`: what is meant as an option.
fn option_of(arg: Arg) -> Option<OptionEntry> {
    let name = arg.names.into_iter().next()?;
    Some(OptionEntry { trivia: Trivia::default(), name, value: arg.value })
}

/// An `endpoint` node.
pub(super) fn endpoint(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Endpoint> {
    let at = reader.at(&node);
    let (mut name, mut args, mut braces, mut clauses) = (None, Vec::new(), None, Vec::new());
    let (mut call_end, mut commas, mut misplaced) = (at, Vec::new(), Vec::new());
    for part in node.into_inner() {
        let place = reader.at(&part);
        match part.as_rule() {
            Rule::name => {
                name = Some(reader.ident(&part));
                call_end = place;
            }
            Rule::endpoint_args => {
                call_end = place;
                if let Some(inner) = part.into_inner().next() {
                    let is_option = has_colon(inner.clone());
                    let read = operand::call_args(reader, inner, 0).0;
                    let (options, rest): (Vec<Arg>, _) =
                        read.into_iter().partition(|a| is_option && !a.names.is_empty());
                    args = rest;
                    misplaced = options.into_iter().filter_map(option_of).collect();
                }
            }
            Rule::options => braces = Some(options(reader, part)),
            Rule::clause_comma => commas.push(reader.range(&part).0),
            _ => clauses.extend(clause(reader, part)),
        }
    }
    slip::clause_commas(reader, &commas, reader.indices(at.0).1);
    let mut options = braces.unwrap_or_else(|| no_options(call_end));
    options.entries.extend(misplaced);
    name.map(|name| Endpoint { name, args, options, clauses, at })
}
