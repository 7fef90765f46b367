//! Rows as bytes, and rows from bytes that anybody may have written, with sums that are right: what they say of lengths is
//! held against what is there before Arrow takes memory by it, and where it is given what it does not expect, that is no
//! panic.

use std::io::{self, Cursor};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::ipc::{self, root_as_message};

/// A message begins so, and then says how long its head is.
const BEGINS: [u8; 4] = [0xff; 4];

/// Columns may take a bit a row, and those that are always null none: of rows nobody could have written there are more.
const ROWS_A_BYTE: usize = 64;

/// Rows as bytes.
pub(super) fn encoded(rows: &RecordBatch) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema()).map_err(io::Error::other)?;
    writer.write(rows).and_then(|()| writer.finish()).map_err(io::Error::other)?;
    drop(writer);
    Ok(bytes)
}

/// The rows they were.
pub(super) fn decoded(bytes: &[u8]) -> Result<Vec<RecordBatch>, String> {
    fits(bytes)?;
    let read =
        || -> Result<Vec<RecordBatch>, ArrowError> { StreamReader::try_new(Cursor::new(bytes), None)?.collect() };
    match std::panic::catch_unwind(read) {
        Ok(read) => read.map_err(|e| e.to_string()),
        Err(_) => Err("its rows are none that can be".into()),
    }
}

/// Whether all that is said to be there can be there.
fn fits(mut bytes: &[u8]) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what} of rows is not what it can be"));
    while !bytes.is_empty() {
        let Some((begins, rest)) = bytes.split_first_chunk::<4>() else { return wrong("the beginning") };
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return wrong("the beginning") };
        if *begins != BEGINS {
            return wrong("the beginning");
        }
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 {
            return Ok(());
        }
        let Some((head, rest)) = rest.split_at_checked(length) else { return wrong("the head") };
        let message = root_as_message(head).map_err(|e| e.to_string())?;
        let body = usize::try_from(message.bodyLength()).ok().and_then(|length| rest.split_at_checked(length));
        let Some((body, rest)) = body else { return wrong("the length") };
        let dictionary = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
        if let Some(batch) = message.header_as_record_batch().or(dictionary)
            && !is_within(&batch, body.len())
        {
            return wrong("a length");
        }
        bytes = rest;
    }
    Ok(())
}

/// Whether the rows of a batch can be in so many bytes.
fn is_within(batch: &ipc::RecordBatch<'_>, bytes: usize) -> bool {
    let most = (bytes + 1).saturating_mul(ROWS_A_BYTE);
    let few = |rows: i64| usize::try_from(rows).is_ok_and(|rows| rows <= most);
    let inside = |buffer: &ipc::Buffer| {
        let end = buffer.offset().checked_add(buffer.length()).and_then(|end| usize::try_from(end).ok());
        buffer.offset() >= 0 && buffer.length() >= 0 && end.is_some_and(|end| end <= bytes)
    };
    // Nothing that is packed is ever written, and what it is unpacked to could be of any size.
    batch.compression().is_none()
        && few(batch.length())
        && batch.nodes().is_none_or(|nodes| nodes.iter().all(|node| few(node.length())))
        && batch.buffers().is_none_or(|buffers| buffers.iter().all(inside))
}
