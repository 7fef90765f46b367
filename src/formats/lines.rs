//! What formats with a record a line have in common: finding the lines, and reading many of them in one go so that
//! a malformed one costs its neighbours nothing.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{FieldRef, SchemaRef};

use crate::plan::seams::{BadRow, Decoded, Piece};

/// Rows of a block; a longer piece gives several.
const BLOCK_ROWS: usize = 16_384;

/// A line without its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    start: usize,
    end: usize,
    number: u64,
}

impl Line {
    pub(crate) fn bytes<'a>(&self, all: &'a [u8]) -> &'a [u8] {
        &all[self.start..self.end]
    }
}

/// The whole lines at the front of a piece, those without a record apart, and how many bytes they are.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) records: Vec<Line>,
    pub(crate) blank: Vec<u64>,
    /// What is bad at first sight: longer than allowed.
    pub(crate) bad: Vec<BadRow>,
    pub(crate) count: u64,
    pub(crate) used: usize,
}

impl Lines {
    /// Takes a record that may go over several lines; without its end.
    pub(crate) fn take(&mut self, piece: &Piece<'_>, found: Range<usize>, longest: usize) {
        let line = Line { start: found.start, end: found.end, number: self.count };
        if found.len() > longest {
            self.bad.push(bad(piece.bytes, &line, too_long(longest)));
        } else {
            self.records.push(line);
        }
    }

    /// Whether no more may be taken.
    pub(crate) fn is_full(&self, piece: &Piece<'_>) -> bool {
        self.records.len() + self.bad.len() >= piece.records
    }
}

/// What is said of a record that is too long.
pub(crate) fn too_long(longest: usize) -> String {
    format!("longer than {longest} bytes, which is what `max_line` (files) or `max_record` allows")
}

/// Finds them; `is_record` says whether a line holds a record.
pub(crate) fn find(piece: &Piece<'_>, longest: usize, is_record: impl Fn(&[u8]) -> bool) -> Lines {
    let mut lines = Lines::default();
    let mut take = |start: usize, end: usize, next: usize| {
        let end = if end > start && piece.bytes[end - 1] == b'\r' { end - 1 } else { end };
        if is_record(&piece.bytes[start..end]) {
            lines.take(piece, start..end, longest);
        } else {
            lines.blank.push(lines.count);
        }
        lines.count += 1;
        lines.used = next;
        !lines.is_full(piece)
    };
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', piece.bytes) {
        let more = take(start, end, end + 1);
        start = end + 1;
        if !more {
            return lines;
        }
    }
    if piece.last && start < piece.bytes.len() {
        take(start, piece.bytes.len(), piece.bytes.len());
    }
    lines
}

/// Reads so many records from bytes that hold as many lines, or says what is wrong.
pub(crate) type DecodeLines<'a> = dyn Fn(&[u8], usize) -> Result<RecordBatch, String> + Sync + 'a;

/// What can be saved of a line that cannot be read, with null for what cannot; none where that is no row.
pub(crate) type SaveLine<'a> = dyn Fn(&[u8]) -> Option<RecordBatch> + Sync + 'a;

/// One row, of which each value that cannot be read is null; none where a column may not be.
pub(crate) fn saved(schema: &SchemaRef, value: impl Fn(usize) -> Option<ArrayRef>) -> Option<RecordBatch> {
    let fields = schema.fields().iter().enumerate();
    let column = |(i, field): (usize, &FieldRef)| {
        let null = || field.is_nullable().then(|| new_null_array(field.data_type(), 1));
        value(i).filter(|column| column.len() == 1).or_else(null)
    };
    RecordBatch::try_new(schema.clone(), fields.map(column).collect::<Option<_>>()?).ok()
}

/// Reads all lines, block by block, on so many threads; blocks come in the order of the lines.
pub(crate) fn decode(piece: &Piece<'_>, lines: Lines, read: &DecodeLines<'_>) -> Decoded {
    decode_saving(piece, lines, read, None)
}

