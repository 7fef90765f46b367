//! YAML text to a tree of nodes with exact places, and the comments that the YAML parser drops.
//!
//! Only what a pipeline needs: one document of mappings with scalar keys, lists and scalars. Anchors, aliases and
//! tags are refused: an alias can make a small file a huge one, and no tag means anything here.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::scalar;
use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};

/// How deep lists and mappings may nest.
const DEEPEST: usize = 64;

/// A part of a YAML document.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing is written.
    Empty,
    /// What is written has been refused already.
    Refused,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A scalar.
#[derive(Debug)]
pub(super) struct Scalar {
    /// Its value, quotes and escapes resolved.
    pub(super) text: String,
    /// Whether it stands in double quotes.
    pub(super) double: bool,
    /// Where each byte of the text stands, and its end.
    pub(super) offsets: Vec<u32>,
}

/// A key and what stands behind it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Scalar,
    pub(super) key_start: usize,
    pub(super) key_end: usize,
    pub(super) value: Node,
}

/// A YAML text, read.
pub(super) struct Document {
    /// None where the document is empty or no YAML.
    pub(super) root: Option<Node>,
    /// Where the comments are, `#` included, trailing white space cut.
    pub(super) comments: Vec<(usize, usize)>,
    pub(super) problems: Vec<Diagnostic>,
}

/// Where the colon of a line such as `lines:{ ... }` stands, behind which a blank is missing.
fn tight_colon(line: &str) -> Option<usize> {
    let colon = line.find(':')?;
    let key = line[..colon].trim_start().trim_start_matches("- ");
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_key && line[colon + 1..].starts_with(['{', '[', '"'])).then_some(colon)
}

/// Reads `text`.
pub(super) fn read(file: FileId, text: &str) -> Document {
    let mut loader = Loader::new(file, text);
    loader.run();
    let Loader { root, scalars, problems, .. } = loader;
    let comments = comments(text, &scalars);
    Document { root, comments, problems }
}

/// A list or mapping that is being read.
enum Open {
    List { start: usize, items: Vec<Node> },
    Map { start: usize, entries: Vec<Entry>, keys: BTreeMap<String, usize>, key: Option<Node> },
}

struct Loader<'t> {
    file: FileId,
    text: &'t str,
    /// The byte at which each character starts; empty where characters are bytes.
    bytes: Vec<u32>,
    /// The character, counted over the text, that each line starts with.
    lines: Vec<usize>,
    /// How many bytes are in front of what the parser reads.
    base: usize,
    open: Vec<Open>,
    root: Option<Node>,
    /// Where scalars start and end.
    scalars: Vec<(usize, usize)>,
    problems: Vec<Diagnostic>,
    /// Where the last thing ended.
    last: usize,
}

impl<'t> Loader<'t> {
    fn new(file: FileId, text: &'t str) -> Self {
        let base = if text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
        let rest = &text[base..];
        let ends = rest.char_indices().map(|(i, _)| i).chain([rest.len()]);
        let bytes =
            if rest.is_ascii() { Vec::new() } else { ends.map(|i| u32::try_from(i).unwrap_or(u32::MAX)).collect() };
        let lines = line_starts(rest);
        let (open, scalars, problems) = (Vec::new(), Vec::new(), Vec::new());
        Loader { file, text, bytes, lines, base, open, root: None, scalars, problems, last: base }
    }

