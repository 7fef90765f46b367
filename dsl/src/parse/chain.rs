//! Chains: pieces of text between `|>`, each read on its own, so that one bad stage costs no other.

use super::clause;
use super::expr;
use super::failure;
use super::reader::{LONGEST_PIECE, Node, Reader, Rule, find};
use super::scan::Chunk;
use super::slip;
use crate::ast::{Arg, At, Endpoint, Ident, JoinWord, Stage, Trivia};
use crate::diagnostic::Diagnostic;

/// A stage's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Where its `|>` is, or the piece starts if it has none.
    pub(super) pipe: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The links of a chain.
#[derive(Default)]
pub(super) struct Links {
    pub(super) stages: Vec<Stage>,
    /// The last link, if it is `into`; where it starts.
    pub(super) into: Option<(Option<Endpoint>, At)>,
}

/// The pieces of a statement behind its head.
pub(super) fn pieces(chunk: &Chunk) -> Vec<Piece> {
    let ends = chunk.pipes.iter().skip(1).copied().chain([chunk.end]);
    chunk.pipes.iter().zip(ends).map(|(pipe, end)| Piece { pipe: *pipe, start: pipe + 2, end }).collect()
}

/// Whether something in the piece is reported already and cannot be parsed.
pub(super) fn tainted(chunk: &Chunk, start: usize, end: usize) -> bool {
    let first = chunk.faults.partition_point(|fault| *fault < start);
    chunk.faults.get(first).is_some_and(|fault| *fault < end)
}

/// Reads the pieces of a chain; `rest` is text behind the head that lacks its `|>`.
pub(super) fn links(reader: &mut Reader<'_>, chunk: &Chunk, rest: Option<Piece>) -> Links {
    let mut links = Links::default();
    for piece in rest.into_iter().chain(pieces(chunk)) {
        if reader.full() {
            break;
        }
        link(reader, chunk, piece, &mut links);
    }
    links
}

/// Reads one piece, or several where the `|>` between them is missing.
fn link(reader: &mut Reader<'_>, chunk: &Chunk, piece: Piece, links: &mut Links) {
    let text = &reader.text[piece.start..piece.end];
    let start = piece.start + text.len() - text.trim_start().len();
    let end = piece.start + text.trim_end().len();
    if start >= end {
        return empty(reader, chunk, piece);
    }
    if let Some((_, at)) = &links.into {
        let problem = Diagnostic::error("trailing-text", reader.span(start, end), "a stage stands after `into`")
            .also(at.0, "the chain ends here")
            .help("put the stage before `into`");
        return reader.report(problem);
    }
    let is_into = first_word(&reader.text[start..end]) == "into";
    if tainted(chunk, piece.start, piece.end) || too_long(reader, start, end) {
        return broken(reader, links, is_into, start, end);
    }
    let rule = if is_into { Rule::into } else { Rule::stage };
    match reader.parse(rule, start, end) {
        Ok(node) if is_into => {
            let at = reader.at(&node);
            let endpoint = find(node.into_inner(), Rule::endpoint).and_then(|n| clause::endpoint(reader, n));
            links.into = Some((endpoint, At(reader.span(start, end).to(at.0))));
        }
        Ok(node) => {
            let stage = stage(reader, node, At(reader.span(start, end)));
            links.stages.push(stage);
        }
        Err(failed) => {
            let cuts = failure::missing_pipes(reader, &failed, start, end);
            if cuts.is_empty() {
                failure::report(reader, &failed, start, end);
                return broken(reader, links, is_into, start, end);
            }
            split(reader, chunk, piece, &cuts, links);
        }
    }
}

/// Reads the parts of a piece, whose `|>` are missing at `cuts`.
fn split(reader: &mut Reader<'_>, chunk: &Chunk, piece: Piece, cuts: &[usize], links: &mut Links) {
    link(reader, chunk, Piece { end: cuts[0], ..piece }, links);
    let ends = cuts.iter().skip(1).copied().chain([piece.end]);
    for (start, end) in cuts.iter().copied().zip(ends) {
        if reader.full() {
            break;
        }
        failure::report_missing_pipe(reader, start);
        link(reader, chunk, Piece { pipe: start, start, end }, links);
    }
}

