//! The elements of an array, found without reading them.

use std::ops::Range;

use crate::formats::lines::too_long;
use crate::plan::seams::{BadRow, Decoded, Piece};

/// Up to and with the bracket that opens the array; nothing where there is no array.
pub(super) fn header(front: &[u8], last: bool) -> Option<usize> {
    let start = if front.starts_with("\u{feff}".as_bytes()) { 3 } else { 0 };
    match front[start..].iter().position(|b| !b.is_ascii_whitespace()) {
        Some(at) if front[start + at] == b'[' => Some(start + at + 1),
        Some(_) => Some(0),
        None => last.then_some(0),
    }
}

/// What is read of something that is no array: nothing where it is empty, else one bad row.
pub(super) fn no_array(piece: &Piece<'_>) -> Decoded {
    let bytes = piece.bytes;
    let mut decoded = Decoded { used: bytes.len(), ..Decoded::default() };
    if !bytes.trim_ascii().is_empty() {
        let reason = "not a JSON array; objects on lines are `layout: lines`".into();
        decoded.bad.push(BadRow { text: BadRow::shown(bytes), reason, place: String::new(), line: 0, bytes: None });
        (decoded.lines, decoded.over) = (1, true);
    }
    decoded
}

/// What was found at the front of a piece.
#[derive(Default)]
pub(super) struct Elements {
    /// Every element on a line of its own.
    pub(super) lines: Vec<u8>,
    /// Where each stands in the piece.
    pub(super) places: Vec<Range<usize>>,
    /// Bytes of the piece that they were.
    pub(super) used: usize,
    /// What is wrong at the end of the array.
    pub(super) wrong: Option<String>,
    /// Where that is.
    pub(super) at: usize,
    /// The rest cannot be told apart.
    pub(super) over: bool,
}

/// The whole elements at the front of a piece, at most so many as are asked for. The bracket at the end is left until
/// nothing follows, so that what stands behind it is seen.
pub(super) fn elements(piece: &Piece<'_>, longest: usize) -> Elements {
    let bytes = piece.bytes;
    let mut found = Elements::default();
    let mut count = 0;
    let mut start = 0;
    while count < piece.records {
        while start < bytes.len() && (bytes[start].is_ascii_whitespace() || bytes[start] == b',') {
            start += 1;
        }
        found.used = start;
        match end_of(&bytes[start..]) {
            End::Element(length) => {
                append(&bytes[start..start + length], &mut found.lines);
                let trimmed = bytes[start..start + length].trim_ascii_end().len();
                found.places.push(start..start + trimmed);
                count += 1;
                start += length;
                found.used = start;
            }
            End::Array if piece.last => {
                found.used = bytes.len();
                found.at = start + 1;
                let rest = bytes[found.at..].trim_ascii();
                found.wrong = (!rest.is_empty()).then(|| "something stands behind the array".into());
                break;
            }
            End::Missing if piece.last => {
                found.used = bytes.len();
                found.at = start;
                found.wrong = Some("the array is not closed".into());
                break;
            }
            End::Missing if bytes.len() - start > longest => {
                (found.used, found.at, found.over) = (bytes.len(), start, true);
                found.wrong = Some(format!("{}; the rest of the array is given up", too_long(longest)));
                break;
            }
            End::Array | End::Missing => break,
        }
    }
    found
}

enum End {
    /// So many bytes are an element.
    Element(usize),
    /// The closing bracket is next.
    Array,
    /// The end is not there (yet).
    Missing,
}

fn end_of(bytes: &[u8]) -> End {
    if bytes.first() == Some(&b']') {
        return End::Array;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => match closing_quote(&bytes[at + 1..]) {
                Some(length) => at += length + 1,
                None => return End::Missing,
            },
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return End::Element(at),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    End::Missing
}

/// Where a string ends that started before these bytes.
fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Line ends between tokens become spaces; within strings they are not allowed and make the element bad.
fn append(element: &[u8], lines: &mut Vec<u8>) {
    let (mut quoted, mut escaped) = (false, false);
    for byte in element.trim_ascii_end() {
        let line_end = matches!(byte, b'\n' | b'\r');
        lines.push(match (line_end, quoted) {
            (true, false) => b' ',
            (true, true) => 0,
            (false, _) => *byte,
        });
        (quoted, escaped) = match byte {
            b'"' if !escaped => (!quoted, false),
            b'\\' if quoted && !escaped => (quoted, true),
            _ => (quoted, false),
        };
    }
    lines.push(b'\n');
}
