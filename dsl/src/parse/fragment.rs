//! Single expressions, types, arguments, clauses and rows, as a YAML file holds them. Comments in them are no part of
//! the trees; [`comments`] hands them out.

use super::reader::{Node, Reader, Rule};
use super::{Parsed, Positions, chain, clause as clauses, expr, failure, operand, scan, test_block, types};
use crate::ast::{Arg, At, ClauseKind, Comment, Expected, Expr, ExprKind, Rows, StepKind, TypeExpr};
use crate::diagnostic::Diagnostic;

/// One expression.
pub fn expression(text: &str, positions: &Positions) -> Parsed<Expr> {
    let read = read(text, positions, Rule::only_expr, |reader, node| Some(expr::expr(reader, node)));
    or_else(read, |at| Expr { kind: ExprKind::Broken, at }, text, positions)
}

/// One type; none where it could not be read.
pub fn type_expr(text: &str, positions: &Positions) -> Parsed<Option<TypeExpr>> {
    read(text, positions, Rule::only_type, |reader, node| Some(types::type_expr(reader, node)))
}

/// The arguments of a stage, with commas between: `sum(amount) as revenue, n = count()`.
pub fn arguments(text: &str, positions: &Positions) -> Parsed<Vec<Arg>> {
    let read = read(text, positions, Rule::only_args, |reader, node| Some(chain::args(reader, node)));
    or_else(read, |_| Vec::new(), text, positions)
}

/// The arguments of a call, with commas between: `60s, every 10s`.
pub fn call_arguments(text: &str, positions: &Positions) -> Parsed<Vec<Arg>> {
    let read = read(text, positions, Rule::only_call_args, |reader, node| Some(operand::call_args(reader, node, 0).0));
    or_else(read, |_| Vec::new(), text, positions)
}

/// A whole clause, its word included: `by category, region`.
pub fn clause(text: &str, positions: &Positions) -> Parsed<Option<ClauseKind>> {
    read(text, positions, Rule::only_clause, clauses::kind)
}

/// What an `expect` demands: `contains [ ... ]`, `nothing`.
pub fn expected(text: &str, positions: &Positions) -> Parsed<Option<Expected>> {
    read(text, positions, Rule::only_expected, test_block::expected)
}

/// The rows of a test: `[ { user_id: "u1" } ]`.
pub fn rows(text: &str, positions: &Positions) -> Parsed<Option<Rows>> {
    read(text, positions, Rule::only_rows, |reader, node| Some(test_block::rows(reader, node)))
}

/// One step of a test: `advance 10s`.
pub fn step(text: &str, positions: &Positions) -> Parsed<StepKind> {
    let read = read(text, positions, Rule::only_step, |reader, node| {
        node.into_inner().next().and_then(|inner| test_block::step(reader, inner))
    });
    or_else(read, |_| StepKind::Broken, text, positions)
}

/// The comments of a fragment, which belong above the item it says something about.
pub fn comments(text: &str, positions: &Positions) -> Vec<Comment> {
    let reader = Reader::of_fragment(text, positions);
    let comment =
        |(start, end): &(usize, usize)| Comment::new(&text[start + 1..*end], false, At(reader.span(*start, *end)));
    scan::fragment(positions.file, text).comments.iter().map(comment).collect()
}

fn or_else<T>(read: Parsed<Option<T>>, none: impl Fn(At) -> T, text: &str, positions: &Positions) -> Parsed<T> {
    let at = At(Reader::of_fragment(text, positions).span(0, text.len()));
    Parsed { tree: read.tree.unwrap_or_else(|| none(at)), problems: read.problems }
}

/// Runs `rule` on the fragment and `build` on the node in it; nothing in it builds nothing.
fn read<T>(
    text: &str,
    positions: &Positions,
    rule: Rule,
    build: impl Fn(&mut Reader<'_>, Node<'_>) -> Option<T>,
) -> Parsed<Option<T>> {
    let scan = scan::fragment(positions.file, text);
    let clean = scan.clean.as_str();
    let mut reader = Reader::of_fragment(clean, positions);
    for problem in scan.problems {
        let moved = moved(&reader, problem);
        reader.report(moved);
    }
    if scan.chunks.iter().any(|c| !c.faults.is_empty()) || chain::too_long(&mut reader, 0, clean.len()) {
        return Parsed { tree: None, problems: reader.problems };
    }
    let end = clean.trim_end().len();
    let start = end.min(clean.len() - clean.trim_start().len());
    let tree = match reader.parse(rule, start, end) {
        Ok(node) => node.into_inner().find(|n| n.as_rule() != Rule::EOI).and_then(|inner| build(&mut reader, inner)),
        Err(failed) => {
            failure::report(&mut reader, &failed, start, end);
            None
        }
    };
    Parsed { tree, problems: reader.problems }
}

/// A problem whose places are in the fragment, with its places in the file.
fn moved(reader: &Reader<'_>, mut problem: Diagnostic) -> Diagnostic {
    let spans = problem.labels.iter_mut().map(|l| &mut l.span).chain(problem.edits.iter_mut().map(|e| &mut e.span));
    for span in spans {
        let range = span.range();
        *span = reader.span(range.start, range.end);
    }
    problem
}
