//! A stream, message by message. A file is one as well, between its magic and its index.

use std::io::Cursor;
use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::{StreamDecoder, StreamReader};
use arrow::ipc::{MessageHeader, root_as_message};

use crate::formats::arrow_ipc::MAGIC;
use crate::formats::conform::{conform, guarded};
use crate::formats::infer;
use crate::model::Column;
use crate::plan::Settings;
use crate::plan::sample::Sample;
use crate::plan::seams::{BadRow, Decoded, Piece};

/// A batch that says it has more is taken for damaged.
pub(super) const MOST_ROWS: u64 = 1 << 28;

/// What is next in a stream.
enum Next {
    /// A message of so many bytes; rows where it is a batch.
    Message { length: usize, rows: Option<u64>, kind: MessageHeader },
    /// The stream is over.
    End,
    /// Not all of it is there.
    Missing,
    /// No message.
    Damaged(String),
}

fn next(bytes: &[u8]) -> Next {
    let number = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(i32::from_le_bytes);
    let (Some(first), second) = (number(0), number(4)) else { return Next::Missing };
    let (length, before) = if first == -1 { (second, 8) } else { (Some(first), 4) };
    let Some(length) = length else { return Next::Missing };
    if length == 0 {
        return Next::End;
    }
    let Some(length) = usize::try_from(length).ok().filter(|n| *n < 1 << 28) else {
        return Next::Damaged("no Arrow message starts here".into());
    };
    let Some(about) = bytes.get(before..before + length) else { return Next::Missing };
    let message = match root_as_message(about) {
        Ok(message) => message,
        Err(e) => return Next::Damaged(e.to_string()),
    };
    let Some(body) = usize::try_from(message.bodyLength()).ok().filter(|n| *n < 1 << 40) else {
        return Next::Damaged("no Arrow message starts here".into());
    };
    let rows = message.header_as_record_batch().map(|batch| u64::try_from(batch.length()).unwrap_or(u64::MAX));
    if rows.is_some_and(|rows| rows > MOST_ROWS) {
        return Next::Damaged("a batch is damaged".into());
    }
    Next::Message { length: before + length + body, rows, kind: message.header_type() }
}

/// The columns that the first message names, of a file as well.
pub(super) fn inferred(_: &Settings, samples: &[Sample], _: usize) -> Result<Vec<Column>, String> {
    infer::carried(samples, |sample| {
        let messages = sample.front.get(start(&sample.front)..).unwrap_or_default();
        let reader = guarded(|| StreamReader::try_new(Cursor::new(messages), None).map_err(|e| e.to_string()));
        Ok(reader.map_err(|why| format!("it is no Arrow file: {why}"))?.schema())
    })
}

/// Where the stream starts: behind a file's magic, which is filled up with zeros.
fn start(front: &[u8]) -> usize {
    if !front.starts_with(MAGIC) {
        return 0;
    }
    let words = front.get(8..).unwrap_or_default().chunks_exact(8);
    8 + 8 * words.take_while(|word| **word == [0; 8]).count()
}

/// The schema and the dictionaries that stand before the first batch.
pub(super) fn header(front: &[u8], last: bool) -> Option<usize> {
    // Behind the magic stand at most so many zeros.
    let needed = if front.starts_with(MAGIC) { 72 } else { 8 };
    if front.len() < needed && !last {
        return None;
    }
    let mut at = start(front);
    loop {
        match next(front.get(at..).unwrap_or_default()) {
            Next::Message { length, kind: MessageHeader::Schema | MessageHeader::DictionaryBatch, .. } => {
                if at + length > front.len() {
                    return last.then_some(0);
                }
                at += length;
            }
            Next::Message { .. } | Next::End => return Some(at),
            Next::Missing => return if last { Some(at.min(front.len())) } else { None },
            Next::Damaged(_) => return Some(if at > start(front) { at } else { 0 }),
        }
    }
}

/// Whole batches, at most so many rows, but one batch at least.
pub(super) fn decode(piece: &Piece<'_>, schema: &SchemaRef) -> Decoded {
    let mut decoded = Decoded::default();
    let bytes = piece.bytes;
    let (mut batches, mut rows): (Vec<(Range<usize>, u64)>, u64) = (Vec::new(), 0);
    loop {
        let at = decoded.used;
        match next(&bytes[at..]) {
            Next::Message { length, rows: Some(count), .. } if at + length <= bytes.len() => {
                if !batches.is_empty() && rows.saturating_add(count) > piece.records as u64 {
                    break;
                }
                batches.push((at..at + length, count));
                rows += count;
                decoded.used += length;
            }
            Next::Message { length, rows: None, .. } if at + length <= bytes.len() => {
                // A dictionary that changes would have to be remembered from piece to piece.
                give_up("a dictionary behind the first batch cannot be read", piece, &mut decoded);
                break;
            }
            Next::Damaged(reason) => {
                give_up(&reason, piece, &mut decoded);
                break;
            }
            // What stands behind the end is a file's index.
            Next::End => {
                (decoded.used, decoded.over) = (bytes.len(), true);
                break;
            }
            Next::Message { .. } | Next::Missing if piece.last && at < bytes.len() => {
                give_up("the stream ends within a batch", piece, &mut decoded);
                break;
            }
            Next::Message { .. } | Next::Missing => break,
        }
    }
    let said = std::mem::take(&mut decoded.bad);
    for (range, count) in batches {
        let read = batch(piece.header, &bytes[range]).and_then(|batch| conform(&batch, schema));
        let line = decoded.lines;
        match read {
            Ok((blocks, bad)) => {
                decoded.blocks.extend(blocks);
                decoded.bad.extend(bad.into_iter().map(|row| BadRow { line: line + row.line, ..row }));
                decoded.lines += count;
            }
            Err(reason) => {
                let reason = format!("{count} rows cannot be read: {reason}");
                decoded.bad.push(BadRow { text: String::new(), reason, place: String::new(), line, bytes: None });
                decoded.lines += 1;
            }
        }
    }
    for row in said {
        decoded.bad.push(BadRow { line: decoded.lines, ..row });
        decoded.lines += 1;
    }
    decoded
}

fn give_up(reason: &str, piece: &Piece<'_>, decoded: &mut Decoded) {
    let reason = match piece.header.is_empty() {
        true => format!("neither an Arrow stream nor a file: {reason}"),
        false => reason.to_owned(),
    };
    decoded.bad.push(BadRow { text: String::new(), reason, place: String::new(), line: 0, bytes: None });
    (decoded.used, decoded.over) = (piece.bytes.len(), true);
}

fn batch(header: &[u8], message: &[u8]) -> Result<RecordBatch, String> {
    guarded(|| {
        let mut decoder = StreamDecoder::new();
        let mut front = Buffer::from(header.get(start(header)..).unwrap_or_default());
        decoder.decode(&mut front).map_err(|e| e.to_string())?;
        let found = decoder.decode(&mut Buffer::from(message)).map_err(|e| e.to_string())?;
        found.ok_or_else(|| "it is not whole".into())
    })
}
