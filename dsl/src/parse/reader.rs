//! What every part of the parser carries along: the text it reads, where that stands in its file, and the problems
//! found so far.

use pest::Parser;
use pest::error::{Error, InputLocation};
use pest::iterators::{Pair, Pairs};
use pest_derive::Parser;

use super::Positions;
use crate::ast::{At, Ident};
use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};

/// The grammar, compiled.
#[derive(Parser)]
#[grammar = "grammar.pest"]
struct Grammar;

pub(super) type Node<'t> = Pair<'t, Rule>;
pub(super) type Nodes<'t> = Pairs<'t, Rule>;

/// So many problems of one file are reported one by one.
pub(super) const MOST_PROBLEMS: usize = 100;

/// pest counts its calls for the whole process; a piece of [`LONGEST_PIECE`] stays far below.
const MOST_CALLS: usize = 200_000_000;

/// A statement's head, a stage or a test step of more bytes is refused.
pub(super) const LONGEST_PIECE: usize = 1 << 20;

/// The text being read and what was wrong with it.
pub(super) struct Reader<'t> {
    /// The text, comments blanked out.
    pub(super) text: &'t str,
    pub(super) problems: Vec<Diagnostic>,
    file: FileId,
    /// Where the bytes of the text stand in the file, where it is not the file itself.
    offsets: Option<&'t [u32]>,
    /// Where the piece that is being built starts in the text.
    base: usize,
}

/// Where pest gave up, and on what.
pub(super) struct Failure {
    /// The place in the whole text.
    pub(super) at: usize,
    /// The rules that could have gone on there.
    pub(super) wanted: Vec<Rule>,
    /// Whether a limit was hit and not the grammar.
    pub(super) exhausted: bool,
}

impl<'t> Reader<'t> {
    /// A reader of a whole file.
    pub(super) fn of_file(file: FileId, text: &'t str) -> Self {
        Reader { text, problems: Vec::new(), file, offsets: None, base: 0 }
    }

    /// A reader of a fragment.
    pub(super) fn of_fragment(text: &'t str, positions: &'t Positions) -> Self {
        Reader { text, problems: Vec::new(), file: positions.file, offsets: Some(&positions.offsets), base: 0 }
    }

    /// Parses `text[start..end]` and makes its nodes the current ones. A rule for a piece gives one node.
    pub(super) fn parse(&mut self, rule: Rule, start: usize, end: usize) -> Result<Node<'t>, Failure> {
        pest::set_call_limit(std::num::NonZeroUsize::new(MOST_CALLS));
        self.base = start;
        let mut nodes = Grammar::parse(rule, &self.text[start..end]).map_err(|e| Self::failure(start, e))?;
        nodes.next().ok_or_else(|| Failure { at: start, wanted: Vec::new(), exhausted: false })
    }

    fn failure(base: usize, error: Error<Rule>) -> Failure {
        let at = match error.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => base + at,
        };
        match error.variant {
            pest::error::ErrorVariant::ParsingError { positives, .. } => {
                Failure { at, wanted: positives, exhausted: false }
            }
            pest::error::ErrorVariant::CustomError { .. } => Failure { at, wanted: Vec::new(), exhausted: true },
        }
    }

    /// The place of `start..end` of the text in the file.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        match self.offsets {
            None => Span::new(self.file, start, end),
            Some(offsets) => {
                let offset = |i: usize| offsets.get(i).or(offsets.last()).copied().unwrap_or(0) as usize;
                Span::new(self.file, offset(start), offset(end))
            }
        }
    }

    /// Where a node starts and ends in the text, white space behind it cut off.
    pub(super) fn range(&self, node: &Node<'_>) -> (usize, usize) {
        let span = node.as_span();
        let length = node.as_str().trim_end().len();
        (self.base + span.start(), self.base + span.start() + length)
    }

    /// The place of a node in the file.
    pub(super) fn place(&self, node: &Node<'_>) -> Span {
        let (start, end) = self.range(node);
        self.span(start, end)
    }

    /// The place of a node, for the tree.
    pub(super) fn at(&self, node: &Node<'_>) -> At {
        At(self.place(node))
    }

    /// A name, with or without backticks.
    pub(super) fn ident(&self, node: &Node<'_>) -> Ident {
        Ident { name: unticked(node.as_str()).to_owned(), at: self.at(node) }
    }

    /// Where a place of the file stands in the text.
    pub(super) fn indices(&self, span: Span) -> (usize, usize) {
        let index = |at: u32| match self.offsets {
            None => at as usize,
            Some(offsets) => offsets.partition_point(|offset| *offset < at),
        };
        (index(span.start), index(span.end).min(self.text.len()))
    }

    /// The text at a place of the file.
    pub(super) fn slice(&self, span: Span) -> &'t str {
        let (start, end) = self.indices(span);
        self.text.get(start..end).unwrap_or("")
    }

    /// Adds a problem.
    pub(super) fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// Whether so much is wrong that it is no use to read on.
    pub(super) fn full(&self) -> bool {
        self.problems.len() >= MOST_PROBLEMS
    }
}

/// A name without the backticks around it.
pub(super) fn unticked(text: &str) -> &str {
    text.strip_prefix('`').and_then(|t| t.strip_suffix('`')).unwrap_or(text)
}

/// The first node of a kind.
pub(super) fn find<'t>(nodes: Nodes<'t>, rule: Rule) -> Option<Node<'t>> {
    nodes.into_iter().find(|n| n.as_rule() == rule)
}
