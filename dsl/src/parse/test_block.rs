//! Test blocks: cut at the words that start a step on a line of its own, so that one bad step costs no other.

use super::chain;
use super::expr;
use super::failure;
use super::lex::{Kind, Lexer};
use super::literal;
use super::operand;
use super::reader::{Node, Reader, Rule, find};
use super::scan::Chunk;
use super::slip;
use crate::ast::{At, Expected, Expr, ExprKind, Row, Rows, StatementKind, Step, StepKind, Trivia};
use crate::diagnostic::Diagnostic;
use crate::suggest;

/// The words that a step starts with.
const WORDS: &[&str] = &["given", "step", "advance", "restart", "expect"];

/// Words that may start a line inside a step.
const GOES_ON: &[&str] = &["from", "contains", "in", "nothing", "to", "of", "batch", "count", "and", "or"];

/// Reads a `test` statement.
pub(super) fn test(reader: &mut Reader<'_>, chunk: &Chunk) -> Option<StatementKind> {
    let end = chunk.start + reader.text[chunk.start..chunk.end].trim_end().len();
    let block = block(reader, chunk.start, end);
    let head_end = block.as_ref().map_or(end, |b| b.open + 1);
    if chain::tainted(chunk, chunk.start, head_end.saturating_sub(1)) {
        return None;
    }
    let name = match reader.parse(Rule::test_head, chunk.start, head_end) {
        Ok(node) => find(node.into_inner(), Rule::string).map(|n| literal::text(reader, n))?,
        Err(failed) => {
            failure::report(reader, &failed, chunk.start, head_end);
            return None;
        }
    };
    let block = block?;
    let mut steps = Vec::new();
    for (i, start) in block.starts.iter().enumerate() {
        let end = block.starts.get(i + 1).copied().unwrap_or(block.close);
        read_steps(reader, chunk, *start, end, &mut steps);
        if reader.full() {
            break;
        }
    }
    if block.close + 1 < end {
        let problem =
            Diagnostic::error("trailing-text", reader.span(block.close + 1, end), "text stands after the test");
        reader.report(
            problem.help("the test ends with its `}`: take away what follows, or start a statement in column 1"),
        );
    }
    Some(StatementKind::Test { name, steps, end: Vec::new() })
}

/// The braces of a test and where its steps start.
struct Block {
    open: usize,
    close: usize,
    starts: Vec<usize>,
}

fn block(reader: &Reader<'_>, start: usize, end: usize) -> Option<Block> {
    let mut block: Option<Block> = None;
    let (mut depth, mut after_value) = (0usize, false);
    for token in Lexer::new(&reader.text[start..end]) {
        let at = start + token.start;
        match (&mut block, token.kind) {
            (None, Kind::Open) if reader.text[at..].starts_with('{') => {
                block = Some(Block { open: at, close: end, starts: Vec::new() });
            }
            (None, _) => {}
            (Some(_), Kind::Open) => depth += 1,
            (Some(block), Kind::Close) if depth == 0 => {
                block.close = at;
                break;
            }
            (Some(_), Kind::Close) => depth -= 1,
            (Some(block), _) if block.starts.is_empty() => block.starts.push(at),
            (Some(block), Kind::Word) if token.first && depth == 0 => {
                let word = &reader.text[at..start + token.end];
                if WORDS.contains(&word)
                    || after_value && !GOES_ON.contains(&word) && !crate::lexis::RESERVED.contains(&word)
                {
                    block.starts.push(at);
                }
            }
            _ => {}
        }
        after_value = matches!(token.kind, Kind::Close | Kind::Number | Kind::Quoted);
    }
    block
}

fn read_steps(reader: &mut Reader<'_>, chunk: &Chunk, start: usize, end: usize, steps: &mut Vec<Step>) {
    let end = start + reader.text[start..end].trim_end().len();
    let hole = |reader: &Reader<'_>| Step {
        trivia: Trivia::default(),
        kind: StepKind::Broken,
        at: At(reader.span(start, end)),
    };
    if chain::tainted(chunk, start, end) || chain::too_long(reader, start, end) {
        return steps.push(hole(reader));
    }
    match reader.parse(Rule::steps, start, end) {
        Ok(node) => {
            for node in node.into_inner().filter(|n| n.as_rule() == Rule::test_step) {
                let at = reader.at(&node);
                let kind = node.into_inner().next().and_then(|n| step(reader, n)).unwrap_or(StepKind::Broken);
                steps.push(Step { trivia: Trivia::default(), kind, at });
            }
        }
        Err(failed) => {
            if !unknown_step(reader, start) {
                failure::report(reader, &failed, start, end);
            }
            steps.push(hole(reader));
        }
    }
}

