//! Records whose quoted values may hold line ends.

use crate::formats::csv::Dialect;
use crate::formats::lines::Lines;
use crate::plan::seams::Piece;

/// Finds the records at the front of a piece. A record whose quote is never closed ends with its first line, so that it
/// costs the lines behind it nothing.
pub(super) fn find(piece: &Piece<'_>, longest: usize, dialect: &Dialect) -> Lines {
    let mut lines = Lines::default();
    let mut start = 0;
    while start < piece.bytes.len() && !lines.is_full(piece) {
        let rest = &piece.bytes[start..];
        let line = memchr::memchr(b'\n', rest);
        let Some(length) = length(rest, line, piece.last, longest, dialect) else { break };
        let next = (start + length + 1).min(piece.bytes.len());
        let without_end = rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]);
        let inner = memchr::memchr_iter(b'\n', without_end).count() as u64;
        if dialect.is_record(without_end) {
            lines.take(piece, start..start + without_end.len(), longest);
        } else {
            lines.blank.push(lines.count);
        }
        // Lines that a record goes on over hold no record of their own.
        lines.blank.extend(lines.count + 1..=lines.count + inner);
        lines.count += inner + 1;
        lines.used = next;
        start = next;
    }
    lines
}

/// The length of the first record without its line end; none where its end is not there yet.
fn length(rest: &[u8], line: Option<usize>, last: bool, longest: usize, dialect: &Dialect) -> Option<usize> {
    let whole = |end: Option<usize>| end.or(last.then_some(rest.len()));
    if !dialect.is_record(&rest[..line.unwrap_or(rest.len()).max(1)]) {
        return whole(line);
    }
    match closed(rest, longest, dialect) {
        End::At(end) => Some(end),
        End::Open if !last && rest.len() <= longest => None,
        End::Outside if !last && line.is_none() => None,
        End::Open | End::Outside => whole(line),
    }
}

enum End {
    /// A line end outside of quotes.
    At(usize),
    /// The bytes end, or are too many, within quotes.
    Open,
    /// The bytes end outside of quotes.
    Outside,
}

fn closed(rest: &[u8], longest: usize, dialect: &Dialect) -> End {
    let within = &rest[..rest.len().min(longest.saturating_add(1))];
    let mut quoted = false;
    let mut value_starts = true;
    let mut at = 0;
    while at < within.len() {
        let byte = within[at];
        if quoted {
            if dialect.escape == Some(byte) && dialect.escape != Some(dialect.quote) {
                at += 1;
            } else if byte == dialect.quote {
                // A doubled quote opens again at once.
                quoted = false;
            }
        } else if byte == b'\n' {
            return End::At(at);
        } else if byte == dialect.quote && (value_starts || at > 0 && within[at - 1] == dialect.quote) {
            quoted = true;
        }
        value_starts = !quoted && byte == dialect.delimiter;
        at += 1;
    }
    if quoted || within.len() < rest.len() { End::Open } else { End::Outside }
}
