//! YAML out: a tree of values with comments, set in blocks, and in braces where all of it fits on a line.
//!
//! Knows how scalars are quoted, and nothing of what they say.

use std::fmt::Write as _;

use crate::ast::{Comment, Trivia};
use crate::print::page::WIDTH;

/// A value that is to be written.
#[derive(Debug)]
pub(super) enum Out {
    /// Nothing.
    Empty,
    /// The text of an expression, a type or a clause: never in double quotes.
    Text(String),
    /// A name, in whatever quotes.
    Word(String),
    /// A string: always in double quotes.
    Quoted(String),
    List(Block<Element>),
    Map(Block<Pair>),
}

/// The items of a list or mapping.
#[derive(Debug)]
pub(super) struct Block<T> {
    pub(super) items: Vec<T>,
    /// Comments behind the last item.
    pub(super) end: Vec<Comment>,
    /// Whether it has a line for each item even if all would fit on one.
    pub(super) tall: bool,
}

/// An item of a list.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) trivia: Trivia,
    pub(super) value: Out,
}

/// An item of a mapping.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) trivia: Trivia,
    pub(super) key: String,
    pub(super) value: Out,
}

impl Pair {
    /// A pair that is no item of its own.
    pub(super) fn new(key: impl Into<String>, value: Out) -> Self {
        Pair { trivia: Trivia::default(), key: key.into(), value }
    }
}

impl Element {
    /// An element that is no item of its own.
    pub(super) fn new(value: Out) -> Self {
        Element { trivia: Trivia::default(), value }
    }
}

/// A mapping, in braces where that fits.
pub(super) fn map(items: Vec<Pair>, end: Vec<Comment>) -> Out {
    Out::Map(Block { items, end, tall: false })
}

/// A mapping with a line for each pair.
pub(super) fn tall_map(items: Vec<Pair>, end: Vec<Comment>) -> Out {
    Out::Map(Block { items, end, tall: true })
}

/// A list, in brackets where that fits.
pub(super) fn list(items: Vec<Element>, end: Vec<Comment>) -> Out {
    Out::List(Block { items, end, tall: false })
}

/// A list with a line for each item.
pub(super) fn tall_list(items: Vec<Element>, end: Vec<Comment>) -> Out {
    Out::List(Block { items, end, tall: true })
}

/// The text of a document.
pub(super) fn document(pairs: &[Pair], end: &[Comment]) -> String {
    let mut out = String::new();
    block_pairs(&mut out, pairs, 0);
    comments(&mut out, end, 0);
    out
}

fn block_pairs(out: &mut String, pairs: &[Pair], indent: usize) {
    for pair in pairs {
        above(out, &pair.trivia, indent);
        spaces(out, indent);
        block_pair(out, pair, indent, pair.trivia.behind.as_ref());
    }
}

/// A pair from its key on, to the end of its last line.
fn block_pair(out: &mut String, pair: &Pair, indent: usize, behind: Option<&Comment>) {
    out.push_str(&key(&pair.key));
    out.push(':');
    match &pair.value {
        Out::Empty => end_line(out, behind),
        value if on_this_line(out, value) => end_line(out, behind),
        Out::Map(block) => {
            end_line(out, behind);
            block_pairs(out, &block.items, indent + 2);
            comments(out, &block.end, indent + 2);
        }
        Out::List(block) => {
            end_line(out, behind);
            block_elements(out, block, indent + 2);
        }
        _ => {}
    }
}

fn block_elements(out: &mut String, block: &Block<Element>, indent: usize) {
    for element in &block.items {
        above(out, &element.trivia, indent);
        spaces(out, indent);
        out.push('-');
        block_element(out, element, indent);
    }
    comments(out, &block.end, indent);
}

/// An element from behind its dash on.
fn block_element(out: &mut String, element: &Element, indent: usize) {
    let behind = element.trivia.behind.as_ref();
    match &element.value {
        Out::Empty => end_line(out, behind),
        value if on_this_line(out, value) => end_line(out, behind),
        Out::Map(block) => {
            match block.items.split_first() {
                Some((first, rest)) if first.trivia == Trivia::default() => {
                    out.push(' ');
                    block_pair(out, first, indent + 2, behind);
                    block_pairs(out, rest, indent + 2);
                }
                _ => {
                    // What stands around the first pair needs a line of its own.
                    end_line(out, behind);
                    block_pairs(out, &block.items, indent + 2);
                }
            }
            comments(out, &block.end, indent + 2);
        }
        Out::List(block) => {
            end_line(out, behind);
            block_elements(out, block, indent + 2);
        }
        _ => {}
    }
}

