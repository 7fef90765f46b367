//! Where the characters of a YAML scalar stand in its file, whatever quotes, escapes and folded lines are between.
//!
//! The value is already known; it is laid beside the raw text, character by character.

use saphyr_parser::ScalarStyle;

/// The places of a scalar's bytes.
pub(super) struct Places {
    /// The place of each byte of the value, and one more for its end; never decreasing.
    pub(super) offsets: Vec<u32>,
    /// Where the scalar ends in the file, closing quote included.
    pub(super) end: usize,
}

/// Finds `value`, whose scalar starts at `start` of `raw`. Where the two do not agree, every byte stands at the
/// start of the scalar: a message then points at all of it.
pub(super) fn places(raw: &str, start: usize, end: usize, value: &str, style: ScalarStyle) -> Places {
    aligned(raw, start, value, style).unwrap_or_else(|| {
        let mut offsets = vec![offset(start); value.len()];
        offsets.push(offset(end));
        Places { offsets, end }
    })
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn aligned(raw: &str, start: usize, value: &str, style: ScalarStyle) -> Option<Places> {
    let mut at = match style {
        ScalarStyle::Plain => start,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => start + 1,
        // The scalar is said to start with its first character, behind its header and its indentation.
        ScalarStyle::Literal | ScalarStyle::Folded => raw.get(..start)?.rfind('\n').map_or(0, |i| i + 1),
    };
    let mut offsets = Vec::with_capacity(value.len() + 1);
    for c in value.chars() {
        let (from, to) = match style {
            ScalarStyle::DoubleQuoted => escaped(raw, at, c)?,
            ScalarStyle::SingleQuoted if c == '\'' => raw.get(at..)?.starts_with("''").then_some((at, at + 2))?,
            _ => plain(raw, at, c)?,
        };
        let as_written = to - from == c.len_utf8();
        offsets.extend((0..c.len_utf8()).map(|i| offset(if as_written { from + i } else { from })));
        at = to;
    }
    offsets.push(offset(at));
    let end = match style {
        ScalarStyle::SingleQuoted => closing(raw, at, '\'')?,
        ScalarStyle::DoubleQuoted => closing(raw, at, '"')?,
        _ => start + raw.get(start..at)?.trim_end().len(),
    };
    Some(Places { offsets, end })
}

/// A character that stands for itself, or a blank or line feed that stands for a folded line.
fn plain(raw: &str, at: usize, c: char) -> Option<(usize, usize)> {
    let rest = raw.get(at..)?;
    if rest.starts_with(c) {
        return Some((at, at + c.len_utf8()));
    }
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    if matches!(c, ' ' | '\n') {
        let end = at + blanks;
        let line = &rest[blanks..];
        let length = if line.starts_with("\r\n") { 2 } else { usize::from(line.starts_with(['\n', '\r'])) };
        return Some((end, end + length));
    }
    let skipped = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{FEFF}']).len();
    rest[skipped..].starts_with(c).then_some((at + skipped, at + skipped + c.len_utf8()))
}

/// The same between double quotes, where escapes stand for characters and hide line ends.
fn escaped(raw: &str, mut at: usize, c: char) -> Option<(usize, usize)> {
    loop {
        let rest = raw.get(at..)?;
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        let hidden = rest[blanks..].strip_prefix('\\');
        let Some(escape) = hidden.filter(|_| blanks == 0 || !matches!(c, ' ' | '\n' | '\t')) else {
            return plain(raw, at, c);
        };
        at += blanks;
        let length = match escape.chars().next()? {
            '\n' | '\r' => {
                at += 1 + escape.len() - escape.trim_start().len();
                continue;
            }
            'x' => 3,
            'u' => 5,
            'U' => 9,
            other => other.len_utf8(),
        };
        return Some((at, at + 1 + length));
    }
}

fn closing(raw: &str, at: usize, quote: char) -> Option<usize> {
    let rest = raw.get(at..)?;
    let blanks = rest.len() - rest.trim_start().len();
    // A backslash before a line end may stand between the last character and the quote.
    let hidden = rest[blanks..].strip_prefix('\\').map_or(0, |r| 1 + r.len() - r.trim_start().len());
    rest[blanks + hidden..].starts_with(quote).then_some(at + blanks + hidden + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'r>(raw: &'r str, value: &str, style: ScalarStyle, part: &str) -> &'r str {
        let start = if raw.starts_with(['|', '>']) { raw.find(['a', 'b']).unwrap_or(0) } else { 0 };
        let places = aligned(raw, start, value, style).expect("value and raw text agree");
        let at = value.find(part).expect("the part is in the value");
        &raw[places.offsets[at] as usize..places.offsets[at + part.len()] as usize]
    }

    #[test]
    fn quotes_and_escapes_are_stepped_over() {
        assert_eq!(found("'it''s here'", "it's here", ScalarStyle::SingleQuoted, "here"), "here");
        assert_eq!(found("\"\\u00e9t\\x41 x\"", "étA x", ScalarStyle::DoubleQuoted, "A"), "\\x41");
        assert_eq!(found("\"\\u00e9t\\x41 x\"", "étA x", ScalarStyle::DoubleQuoted, "x"), "x");
    }

    #[test]
    fn folded_lines_are_stepped_over() {
        assert_eq!(found("a and\n   größe", "a and größe", ScalarStyle::Plain, "größe"), "größe");
        assert_eq!(found(">\r\n  a\r\n  b\r\n", "a b\n", ScalarStyle::Folded, "b"), "b");
        assert_eq!(found("|  # N\n    a\n      b\n", "a\n  b\n", ScalarStyle::Literal, "b"), "b");
    }
}
