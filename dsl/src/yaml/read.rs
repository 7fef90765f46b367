//! What every part of the YAML reader carries along: the text, the comments that have no place yet, the problems.

use super::node::{Document, Entry, Kind, Node, Scalar};
use crate::ast::{At, Comment, Ident, Text, Trivia};
use crate::diagnostic::Diagnostic;
use crate::parse::{Parsed, Positions};
use crate::span::{FileId, Span};
use crate::suggest;

/// So many problems of one file are reported one by one.
pub(super) const MOST_PROBLEMS: usize = 100;

/// The text being read and what was wrong with it.
pub(super) struct Reader<'t> {
    pub(super) problems: Vec<Diagnostic>,
    file: FileId,
    text: &'t str,
    /// The comments, in the order of the text.
    comments: Vec<(usize, usize)>,
    /// How many of them have a place.
    placed: usize,
    /// Where scalars start.
    scalars: Vec<usize>,
    /// Comments inside the current item that stand above none of its parts.
    strays: Vec<Comment>,
}

impl<'t> Reader<'t> {
    /// A reader of a loaded document; gives its root as well.
    pub(super) fn new(file: FileId, text: &'t str, document: Document) -> (Self, Option<Node>) {
        let Document { root, comments, scalars, problems } = document;
        (Reader { problems, file, text, comments, placed: 0, scalars, strays: Vec::new() }, root)
    }