/// Writes a value behind what stands on the line: a scalar always, a list or mapping if it may and fits.
fn on_this_line(out: &mut String, value: &Out) -> bool {
    let start = out.len();
    out.push(' ');
    let fits = match value {
        Out::List(Block { items, .. }) if !items.is_empty() => fits(out, value),
        Out::Map(Block { items, .. }) if !items.is_empty() => fits(out, value),
        _ => flow(out, value, false, usize::MAX),
    };
    if !fits {
        out.truncate(start);
    }
    fits
}

fn fits(out: &mut String, value: &Out) -> bool {
    let line = out.rfind('\n').map_or(0, |i| i + 1);
    let most = line + 4 * WIDTH;
    flow(out, value, false, most) && out[line..].chars().count() <= WIDTH
}

/// Writes a value on one line; false where it has comments or the text gets longer than `most` bytes.
fn flow(out: &mut String, value: &Out, inside: bool, most: usize) -> bool {
    match value {
        Out::Empty => {}
        Out::Text(text) => out.push_str(&text_scalar(text, inside)),
        Out::Word(text) => out.push_str(&word_scalar(text, inside)),
        Out::Quoted(text) => out.push_str(&double_quoted(text)),
        Out::Map(block) if block.items.is_empty() => out.push_str("{}"),
        Out::List(block) if block.items.is_empty() => out.push_str("[]"),
        Out::Map(block) => {
            let mut glue = "{ ";
            for pair in &block.items {
                out.push_str(glue);
                out.push_str(&key(&pair.key));
                if !matches!(pair.value, Out::Empty) {
                    out.push_str(": ");
                }
                let fits = !block.tall && pair.trivia == Trivia::default() && flow(out, &pair.value, true, most);
                if !fits || out.len() > most {
                    return false;
                }
                glue = ", ";
            }
            out.push_str(" }");
            return block.end.is_empty();
        }
        Out::List(block) => {
            let mut glue = "[";
            for element in &block.items {
                out.push_str(glue);
                let fits = !block.tall && element.trivia == Trivia::default() && flow(out, &element.value, true, most);
                if !fits || out.len() > most {
                    return false;
                }
                glue = ", ";
            }
            out.push(']');
            return block.end.is_empty();
        }
    }
    true
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

fn end_line(out: &mut String, behind: Option<&Comment>) {
    if let Some(comment) = behind {
        out.push_str("  #");
        out.push_str(&comment.text);
    }
    out.push('\n');
}

fn above(out: &mut String, trivia: &Trivia, indent: usize) {
    comments(out, &trivia.above, indent);
    if trivia.gap {
        out.push('\n');
    }
}

fn comments(out: &mut String, comments: &[Comment], indent: usize) {
    for comment in comments {
        if comment.gap {
            out.push('\n');
        }
        spaces(out, indent);
        out.push('#');
        out.push_str(&comment.text);
        out.push('\n');
    }
}

// ------------------------------------------------------------------------------------------------------ scalars

/// The text of an expression: plain where YAML reads it so, else in single quotes.
fn text_scalar(text: &str, inside: bool) -> String {
    if is_plain(text, inside) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

fn word_scalar(text: &str, inside: bool) -> String {
    if is_plain(text, inside) { text.to_owned() } else { double_quoted(text) }
}

/// A key: plain where it is so everywhere, and a string to every reader. (`on` is one, but not to readers of YAML 1.1;
/// as a clause it is frequent, and quotes around it would be noise.)
fn key(text: &str) -> String {
    const OTHER_VALUES: &[&str] = &["null", "true", "false", "yes", "no"];
    let word = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let value = OTHER_VALUES.iter().any(|value| value.eq_ignore_ascii_case(text));
    let plain = word && !value && is_plain(text, true) && !text.contains(':') && text.len() < 200;
    if plain { text.to_owned() } else { double_quoted(text) }
}

/// Whether YAML reads `text` as it stands; `inside` of brackets their signs mean something.
fn is_plain(text: &str, inside: bool) -> bool {
    let starts = match text.chars().next() {
        None => false,
        Some('-') => text[1..].starts_with(|c: char| c.is_alphanumeric() || c == '(' || c == '_'),
        Some(c) => c.is_alphanumeric() || matches!(c, '_' | '(' | '/' | '.' | '$' | '+' | '<' | '^'),
    };
    let ends = !text.ends_with([' ', ':', '\t']);
    let within = !text.contains(": ") && !text.contains(" #") && !text.contains(":\t");
    let signs = !inside || !text.contains([',', '[', ']', '{', '}']);
    let visible = !text.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}'));
    starts && ends && within && signs && visible && text != "---" && text != "..."
}

/// A string in double quotes, what cannot be seen escaped.
fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            c if c.is_control()
                || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}') =>
            {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