    fn run(&mut self) {
        let mut parser = Parser::new_from_str(&self.text[self.base..]);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, place) = match event {
                Ok(event) => event,
                Err(error) => return self.syntax_error(error.marker(), error.info()),
            };
            let (start, end) = (self.byte(&place.start), self.byte(&place.end));
            if let Event::DocumentStart(_) = event {
                documents += 1;
                if documents > 1 {
                    let problem = self.error("yaml-syntax", start, end, "a file holds one YAML document");
                    return self.problems.push(problem.help("write a second pipeline into a file of its own"));
                }
            }
            if !self.event(event, start, end) {
                return;
            }
        }
    }

    /// The byte that a marker means. Its index counts the bytes of comments, the rest by characters; line and column
    /// are right wherever something stands.
    fn byte(&self, mark: &Marker) -> usize {
        let line = self.lines.get(mark.line().saturating_sub(1)).or(self.lines.last()).copied().unwrap_or(0);
        let index = line + mark.col();
        let at = match self.bytes.get(index).or(self.bytes.last()) {
            Some(byte) => *byte as usize,
            None => index,
        };
        (self.base + at).min(self.text.len())
    }

    fn error(&self, code: &'static str, start: usize, end: usize, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, Span::new(self.file, start, end), message)
    }

    fn syntax_error(&mut self, mark: &Marker, info: &str) {
        let start = self.byte(mark);
        let end = start + self.text[start..].chars().next().map_or(0, char::len_utf8);
        let message = format!("this is no YAML: {info}");
        // What was found wrong on this line before follows from the same slip.
        let line_start = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
        self.problems.retain(|p| (p.span().start as usize) < line_start);
        let line = self.text[line_start..].lines().next().unwrap_or("");
        let before = &self.text[line_start..start];
        if let Some(colon) = tight_colon(line).map(|i| line_start + i) {
            let problem = self.error("yaml-syntax", colon, colon + 1, "a blank is missing after this colon");
            let place = Span::new(self.file, colon + 1, colon + 1);
            return self.problems.push(problem.help("a key, a colon and a blank:\n  lines: { ... }").edit(place, " "));
        }
        let problem = self.error("yaml-syntax", start, end, message);
        let tab = self.text[start..].starts_with('\t') || before.ends_with('\t');
        self.problems.push(match tab {
            true => problem.help("indent with spaces, two for each level"),
            false => problem.help(
                "YAML takes `: `, `#`, quotes, braces, brackets and commas for its own; \
                 put an expression that has them between single quotes:\n  where: 'line != \"\"'",
            ),
        });
    }

    /// Takes an event in; false where nothing more can be read.
    fn event(&mut self, event: Event<'_>, start: usize, end: usize) -> bool {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(anchor > 0, tag.is_some(), start, end);
                let node = self.scalar(&text, style, start, end);
                self.put(node);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse(anchor > 0, tag.is_some(), start, end);
                self.open.push(Open::List { start, items: Vec::new() });
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse(anchor > 0, tag.is_some(), start, end);
                self.open.push(Open::Map { start, entries: Vec::new(), keys: BTreeMap::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(end),
            Event::Alias(_) => {
                let problem = self.error("yaml-syntax", start, end, "aliases are not read");
                self.problems.push(problem.help("write the value out, or give it a name under `lets`"));
                self.put(Node { kind: Kind::Refused, start, end });
            }
            _ => {}
        }
        if self.open.len() > DEEPEST {
            let message = format!("lists and mappings nest more than {DEEPEST} deep");
            self.problems.push(self.error("nesting-too-deep", start, end, message));
            return false;
        }
        true
    }

    fn refuse(&mut self, anchor: bool, tag: bool, start: usize, end: usize) {
        let what = match (anchor, tag) {
            (true, _) => "anchors are not read",
            (_, true) => "tags are not read",
            _ => return,
        };
        let problem = self.error("yaml-syntax", start, end, what);
        self.problems.push(problem.help("take it away: a value is written out where it is needed"));
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, start: usize, end: usize) -> Node {
        if style == ScalarStyle::Plain && text.is_empty() {
            let rest = &self.text[self.last..];
            let colon = rest.trim_start().strip_prefix(':').map_or(0, |after| rest.len() - after.len());
            return Node { kind: Kind::Empty, start: self.last, end: self.last + colon };
        }
        let places = scalar::places(self.text, start, end, text, style);
        self.scalars.push((start, places.end));
        self.last = places.end.max(self.last);
        let double = style == ScalarStyle::DoubleQuoted;
        let kind = Kind::Scalar(Scalar { text: text.to_owned(), double, offsets: places.offsets });
        Node { kind, start, end: places.end.max(start) }
    }

    /// Ends the innermost list or mapping.
    fn close(&mut self, end: usize) {
        let (start, kind, inner) = match self.open.pop() {
            Some(Open::List { start, items }) => {
                let inner = items.last().map_or(start, |item| item.end);
                (start, Kind::List(items), inner)
            }
            Some(Open::Map { start, entries, .. }) => {
                let inner = entries.last().map_or(start, |entry| entry.value.end.max(entry.key_end));
                (start, Kind::Map(entries), inner)
            }
            None => return,
        };
        let flow = self.text[start..].starts_with(['{', '[']);
        let end = if flow { end.max(start) } else { inner };
        self.last = end.max(self.last);
        self.put(Node { kind, start, end });
    }

    /// Adds a node to what is open.
    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { key: key @ None, .. }) => *key = Some(node),
            Some(Open::Map { key, .. }) => {
                if let Some(key) = key.take() {
                    self.entry(key, node);
                }
            }
        }
    }

    fn entry(&mut self, key: Node, value: Node) {
        let (start, end) = (key.start, key.end);
        let Kind::Scalar(scalar) = key.kind else {
            let problem = self.error("yaml-shape", start, end, "a key must be a word or a string");
            return self.problems.push(problem);
        };
        let Some(Open::Map { entries, keys, .. }) = self.open.last_mut() else { return };
        if let Some(first) = keys.get(&scalar.text).copied() {
            let message = format!("key `{}` stands twice in one mapping", scalar.text);
            let first = Span::new(self.file, first, first + 1);
            let problem = self.error("yaml-shape", start, end, message).also(first, "the first one");
            return self.problems.push(problem.help("take one of them away, or give it another name"));
        }
        keys.insert(scalar.text.clone(), start);
        entries.push(Entry { key: scalar, key_start: start, key_end: end, value });
    }
}