/// Whether the word at `start` is none that a step starts with, which is reported.
fn unknown_step(reader: &mut Reader<'_>, start: usize) -> bool {
    let word = chain::first_word(&reader.text[start..]);
    if word.is_empty() || WORDS.contains(&word) {
        return false;
    }
    let at = reader.span(start, start + word.len());
    let problem = Diagnostic::error("syntax", at, format!("test step `{}` does not exist", slip::short(word)));
    reader.report(match suggest::closest(word, WORDS.iter().copied()) {
        Some(near) => problem.help(format!("did you mean:\n  {near}")).edit(at, near),
        None => problem.help(format!("a step starts with one of these words:\n  {}", WORDS.join(" "))),
    });
    true
}

/// What a node under `test_step` says.
pub(super) fn step(reader: &mut Reader<'_>, node: Node<'_>) -> Option<StepKind> {
    let parts = node.clone().into_inner();
    Some(match node.as_rule() {
        Rule::given => {
            let input = find(parts.clone(), Rule::name).map(|n| reader.ident(&n))?;
            match find(parts.clone(), Rule::string) {
                Some(path) => StepKind::GivenFrom { input, path: literal::text(reader, path) },
                None => StepKind::Given { input, rows: find(parts, Rule::rows).map(|n| rows(reader, n))? },
            }
        }
        Rule::step_count => StepKind::Step {
            count: match find(parts, Rule::number) {
                Some(number) => Some(whole(reader, &number)?),
                None => None,
            },
        },
        Rule::advance_mark => StepKind::AdvanceWatermark {
            of: find(parts.clone(), Rule::name).map(|n| reader.ident(&n)),
            to: value(reader, parts, reader.at(&node)),
        },
        Rule::advance => StepKind::Advance(value(reader, parts, reader.at(&node))),
        Rule::restart => StepKind::Restart,
        _ => expect(reader, node)?,
    })
}

fn value(reader: &mut Reader<'_>, parts: super::reader::Nodes<'_>, at: At) -> Expr {
    match find(parts, Rule::expr) {
        Some(inner) => expr::expr(reader, inner),
        None => Expr { kind: ExprKind::Broken, at },
    }
}

fn whole(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<u64> {
    let number = node.as_str().parse().ok();
    if number.is_none() {
        let message = format!("`{}` is no whole number", slip::short(node.as_str()));
        reader.report(
            Diagnostic::error("invalid-number", reader.place(node), message).help("write a number such as:\n  3"),
        );
    }
    number
}

fn expect(reader: &mut Reader<'_>, node: Node<'_>) -> Option<StepKind> {
    let (mut batch, mut of) = (None, None);
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::expect_count => return expect_count(reader, part),
            Rule::batch_of => {
                let number = find(part.into_inner(), Rule::number)?;
                batch = Some(whole(reader, &number)?);
            }
            Rule::name => of = Some(reader.ident(&part)),
            Rule::expected => {
                let rows = expected(reader, part)?;
                return Some(StepKind::Expect { batch, of: of?, rows });
            }
            _ => {}
        }
    }
    None
}

fn expect_count(reader: &mut Reader<'_>, node: Node<'_>) -> Option<StepKind> {
    let (mut names, mut count) = (Vec::new(), None);
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::counted | Rule::name => names.push(reader.ident(&part)),
            Rule::number => count = Some(whole(reader, &part)?),
            Rule::single_equals => {
                let at = reader.place(&part);
                let problem = Diagnostic::error("equals-sign", at, "`=` does not compare").label("`==` is meant here");
                reader
                    .report(problem.help("compare with `==`:\n  expect count of late of revenue == 1").edit(at, "=="));
            }
            _ => {}
        }
    }
    let mut names = names.into_iter();
    Some(StepKind::ExpectCount { what: names.next()?, of: names.next()?, count: count? })
}

/// An `expected` node.
pub(super) fn expected(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Expected> {
    let inner = node.into_inner().next()?;
    let in_it =
        |reader: &mut Reader<'_>, inner: Node<'_>| find(inner.into_inner(), Rule::rows).map(|n| rows(reader, n));
    match inner.as_rule() {
        Rule::contains => in_it(reader, inner).map(Expected::Contains),
        Rule::in_order => in_it(reader, inner).map(Expected::InOrder),
        Rule::nothing => Some(Expected::Nothing),
        _ => Some(Expected::Exactly(rows(reader, inner))),
    }
}

/// A `rows` node.
pub(super) fn rows(reader: &mut Reader<'_>, node: Node<'_>) -> Rows {
    let at = reader.at(&node);
    let mut rows = Vec::new();
    for part in node.into_inner() {
        if part.as_rule() != Rule::row {
            slip::missing_comma(reader, &part);
            continue;
        }
        let at = reader.at(&part);
        if let Some(cells) = part.into_inner().next() {
            let (cells, _) = operand::struct_expr(reader, cells, 0);
            rows.push(Row { trivia: Trivia::default(), cells, at });
        }
    }
    Rows { rows, end: Vec::new(), at }
}