/// The same; what can be saved of lines that cannot be read stands where they do.
pub(crate) fn decode_saving(
    piece: &Piece<'_>,
    lines: Lines,
    read: &DecodeLines<'_>,
    save: Option<&SaveLine<'_>>,
) -> Decoded {
    // A block is read as one stretch of bytes, in which there must be no line that is bad already.
    let beside = |a: &Line, b: &Line| !lines.bad.iter().any(|bad| a.number < bad.line && bad.line < b.number);
    let stretches: Vec<&[Line]> =
        if lines.bad.is_empty() { vec![&lines.records[..]] } else { lines.records.chunk_by(beside).collect() };
    let blocks: Vec<&[Line]> = stretches.into_iter().flat_map(|lines| lines.chunks(BLOCK_ROWS)).collect();
    let threads = piece.threads.clamp(1, blocks.len().max(1));
    let share = |blocks: &[&[Line]]| {
        let mut decoded = Decoded::default();
        blocks.iter().for_each(|block| bisect(piece.bytes, block, (read, save), &mut decoded));
        decoded
    };
    let mut decoded =
        Decoded { used: lines.used, lines: lines.count, blank: lines.blank, bad: lines.bad, ..Decoded::default() };
    let mut add = |one: Decoded| {
        decoded.blocks.extend(one.blocks);
        decoded.bad.extend(one.bad);
    };
    if threads == 1 {
        add(share(&blocks));
        decoded.bad.sort_by_key(|row| row.line);
        return decoded;
    }
    std::thread::scope(|scope| {
        let shares = blocks.chunks(blocks.len().div_ceil(threads));
        let working: Vec<_> = shares.map(|blocks| scope.spawn(move || share(blocks))).collect();
        for one in working {
            match one.join() {
                Ok(one) => add(one),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    decoded.bad.sort_by_key(|row| row.line);
    decoded
}

/// Reads lines in one go; where that fails, each half by itself, down to the line that is bad.
fn bisect(bytes: &[u8], lines: &[Line], (read, save): (&DecodeLines<'_>, Option<&SaveLine<'_>>), out: &mut Decoded) {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return };
    match read(&bytes[first.start..last.end], lines.len()) {
        Ok(batch) => out.blocks.push(batch),
        Err(reason) if lines.len() == 1 => match save.and_then(|save| save(first.bytes(bytes))) {
            Some(row) => out.blocks.push(row),
            None => out.bad.push(bad(bytes, first, reason)),
        },
        Err(_) => {
            let (front, back) = lines.split_at(lines.len() / 2);
            bisect(bytes, front, (read, save), out);
            bisect(bytes, back, (read, save), out);
        }
    }
}

/// A line that could not be read.
pub(crate) fn bad(bytes: &[u8], line: &Line, reason: String) -> BadRow {
    BadRow {
        text: BadRow::shown(line.bytes(bytes)),
        reason,
        place: String::new(),
        line: line.number,
        bytes: Some(line.start as u64..line.end as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: &[u8], last: bool) -> Piece<'_> {
        Piece { header: &[], bytes, last, records: usize::MAX, threads: 1 }
    }

    #[test]
    fn the_end_of_a_piece_is_a_line_only_when_nothing_follows() {
        let bytes = b"a\r\n\nb";
        let found = find(&piece(bytes, false), usize::MAX, |line| !line.is_empty());
        assert_eq!((found.records.len(), found.blank.clone(), found.used), (1, vec![1], 4));
        assert_eq!(found.records[0].bytes(bytes), b"a");
        let found = find(&piece(bytes, true), usize::MAX, |line| !line.is_empty());
        assert_eq!((found.records.len(), found.count, found.used), (2, 3, 5));
    }

    #[test]
    fn no_more_records_are_taken_than_asked_for() {
        let found = find(&Piece { records: 2, ..piece(b"a\nb\nc\n", true) }, usize::MAX, |_| true);
        assert_eq!((found.records.len(), found.used), (2, 4));
    }

    #[test]
    fn a_line_that_is_too_long_is_bad_and_its_neighbours_are_not() {
        let found = find(&piece(b"a\nbbbb\r\nccc\n", true), 3, |_| true);
        assert_eq!((found.records.len(), found.bad.len(), found.bad[0].line), (2, 1, 1));
        assert_eq!(found.bad[0].text, "bbbb");
    }
}