/// The characters that lines start with; a line ends with a line feed, a carriage return or both.
fn line_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let mut before = ' ';
    for (index, c) in text.chars().enumerate() {
        match (before, c) {
            ('\r', '\n') => {
                if let Some(last) = starts.last_mut() {
                    *last = index + 1;
                }
            }
            (_, '\n' | '\r') => starts.push(index + 1),
            _ => {}
        }
        before = c;
    }
    starts
}

/// The comments of `text`, whose scalars are known: a `#` behind white space that stands in none of them.
fn comments(text: &str, scalars: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut scalars = scalars.iter().peekable();
    let mut at = 0;
    while at < bytes.len() {
        if let Some((_, end)) = scalars.next_if(|(start, _)| *start <= at) {
            at = at.max(*end);
            continue;
        }
        let fresh = at == 0 || bytes[at - 1].is_ascii_whitespace() || bytes[..at].ends_with("\u{FEFF}".as_bytes());
        if bytes[at] == b'#' && fresh {
            let line = text[at..].find('\n').map_or(text.len(), |i| at + i);
            found.push((at, at + text[at..line].trim_end().len()));
            at = line;
        } else {
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_yaml::Value;

    use super::*;
    use crate::{parse, yaml};

    /// Holds a node against what another YAML reader makes of the same text.
    fn same(node: &Node, value: &Value) -> bool {
        match (&node.kind, value) {
            (Kind::Empty, Value::Null) => true,
            (Kind::Scalar(scalar), Value::String(text)) => scalar.text == *text,
            // Plain scalars are texts to us, whatever else they look like.
            (Kind::Scalar(scalar), Value::Null | Value::Bool(_) | Value::Number(_)) => !scalar.double,
            (Kind::List(items), Value::Sequence(values)) => {
                items.len() == values.len() && items.iter().zip(values).all(|(item, value)| same(item, value))
            }
            (Kind::Map(entries), Value::Mapping(values)) => {
                entries.len() == values.len()
                    && entries.iter().zip(values).all(|(entry, (key, value))| {
                        key.as_str().is_none_or(|key| key == entry.key.text) && same(&entry.value, value)
                    })
            }
            _ => false,
        }
    }

    #[test]
    fn what_we_write_is_the_same_to_an_independent_reader() {
        let text = include_str!("../../tests/samples/everything.stream");
        let yaml = yaml::write(&parse::file(FileId(0), text).tree);
        let value: Value = serde_yaml::from_str(&yaml).expect("it is YAML");
        let root = read(FileId(0), &yaml).root.expect("it is YAML to us, too");
        assert!(same(&root, &value), "{yaml}");
    }

    #[test]
    fn comments_are_found_outside_of_scalars_only() {
        let text =
            "a: \"# no\" # one\nb: 'x # no' # two\nc: x#no # three\nd: |  # four\n  # no\ne: [x, # five\n  y]\n#\n";
        let found = read(FileId(0), text).comments;
        let found: Vec<&str> = found.into_iter().map(|(start, end)| &text[start..end]).collect();
        assert_eq!(found, ["# one", "# two", "# three", "# four", "# five", "#"]);
    }
}