/// The word that `text` starts with.
pub(super) fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !super::lex::is_word_char(c)).unwrap_or(text.len());
    &text[..end]
}

fn empty(reader: &mut Reader<'_>, chunk: &Chunk, piece: Piece) {
    if tainted(chunk, piece.start, piece.end) {
        return;
    }
    let at = reader.span(piece.pipe, piece.pipe + 2);
    let problem = Diagnostic::error("syntax", at, "there is no stage after this `|>`");
    let problem = problem.help("write one, or take the sign away:\n  |> where amount > 0");
    reader.report(problem.edit(reader.span(piece.pipe, piece.end), ""));
}

/// Whether the piece is too long to read, which is reported.
pub(super) fn too_long(reader: &mut Reader<'_>, start: usize, end: usize) -> bool {
    let long = end - start > LONGEST_PIECE;
    if long {
        let first = reader.text[start..end].chars().next().map_or(0, char::len_utf8);
        let problem = Diagnostic::error("too-long", reader.span(start, start + first), "this part is longer than 1 MB");
        reader.report(problem.help("split it, or keep data in a file of its own"));
    }
    long
}

fn broken(reader: &Reader<'_>, links: &mut Links, is_into: bool, start: usize, end: usize) {
    let at = At(reader.span(start, end));
    if is_into {
        links.into = Some((None, at));
        return;
    }
    let word = first_word(&reader.text[start..end]);
    let name = Ident { name: word.to_owned(), at: At(reader.span(start, start + word.len())) };
    let trivia = Trivia::default();
    links.stages.push(Stage { trivia, modifier: None, name, args: Vec::new(), clauses: Vec::new(), broken: true, at });
}

/// A `stage` node.
fn stage(reader: &mut Reader<'_>, node: Node<'_>, at: At) -> Stage {
    let name = Ident { name: String::new(), at };
    let mut stage = Stage {
        trivia: Trivia::default(),
        modifier: None,
        name,
        args: Vec::new(),
        clauses: Vec::new(),
        broken: false,
        at,
    };
    let mut commas = Vec::new();
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::modifier => stage.modifier = modifier(reader, part),
            Rule::stage_word => stage.name = reader.ident(&part),
            Rule::call_form | Rule::stage_args => stage.args = args(reader, part),
            Rule::clause_comma => commas.push(reader.range(&part).0),
            _ => stage.clauses.extend(clause::clause(reader, part)),
        }
    }
    slip::clause_commas(reader, &commas, reader.indices(at.0).1);
    stage
}

fn modifier(reader: &mut Reader<'_>, node: Node<'_>) -> Option<JoinWord> {
    let mut modifier = None;
    for part in node.into_inner() {
        match JoinWord::from_word(part.as_str()) {
            Some(word) => modifier = Some(word),
            None => slip::join_word(reader, &part, modifier),
        }
    }
    modifier
}

/// The `stage_arg` nodes in a node.
pub(super) fn args(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<Arg> {
    let items = node.into_inner().filter(|n| n.as_rule() == Rule::stage_arg);
    items.filter_map(|item| arg(reader, item)).collect()
}

fn arg(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Arg> {
    let (mut names, mut value) = (Vec::new(), None);
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::name => names.push(reader.ident(&part)),
            Rule::as_names => names.extend(part.into_inner().map(|n| reader.ident(&n))),
            Rule::expr => value = Some(expr::expr(reader, part)),
            Rule::named_sign => {
                let name = names.first().map_or("name", |n| n.name.as_str()).to_owned();
                slip::named_sign(reader, &part, &name);
            }
            _ => slip::word(reader, &part),
        }
    }
    value.map(|value| Arg { names, value })
}
