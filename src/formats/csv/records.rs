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
        End::Outside => last.then_some(rest.len()),
        End::Open => whole(line),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, step: usize, longest: usize) -> (Vec<String>, Vec<u64>, u64) {
        let dialect =
            Dialect { delimiter: b',', quote: b'"', escape: Some(b'\\'), comment: Some(b'#'), multiline: true };
        let (mut records, mut bad, mut count, mut given) = (Vec::new(), Vec::new(), 0, 0);
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            given = rest.len().min(given + step);
            let last = given == rest.len();
            let bytes = &rest[..given];
            let lines = find(&Piece { header: &[], bytes, last, records: 100, threads: 1 }, longest, &dialect);
            records.extend(lines.records.iter().map(|r| String::from_utf8_lossy(r.bytes(bytes)).into_owned()));
            bad.extend(lines.bad.iter().map(|row| row.line + count));
            count += lines.count;
            rest = &rest[lines.used..];
            given -= lines.used;
        }
        (records, bad, count)
    }

    #[test]
    fn a_value_in_quotes_may_hold_line_ends_however_the_file_is_cut() {
        let text = "a,\"b\nc \"\"d\"\"\n\",e\r\n# \" a comment\n\n5\" disk,x\n\"\\\"\n\",y";
        let records = ["a,\"b\nc \"\"d\"\"\n\",e", "5\" disk,x", "\"\\\"\n\",y"];
        for step in [1, 3, 1_000] {
            let (found, bad, count) = found(text, step, 1_000);
            assert_eq!((found, bad, count), (records.map(str::to_owned).to_vec(), vec![], 8), "{step}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_only_its_line() {
        let (records, _, count) = found("1,\"a\n2,b\n3,c\n", 1_000, 1_000);
        assert_eq!((records, count), (vec!["1,\"a".into(), "2,b".into(), "3,c".into()], 3));
        let long = format!("1,\"{}\n2,b\n", "x\n".repeat(100));
        let (records, _, _) = found(&long, 40, 50);
        assert_eq!((records[0].as_str(), records.last().map(String::as_str)), ("1,\"x", Some("2,b")));
    }
}
