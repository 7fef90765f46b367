//! Lines of a source text as they are shown under a message: tabs spread, control characters made harmless,
//! long lines cut around what is meant, underlines in columns of the terminal.

use std::collections::BTreeMap;
use std::ops::Range;

use unicode_width::UnicodeWidthChar;

/// How far tabs go.
const TAB: usize = 4;
/// Stands for what was cut off a long line.
const CUT: &str = "...";
/// How much of a long line stands before what is meant.
const LEAD: usize = 40;

/// A place that is to be shown.
pub(crate) struct Mark<'a> {
    /// Bytes of the file.
    pub(crate) span: Range<usize>,
    /// The line of its first byte.
    pub(crate) first: Line<'a>,
    /// The line of its last byte.
    pub(crate) last: Line<'a>,
    /// What is said about it.
    pub(crate) text: String,
    /// Whether it is the place of the message itself.
    pub(crate) primary: bool,
}

/// A line of a file.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// From one.
    pub(crate) number: usize,
    /// Its first byte in the file.
    pub(crate) start: usize,
    /// Without its end.
    pub(crate) content: &'a str,
}

/// A line, or a cut of one, ready to be printed.
pub(crate) struct Piece {
    /// The line's number.
    pub(crate) line: usize,
    /// What is shown of it.
    pub(crate) text: String,
    /// What is underlined in it.
    pub(crate) marks: Vec<Underline>,
}

/// An underline in columns of the terminal.
pub(crate) struct Underline {
    /// Columns before it.
    pub(crate) indent: usize,
    /// At least one.
    pub(crate) width: usize,
    /// What stands behind it.
    pub(crate) text: String,
    /// Whether it is the place of the message itself.
    pub(crate) primary: bool,
}

/// A mark within one line, in bytes of that line.
struct Local {
    range: Range<usize>,
    text: String,
    primary: bool,
}

/// The lines to be shown for these marks, in order. A mark over several lines is shown on its first and its
/// last; its text stands on the last.
pub(crate) fn pieces(marks: Vec<Mark<'_>>, width: usize) -> Vec<Piece> {
    let mut lines: BTreeMap<usize, (Line<'_>, Vec<Local>)> = BTreeMap::new();
    for mark in marks {
        let Mark { span, first, last, text, primary } = mark;
        let start = span.start.saturating_sub(first.start).min(first.content.len());
        let (first_text, last_text) =
            if first.number == last.number { (text, None) } else { (String::new(), Some(text)) };
        let end = if last_text.is_none() { span.end.saturating_sub(first.start) } else { first.content.len() };
        let local = Local { range: start..end.clamp(start, first.content.len()), text: first_text, primary };
        lines.entry(first.number).or_insert_with(|| (first, Vec::new())).1.push(local);
        if let Some(text) = last_text {
            let start = last.content.len() - last.content.trim_start().len();
            let end = span.end.saturating_sub(last.start).min(last.content.len());
            let local = Local { range: start.min(end)..end, text, primary };
            lines.entry(last.number).or_insert_with(|| (last, Vec::new())).1.push(local);
        }
    }
    lines.into_values().flat_map(|(line, marks)| line_pieces(line, marks, width)).collect()
}

/// A line that fits is shown once with all its marks, a longer one is cut for each of them.
fn line_pieces(line: Line<'_>, mut marks: Vec<Local>, width: usize) -> Vec<Piece> {
    marks.sort_by_key(|mark| (mark.range.start, mark.range.end));
    if line.content.len() <= width {
        return vec![piece(line, 0..line.content.len(), marks)];
    }
    marks.into_iter().map(|mark| piece(line, window(line.content, &mark.range, width), vec![mark])).collect()
}

/// The bytes of a long line that are shown around a mark.
fn window(content: &str, mark: &Range<usize>, width: usize) -> Range<usize> {
    let step_back = content[..mark.start].char_indices().rev().take(LEAD).last();
    let start = step_back.map_or(mark.start, |(at, _)| at);
    let room = width.saturating_sub(2 * CUT.len()).max(LEAD);
    let step_on = content[start..].char_indices().nth(room);
    start..step_on.map_or(content.len(), |(at, _)| start + at)
}

fn piece(line: Line<'_>, shown: Range<usize>, marks: Vec<Local>) -> Piece {
    let mut text = String::from(if shown.start > 0 { CUT } else { "" });
    let lead = text.len();
    text.push_str(&visible(&line.content[shown.clone()]));
    if shown.end < line.content.len() {
        text.push_str(CUT);
    }
    let column = |byte: usize| lead + columns(&line.content[shown.start..byte.clamp(shown.start, shown.end)]);
    let marks = marks.into_iter().map(|mark| {
        let (from, to) = (column(mark.range.start), column(mark.range.end));
        Underline { indent: from, width: (to - from).max(1), text: mark.text, primary: mark.primary }
    });
    Piece { line: line.number, marks: marks.collect(), text }
}

/// The text as a terminal may be shown it.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        let width = char_width(c, column);
        match c {
            '\t' => shown.extend(std::iter::repeat_n(' ', width)),
            c if is_harmless(c) => shown.push(c),
            _ => shown.push('\u{fffd}'),
        }
        column += width;
    }
    shown
}

/// How many columns [`visible`] takes.
fn columns(text: &str) -> usize {
    text.chars().fold(0, |column, c| column + char_width(c, column))
}

fn char_width(c: char, column: usize) -> usize {
    match c {
        '\t' => TAB - column % TAB,
        c if is_harmless(c) => c.width().unwrap_or(1),
        _ => 1,
    }
}

/// Control characters steer the terminal, and direction marks turn text around: neither is printed.
fn is_harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