    /// The place of `start..end`.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end.max(start))
    }

    /// The place of a node, for the tree.
    pub(super) fn at(&self, node: &Node) -> At {
        At(self.span(node.start, node.end))
    }

    /// Adds a problem.
    pub(super) fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// Reports a node of the wrong kind.
    pub(super) fn shape(&mut self, start: usize, end: usize, message: impl Into<String>, help: impl Into<String>) {
        let problem = Diagnostic::error("yaml-shape", self.span(start, end), message);
        self.report(problem.help(help));
    }

    /// Reports a key that means nothing here.
    pub(super) fn unknown_key(&mut self, entry: &Entry, place: &str, known: &[&'static str]) {
        let (key, span) = (&entry.key.text, self.span(entry.key_start, entry.key_end));
        let problem = Diagnostic::error("yaml-unknown-key", span, format!("key `{key}` means nothing in {place}"));
        self.report(match suggest::closest(key, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")).edit(span, near),
            None => problem.help(format!("the keys are: {}", known.join(", "))),
        });
    }

    // ------------------------------------------------------------------------------------------------- comments

    /// Takes the comments that start before `end`.
    fn before(&mut self, end: usize) -> Vec<Comment> {
        let waiting = &self.comments[self.placed..];
        let count = waiting.iter().take_while(|(start, _)| *start < end).count();
        let taken = waiting[..count].iter().map(|(start, end)| self.comment(*start, *end)).collect();
        self.placed += count;
        taken
    }

    fn comment(&self, start: usize, end: usize) -> Comment {
        let text = self.text[start + 1..end].to_owned();
        Comment { text, gap: self.gap_above(start), at: At(self.span(start, end)) }
    }

    /// Whether the line above the one of `at` is empty, and nothing but a dash stands before `at` on its own.
    pub(super) fn gap_above(&self, at: usize) -> bool {
        let mut lines = self.text[..at].rsplit('\n');
        let own = lines.next().unwrap_or("");
        let first = own.chars().all(|c| c.is_whitespace() || matches!(c, '-' | '\u{FEFF}'));
        first && lines.next().is_some_and(|above| above.trim().is_empty())
    }

    /// An item that stands at `start..end`, the first of its list or not: the comments and the empty line around it,
    /// and what `build` makes of it. A comment behind the item's first line belongs to it, and one inside the item
    /// that stands above no part of it moves above it.
    pub(super) fn item<T>(
        &mut self,
        start: usize,
        end: usize,
        first: bool,
        build: impl FnOnce(&mut Self) -> T,
    ) -> (Trivia, T) {
        let mut trivia = Trivia { above: self.before(start), gap: self.gap_above(start), behind: self.behind(start) };
        match trivia.above.first_mut() {
            Some(comment) => comment.gap &= !first,
            None => trivia.gap &= !first,
        }
        let outer = std::mem::take(&mut self.strays);
        let built = build(self);
        let late = self.before(self.line_end(end));
        let mut strays = std::mem::replace(&mut self.strays, outer);
        strays.extend(late);
        strays.iter_mut().for_each(|stray| stray.gap = false);
        if let (true, Some(stray)) = (trivia.above.is_empty(), strays.first_mut()) {
            stray.gap = std::mem::take(&mut trivia.gap);
        }
        trivia.above.extend(strays);
        (trivia, built)
    }

    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |i| at + i)
    }

    /// All comments that have no place yet.
    pub(super) fn rest(&mut self) -> Vec<Comment> {
        self.before(usize::MAX)
    }

    /// The comment at the end of the line of `start`.
    fn behind(&mut self, start: usize) -> Option<Comment> {
        let (comment, end) = self.comments.get(self.placed).copied()?;
        let same_line = comment > start && !self.text[start..comment].contains('\n');
        same_line.then(|| {
            self.placed += 1;
            Comment { gap: false, ..self.comment(comment, end) }
        })
    }

    /// The comments after the last item of a list or mapping that belong to it: those before its closing bracket, or
    /// those as far to the right as its items.
    pub(super) fn end(&mut self, node: &Node) -> Vec<Comment> {
        let (is_empty, first) = match &node.kind {
            Kind::List(items) => (items.is_empty(), node.start),
            Kind::Map(entries) => (entries.is_empty(), entries.first().map_or(node.start, |entry| entry.key_start)),
            _ => return Vec::new(),
        };
        let mut comments = if self.text[node.start..].starts_with(['{', '[']) {
            self.before(node.end)
        } else {
            self.end_from(node.end, self.column(first))
        };
        if let (true, Some(comment)) = (is_empty, comments.first_mut()) {
            comment.gap = false;
        }
        comments
    }

    /// The comments on lines of their own behind `end`, at least as far to the right as `column`.
    fn end_from(&mut self, end: usize, column: usize) -> Vec<Comment> {
        let next = self.scalars.partition_point(|scalar| *scalar < end);
        let limit = self.scalars.get(next).copied().unwrap_or(usize::MAX);
        let own = |(start, _): &&(usize, usize)| {
            *start < limit && self.column(*start) >= column && self.text[end.min(*start)..*start].contains('\n')
        };
        let waiting = &self.comments[self.placed..];
        let last = waiting.iter().take_while(own).last().map_or(0, |(start, _)| start + 1);
        self.before(last)
    }

    /// How many bytes stand before `at` on its line.
    fn column(&self, at: usize) -> usize {
        at - self.text[..at].rfind('\n').map_or(0, |i| i + 1)
    }

    /// Where the dash before a list's item stands; the item itself in brackets.
    pub(super) fn dash(&self, item: &Node) -> usize {
        let mut at = item.start;
        loop {
            let head = self.text[..at].trim_end();
            let comment = self.comments.partition_point(|(_, end)| *end < head.len());
            match self.comments.get(comment) {
                Some((start, end)) if *end == head.len() && *start < head.len() => at = *start,
                _ => return if head.ends_with('-') { head.len() - 1 } else { item.start },
            }
        }
    }

    // ---------------------------------------------------------------------------------------------------- scalars

    /// Reads a scalar's text with one of the parser's functions.
    pub(super) fn text<T>(&mut self, scalar: &Scalar, read: impl FnOnce(&str, &Positions) -> Parsed<T>) -> T {
        self.fragment(&scalar.text, scalar.offsets.clone(), read)
    }

    /// Reads a text whose bytes stand at `offsets`.
    pub(super) fn fragment<T>(
        &mut self,
        text: &str,
        offsets: Vec<u32>,
        read: impl FnOnce(&str, &Positions) -> Parsed<T>,
    ) -> T {
        let positions = Positions { file: self.file, offsets };
        let parsed = read(text, &positions);
        self.problems.extend(parsed.problems);
        parsed.tree
    }

    /// A key as a name.
    pub(super) fn key(&self, entry: &Entry) -> Ident {
        Ident { name: entry.key.text.clone(), at: At(self.span(entry.key_start, entry.key_end)) }
    }

    /// A scalar as a name; none, and a problem, for anything else.
    pub(super) fn name(&mut self, node: &Node, what: &str) -> Option<Ident> {
        match &node.kind {
            Kind::Scalar(scalar) => Some(Ident { name: scalar.text.clone(), at: self.at(node) }),
            _ => {
                self.shape(node.start, node.end, format!("{what} must be a name"), "write one word");
                None
            }
        }
    }

    /// A scalar as a fixed text; none, and a problem, for anything else.
    pub(super) fn fixed(&mut self, node: &Node, what: &str) -> Option<Text> {
        self.name(node, what).map(|Ident { name, at }| Text { value: name, at })
    }

    /// The entries of a mapping; none, and a problem, for anything else.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> &'n [Entry] {
        match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Empty => &[],
            _ => {
                self.shape(node.start, node.end, format!("{what} must be a mapping"), format!("write:\n  {example}"));
                &[]
            }
        }
    }

    /// The items of a list; none, and a problem, for anything else.
    pub(super) fn items<'n>(&mut self, node: &'n Node, what: &str, example: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            Kind::Empty => &[],
            _ => {
                self.shape(node.start, node.end, format!("{what} must be a list"), format!("write:\n  {example}"));
                &[]
            }
        }
    }
}
