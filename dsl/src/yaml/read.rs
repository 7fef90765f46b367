//! What every part of the YAML reader carries along: the text, the comments that have no place yet, the problems.

use super::node::{Document, Entry, Kind, Node, Scalar};
use crate::ast::{At, Comment, Ident, Text, Trivia};
use crate::diagnostic::Diagnostic;
use crate::parse::{Parsed, Positions, fragment};
use crate::span::{FileId, Span};
use crate::suggest;

/// So many problems of one file are reported one by one.
pub(super) const MOST_PROBLEMS: usize = 100;

/// Keys of other tools, and the key that is meant.
const OTHER_KEYS: [(&str, &str); 12] = [
    ("name", "pipeline"),
    ("batch_interval", "pipeline"),
    ("interval", "pipeline"),
    ("every", "pipeline"),
    ("inputs", "sources"),
    ("input", "sources"),
    ("outputs", "sinks"),
    ("output", "sinks"),
    ("steps", "stages"),
    ("transforms", "stages"),
    ("schemas", "types"),
    ("constants", "lets"),
];

/// The text being read and what was wrong with it.
pub(super) struct Reader<'t> {
    pub(super) problems: Vec<Diagnostic>,
    file: FileId,
    text: &'t str,
    /// Where the line feeds are.
    line_ends: Vec<usize>,
    /// The comments, in the order of the text.
    comments: Vec<(usize, usize)>,
    /// How many of them have a place.
    placed: usize,
    /// Comments inside the current item that stand above none of its parts.
    strays: Vec<Comment>,
}

impl<'t> Reader<'t> {
    /// A reader of a loaded document; gives its root as well.
    pub(super) fn new(file: FileId, text: &'t str, document: Document) -> (Self, Option<Node>) {
        let Document { root, comments, problems } = document;
        let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
        (Reader { problems, file, text, line_ends, comments, placed: 0, strays: Vec::new() }, root)
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
        let meant = OTHER_KEYS.iter().find(|(word, here)| *word == key.to_lowercase() && known.contains(here));
        if let Some((_, here)) = meant {
            let help = match *here {
                "pipeline" => "both stand under `pipeline`:\n  pipeline: { name: wordcount, every: 1s }".to_owned(),
                _ => format!("write:\n  {here}:"),
            };
            return self.report(problem.label(format!("belongs to `{here}` here")).help(help));
        }
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
        Comment::new(&self.text[start + 1..end], self.gap_above(start), At(self.span(start, end)))
    }

    /// Whether the line above the one of `at` is empty, and nothing but a dash stands before `at` on its own.
    pub(super) fn gap_above(&self, at: usize) -> bool {
        let start = self.line_start(at);
        let own = self.text[start..at].trim_start_matches('\u{FEFF}');
        if start == 0 || !own.chars().all(|c| c.is_whitespace() || c == '-') {
            return false;
        }
        self.text[self.line_start(start - 1)..start].trim_start_matches('\u{FEFF}').trim().is_empty()
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

    /// Where the line of `at` ends.
    fn line_end(&self, at: usize) -> usize {
        let line = self.line_ends.partition_point(|end| *end < at);
        self.line_ends.get(line).copied().unwrap_or(self.text.len())
    }

    /// Where the line of `at` starts.
    fn line_start(&self, at: usize) -> usize {
        let line = self.line_ends.partition_point(|end| *end < at);
        line.checked_sub(1).map_or(0, |above| self.line_ends[above] + 1)
    }

    /// All comments that have no place yet.
    pub(super) fn rest(&mut self) -> Vec<Comment> {
        self.before(usize::MAX)
    }

    /// The comment at the end of the line of `start`.
    fn behind(&mut self, start: usize) -> Option<Comment> {
        let (comment, end) = self.comments.get(self.placed).copied()?;
        let same_line = comment > start && comment < self.line_end(start);
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
        let placed = self.comments[..self.placed].last().map_or(0, |(_, end)| *end);
        let mut below = placed.max(end);
        let mut last = 0;
        for (start, end) in &self.comments[self.placed..] {
            let between = self.text.get(below..*start).unwrap_or("-");
            if !between.trim().is_empty() || !between.contains('\n') || self.column(*start) < column {
                break;
            }
            below = *end;
            last = start + 1;
        }
        self.before(last)
    }

    /// How many bytes stand before `at` on its line.
    fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
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
        if text.contains('#') {
            self.strays.extend(fragment::comments(text, &positions));
        }
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
            Kind::Empty | Kind::Refused => &[],
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
            Kind::Empty | Kind::Refused => &[],
            _ => {
                self.shape(node.start, node.end, format!("{what} must be a list"), format!("write:\n  {example}"));
                &[]
            }
        }
    }
}
